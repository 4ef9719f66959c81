"""Overlays of fixed faces and the CED of every evaluation, as PNG in the run and in W&B."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from lit_landmarks.draw import (
    FaceAnnotator,
    Image,
    ced_plot,
    contact_sheet,
    figure_image,
    save_png,
)
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.metrics import NORMS
from lit_landmarks.training.ranks import gather
from lit_landmarks.types import DatasetSpec, DataSpec, FaceBatch, Prediction, Role

#: Faces are enlarged until they are about this wide.
_WIDTH = 192


@dataclass
class _Drawn:
    """Pictures that one evaluation has drawn so far, by `dataset_id` and row."""

    spec: DataSpec
    wanted: dict[int, set[int]]  # dataset_id -> rows
    faces: dict[tuple[int, int], tuple[Image, str]] = field(default_factory=dict)


class Media(Callback):
    """Draws the same faces at every evaluation, evenly spread over each evaluated data set.

    Files `<role>.png` (labels green, prediction red; the title says data set, row and NME) and
    `<role>_ced.png` are replaced each time; W&B keeps every version as `<role>/overlays` and
    `<role>/ced`.

    Args:
        directory: where the files go; None is `overlays/` of the run.
        faces: number of faces, shared among the data sets (at least one of each).
        every_n_epochs: while training; the last epoch and evaluations outside of it always draw.
    """

    def __init__(
        self, directory: str | None = None, faces: int = 16, every_n_epochs: int = 5
    ) -> None:
        self.directory = directory
        self.faces = faces
        self.every_n_epochs = max(every_n_epochs, 1)
        self._drawn: _Drawn | None = None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the faces."""
        self._begin(trainer, pl_module, "val")

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the faces."""
        self._begin(trainer, pl_module, "test")

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: FaceBatch,
        *args: Any,
    ) -> None:
        """Draw the chosen faces of a batch."""
        self._draw(outputs, batch)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: FaceBatch,
        *args: Any,
    ) -> None:
        """Draw the chosen faces of a batch."""
        self._draw(outputs, batch)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and log the pictures."""
        self._finish(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and log the pictures."""
        self._finish(trainer, pl_module, "test")

    def _begin(self, trainer: Trainer, module: LightningModule, role: Role) -> None:
        self._drawn = None
        if not isinstance(module, LandmarkModule) or module.bound is None or not self._due(trainer):
            return
        wanted = choose_rows(module.bound, role, self.faces)
        self._drawn = _Drawn(module.bound, wanted)

    def _due(self, trainer: Trainer) -> bool:
        if trainer.sanity_checking:
            return False
        done = trainer.current_epoch + 1
        training = trainer.state.fn == TrainerFn.FITTING
        return not training or done % self.every_n_epochs == 0 or done == trainer.max_epochs

    def _draw(self, outputs: Any, batch: FaceBatch) -> None:
        if self._drawn is None or not isinstance(outputs, Mapping):
            return
        prediction: Prediction = outputs["prediction"]
        sets, rows = batch.dataset_id.tolist(), batch.index.tolist()
        for place, (number, row) in enumerate(zip(sets, rows, strict=True)):
            if row in self._drawn.wanted.get(number, ()):
                dataset = self._drawn.spec.datasets[number]
                picture, title = draw_face(prediction, batch, place, dataset)
                self._drawn.faces[number, row] = picture, f"{title} #{row}"

    def _finish(self, trainer: Trainer, module: LightningModule, role: Role) -> None:
        drawn, self._drawn = self._drawn, None
        if drawn is None or not isinstance(module, LandmarkModule):
            return
        # Every process computes the curves: their sums are reduced over all of them.
        suite = module.face_metrics(role)
        curves: dict[str, tuple[Any, Any]] = {
            f"{d.name} ({d.primary_norm})": suite.ced(d.name) for d in drawn.spec.in_role(role)
        }
        faces = {key: face for part in gather(drawn.faces) for key, face in part.items()}
        if not trainer.is_global_zero:
            return
        images = {f"{role}_ced": figure_image(ced_plot(curves))}
        if faces:
            pictures, titles = zip(*(faces[key] for key in sorted(faces)), strict=True)
            images[role] = contact_sheet(pictures, columns=4, titles=titles)
        folder = Path(self.directory or Path(trainer.default_root_dir) / "overlays")
        for name, image in images.items():
            save_png(image, folder / f"{name}.png")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                for name, image in images.items():
                    key = f"{role}/ced" if name.endswith("_ced") else f"{role}/overlays"
                    logger.log_image(key, [np.asarray(image)], step=trainer.global_step)


def choose_rows(spec: DataSpec, role: Role, faces: int) -> dict[int, set[int]]:
    """Choose rows to draw by `dataset_id`: evenly spread, the same in every epoch and run."""
    numbers = [number for number, d in enumerate(spec.datasets) if d.role == role]
    share = max(faces // max(len(numbers), 1), 1)
    return {
        number: set(
            torch.linspace(
                0, spec.datasets[number].size - 1, min(share, spec.datasets[number].size)
            )
            .round()
            .long()
            .tolist()
        )
        for number in numbers
    }


def draw_face(
    prediction: Prediction, batch: FaceBatch, place: int, dataset: DatasetSpec
) -> tuple[Image, str]:
    """Draw one face of a batch with labels and prediction; its title holds the NME."""
    mask = batch.mask[place]
    off = torch.linalg.vector_norm(prediction.points[place] - batch.points[place], dim=-1)[mask]
    norm = batch.norms[place, NORMS.index(dataset.primary_norm)]
    pose: Tensor | None = None if prediction.pose is None else prediction.pose[place]
    annotator = FaceAnnotator(dataset.scheme, zoom=max(1, round(_WIDTH / batch.image.shape[-1])))
    picture = annotator.annotate(
        batch.image[place],
        batch.points[place],
        mask=mask,
        predicted=prediction.points[place],
        pose=pose,
    )
    return picture, f"{dataset.name} {100.0 * float(off.mean() / norm):.1f} %"
