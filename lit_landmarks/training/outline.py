"""What a fit is about to do, in one line, and how long it will take."""

from __future__ import annotations

import math
import time

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from lit_landmarks.compute import Cost
from lit_landmarks.console import plain_console
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.methods.optimization import steps_per_epoch
from lit_landmarks.methods.phases import Phases
from lit_landmarks.types import DataSpec

#: Fewer steps than this have not brought any shipped method to a useful error from random weights.
FEW_STEPS = 300


class Outline(Callback):
    """Prints the fit's outline before its first epoch, and after that epoch the time left.

    Args:
        cost: of the method.
    """

    def __init__(self, cost: Cost) -> None:
        self._cost = cost
        self._console = plain_console()
        self._start: float | None = None

    @rank_zero_only  # type: ignore[untyped-decorator,unused-ignore]
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints method, faces, cost, device and steps."""
        data = getattr(trainer, "datamodule", None)
        if data is None or not isinstance(pl_module, LandmarkModule):
            return
        self._console.print(describe_fit(trainer, pl_module, data.spec, self._cost))
        if len(pl_module.phases.phases) > 1:
            self._console.print(describe_phases(pl_module.phases, pl_module.total_epochs))
        steps = total_steps(trainer)
        fresh = pl_module.init_from is None and trainer.current_epoch == 0
        if steps is not None and steps < FEW_STEPS and fresh:
            self._console.print(
                f"note: {steps:,} steps in all are few for random weights; raise"
                " trainer.max_epochs or data.init_args.epoch_faces, or start from trained weights"
                " (model.init_args.init_from)"
            )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock of the first epoch."""
        if self._start is None:
            self._start = time.monotonic()

    @rank_zero_only  # type: ignore[untyped-decorator,unused-ignore]
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints the time left after the first epoch of this process."""
        if self._start is None or not math.isfinite(self._start):
            return
        seconds, self._start = time.monotonic() - self._start, math.inf
        if (steps := total_steps(trainer)) is None:
            return
        epochs = (steps - trainer.global_step) / max(1, steps_per_epoch(trainer))
        if epochs > 0:
            self._console.print(f"about {format_duration(seconds * epochs)} left")


def describe_fit(trainer: Trainer, method: LandmarkModule, spec: DataSpec, cost: Cost) -> str:
    """One line: method, faces, cost, device, steps and epochs."""
    train, val = (sum(s.size for s in spec.in_role(role)) for role in ("train", "val"))
    device = trainer.strategy.root_device.type
    devices = f"{trainer.world_size} x {device}" if trainer.world_size > 1 else device
    epochs = trainer.max_epochs
    length = f"{steps_per_epoch(trainer):,} steps per epoch"
    if epochs is not None and epochs >= 0:
        length += f", {epochs:,} epochs"
    if trainer.current_epoch:
        length += f" ({trainer.current_epoch:,} done)"
    parameters = sum(p.numel() for p in method.parameters())
    return (
        f"{type(method).__name__}: {train:,} faces for training, {val:,} for validation; "
        f"{cost.mma:.1f} MMA, {parameters:,} parameters; {devices}; {length}"
    )


def describe_phases(phases: Phases, epochs: float) -> str:
    """One line: the epochs of each phase, counted from 1.

    Example:
        >>> from lit_landmarks.methods.phases import Phase
        >>> phases = Phases([Phase("body", until=0.6), Phase("pose", 0.8), Phase("head", 1.0)])
        >>> describe_phases(phases, 10)
        'phases: body 1-6, pose 7-8, head 9-10'
        >>> describe_phases(phases, 2)
        'phases: body 1-2, pose none, head none; raise trainer.max_epochs to train them all'
    """
    ends = phases.ends(epochs)
    parts, short = [], False
    for phase, begin, end in zip(phases.phases, [0, *ends], ends, strict=False):
        short |= end == begin
        parts.append(f"{phase.name} {f'{begin + 1}-{end}' if end > begin else 'none'}")
    cure = "; raise trainer.max_epochs to train them all" if short else ""
    return f"phases: {', '.join(parts)}{cure}"


def total_steps(trainer: Trainer) -> int | None:
    """Optimizer steps of the whole training; None where neither epochs nor steps limit it."""
    limits = [trainer.max_steps] if trainer.max_steps >= 0 else []
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        limits.append(trainer.max_epochs * int(steps_per_epoch(trainer)))
    return min(limits, default=None)


def format_duration(seconds: float) -> str:
    """A duration as people say it, two figures at most.

    Example:
        >>> [format_duration(seconds) for seconds in (4.4, 95, 7000, 200_000)]
        ['4 s', '2 min', '1.9 h', '2.3 days']
    """
    for limit, unit, text in ((90.0, 1.0, "s"), (5400.0, 60.0, "min")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {text}"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 36 else f"{hours / 24:.1f} days"
