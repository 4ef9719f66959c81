"""Early exit of a cascade: thresholds on the predicted error, and what each exit costs.

MuSiCa's idea (Shapira et al., ACM MM 2021), open to any method that refines in stages and predicts
its own error: a face leaves after a stage once its predicted error is low enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError


@dataclass(frozen=True)
class EarlyExitOptions:
    """Options of an early exit.

    Attributes:
        enabled: let faces leave once `analyse calibrate` has set thresholds.
        target_mma: mean cost of a validation face, in millions of multiply-adds, for which a fit
            sets the thresholds at its end; None leaves that to `analyse calibrate`.
    """

    enabled: bool = True
    target_mma: float | None = None

    def __post_init__(self) -> None:
        """Refuse a target that no cascade can have."""
        target = self.target_mma
        if target is not None and not 0 < target < float("inf"):
            raise UserError(
                f"model.early_exit.target_mma is {target}; give millions above 0, or null"
            )
        if target is not None and not self.enabled:
            raise UserError(
                "model.early_exit.target_mma is reached by leaving early; "
                "set model.early_exit.enabled true"
            )


class EarlyExit(nn.Module):
    """Thresholds of a cascade of T stages, stored in checkpoints.

    Args:
        stages: number of stages T.
        options: see `EarlyExitOptions`.

    Attributes:
        exit_thresholds: (T - 1,) predicted NME in percent below which a face leaves after a stage;
            -inf stops no face.
        fail_above: predicted NME in percent after the last stage above which a face counts as
            failed; inf where none does.
        face_thresholds: (B, T - 1) thresholds of each face of the batch that comes, which replace
            `exit_thresholds`, or None; see `use_face_thresholds`.
        last_stage: index of the stage after which every face is made to leave, or None; see
            `force_exit`.

    Example:
        >>> early_exit = EarlyExit(3)
        >>> early_exit.thresholds is None  # no threshold is set yet
        True
        >>> early_exit.set_thresholds([4.0, 3.0])
        >>> early_exit.eval().thresholds
        tensor([4., 3.])
    """

    exit_thresholds: Tensor
    fail_above: Tensor

    def __init__(self, stages: int, options: EarlyExitOptions | None = None) -> None:
        super().__init__()
        options = options or EarlyExitOptions()
        self.enabled = options.enabled
        self.target_mma = options.target_mma
        self.last_stage: int | None = None
        self.face_thresholds: Tensor | None = None
        self.register_buffer("exit_thresholds", torch.full((stages - 1,), -torch.inf))
        self.register_buffer("fail_above", torch.tensor(torch.inf))

    @property
    def stages(self) -> int:
        """Number of stages T."""
        return len(self.exit_thresholds) + 1

    @property
    def thresholds(self) -> Tensor | None:
        """(T - 1,) thresholds if faces may leave now: enabled, outside of training, one is set.

        (B, T - 1) where each face has its own. Not in a traced graph either, which has one way for
        all faces.
        """
        if not self.enabled or self.training or self.last_stage is not None:
            return None
        if torch.compiler.is_compiling():
            return None
        if self.face_thresholds is not None:
            return self.face_thresholds
        return self.exit_thresholds if bool((self.exit_thresholds > -torch.inf).any()) else None

    @contextmanager
    def switch(self, enabled: bool) -> Iterator[None]:
        """Enable or disable the exits while the block runs."""
        before, self.enabled = self.enabled, enabled
        try:
            yield
        finally:
            self.enabled = before

    @contextmanager
    def force_exit(self, stage: int) -> Iterator[None]:
        """Make every face leave after `stage` (from 0) while the block runs; for counting costs."""
        before, self.last_stage = self.last_stage, stage
        try:
            yield
        finally:
            self.last_stage = before

    @contextmanager
    def use_face_thresholds(self, thresholds: Tensor | None) -> Iterator[None]:
        """Give each face of a batch thresholds of its own while the block runs.

        Args:
            thresholds: (B, T - 1) predicted NME in percent; None for those of all faces.
        """
        before, self.face_thresholds = self.face_thresholds, thresholds
        try:
            yield
        finally:
            self.face_thresholds = before

    def set_thresholds(self, thresholds: list[float], fail_above: float | None = None) -> None:
        """Take thresholds, predicted NME in percent.

        Args:
            thresholds: one after each stage but the last.
            fail_above: None leaves it as it is.

        Raises:
            UserError: another number of thresholds, or NaN.
        """
        if len(thresholds) != self.stages - 1:
            raise UserError(
                f"{len(thresholds)} exit thresholds for {self.stages} stages; "
                f"give {self.stages - 1}, one after each stage but the last"
            )
        values = [*thresholds, *([] if fail_above is None else [fail_above])]
        if any(value != value for value in values):
            raise UserError("a threshold is NaN; give numbers, in percent of the eye distance")
        self.exit_thresholds.copy_(torch.tensor(thresholds, dtype=self.exit_thresholds.dtype))
        if fail_above is not None:
            self.fail_above.fill_(fail_above)


@contextmanager
def run_all_stages(early_exit: EarlyExit | None) -> Iterator[None]:
    """Disable the early exit, if there is one, while the block runs."""
    if early_exit is None:
        yield
    else:
        with early_exit.switch(False):
            yield
