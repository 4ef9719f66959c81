"""Distance of predictions from the minimum of the ASM loss."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.methods.asmnet.regression import ASMRegression
from lit_landmarks.metrics import NORMS
from lit_landmarks.types import FaceBatch, Prediction


class OptimumDistance(Callback):
    """Logs three mean distances at validation, percent of the eye distance.

    `val/optimum_distance` from the prediction to (G + alpha A) / (1 + alpha), where alpha is that
    of the last epoch (1/2 by thirds: (2G + A) / 3); `val/optimum_to_truth` from there to the truth
    G, which is what the loss gives away; `val/truth_distance` from the prediction to the truth.
    For methods with the ASM loss on data whose faces all have eye corners.
    """

    def __init__(self) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reset the sums.

        Raises:
            UserError: the method does not use the ASM loss.
        """
        if not isinstance(pl_module, ASMRegression):
            raise UserError(
                f"OptimumDistance needs a method with the ASM loss, not {type(pl_module).__name__};"
                " take it out of trainer.callbacks"
            )
        self._sums.zero_()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: FaceBatch,
        *args: Any,
    ) -> None:
        """Add the distances of a batch."""
        assert isinstance(pl_module, ASMRegression)
        rows = measure_distances(pl_module, outputs["prediction"], batch).double().cpu()
        rows = rows[batch.index.cpu() >= 0]  # the others are repeats
        self._sums[:3] += rows.sum(dim=0)
        self._sums[3] += len(rows)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means over the faces of all processes."""
        names = ("val/optimum_distance", "val/optimum_to_truth", "val/truth_distance")
        sums = self._sums
        if trainer.world_size > 1:
            sums = trainer.strategy.reduce(sums.to(pl_module.device), reduce_op="sum").cpu()
        means = (sums[:3] / sums[3].clamp(min=1)).tolist()
        pl_module.log_dict(dict(zip(names, means, strict=True)))


def measure_distances(module: ASMRegression, prediction: Prediction, batch: FaceBatch) -> Tensor:
    """(B, 3) distances of each face, percent of its eye distance, in `OptimumDistance`'s order."""
    last, _ = module.loss.alphas()[-1]
    optimum = module.optimum(batch, last, prediction.crop)
    eyes = batch.norms[:, NORMS.index("interocular")]

    def mean(one: Tensor, other: Tensor) -> Tensor:
        off = torch.where(batch.mask, torch.linalg.vector_norm(one - other, dim=-1), 0.0)
        return 100.0 * off.sum(dim=1) / batch.mask.sum(dim=1) / eyes

    predicted = prediction.points
    pairs = ((predicted, optimum), (optimum, batch.points), (predicted, batch.points))
    return torch.stack([mean(*pair) for pair in pairs], dim=1)
