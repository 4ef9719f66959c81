"""A finished run of a small MuSiCa on rendered faces, and an entry that was made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_landmarks.cli import main
from lit_landmarks.weights import VARIABLE
from tests.support.configs import tiny_config


def small_musica() -> dict[str, Any]:
    """Settings of the run, a fresh copy."""
    tree: dict[str, Any] = tiny_config()
    tree["trainer"]["max_epochs"] = 1
    tree["model"] = {"class_path": "MuSiCa", "init_args": {"patches": 6, "hidden": 16, "rank": 4}}
    return tree


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, few_shapes: None) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(small_musica()))
    assert main(["fit", "--config", str(folder / "tiny.yaml"), "--run", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="session")
def registry(run: Path) -> Path:
    """A registry of one's own with the run's weights, `tiny-68`."""
    folder = run.parent / "registry"
    words = ["--name", "tiny-68", "--to", str(folder), "--commit", "0123456789"]
    assert main(["weights", "add", str(run), *words, "--command", "fit --config tiny.yaml"]) == 0
    return folder


@pytest.fixture
def own_registry(registry: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The registry, named by the environment."""
    monkeypatch.setenv(VARIABLE, str(registry))
    return registry
