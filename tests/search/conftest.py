"""Studies with made-up fits: NME falls with width, cost rises with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from lightning.pytorch import Callback

from lit_landmarks.search import StudyFolder, read_sweep, run_trials
from tests.support.configs import write_sweep

Make = Callable[..., StudyFolder]


def value_of(words: Sequence[str], key: str) -> float:
    return float(next(w for w in words if w.startswith(f"--{key}=")).split("=")[1])


def validate(callbacks: Sequence[Callback], epoch: int, figures: dict[str, float]) -> None:
    """What a trainer does around the end of an epoch, for callbacks that watch."""
    trainer: Any = SimpleNamespace(
        sanity_checking=False,
        callback_metrics=figures,
        current_epoch=epoch,
        world_size=1,
        state=SimpleNamespace(fn="fit"),
    )
    for callback in callbacks:
        callback.on_train_batch_start(trainer, None, None, 0)  # type: ignore[arg-type]
        callback.on_validation_end(trainer, None)  # type: ignore[arg-type]
        callback.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]


def costs(base: list[Path], words: list[str], timed: bool = False) -> dict[str, float]:
    width = value_of(words, "model.width")
    counted = {"compute/mma": width, "compute/parameters": 100 * width}
    return {**counted, "compute/latency_median_ms": width / 10} if timed else counted


@pytest.fixture(autouse=True)
def _nothing_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up fits leave no trainers behind, and a collection takes 0.2 s beside all libraries."""
    quiet = SimpleNamespace(collect=lambda: 0, freeze=lambda: None, unfreeze=lambda: None)
    monkeypatch.setattr("lit_landmarks.search.runner.gc", quiet)


@pytest.fixture
def make_study(tmp_path: Path) -> Make:
    """A study's folder; keyword arguments change its sweep file."""

    def make(**changes: Any) -> StudyFolder:
        quick = {"url": "journal", "heartbeat": 1, "grace": 2}
        folder = StudyFolder(tmp_path / "study")
        folder.create(read_sweep(write_sweep(tmp_path, **{"storage": quick, **changes})))
        return folder

    return make


def go(folder: StudyFolder, fit: Any, count: Any = costs, total: int | None = None) -> optuna.Study:
    sweep = folder.sweep()
    study = folder.open(sweep)
    run_trials(sweep, folder, study, lambda _: None, total, fit, count)
    return study
