"""Learning-rate schedules as plain objects that a YAML file can name.

A schedule is a factor on the optimizer's own `lr` as a function of training progress, so the number
of steps need not be fixed when it is written down, and one value (`optimizer.init_args.lr`) is the
peak in every schedule and in every search. All step once per optimizer step.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lit_landmarks.errors import UserError


class Schedule(ABC):
    """Factor on the learning rate over training."""

    @abstractmethod
    def factor(self, progress: float) -> float:
        """Factor at `progress` in [0, 1], the part of all optimizer steps already done."""


def step_scheduler(
    optimizer: Optimizer, factor: Callable[[float], float], total_steps: int
) -> LambdaLR:
    """The torch scheduler of a run, stepped once per optimizer step.

    Args:
        optimizer: a group's own `rate`, where it has one, is a further factor.
        factor: on the learning rate, at a progress in [0, 1].
        total_steps: optimizer steps of the whole run.
    """

    # Functions and not bound methods: LambdaLR would put an object's state into checkpoints.
    def of_group(rate: float) -> Callable[[int], float]:
        return lambda step: rate * factor(min(step / max(total_steps, 1), 1.0))

    return LambdaLR(optimizer, [of_group(g.get("rate", 1.0)) for g in optimizer.param_groups])


def _ramp(start: float, end: float, progress: float) -> float:
    """Half a cosine from `start` (progress 0) to `end` (progress 1)."""
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))


class Constant(Schedule):
    """The same rate throughout, after an optional linear warm-up.

    Args:
        warmup: part of training in which the rate rises from 0.

    Example:
        >>> Constant(warmup=0.5).factor(0.25)
        0.5
    """

    def __init__(self, warmup: float = 0.0) -> None:
        self.warmup = _part(warmup, "warmup")

    def factor(self, progress: float) -> float:
        """See `Schedule.factor`."""
        return 1.0 if progress >= self.warmup else progress / self.warmup


class Cosine(Schedule):
    """Half a cosine down to `end`, after an optional linear warm-up.

    Args:
        warmup: part of training in which the rate rises from 0.
        end: last factor.

    Example:
        >>> [round(Cosine().factor(progress), 2) for progress in (0.0, 0.5, 1.0)]
        [1.0, 0.5, 0.0]
    """

    def __init__(self, warmup: float = 0.0, end: float = 0.0) -> None:
        self.warmup = _part(warmup, "warmup")
        self.end = end

    def factor(self, progress: float) -> float:
        """See `Schedule.factor`."""
        if progress < self.warmup:
            return progress / self.warmup
        return _ramp(1.0, self.end, (progress - self.warmup) / (1.0 - self.warmup))


class OneCycle(Schedule):
    """Up along half a cosine, then down along another (Smith and Topin 2019), momentum untouched.

    Args:
        warmup: part of training in which the rate rises.
        start: first factor.
        end: last factor.

    Example:
        >>> OneCycle().factor(0.3)
        1.0
    """

    def __init__(self, warmup: float = 0.3, start: float = 0.04, end: float = 1e-3) -> None:
        self.warmup = _part(warmup, "warmup")
        self.start = start
        self.end = end

    def factor(self, progress: float) -> float:
        """See `Schedule.factor`."""
        if progress < self.warmup:
            return _ramp(self.start, 1.0, progress / self.warmup)
        return _ramp(1.0, self.end, (progress - self.warmup) / (1.0 - self.warmup))


class Steps(Schedule):
    """Multiplied by `gamma` at each milestone.

    Args:
        milestones: parts of training, rising, in (0, 1).
        gamma: factor at each milestone.

    Example:
        >>> [round(Steps().factor(progress), 2) for progress in (0.5, 0.7, 0.9)]
        [1.0, 0.1, 0.01]
    """

    def __init__(self, milestones: Sequence[float] = (0.6, 0.85), gamma: float = 0.1) -> None:
        self.milestones = [_part(m, "milestones") for m in milestones]
        self.gamma = gamma

    def factor(self, progress: float) -> float:
        """See `Schedule.factor`."""
        return self.gamma ** sum(progress >= m for m in self.milestones)


class Polynomial(Schedule):
    """A power of what is left of training: (1 - progress) ** power.

    Args:
        power: above 0; 1 is a straight line to 0.

    Example:
        >>> Polynomial().factor(0.5)
        0.25
    """

    def __init__(self, power: float = 2.0) -> None:
        if not (math.isfinite(power) and power > 0.0):
            raise UserError(f"schedule power is {power}; give a number above 0")
        self.power = power

    def factor(self, progress: float) -> float:
        """See `Schedule.factor`."""
        return float((1.0 - min(max(progress, 0.0), 1.0)) ** self.power)


def _part(value: float, name: str) -> float:
    if not 0.0 <= value < 1.0:
        raise UserError(f"schedule {name} is {value}; it is a part of training and lies in [0, 1)")
    return float(value)
