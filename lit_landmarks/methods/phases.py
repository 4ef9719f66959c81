"""Phases of training: learning parameters, losses and schedule of each part of a fit.

ASMNet's thirds, SPIGA's "backbone, then cascade" and Infinite 3D's "base, then parts" are the same
thing: a list of `Phase`. The phase follows from the epoch alone, so a resumed run needs no state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from lit_landmarks.errors import UserError
from lit_landmarks.methods.schedules import Schedule
from lit_landmarks.nets.backbone import BATCH_NORMS

#: Added before a share of the epochs is rounded up: 2 / 3 of 3 epochs are 2, not 2.0000001.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Phase:
    """A part of training.

    Attributes:
        name: for logs and messages.
        until: share of all epochs at which it ends; the last phase's is 1.
        learns: prefixes of the names of parameters that learn; the others are frozen and their
            batch norms use running statistics.
        losses: weights of the losses that are computed; what is not named is left out. Empty: all
            of the method's, with its own weights.
        schedule: learning rate over the phase; None: the run's schedule goes on.
        judged: may best.ckpt come from it?
    """

    name: str
    until: float
    learns: Sequence[str] = ("",)
    losses: Mapping[str, float] = field(default_factory=dict)
    schedule: Schedule | None = None
    judged: bool = True


class Phases:
    """The phases of a training in order.

    Args:
        phases: with rising `until`, the last 1.

    Raises:
        UserError: no phase, `until` that does not rise to 1, a name given twice, no prefix.

    Example:
        >>> phases = Phases([Phase("head", until=0.25, learns=["head"]), Phase("all", until=1.0)])
        >>> [phases.at(epoch, epochs=8).name for epoch in (0, 1, 2, 7)]
        ['head', 'head', 'all', 'all']
    """

    def __init__(self, phases: Sequence[Phase]) -> None:
        ends = [phase.until for phase in phases]
        if not phases or ends[-1] != 1.0:
            raise UserError(f"model.phases end at {ends[-1:] or 'nothing'}; the last `until` is 1")
        if any(b <= a for a, b in zip([0.0, *ends], ends, strict=False)):
            raise UserError(f"model.phases have `until` {ends}; let them rise from above 0 to 1")
        if len({phase.name for phase in phases}) < len(phases):
            raise UserError("two of model.phases have one name; give each its own")
        for phase in phases:
            if not phase.learns:
                raise UserError(
                    f"phase '{phase.name}' learns nothing; list prefixes of parameter names"
                )
        self.phases = tuple(phases)

    def ends(self, epochs: float) -> list[int]:
        """First epoch after each phase: shares of `epochs`, rounded up."""
        return [math.ceil(phase.until * epochs - _ROUNDING) for phase in self.phases]

    def at(self, epoch: int, epochs: float) -> Phase:
        """The phase of 0-based `epoch` of `epochs`; the last one beyond."""
        for phase, end in zip(self.phases, self.ends(max(epochs, 1)), strict=True):
            if epoch < end:
                return phase
        return self.phases[-1]

    def factor(self, schedule: Schedule, epochs: float) -> Callable[[float], float]:
        """Factor on the learning rate as a function of training progress in [0, 1].

        Args:
            schedule: the run's, over all of training; used by phases without one of their own.
            epochs: number of epochs, with the part of the last one that runs; phases begin with an
                epoch.
        """
        ends = [min(end / epochs, 1.0) for end in self.ends(epochs)]
        starts = [0.0, *ends[:-1]]

        def at(progress: float) -> float:
            for phase, start, end in zip(self.phases, starts, ends, strict=True):
                # Steps are counted in floating point: the first of a phase may lie a hair before.
                if progress + _ROUNDING < end or phase is self.phases[-1]:
                    if phase.schedule is None:
                        return schedule.factor(progress)
                    part = (progress - start) / max(end - start, _ROUNDING)
                    return phase.schedule.factor(min(max(part, 0.0), 1.0))
            raise AssertionError("the last phase ends training")

        return at


def check_prefixes(phases: Phases, names: Sequence[str]) -> None:
    """Refuse a prefix that no parameter has: it would freeze all that it was meant to train.

    Args:
        phases: the phases.
        names: names of all parameters.

    Raises:
        UserError: the phase, its prefix and the prefixes that there are.
    """
    for phase in phases.phases:
        for prefix in phase.learns:
            if not any(name.startswith(prefix) for name in names):
                roots = sorted({".".join(name.split(".")[:2]) for name in names})
                raise UserError(
                    f"phase '{phase.name}' learns '{prefix}', which begins no parameter's name; "
                    f"there are {', '.join(roots)}"
                )


def freeze_others(
    module: nn.Module, phase: Phase, before: frozenset[str], *, requires_grad: bool = False
) -> frozenset[str]:
    """Let only what `phase` names learn; batch norms of frozen parts use running statistics.

    Args:
        module: the method.
        phase: names what learns.
        before: names of the norms that the phase before has frozen.
        requires_grad: of frozen parameters; True where their gradients are discarded later.

    Returns:
        Names of the norms that are frozen now.
    """
    learns = tuple(phase.learns)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name.startswith(learns) or requires_grad)
    norms = {n: layer for n, layer in module.named_modules() if isinstance(layer, BATCH_NORMS)}
    frozen = frozenset(name for name in norms if not f"{name}.".startswith(learns))
    for name in before | frozen:
        norms[name].train(name not in frozen)
    return frozen
