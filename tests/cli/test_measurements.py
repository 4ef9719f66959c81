"""Figures of later evaluations stay in the run, a file for each data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lit_landmarks.cli import main

_OTHER = """
data:
  init_args:
    {role}:
      {name}: {{class_path: SyntheticFaces, init_args: {{n: {n}, seed: 9, image_size: 64}}}}
"""


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    # Other tests of the session may have measured the run too.
    ignored = shutil.ignore_patterns("measurements")
    return Path(shutil.copytree(finished, tmp_path / "run", ignore=ignored))


def _config(folder: Path, role: str, name: str, n: int) -> str:
    path = folder / f"{name}{n}.yaml"
    path.write_text(_OTHER.format(role=role, name=name, n=n))
    return str(path)


def test_each_data_has_its_file(run: Path, tmp_path: Path) -> None:
    before = (run / "result.json").read_bytes()
    turned = _config(tmp_path, "test", "turned", 3)
    commands = [
        ["test", "--run", str(run), "--config", turned],
        ["test", "--run", str(run), "--config", _config(tmp_path, "test", "turned", 4)],
        ["validate", "--run", str(run), "--config", _config(tmp_path, "val", "other", 3)],
        ["validate", "--run", str(run)],
        ["validate", "--run", str(run), "--trainer.limit_val_batches=1"],
    ]
    for count, command in enumerate(commands, 1):
        assert main(command) == 0
        assert len([*(run / "measurements").iterdir()]) == count, command
    contents = {
        path.name: json.loads(path.read_text()) for path in (run / "measurements").iterdir()
    }
    assert sorted(name.rpartition("-")[0] for name in contents) == [
        "test-turned",
        "test-turned",
        "val-faces",
        "val-faces",
        "val-other",
    ]
    faces = {
        (name.rpartition("-")[0], content["metrics"][key])
        for name, content in contents.items()
        for key in content["metrics"]
        if key.endswith("/faces")
    }
    assert {("test-turned", 3), ("test-turned", 4), ("val-other", 3)} <= faces
    one = next(c for n, c in contents.items() if n.startswith("val-other"))
    assert one["checkpoint"] == "checkpoints/best.ckpt"
    assert [s["name"] for s in one["data"]["sets"]] == ["other"]
    assert f"--run {run}" in one["command"]
    # A repetition replaces its file, and the figures of the fit stay.
    assert main([*commands[0], "--output", str(tmp_path / "x.json")]) == 0
    assert len([*(run / "measurements").iterdir()]) == len(commands)
    assert (run / "result.json").read_bytes() == before
