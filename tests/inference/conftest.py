"""A trained run to load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_landmarks.cli import main
from tests.support.configs import tiny_config


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory, few_shapes: None) -> Path:
    """A finished run of a small MuSiCa."""
    folder = tmp_path_factory.mktemp("trained")
    tree: dict[str, Any] = tiny_config()
    tree["trainer"]["max_epochs"] = 1
    tree["model"] = {"class_path": "MuSiCa", "init_args": {"patches": 6, "hidden": 16, "rank": 4}}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(tree))
    assert main(["fit", "--config", str(folder / "tiny.yaml"), "--run", str(folder / "run")]) == 0
    return folder / "run"
