"""Predicted and true error of every face after every stage of a method, for later analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.analysis.batches import iterate_faces
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.errors import UserError
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.nets.early_exit import run_all_stages
from lit_landmarks.nets.error_head import percent_factor, shape_error
from lit_landmarks.types import FaceBatch, Prediction, Role

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FaceRecords:
    """F faces after each of T stages.

    Attributes:
        sets: names of the data sets of all roles, in the order of the data's spec.
        dataset: (F,) number into `sets`.
        row: (F,) row of the face in its data set.
        error: (T, F) true NME in percent of the eye distance (see `nets.error_head`).
        predicted: (T, F) NME that the method predicted for itself, in percent.
        costs: (T,) MMA of a face that leaves after each stage; NaN where the cost is fixed.
        pose: (F, 3) yaw, pitch, roll in degrees; NaN where not labelled.
        truth: (F, N, 2) labelled points in frame pixels; NaN where not labelled.
        points: (T, F, N, 2) predicted points, frame pixels.
        attention: (T, F, M) weight of each patch, or None.
    """

    sets: tuple[str, ...]
    dataset: NDArray[np.int64]
    row: NDArray[np.int64]
    error: Array
    predicted: Array
    costs: Array
    pose: Array
    truth: Array
    points: Array
    attention: Array | None = None

    def __len__(self) -> int:
        return len(self.dataset)

    def select(self, rows: NDArray[np.bool_]) -> FaceRecords:
        """The records of the faces where `rows`, (F,) bool, is True."""
        return FaceRecords(
            sets=self.sets,
            dataset=self.dataset[rows],
            row=self.row[rows],
            error=self.error[:, rows],
            predicted=self.predicted[:, rows],
            costs=self.costs,
            pose=self.pose[rows],
            truth=self.truth[rows],
            points=self.points[:, rows],
            attention=None if self.attention is None else self.attention[:, rows],
        )


def record_faces(
    method: LandmarkModule,
    data: LandmarkDataModule,
    role: Role,
    device: torch.device | str = "cpu",
    title: str = "",
) -> FaceRecords:
    """Runs a method over all faces of a role, every stage for every face.

    Args:
        method: weights loaded.
        data: the data module.
        role: train, val or test; without augmentation.
        device: where to run.
        title: of the progress bar.

    Raises:
        UserError: the method does not predict its error.
    """
    method.to(device).eval()
    columns: dict[str, list[Tensor]] = {}
    with torch.no_grad(), run_all_stages(method.early_exit):
        for _, faces in iterate_faces(data, role, device, title=title):
            for name, value in _record_batch(method, faces).items():
                columns.setdefault(name, []).append(value.cpu())
    joined = {name: torch.cat(parts).numpy() for name, parts in columns.items()}

    def by_stage(name: str) -> Array:
        return np.moveaxis(joined[name], 1, 0).astype(np.float64)

    costs = [np.nan] if method.early_exit is None else method.stage_costs()
    return FaceRecords(
        sets=tuple(s.name for s in data.spec.datasets),
        dataset=joined["dataset"].astype(np.int64),
        row=joined["row"].astype(np.int64),
        error=by_stage("error"),
        predicted=by_stage("predicted"),
        costs=np.array(costs, dtype=np.float64),
        pose=joined["pose"].astype(np.float64),
        truth=joined["truth"].astype(np.float64),
        points=by_stage("points"),
        attention=by_stage("attention") if "attention" in joined else None,
    )


def record_roles(
    method: LandmarkModule, data: LandmarkDataModule, device: torch.device | str, title: str = ""
) -> dict[str, FaceRecords]:
    """Records of the validation faces and, if there are any, of the test faces.

    Args:
        method: weights loaded.
        data: the data module.
        device: where to run.
        title: of the progress bars, before the role.
    """
    return {
        role: record_faces(method, data, role, device, f"{title}, {role}" if title else "")
        for role in data.measured_roles
    }


def split_by_set(roles: Mapping[str, FaceRecords]) -> dict[str, FaceRecords]:
    """Records of each data set that has faces, under the name that metrics give it: role/name."""
    return {
        f"{role}/{name}": records.select(records.dataset == number)
        for role, records in roles.items()
        for number, name in enumerate(records.sets)
        if (records.dataset == number).any()
    }


def measure_stages(prediction: Prediction, faces: FaceBatch) -> Tensor:
    """(T, B) true NME in percent of the eye distance after each stage; one of what is no cascade.

    Args:
        prediction: of all stages.
        faces: with the labels.
    """
    stages = prediction.points[None] if prediction.stages is None else prediction.stages
    return percent_factor() * shape_error(stages, faces)


def _record_batch(method: LandmarkModule, faces: FaceBatch) -> dict[str, Tensor]:
    """Columns of the records, faces first and stages second."""
    prediction: Prediction = method(faces.inputs)
    if prediction.error is None:
        raise UserError(
            f"{type(method).__name__} does not predict its error; "
            "train MuSiCa, or another method with model.error_head"
        )
    stages = prediction.points[None] if prediction.stages is None else prediction.stages
    columns = {
        "dataset": faces.dataset_id,
        "row": faces.index,
        "error": measure_stages(prediction, faces).T,
        "predicted": prediction.error.T,
        "truth": torch.where(faces.mask[..., None], faces.points, torch.nan),
        "points": stages.transpose(0, 1),
        "pose": torch.where(faces.has_pose[:, None], faces.pose[:, :3], torch.nan),
    }
    if prediction.attention is not None:
        columns["attention"] = prediction.attention.transpose(0, 1)
    return columns
