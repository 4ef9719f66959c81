"""Predictions of faces as `.npz` and CSV; README.md beside this module explains both files."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.files import atomic_path, write_atomic
from lit_landmarks.geometry.crops import affine_scale, transform_points
from lit_landmarks.methods.steps import MethodSteps
from lit_landmarks.training.evaluation import heed_choices
from lit_landmarks.training.face_errors import measure_faces
from lit_landmarks.training.processes import gather_faces, use_threads_of_one
from lit_landmarks.types import FaceBatch, Prediction

Columns = dict[str, NDArray[Any]]


class _Collector(Callback):
    """Collects what a method predicts for each face, in pixels of the image files."""

    def __init__(self, data: LandmarkDataModule) -> None:
        self.spec = data.spec
        self.columns: dict[str, list[Any]] = {
            name: [] for name in ("points", "dataset_id", "index")
        }

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Prediction,
        batch: FaceBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Appends the faces of a batch."""
        measured = cast(MethodSteps, pl_module).leave_out_unplaced(batch)
        values: dict[str, Tensor | None] = {
            "points": transform_points(batch.frame_to_image, outputs.points),
            "dataset_id": batch.dataset_id,
            "index": batch.index,
            "truth": transform_points(batch.frame_to_image, batch.points).where(
                batch.mask[..., None], torch.nan
            ),
            "nme": measure_faces(outputs.points, measured, self.spec),
            "predicted_error": None if outputs.error is None else outputs.error[-1],
            "exit_stage": outputs.exit_stage,
            "pose": None if outputs.pose is None else outputs.pose[:, :3],
            "visibility": outputs.visibility,
            "points3d": _in_image(batch.frame_to_image, outputs.points3d),
            "mma": outputs.mma,
        }
        for name, value in values.items():
            if value is not None:
                value = value.float() if value.is_floating_point() else value
                self.columns.setdefault(name, []).append(value.cpu().numpy())


def _in_image(frame_to_image: Tensor, points3d: Tensor | None) -> Tensor | None:
    """(B, N, 3) frame pixels in those of the image, depths scaled alike."""
    if points3d is None:
        return None
    plane = transform_points(frame_to_image, points3d[..., :2])
    return torch.cat((plane, points3d[..., 2:] * affine_scale(frame_to_image)[:, None, None]), -1)


def save_points(
    trainer: Trainer,
    method: MethodSteps,
    data: LandmarkDataModule,
    checkpoint: Path | None,
    output: Path,
) -> int:
    """Predicts every face and writes an .npz, and a CSV of the same name beside it.

    Returns:
        The number of faces.
    """
    collector = _Collector(data)
    use_threads_of_one(trainer)
    trainer.callbacks.append(collector)  # type: ignore[attr-defined]
    with heed_choices(trainer, data, checkpoint):
        trainer.predict(
            method,
            datamodule=data,
            ckpt_path=checkpoint,
            weights_only=True,
            return_predictions=False,
        )
    columns = gather_faces(collector.columns)
    columns |= describe_faces(data, columns)
    columns |= _describe_points(method, data)
    if not trainer.is_global_zero:
        return len(columns.get("points", ()))
    with atomic_path(output) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **columns)
    if "points" in columns:
        write_atomic(output.with_suffix(".csv"), format_csv(columns))
    return len(columns.get("points", ()))


def _describe_points(method: MethodSteps, data: LandmarkDataModule) -> Columns:
    """What the predicted points are: their scheme, and the convention of each data set's."""
    sets = data.spec.datasets
    scheme = method.scheme or data.spec.scheme or ""
    answered = [method.answered_convention(s.convention) or "" for s in sets]
    return {"scheme": np.array(scheme, str), "conventions": np.array(answered, str)}


def describe_faces(data: LandmarkDataModule, columns: Columns) -> Columns:
    """What is known of predicted faces without a prediction: picture, box and data set.

    Args:
        data: the data module.
        columns: `dataset_id` and `index` of each face; may be empty.

    Returns:
        Further columns, see README.md.
    """
    sets = data.spec.datasets
    described: Columns = {
        "datasets": np.array([s.name for s in sets], str),
        "sets": np.array([f"{s.role}/{s.name}" for s in sets], str),
        "norms": np.array([s.primary_norm for s in sets], str),
    }
    if "points" not in columns:
        return described
    boxes = np.full((len(columns["points"]), 4), np.nan, np.float32)
    images = [""] * len(boxes)
    indices = [data.sets[s.role][s.name].index() for s in sets]
    for place, (number, row) in enumerate(
        zip(columns["dataset_id"].tolist(), columns["index"].tolist(), strict=True)
    ):
        index = indices[number]
        boxes[place] = index.box[row]
        images[place] = relative_name(index.paths[row], data.root) if index.paths else ""
    return {**described, "images": np.array(images, str), "boxes": boxes}


def format_csv(columns: Columns) -> str:
    """One row for each face; figures that a method does not give have no column."""
    sets, norms = columns["sets"], columns["norms"]
    optional = [name for name in ("predicted_error", "exit_stage") if name in columns]
    angles = ["yaw", "pitch", "roll"] if "pose" in columns else []
    names = [f"{axis}{k}" for k in range(columns["points"].shape[1]) for axis in "xy"]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    box = ["box_x0", "box_y0", "box_x1", "box_y1"]
    writer.writerow(
        ["role", "dataset", "index", "image", *box, "norm", "nme", *optional, *angles, *names]
    )
    for row, number in enumerate(columns["dataset_id"]):
        role, name = str(sets[number]).split("/", 1)
        values = [
            *columns["boxes"][row],
            str(norms[number]),
            columns["nme"][row],
            *(columns[key][row] for key in optional),
            *(columns["pose"][row] if angles else []),
            *columns["points"][row].ravel(),
        ]
        face = [role, name, int(columns["index"][row]), str(columns["images"][row])]
        writer.writerow([*face, *map(_format, values)])
    return file.getvalue()


def _format(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | np.integer):
        return str(int(value))
    return f"{float(value):.4f}" if math.isfinite(value) else ""


def relative_name(path: str, root: str) -> str:
    """A path below the data root as seen from there; any other as it is."""
    # The picture may be a link to a file of another name: only its folder is resolved.
    folder, base = Path(path).parent.resolve(), Path(root).resolve()
    for place in (Path(os.path.normpath(Path(path).absolute())), folder / Path(path).name):
        for above in (Path(os.path.normpath(Path(root).absolute())), base):
            if place.is_relative_to(above):
                return place.relative_to(above).as_posix()
    return path
