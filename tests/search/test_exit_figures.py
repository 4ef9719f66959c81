"""What the pruner compares of a fit that ends with exit thresholds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from lit_landmarks.analysis.cross_fit import choose_by_fold, find_folds, make_folds
from lit_landmarks.analysis.records import record_faces
from lit_landmarks.analysis.thresholds import choose_within_cost
from lit_landmarks.data import LandmarkDataModule, SyntheticFaces
from lit_landmarks.methods.musica.module import MuSiCa
from lit_landmarks.nets.early_exit import EarlyExitOptions
from lit_landmarks.search.space import Sweep
from lit_landmarks.search.watch import TrialWatch
from lit_landmarks.training.fold_thresholds import FoldThresholds, UseFoldThresholds


@pytest.fixture(scope="module")
def cascade() -> tuple[MuSiCa, LandmarkDataModule]:
    """An untrained cascade with a target cost, and ten rendered faces."""
    faces = [SyntheticFaces(n=n, seed=seed, image_size=48) for n, seed in ((2, 1), (10, 2))]
    data = LandmarkDataModule(
        frame_size=64, batch_size=4, train={"faces": faces[0]}, val={"faces": faces[1]}
    )
    torch.manual_seed(0)
    method = MuSiCa.tiny()
    costs = method.stage_costs()
    method = MuSiCa.tiny(early_exit=EarlyExitOptions(target_mma=0.3 * costs[0] + 0.7 * costs[-1]))
    method.bind(data.spec)
    method.set_shape_statistics(data.shape_statistics())
    with torch.no_grad():
        for parameter in method.parameters():  # predictions that differ between faces
            parameter.add_(0.1 * torch.randn_like(parameter))
    return method.eval(), data


def watch_validation(
    watch: TrialWatch, method: MuSiCa, data: LandmarkDataModule, logged: dict[str, float]
) -> None:
    """What a trainer does in the validation of an epoch."""
    trainer: Any = SimpleNamespace(
        sanity_checking=False, callback_metrics=logged, current_epoch=0, world_size=1,
        state=SimpleNamespace(fn="fit"), datamodule=data,
    )  # fmt: skip
    watch.on_validation_start(trainer, method)
    for number, batch in enumerate(data.batches("val")):
        with torch.no_grad():
            outputs = {"prediction": method(batch.inputs).detach()}
        watch.on_validation_batch_end(trainer, method, outputs, batch, number)
    watch.on_validation_end(trainer, method)


class Reports:
    """Takes the place of an Optuna trial."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def report(self, value: float, step: int) -> None:
        self.values.append(value)

    def should_prune(self) -> bool:
        return False


def evaluate_with_thresholds(method: MuSiCa, data: LandmarkDataModule) -> dict[str, float]:
    """Metrics of faces that leave the cascade by thresholds chosen without their fold."""
    assert method.early_exit is not None
    target = method.early_exit.target_mma
    assert target is not None
    records, folds = record_faces(method, data, "val"), make_folds(data)
    fold = find_folds(folds, data, "val", records)
    by_fold = choose_by_fold(
        records, fold, lambda faces: choose_within_cost(faces, target, refine=False).thresholds
    )
    table = FoldThresholds(folds.faces, folds.fold, np.array(by_fold))
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, callbacks=[UseFoldThresholds(table)],
    )  # fmt: skip
    trainer.validate(method, datamodule=data, verbose=False)
    return {key: float(value) for key, value in trainer.callback_metrics.items()}


def test_the_pruner_gets_the_error_with_thresholds(
    cascade: tuple[MuSiCa, LandmarkDataModule],
) -> None:
    method, data = cascade
    trial: Any = Reports()
    watch = TrialWatch(trial, Sweep("study", Path("sweep.yaml"), trials=8))
    logged = {"val/nme": 1.0, "val/faces/mma": method.stage_costs()[-1], "val/other": 7.0}
    watch_validation(watch, method, data, logged)
    expected = evaluate_with_thresholds(method, data)
    assert expected["val/faces/mma"] < method.stage_costs()[-1] - 0.01, "some faces leave early"
    assert trial.values == [pytest.approx(expected["val/nme"], rel=1e-5)]
    assert watch.figures == pytest.approx(expected | {"val/other": 7.0}, rel=1e-5)
    assert watch.mean_mma is not None
    assert method.early_exit is not None
    assert method.early_exit.target_mma is not None
    assert watch.mean_mma == pytest.approx(expected["val/faces/mma"])


def test_the_value_is_that_of_the_checkpoint_which_is_best_so_far(
    cascade: tuple[MuSiCa, LandmarkDataModule],
) -> None:
    """A later epoch that is worse with all stages leaves best.ckpt, and so the value, as it is."""
    method, data = cascade
    trial: Any = Reports()
    watch = TrialWatch(trial, Sweep("study", Path("sweep.yaml"), trials=8))
    watch_validation(watch, method, data, {"val/nme": 1.0})
    assert watch.state_dict() == {"best": trial.values[0], "logged": 1.0}
    again = TrialWatch(trial, watch.sweep)
    again.load_state_dict(watch.state_dict())
    before = {name: value.clone() for name, value in method.state_dict().items()}
    with torch.no_grad():
        for step in method.network.iterations:
            step.head.weight.mul_(3.0)
    watch_validation(again, method, data, {"val/nme": 2.0})
    watch_validation(again, method, data, {"val/nme": 0.5})
    method.load_state_dict(before)
    assert trial.values[1] == trial.values[0]
    assert trial.values[2] != trial.values[0]
