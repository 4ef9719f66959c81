"""`--flip_average` of an evaluation: both runs are paid for, and the figures say so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lit_landmarks.cli import main


@pytest.mark.slow
def test_an_evaluation_states_the_cost_of_both_runs(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    own = json.loads((run / "result.json").read_text())["metrics"]
    assert main(["validate", "--run", str(run), "--flip_average"]) == 0
    both = 2 * own["compute/mma"]
    text = " ".join(capsys.readouterr().out.split())
    assert f"averaged with its mirror image, at {both:.1f} MMA for the two" in text
    (measured,) = (run / "measurements").iterdir()
    content = json.loads(measured.read_text())
    assert content["command"].endswith(" --flip_average")
    assert content["metrics"]["compute/mma"] == pytest.approx(both)
    assert content["metrics"]["val/nme"] != own["val/nme"]

    assert main(["predict", "--run", str(run)]) == 0
    with np.load(run / "predictions.npz") as file:
        plain = file["points"]
    assert main(["predict", "--run", str(run), "--flip_average"]) == 0
    with np.load(run / "predictions.npz") as file:
        averaged = file["points"]
    assert plain.shape == averaged.shape
    assert 0 < np.abs(plain - averaged).max() < 48
