"""Samplers side by side: equal trials, one study for each seed, nothing run twice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback

from lit_landmarks.cli import main
from lit_landmarks.search import StudyFolder, find_best_feasible, read_sweep
from lit_landmarks.search.samplers import SamplerFigures, compare_samplers
from tests.search.conftest import go, value_of
from tests.support.configs import write_sweep


def nme(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
    return {"metrics": {"val/nme": 20.0 - value_of(words, "model.width") / 10}}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    tpe = {"class": "TPESampler", "arguments": {"n_startup_trials": 1}}
    return write_sweep(tmp_path, trials=9, sampler=tpe)


def test_every_sampler_gets_the_same_trials_and_seeds(sweep: Path, tmp_path: Path) -> None:
    ran: list[Path] = []

    def study(file: Path, root: Path) -> None:
        ran.append(root)
        folder = StudyFolder(root)
        if not folder.file.is_file():
            folder.create(read_sweep(file))
        go(folder, nme)

    names = ["TPESampler", "RandomSampler"]
    compared = compare_samplers(sweep, names, 3, 6, tmp_path / "out", study)
    assert [root.name for root in ran] == [f"{n}-{seed}" for n in names for seed in range(3)]
    assert [(f.sampler, f.trials, len(f.best)) for f in compared] == [(n, 6, 3) for n in names]
    for figures in compared:
        for seed, best in enumerate(figures.best):
            folder = StudyFolder(tmp_path / "out" / f"{figures.sampler}-{seed}")
            trials = folder.open(folder.sweep()).get_trials()
            assert len(trials) == 6
            kept = [t.params["model.width"] for t in trials if t.params["model.width"] <= 20]
            assert figures.feasible[seed] == pytest.approx(100 * len(kept) / 6)
            assert best == pytest.approx(20 - max(kept) / 10) if kept else math.isnan(best)
            assert folder.sweep().sampler[1] == {"seed": seed}
    again = compare_samplers(sweep, names, 3, 6, tmp_path / "out", study)
    assert again == compared, "finished studies are read"
    first = StudyFolder(tmp_path / "out" / "TPESampler-0")
    assert find_best_feasible(first.open(first.sweep())) is not None


def test_medians_count_a_search_that_found_nothing_as_the_worst() -> None:
    figures = SamplerFigures("A", 4, (math.nan, 3.0, math.nan), (0.0, 50.0, 0.0), (1.0, 2.0, 3.0))
    assert figures.median("best") == math.inf
    assert figures.median("feasible") == 0.0
    assert figures.median("halfway") == 2.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "needs --sweep"),
        (("--sweep", "nowhere.yaml"), "nowhere.yaml"),
        (("--sweep", "FILE", "--seeds", "0"), "--seeds"),
        (("--sweep", "FILE", "--samplers", "Oracle"), "Oracle"),
    ],
)
def test_bad_arguments(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...],
    message: str,
) -> None:  # fmt: skip
    chosen = [str(sweep) if word == "FILE" else word for word in words]
    assert main(["bench", "samplers", *chosen, "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
