"""Importance of the searched parameters: shares of the variance that each explains by itself.

The objective is fitted by a sum of one function of each parameter (an additive model: a level for
each choice, a parabola over a range), and the importance of a parameter is the variance of its
function over its whole range, the main effect of a functional ANOVA (Hooker, JCGS 2007; Hutter et
al., ICML 2014). Comparing the best trials with all, as PED-ANOVA does, says what was not settled
yet: a sampler that has found the best method in its first trials proposes little else, and the
method seems to matter least. The variance over the range does not depend on what was proposed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from lit_landmarks.search.objectives import first_value, is_trained

#: Fewest trials from which importances are computed, and from which one is a headline.
FEWEST, FEWEST_CLEAR = 8, 30
#: Share of the variance between trials that the model must predict for a headline.
_CLEAR_SHARE = 0.5
#: Weights of the ridge penalty among which the error of left-out trials chooses.
_PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0)
#: A trial that learned nothing counts as at most this many times as far from the best as this
#: quantile of the trials is: one of them must not decide.
_FARTHEST, _FAR = 3.0, 0.9
#: Points of a range at which its function is evaluated.
_STEPS = 51

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Importances:
    """Importance of parameters.

    Attributes:
        shares: share of each parameter, most important first; sums to 1, or is empty.
        note: on how many trials they rest and how well the model predicts; or why there are none.
        clear: whether that is enough for a headline.

    Example:
        >>> Importances({}, "2 trials say too little").clear
        False
    """

    shares: dict[str, float] = field(default_factory=dict)
    note: str = ""
    clear: bool = False


def compute_importances(trials: Sequence[FrozenTrial], direction: str) -> Importances:
    """Computes the importance of each parameter that varied among trials with figures.

    Pruned trials count with the best value that they reported, less what completed trials gained
    after that epoch at the median. Trials that trained nothing say nothing about the objective. A
    parameter of one method counts with the share of the trials that have it.

    Args:
        trials: ended trials; others are ignored.
        direction: "minimize" or "maximize".
    """
    values = _estimate_values(trials)
    used = [trial for trial in trials if trial.number in values]
    if len(used) < FEWEST:
        return Importances(note=f"{len(used)} trained trials say too little; it takes {FEWEST}")
    sign = -1.0 if direction == "maximize" else 1.0
    objective = sign * np.array([values[trial.number] for trial in used])
    names = _list_varied(used)
    if not names:
        return Importances(note="no parameter varied among the trained trials")
    if np.ptp(objective) == 0:
        return Importances(note="all trained trials have the same objective")
    best, far = float(objective.min()), float(np.quantile(objective, _FAR))
    if far > best:
        objective = np.minimum(objective, best + _FARTHEST * (far - best))
    columns = [_make_columns(used, name) for name in names]
    weights, predicted = _fit(np.concatenate([c.values for c in columns], axis=1), objective)
    variances, place = {}, 0
    for name, column in zip(names, columns, strict=True):
        own = weights[place : place + column.values.shape[1]]
        variances[name] = column.share * float(np.var(column.grid @ own))
        place += len(own)
    total = sum(variances.values())
    if total <= 0:
        return Importances(note=f"no parameter explains the {len(used)} trained trials")
    ordered = sorted(variances.items(), key=lambda item: -item[1])
    pruned = sum(trial.state == TrialState.PRUNED for trial in used)
    note = f"rests on {len(used)} trials" + (f", {pruned} of them pruned" if pruned else "")
    note += f"; an additive model predicts {100 * max(predicted, 0.0):.0f} % of their variance"
    clear = len(used) >= FEWEST_CLEAR and predicted >= _CLEAR_SHARE
    if not clear:
        note += ": a hint at most"
    return Importances({name: value / total for name, value in ordered}, note, clear)


def _estimate_values(trials: Sequence[FrozenTrial]) -> dict[int, float]:
    """Objective of each trial with figures by its number, as if pruned ones had been completed."""
    complete = [t for t in trials if is_trained(t)]
    values = {t.number: float(first_value(t) or 0.0) for t in complete}
    for trial in trials:
        reported = trial.intermediate_values
        if trial.state != TrialState.PRUNED or not reported:
            continue
        step = max(reported)
        gains = [
            values[t.number] - t.intermediate_values[step]
            for t in complete
            if math.isfinite(t.intermediate_values.get(step, math.nan))
        ]
        value = reported[step] + (statistics.median(gains) if gains else 0.0)
        if math.isfinite(value):
            values[trial.number] = value
    return values


def _list_varied(trials: Sequence[FrozenTrial]) -> list[str]:
    """Parameters with more than one value, in the order of their names."""
    values: dict[str, set[Any]] = {}
    for trial in trials:
        for name, value in trial.params.items():
            values.setdefault(name, set()).add(value)
    return sorted(name for name, distinct in values.items() if len(distinct) > 1)


@dataclass(frozen=True)
class _Columns:
    """One parameter in the model.

    Attributes:
        values: (trials, k) its basis functions; 0 where a trial does not have it.
        grid: (points, k) its basis functions over its range or choices.
        share: share of the trials that have it.
    """

    values: Array
    grid: Array
    share: float


def _make_columns(trials: Sequence[FrozenTrial], name: str) -> _Columns:
    distributions: list[Any] = [t.distributions[name] for t in trials if name in t.params]
    has = np.array([name in trial.params for trial in trials])
    first = distributions[0]
    if isinstance(first, CategoricalDistribution):
        # Levels around their mean, so that a choice of one method takes nothing of the method's.
        grid = np.eye(len(first.choices)) - 1 / len(first.choices)
        places = [first.choices.index(t.params[name]) if name in t.params else 0 for t in trials]
        return _Columns(grid[places] * has[:, None], grid, float(has.mean()))
    # Ranges may have been edited between trials.
    low, high = min(d.low for d in distributions), max(d.high for d in distributions)
    numbers = np.array([float(t.params.get(name, low)) for t in trials])
    ends = np.array([low, high], dtype=float)
    if first.log:
        numbers, ends = np.log(numbers), np.log(ends)
    position = 2 * (numbers - ends[0]) / (ends[1] - ends[0]) - 1
    values = _evaluate_parabolas(position) * has[:, None]
    return _Columns(values, _evaluate_parabolas(np.linspace(-1, 1, _STEPS)), float(has.mean()))


def _evaluate_parabolas(x: Array) -> Array:
    """Legendre polynomials of degree 1 and 2 at x in [-1, 1]; their means over it are 0."""
    return np.stack([x, 1.5 * x**2 - 0.5], axis=1)


def _fit(values: Array, objective: Array) -> tuple[Array, float]:
    """Fits a ridge regression; its penalty is that with the least error of left-out trials.

    Returns:
        Weight of each column, and the share of the variance that predictions of left-out trials
        explain; negative if the mean would predict them better.
    """
    centered, target = values - values.mean(axis=0), objective - objective.mean()
    best: tuple[float, Array] | None = None
    for penalty in _PENALTIES:
        inverse = np.linalg.inv(centered.T @ centered + penalty * np.eye(values.shape[1]))
        weights = inverse @ centered.T @ target
        # Error of each trial if the others are fitted: its residual over 1 - leverage. The mean is
        # fitted too, which is one more leverage of 1/n.
        leverage = np.einsum("ij,jk,ik->i", centered, inverse, centered) + 1 / len(target)
        left_out = (target - centered @ weights) / np.maximum(1 - leverage, 1e-6)
        error = float(np.mean(left_out**2))
        if best is None or error < best[0]:
            best = error, weights
    assert best is not None
    return best[1], 1 - best[0] / float(np.mean(target**2))
