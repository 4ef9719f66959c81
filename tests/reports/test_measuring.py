"""Figures of runs as a results file takes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lit_landmarks.errors import UserError
from lit_landmarks.reports.measuring import read_run
from lit_landmarks.training.run_directory import write_json

DATA = {"manifest": "0" * 64, "sets": [{"role": "test", "name": "afw", "faces": 337}]}
RESULT = {
    "format": 1,
    "metrics": {"compute/mma": 95.5, "test/heads/nme_box": 1.9},
    "command": "python -m lit_landmarks fit --config configs/dense520_heads.yaml",
    "data": DATA,
    "git": {"commit": "abcdef1234567", "dirty": False},
    "finished": "2026-11-29T12:00:00+00:00",
}


def test_measurement_in_a_run_has_the_rest_from_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From wherever it is read: the checkpoint's path starts at the run."""
    run = tmp_path / "run"
    more = {"seed": 3, "machine": {"cores": 2, "gpu": None}}
    write_json(run / "result.json", {**RESULT, **more})
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "best.ckpt").write_bytes(b"weights")
    command = "python -m lit_landmarks test --run run --config boxes.yaml"
    metrics = {"test/afw/nme_interocular": 5.0}
    own = {**RESULT, "metrics": metrics, "command": command, "checkpoint": "checkpoints/best.ckpt"}
    write_json(run / "measurements" / "test-afw.json", own)
    monkeypatch.chdir(tmp_path)
    measurement = read_run(Path("run/measurements/test-afw.json"))
    assert measurement.values == metrics
    assert (measurement.seed, measurement.command) == (3, command)


def test_measurement_of_a_run_that_is_gone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "measurements" / "test.json"
    write_json(path, {**RESULT, "checkpoint": "checkpoints/best.ckpt"})
    with pytest.raises(UserError, match=r"result\.json"):
        read_run(path)
