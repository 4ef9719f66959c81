"""Exponential moving average of the weights, for evaluation and checkpoints.

Lightning's own `EMAWeightAveraging` copies the whole module (metrics and all), starts from a full
copy before the first batch without warm-up, and averages counters; this one keeps one tensor per
weight and resumes exactly.
"""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.methods.identity import RAW_STATE

#: Buffers that follow the weights; others, such as thresholds, may hold what has no average.
_STATISTICS = ("running_mean", "running_var")


class EMA(Callback):
    """Updates `average = d average + (1 - d) weight` after each optimiser step.

    `d = min(decay, (1 + t) / (10 + t))` at step t, so that the random start is forgotten within a
    few steps (the rule of TensorFlow's ExponentialMovingAverage with `num_updates`). Validation
    sees the averaged weights, a checkpoint's `state_dict` is the average (what tests, exports and
    `init_from` read), the trained state lies beside it for resuming, and the module ends `fit`
    with the average. Parameters and batch-norm statistics are averaged, other buffers copied.

    Args:
        decay: in [0, 1); 0.999 forgets in about 1000 steps.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0.0 <= decay < 1.0:
            raise UserError(f"EMA decay is {decay}; it must lie in [0, 1)")
        self.decay = decay
        self.average: dict[str, Tensor] = {}
        self.raw: dict[str, Tensor] = {}
        self.step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start from the weights as they are now, unless a checkpoint brought an average."""
        if not self.average:
            self.average = _copy(pl_module)
            self.step = trainer.global_step
        device = {name: value.device for name, value in pl_module.state_dict().items()}
        self.average = {name: value.to(device[name]) for name, value in self.average.items()}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Follow the weights once per optimiser step (not per accumulated batch)."""
        if trainer.global_step == self.step:
            return
        self.step = trainer.global_step
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        floats, theirs = [], []
        learnt = {name for name, _ in pl_module.named_parameters()}
        for name, value in pl_module.state_dict().items():
            if name in learnt or name.endswith(_STATISTICS):
                floats.append(self.average[name])
                theirs.append(value.detach())
            else:
                self.average[name].copy_(value)
        torch._foreach_lerp_(floats, theirs, 1.0 - decay)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Swap the average in."""
        if self.average and trainer.state.fn == TrainerFn.FITTING and not self.raw:
            self.raw = _copy(pl_module)
            pl_module.load_state_dict(self.average)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Swap the trained weights back."""
        if self.raw:
            pl_module.load_state_dict(self.raw)
            self.raw = {}

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Swap back if a validation was interrupted, so that what is saved then is consistent."""
        self.on_validation_end(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the average in the module (after the last checkpoint was written)."""
        if self.average:
            pl_module.load_state_dict(self.average)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the average as the checkpoint's weights, and the trained weights beside it."""
        if self.average and trainer.state.fn == TrainerFn.FITTING:
            checkpoint[RAW_STATE] = self.raw or checkpoint["state_dict"]
            checkpoint["state_dict"] = dict(self.average)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore both states when a fit resumes; evaluation uses the average alone.

        Raises:
            UserError: the run that is resumed was not averaging.
        """
        if trainer.state.fn != TrainerFn.FITTING:
            return
        if RAW_STATE not in checkpoint:
            raise UserError(
                "the checkpoint holds no averaged weights, so EMA cannot resume; "
                "take the EMA callback out of the configuration"
            )
        self.average = {name: value.clone() for name, value in checkpoint["state_dict"].items()}
        self.step = int(checkpoint["global_step"])
        pl_module.load_state_dict(checkpoint[RAW_STATE])


def _copy(module: LightningModule) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
