"""`analyse template` on checkpoints whose corrections are set by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from lit_landmarks.analysis.conventions import true_displacements
from lit_landmarks.cli.entry import main
from lit_landmarks.files import write_atomic
from lit_landmarks.methods import METHODS, LandmarkModule
from lit_landmarks.nets.canonical_correction import CanonicalCorrection
from lit_landmarks.nets.query_correction import QueryCorrection

CONVENTIONS = ["synthetic_3d", "300w", "wflw"]


def save_run(method: LandmarkModule, folder: Path) -> Path:
    """A run directory with a checkpoint of an untrained method."""
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.strategy.connect(method)
    (folder / "checkpoints").mkdir(parents=True)
    trainer.save_checkpoint(folder / "checkpoints" / "best.ckpt")
    write_atomic(folder / "config.yaml", "model: {}\n")
    return folder


def test_displacements_of_a_table_are_reported(tmp_path: Path) -> None:
    method = METHODS["MuSiCa"].tiny(correction=CanonicalCorrection(conventions=CONVENTIONS))
    assert isinstance(method.correction, CanonicalCorrection)
    with torch.no_grad():
        method.correction.table[1, 0, 17:27, 1] = -0.04  # brows higher by 4 percent
    run = save_run(method, tmp_path / "run")
    assert main(["analyse", "template", "--run", str(run), "--output", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "template.json").read_text())
    assert report["reference"] == "synthetic_3d"
    assert report["regions_percent"]["300w"]["brows"] == pytest.approx(4.0, abs=1e-4)
    assert report["regions_percent"]["300w"]["all"] == pytest.approx(4.0 * 10 / 68, abs=1e-4)
    assert report["regions_percent"]["wflw"]["all"] == 0.0
    assert (tmp_path / "out" / "template.png").stat().st_size > 20_000


def test_error_of_displacements_that_the_template_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    correction = CanonicalCorrection(conventions=["synthetic_3d", "300w_lp"])
    method = METHODS["MuSiCa"].tiny(correction=correction)
    true = true_displacements("synthetic_3d", "300w_lp", "ibug68")
    assert true is not None
    back = true_displacements("300w_lp", "synthetic_3d", "ibug68")
    assert np.array_equal(back, -true)
    assert true_displacements("300w", "300w_lp", "ibug68") is None
    with torch.no_grad():
        correction.table[1, 0] = torch.from_numpy(0.9 * true)
    run = save_run(method, tmp_path / "run")
    assert main(["analyse", "template", "--run", str(run), "--output", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "template.json").read_text())
    assert report["error_percent"] == {"300w_lp": pytest.approx(10.0, abs=1e-3)}
    assert "by 10.0 % of their size" in capsys.readouterr().out


def test_displacements_of_queries_are_those_of_the_scheme(tmp_path: Path) -> None:
    correction = QueryCorrection(conventions=CONVENTIONS)
    torch.nn.init.normal_(correction.layers[-1].weight)
    run = save_run(METHODS["Infinite3D"].tiny(scheme=None, correction=correction), tmp_path / "run")
    arguments = ["analyse", "template", "--run", str(run), "--output", str(tmp_path)]
    assert main([*arguments, "--scheme", "wflw98"]) == 0
    report = json.loads((tmp_path / "template.json").read_text())
    assert len(report["displacements"]["300w"]) == 98


def test_run_without_a_correction_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = save_run(METHODS["MuSiCa"].tiny(), tmp_path / "run")
    assert main(["analyse", "template", "--run", str(run)]) == 2
    assert "has no correction of conventions" in capsys.readouterr().err
