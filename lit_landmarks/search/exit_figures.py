"""Figures of an epoch with early exit, from the predictions that its validation has made anyway.

While a cascade trains no threshold is set, and its validation runs every stage for every face. A
fit with a target cost ends with thresholds, so what the validation logs is the error of a dearer
method than the one that the trial is judged by.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.analysis.cross_fit import (
    choose_by_fold,
    look_up_folds,
    make_folds,
    spread_folds,
    spread_thresholds,
)
from lit_landmarks.analysis.records import FaceRecords, measure_stages
from lit_landmarks.analysis.thresholds import choose_within_cost, find_exit_stages
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.methods import LandmarkModule
from lit_landmarks.metrics import FaceMetrics
from lit_landmarks.training.processes import gather
from lit_landmarks.types import FaceBatch, Prediction


def has_target(method: Any) -> bool:
    """Whether a fit of this method ends with thresholds for a mean cost."""
    early_exit = getattr(method, "early_exit", None)
    return early_exit is not None and early_exit.target_mma is not None


class ExitFigures:
    """Measures validations with exit thresholds that reach the target cost on their own faces.

    Thresholds of a face are chosen without its fold, as those at the end of a fit are, on a grid
    that is not refined: that takes a fraction of a second. With several processes all choose on the
    faces of all.
    """

    def __init__(self) -> None:
        self._faces: list[tuple[Prediction, FaceBatch]] = []
        self._fold_of: dict[int, NDArray[np.int64]] | None = None

    def begin(self) -> None:
        """Forgets the faces of the validation before."""
        self._faces = []

    def add(self, prediction: Prediction, batch: FaceBatch) -> None:
        """Adds a batch of the validation.

        Args:
            prediction: of all stages, with predicted errors.
            batch: the labels.
        """
        # Pictures take a hundred times the memory of all labels; the shape alone may be asked for.
        image = batch.image.new_zeros(()).expand(batch.image.shape)
        lean = Prediction(prediction.points, stages=prediction.stages, error=prediction.error)
        self._faces.append((lean, replace(batch, image=image)))

    def compute(self, method: LandmarkModule, data: LandmarkDataModule) -> dict[str, float]:
        """The metrics of the added faces that follow from points and costs; not those of pose.

        Args:
            method: with a target cost.
            data: its data module.

        Returns:
            Metrics by key; empty where a prediction is no number.

        Raises:
            UserError: the target is below the cost of the first stage.
        """
        early_exit, spec = method.early_exit, method.bound
        assert early_exit is not None
        assert early_exit.target_mma is not None
        assert spec is not None
        target = early_exit.target_mma
        own = self._record(method)
        records = _gather(own)
        if not (np.isfinite(records.error).all() and np.isfinite(records.predicted).all()):
            return {}
        if self._fold_of is None:
            self._fold_of = look_up_folds(make_folds(data), data, "val")
        by_fold = choose_by_fold(
            records,
            spread_folds(self._fold_of, records),
            lambda faces: choose_within_cost(faces, target, refine=False).thresholds,
        )
        none = (-np.inf,) * (early_exit.stages - 1)
        thresholds = spread_thresholds(none, by_fold, spread_folds(self._fold_of, own))
        stages = torch.from_numpy(find_exit_stages(own.predicted, thresholds))
        suite = FaceMetrics(spec, "val").to(method.device)
        for prediction, batch in self._faces:
            here, stages = stages[: len(batch)], stages[len(batch) :]
            suite.update(_leave_early(prediction, here, method), batch)
        return suite.compute()

    def _record(self, method: LandmarkModule) -> FaceRecords:
        """What the choice of thresholds asks of the added faces."""
        columns: list[tuple[Tensor, ...]] = []
        for prediction, batch in self._faces:
            assert prediction.error is not None
            errors = measure_stages(prediction, batch).T, prediction.error.T
            columns.append((batch.dataset_id, batch.index, *errors))
        dataset, row, error, predicted = (
            torch.cat(parts).cpu().numpy() for parts in zip(*columns, strict=True)
        )
        return _make_records(
            dataset, row, error.T.astype(np.float64), predicted.T.astype(np.float64),
            np.array(method.stage_costs(), np.float64),
        )  # fmt: skip


def _make_records(
    dataset: NDArray[np.int64],
    row: NDArray[np.int64],
    error: NDArray[np.float64],
    predicted: NDArray[np.float64],
    costs: NDArray[np.float64],
) -> FaceRecords:
    """Records of F faces without what no threshold depends on: points and pose."""
    stages, faces = error.shape
    return FaceRecords(
        sets=(), dataset=dataset, row=row, error=error, predicted=predicted, costs=costs,
        pose=np.zeros((faces, 0)), truth=np.zeros((faces, 0, 2)),
        points=np.zeros((stages, faces, 0, 2)),
    )  # fmt: skip


def _gather(own: FaceRecords) -> FaceRecords:
    """The records of all processes in one order, each face once."""
    parts = gather((own.dataset, own.row, own.error, own.predicted))
    dataset, row = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    error, predicted = (np.concatenate([part[k] for part in parts], 1) for k in (2, 3))
    # A row of -1 repeats a face that another process has.
    order = np.lexsort((row, dataset))
    order = order[row[order] >= 0]
    return _make_records(
        dataset[order], row[order], error[:, order], predicted[:, order], own.costs
    )


def _leave_early(prediction: Prediction, stages: Tensor, method: LandmarkModule) -> Prediction:
    """What a method answers for faces that leave after given stages.

    Args:
        prediction: of all T stages.
        stages: (B,) stage after which each face leaves.
        method: says what that costs.
    """
    assert prediction.stages is not None
    assert prediction.error is not None
    stages = stages.to(prediction.points.device)
    count, faces = prediction.error.shape
    numbers = torch.arange(count, device=stages.device)[:, None]
    # A face that has left keeps its last shape.
    reached, columns = numbers.minimum(stages), torch.arange(faces, device=stages.device)
    shapes = prediction.stages[reached, columns]
    return Prediction(
        points=shapes[-1],
        stages=shapes,
        error=prediction.error[reached, columns],
        exit_stage=stages,
        mma=method.face_costs(stages),
    )
