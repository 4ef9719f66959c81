"""Overlays of fixed faces and the CED of every evaluation, as PNG in the run and in W&B."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.trainer.states import TrainerFn

from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.draw import (
    LEGEND,
    Image,
    ced_plot,
    contact_sheet,
    figure_image,
    save_png,
)
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.training.face_errors import measure_faces
from lit_landmarks.training.gallery import (
    Gallery,
    choose_faces,
    draw_face,
    save_gallery,
)
from lit_landmarks.training.processes import gather
from lit_landmarks.types import DataSpec, FaceBatch, Prediction, Role


@dataclass
class _Drawn:
    """Pictures that one evaluation has drawn so far, by `dataset_id` and row."""

    spec: DataSpec
    wanted: dict[int, set[int]]  # dataset_id -> rows
    faces: dict[tuple[int, int], tuple[Image, str]] = field(default_factory=dict)
    gallery: Gallery | None = None


class Media(Callback):
    """Draws the same faces at every evaluation, evenly spread over each evaluated data set.

    Files `<role>.png` (labels green, prediction red; the title says data set, row and NME) and
    `<role>_ced.png` are replaced each time; W&B keeps every version as `<role>/overlays` and
    `<role>/ced`. An evaluation outside of training also leaves the worst, typical and best faces of
    each data set: `<role>_worst.png`, and one by one for `compare` (`training.gallery`).

    Args:
        directory: where the files go; None is `overlays/` of the run.
        faces: number of faces, shared among the data sets (at least one of each).
        every_n_epochs: while training; evaluations outside of it always draw, and the last epoch if
            a limit on epochs, steps or time ends training there (early stopping decides only after
            the evaluation).
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
        if trainer.state.fn != TrainerFn.FITTING:
            self._drawn.gallery = Gallery(module.bound)

    def _due(self, trainer: Trainer) -> bool:
        if trainer.sanity_checking:
            return False
        done = trainer.current_epoch + 1
        training = trainer.state.fn == TrainerFn.FITTING
        last = done == trainer.max_epochs or trainer.should_stop
        last |= 0 <= trainer.max_steps <= trainer.global_step
        return not training or last or done % self.every_n_epochs == 0

    def _draw(self, outputs: Any, batch: FaceBatch) -> None:
        if self._drawn is None or not isinstance(outputs, Mapping):
            return
        prediction: Prediction = outputs["prediction"]
        batch = outputs.get("measured", batch)
        if self._drawn.gallery is not None:
            self._drawn.gallery.add(prediction, batch)
        faces = zip(batch.dataset_id.tolist(), batch.index.tolist(), strict=True)
        wanted = [
            (place, number, row)
            for place, (number, row) in enumerate(faces)
            if row in self._drawn.wanted.get(number, ())
        ]
        if wanted:
            errors = measure_faces(prediction.points, batch, self._drawn.spec).tolist()
            for place, number, row in wanted:
                dataset, nme = self._drawn.spec.datasets[number], errors[place]
                picture = draw_face(prediction, batch, place, dataset)
                self._drawn.faces[number, row] = picture, f"{dataset.name} {nme:.1f} % #{row}"

    def _finish(self, trainer: Trainer, module: LightningModule, role: Role) -> None:
        drawn, self._drawn = self._drawn, None
        if drawn is None or not isinstance(module, LandmarkModule):
            return
        # Every process computes the curves: their sums are reduced over all of them.
        suite = module.face_metrics(role)
        curves: dict[str, tuple[Any, Any]] = {
            f"{d.name} ({d.primary_norm})": suite.ced(d.name) for d in drawn.spec.in_role(role)
        }
        drawn_faces = {key: face for part in gather(drawn.faces) for key, face in part.items()}
        states = None if drawn.gallery is None else gather(drawn.gallery.state())
        if not trainer.is_global_zero:
            return
        images = {f"{role}_ced": figure_image(ced_plot(curves))}
        if drawn_faces:
            sheet = [drawn_faces[key] for key in sorted(drawn_faces)]
            pictures, titles = [face for face, _ in sheet], [title for _, title in sheet]
            images[role] = contact_sheet(pictures, 4, titles, legend=LEGEND)
        folder = Path(self.directory or Path(trainer.default_root_dir) / "overlays")
        if states is not None and (chosen := choose_faces(states, drawn.spec, role)):
            faces = save_gallery(folder, role, chosen, _list_files(trainer, role))
            titles = [f"{face.dataset} {face.caption}" for face in faces]
            pictures = [face.picture for _, _, face in chosen]
            images[f"{role}_worst"] = contact_sheet(pictures, 4, titles, legend=LEGEND)
        for name, image in images.items():
            save_png(image, folder / f"{name}.png")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                for name, image in images.items():
                    key = f"{role}/{name.removeprefix(role).lstrip('_') or 'overlays'}"
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


def _list_files(trainer: Trainer, role: Role) -> dict[str, Sequence[str]]:
    """Names of the pictures of each data set; none of a data module that is not ours."""
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, LandmarkDataModule):
        return {}
    return {name: dataset.index().paths for name, dataset in data.sets[role].items()}
