"""Batch normalisation frozen late in training, so that what is trained is what is evaluated."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_landmarks.errors import UserError
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.nets.backbone import BATCH_NORMS


class FreezeBatchNorm(Callback):
    """Freezes the running statistics of batch norms from a given point of training on.

    In training a batch norm divides by the biased variance of the batch, in evaluation by running
    averages of the unbiased one. Where a layer sees few values (8 faces of 3 x 3 pixels: 72) this
    alone moves the points by several percent of the eye distance, and a network that fits its
    training batch to 0.0001 % evaluates at 3 %. Scale and shift are still trained.

    Args:
        after: part of the epochs after which statistics are frozen.
    """

    def __init__(self, after: float = 0.5) -> None:
        if not 0.0 <= after <= 1.0:
            raise UserError(f"FreezeBatchNorm.after is {after}; it is a part of training, 0 to 1")
        self.after = after
        self._epoch: int | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the epoch of a fit before."""
        self._epoch = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Freeze once the epoch is reached; a resumed run freezes at the same one.

        Before the first batch and not where an epoch starts: there a phase that begins lets its
        norms learn again, after the callbacks had their turn.
        """
        if trainer.current_epoch == self._epoch:
            return
        self._epoch = trainer.current_epoch
        epoch: int = trainer.current_epoch
        total: float = trainer.max_epochs or 0
        if isinstance(pl_module, LandmarkModule):
            epoch, total = pl_module.epoch_of_total, pl_module.total_epochs
        if epoch >= self.after * total:
            for layer in pl_module.modules():
                if isinstance(layer, BATCH_NORMS):
                    layer.eval()
