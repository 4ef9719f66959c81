"""What a method said of every face, stage by stage, beside the truth: what calibration looks at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.errors import UserError
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.nets.error_head import percent_of, shape_error
from lit_landmarks.types import Role

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FaceRecords:
    """F faces after each of T stages.

    Attributes:
        sets: names of the data sets of the role, in the order of `dataset`.
        dataset: (F,) number into `sets`.
        row: (F,) row of the face in its data set.
        error: (T, F) true NME in percent of the eye distance (see `nets.error_head`).
        predicted: (T, F) what the method said of it.
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

    def of(self, rows: NDArray[np.bool_]) -> FaceRecords:
        """The same of some faces."""
        return FaceRecords(
            self.sets, self.dataset[rows], self.row[rows], self.error[:, rows],
            self.predicted[:, rows], self.costs, self.pose[rows],
            self.truth[rows], self.points[:, rows],
            None if self.attention is None else self.attention[:, rows],
        )  # fmt: skip


@contextmanager
def all_stages(method: LandmarkModule) -> Iterator[None]:
    """No face leaves early while the block runs."""
    if method.early_exit is None:
        yield
    else:
        with method.early_exit.switched(False):
            yield


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
    names = tuple(s.name for s in data.spec.datasets)
    columns: dict[str, list[torch.Tensor]] = {}
    with torch.no_grad(), all_stages(method):
        count = -(-len(data.faces(role) or ()) // data.eval_batch_size)
        batches = data.batches(role)
        for batch in track(batches, title or f"faces of {role}", count, transient=True):
            faces = batch.to(torch.device(device))
            found = method(faces.inputs)
            if found.error is None:
                raise UserError(
                    f"{type(method).__name__} does not predict its error; "
                    "train MuSiCa, or another method with model.error_head"
                )
            stages = found.points[None] if found.stages is None else found.stages
            known = faces.has_pose[:, None]
            told = {
                "dataset": faces.dataset_id,
                "row": faces.index,
                "error": (percent_of() * shape_error(stages, faces)).T,
                "predicted": found.error.T,
                "truth": torch.where(faces.mask[..., None], faces.points, torch.nan),
                "points": stages.transpose(0, 1),
                "pose": torch.where(known, faces.pose[:, :3], torch.nan),
            }
            if found.attention is not None:
                told["attention"] = found.attention.transpose(0, 1)
            for name, value in told.items():
                columns.setdefault(name, []).append(value.cpu())
    joined = {name: torch.cat(parts).numpy() for name, parts in columns.items()}
    stages_first = {
        name: np.moveaxis(joined[name], 1, 0).astype(np.float64)
        for name in ("error", "predicted", "points", "attention")
        if name in joined
    }
    costs = [np.nan] if method.early_exit is None else method.stage_costs()
    return FaceRecords(
        names, joined["dataset"].astype(np.int64), joined["row"].astype(np.int64),
        stages_first["error"], stages_first["predicted"], np.array(costs, dtype=np.float64),
        joined["pose"].astype(np.float64), joined["truth"].astype(np.float64),
        stages_first["points"], stages_first.get("attention"),
    )  # fmt: skip
