"""A training that diverges ends: its loss or a figure of its validation is no finite number."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from lit_landmarks.errors import SharedError, UserError
from lit_landmarks.training.callbacks import MONITOR

#: Steps between two looks at the losses where a look waits for a device or for other processes.
_EVERY = 20
#: Steps in a row that may overflow where the scale of 16-bit gradients is still sought.
_OVERFLOWS = 20


class Diverged(SharedError):
    """A loss or figure is NaN or infinite."""


class DivergenceStop(Callback):
    """Ends a fit whose loss, or whose figures on the validation sets, are NaN or infinite.

    With a gradient scaler (`16-mixed`), which skips steps that overflow, only 20 such losses in a
    row count. A figure that is NaN because no face has the label it needs is none of them.

    Args:
        best: best.ckpt of the run, to be named in the message if it is there.
    """

    def __init__(self, best: Path) -> None:
        self.best = best
        self._row: Tensor | None = None
        self._longest: Tensor | None = None

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count losses in a row that are not finite; look at the count now and then."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if not isinstance(loss, Tensor):
            return
        broken = ~loss.detach().isfinite().all()
        before = torch.zeros_like(broken, dtype=torch.int64) if self._row is None else self._row
        self._row = torch.where(broken, before + 1, 0)
        self._longest = self._row if self._longest is None else self._row.maximum(self._longest)
        alone = trainer.world_size == 1 and loss.device.type == "cpu"
        if alone or (batch_idx + 1) % _EVERY == 0:
            self._check_losses(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the losses before they are judged."""
        if _is_fitting(trainer):
            self._check_losses(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the validation's loss, and at `val/nme`: infinite where a prediction is NaN."""
        if not _is_fitting(trainer):
            return
        figures = {k: float(v) for k, v in trainer.callback_metrics.items()}
        loss, error = figures.get("val/loss", 0.0), figures.get(MONITOR, 0.0)
        for name, value, broken in (
            (MONITOR, error, math.isinf(error)),
            ("val/loss", loss, not math.isfinite(loss)),
        ):
            if trainer.strategy.reduce_boolean_decision(broken, all=False):
                raise self._describe(trainer, f"{name} is {value:g}")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the losses before last.ckpt is written."""
        self._check_losses(trainer)

    def _check_losses(self, trainer: Trainer) -> None:
        allowed = 0 if trainer.scaler is None else _OVERFLOWS
        broken = self._longest is not None and int(self._longest) > allowed
        if trainer.strategy.reduce_boolean_decision(broken, all=False):
            raise self._describe(trainer, "the loss is not a finite number")

    def _describe(self, trainer: Trainer, what: str) -> Diverged:
        there = f"; weights from before: {self.best}" if self.best.is_file() else ""
        return Diverged(
            f"training diverged in epoch {trainer.current_epoch + 1}, step {trainer.global_step}:"
            f" {what}; lower model.init_args.optimizer.init_args.lr or set"
            f" trainer.gradient_clip_val{there}"
        )


def _is_fitting(trainer: Trainer) -> bool:
    return trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking


def refuse_broken_predictions(figures: dict[str, float], role: str) -> None:
    """Refuses an evaluation in which a prediction was no number.

    Args:
        figures: its metrics.
        role: val or test.

    Raises:
        UserError: `{role}/nme` is infinite.
    """
    if math.isinf(figures.get(f"{role}/nme", 0.0)):
        raise UserError(
            f"{role}/nme is infinite: the checkpoint's weights predict NaN or infinite points;"
            " take an earlier checkpoint, or train again at a lower learning rate"
        )
