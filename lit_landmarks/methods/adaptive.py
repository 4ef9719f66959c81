"""Methods that refine in stages, predict their own error, and let faces leave early."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.methods.base import LandmarkModule


class AdaptiveModule(LandmarkModule, abstract=True):
    """A cascade whose cost depends on the face.

    `forward` runs all stages for every face; `infer` lets a face leave after stage t once its
    predicted error is below `stop_below[t]`, outside of training and if `early_stop`.

    Args:
        stages: number of stages T.
        early_stop: let faces leave once `analyse calibrate` has set thresholds.
        target_mma: mean cost of a validation face, in millions of multiply-adds, for which a fit
            sets the thresholds at its end; None leaves that to `analyse calibrate`.
        **base: see `LandmarkModule`.

    Attributes:
        stop_below: (T - 1,) predicted NME in percent; -inf stops no face. Kept in checkpoints.
        fail_above: predicted NME in percent after the last stage above which a face counts as
            failed; inf where none does. Kept in checkpoints.
    """

    stop_below: Tensor
    fail_above: Tensor

    def __init__(
        self,
        *,
        stages: int,
        early_stop: bool = True,
        target_mma: float | None = None,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        if target_mma is not None and not 0 < target_mma < float("inf"):
            raise UserError(f"model.target_mma is {target_mma}; give millions above 0, or null")
        if target_mma is not None and not early_stop:
            raise UserError("model.target_mma is reached by early stop; set model.early_stop true")
        self.early_stop = early_stop
        self.target_mma = target_mma
        self.register_buffer("stop_below", torch.full((stages - 1,), -torch.inf))
        self.register_buffer("fail_above", torch.tensor(torch.inf))

    @abstractmethod
    def exit_costs(self) -> list[float]:
        """Millions of multiply-adds of a face that leaves after each of the T stages."""

    @property
    def stop(self) -> Tensor | None:
        """The thresholds if faces may leave now."""
        if not self.early_stop or self.training:
            return None
        return self.stop_below if bool((self.stop_below > -torch.inf).any()) else None

    def set_thresholds(self, stop_below: list[float], fail_above: float) -> None:
        """Take thresholds, predicted NME in percent.

        Raises:
            UserError: not one for each stage but the last, or NaN.
        """
        stages = len(self.stop_below) + 1
        if len(stop_below) != stages - 1:
            raise UserError(
                f"{len(stop_below)} stop thresholds for {stages} stages; "
                f"give {stages - 1}, one after each stage but the last"
            )
        if any(value != value for value in (*stop_below, fail_above)):
            raise UserError("a threshold is NaN; give numbers, in percent of the eye distance")
        self.stop_below.copy_(torch.tensor(stop_below, dtype=self.stop_below.dtype))
        self.fail_above.fill_(fail_above)
