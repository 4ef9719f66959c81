"""Values of trials under one objective or several: the first, whether there are any, the front."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from lit_landmarks.compute.pareto import select_nondominated
from lit_landmarks.metrics import higher_is_better
from lit_landmarks.search.attributes import SEEDS


def first_value(trial: FrozenTrial) -> float | None:
    """Value of the first objective, by which trials are ranked; None of a trial without values."""
    return None if trial.values is None else float(trial.values[0])


def is_trained(trial: FrozenTrial) -> bool:
    """Whether a trial was trained to its end; one beyond a limit has infinite values."""
    complete = trial.state == TrialState.COMPLETE and trial.values is not None
    return complete and all(math.isfinite(value) for value in trial.values)


def summarize_trial(trial: FrozenTrial) -> dict[str, Any]:
    """Number, value, parameters and values by seed of a trial, as plain values for JSON."""
    return {
        "number": trial.number,
        "value": first_value(trial),
        "parameters": trial.params,
        "seeds": trial.user_attrs.get(SEEDS),
    }


def rank_trials(trials: Iterable[FrozenTrial], objectives: Sequence[str]) -> list[FrozenTrial]:
    """Ranks trained trials, best first.

    With several objectives the front comes first; both parts are in order of the first objective.

    Args:
        trials: trained.
        objectives: the metrics that their values are.
    """
    ordered = _order(trials, objectives)
    front = select_nondominated(ordered) if len(objectives) > 1 else []
    numbers = {trial.number for trial in front}
    return [*front, *(trial for _, trial in ordered if trial.number not in numbers)]


def select_front(trials: Iterable[FrozenTrial], objectives: Sequence[str]) -> list[FrozenTrial]:
    """The trials that no other one equals or beats in all objectives, by the first objective.

    Args:
        trials: trained.
        objectives: the metrics that their values are.
    """
    return select_nondominated(_order(trials, objectives))


def _order(
    trials: Iterable[FrozenTrial], objectives: Sequence[str]
) -> list[tuple[tuple[float, ...], FrozenTrial]]:
    """Trials with their values, negated where more is better; the least first, then the first."""
    signs = [-1.0 if higher_is_better(key) else 1.0 for key in objectives]
    costs = [(tuple(s * v for s, v in zip(signs, t.values, strict=True)), t) for t in trials]
    return sorted(costs, key=lambda pair: (pair[0], pair[1].number))
