"""Early-exit thresholds that reach a wanted mean cost or NME on recorded faces.

The paper (MuSiCa, figure 3) compares the predicted error with one T_s after each stage but the
last and with T_f after the last, and gives no values. Here each stage has a threshold of its
own unless `shared`, and they are those that reach a wanted cost at the lowest NME, or a wanted NME
at the lowest cost. Candidates are quantiles of the predicted errors, so the search is exact on
their grid; the best of the grid are then moved, one stage at a time, to wherever between two faces
they do best.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from lit_landmarks.analysis.records import Array, FaceRecords
from lit_landmarks.compute.pareto import pareto_front
from lit_landmarks.errors import UserError

#: Candidate thresholds for each stage, by the number of stages after which faces may leave.
_LEVELS = {1: 201, 2: 61, 3: 21, 4: 9, 5: 6, 6: 5}
_LEVELS_MORE = 4
_LEVELS_SHARED = 401
#: Probability with which the mean cost of fresh faces is to stay within a limit.
CONFIDENCE = 0.95
#: Operating points of the grid from which thresholds are moved.
_STARTS = 30
#: From so many early exits on, a front is refined at so many costs, each from a few points.
_COARSE, _COSTS, _FEW_STARTS = 4, 41, 3

#: A smaller difference of two mean errors is one of rounding.
_TIE = 1e-9

#: Thresholds of all faces, one for each stage but the last, or (T - 1, F) of each face.
Thresholds = tuple[float, ...] | Array
#: Mean NME and cost of several thresholds to keys, the first of which counts most; lowest is best.
Objective = Callable[[Array, Array], tuple[Array, ...]]


@dataclass(frozen=True)
class OperatingPoint:
    """A set of early-exit thresholds with the accuracy and cost they give on recorded faces.

    Attributes:
        thresholds: one threshold for each stage but the last, predicted NME in percent.
        nme: mean true NME in percent.
        mma: mean cost, millions of multiply-adds.
        exit_shares: share of the faces that leave after each stage.
    """

    thresholds: tuple[float, ...]
    nme: float
    mma: float
    exit_shares: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `exit_shares` is called `exits` there."""
        values = asdict(self)
        values["exits"] = values.pop("exit_shares")
        return values


def find_exit_stages(predicted: Array, thresholds: Thresholds) -> NDArray[np.int64]:
    """(F,) stage after which each face leaves, from (T, F) predicted errors.

    Args:
        predicted: (T, F).
        thresholds: of all faces, or (T - 1, F) of each.

    Example:
        >>> find_exit_stages(np.array([[1.0, 5.0], [2.0, 2.0]]), (3.0,)).tolist()
        [0, 1]
    """
    values = np.asarray(thresholds, np.float64)
    below = predicted[:-1] < (values[:, None] if values.ndim == 1 else values)
    last = np.ones((1, predicted.shape[1]), bool)
    first: NDArray[np.int64] = np.concatenate([below, last]).argmax(0)
    return first


def measure_thresholds(records: FaceRecords, thresholds: Thresholds) -> OperatingPoint:
    """The operating point of given thresholds, of all faces or of each, on recorded faces.

    Thresholds that differ by face are not listed in the result.
    """
    stages = find_exit_stages(records.predicted, thresholds)
    faces = np.arange(len(records))
    shares = np.bincount(stages, minlength=len(records.costs)) / max(len(records), 1)
    return OperatingPoint(
        thresholds=thresholds if isinstance(thresholds, tuple) else (),
        nme=float(records.error[stages, faces].mean()),
        mma=float(records.costs[stages].mean()),
        exit_shares=tuple(float(s) for s in shares),
    )


def _levels(predicted: Array, count: int) -> Array:
    """Thresholds worth trying: below the first no face leaves, below the last all."""
    inner = np.quantile(predicted, np.linspace(0, 1, count)[1:-1])
    return np.concatenate([[-np.inf], inner, [np.inf]])


def operating_points(
    records: FaceRecords, shared: bool = False, refine: bool = True
) -> list[OperatingPoint]:
    """The Pareto front of NME against cost: each point beats the NME of all cheaper ones.

    Of the grid, with five stages and more also of thresholds that are moved off it.

    Args:
        records: faces, with two stages or more.
        shared: one threshold for all stages, as the paper draws it.
        refine: False leaves it at the grid.

    Returns:
        Operating points, cheapest first.
    """
    may_leave = len(records.costs) - 1
    if shared:
        levels = _levels(records.predicted[:-1], _LEVELS_SHARED).tolist()
        return _front([measure_thresholds(records, (level,) * may_leave) for level in levels])
    grid, nme, mma = _grid(records)
    rows = pareto_front(zip(mma.tolist(), nme.tolist(), grid, strict=True), _TIE)
    front = [measure_thresholds(records, tuple(row.tolist())) for row in rows]
    if may_leave < _COARSE or not refine:
        return front
    # Between the few levels of a grid of so many stages.
    for cost in np.linspace(front[0].mma, front[-1].mma, _COSTS)[1:]:
        starts = [point for point in front if point.mma <= cost + 1e-9]
        front.append(_refine(records, starts[-_FEW_STARTS:], _within_cost(float(cost))))
        front.sort(key=lambda point: point.mma)
    return _front(front)


def _front(points: list[OperatingPoint]) -> list[OperatingPoint]:
    return pareto_front(((p.mma, p.nme, p) for p in points), _TIE)


def _within_cost(mma: float) -> Objective:
    """The lowest NME at a mean cost of at most `mma`."""
    return lambda e, c: (np.maximum(c - mma, 1e-9), e, c)


def _grid(records: FaceRecords) -> tuple[Array, Array, Array]:
    """Thresholds (C, T - 1) of every combination, and the mean NME and cost of each."""
    stages, faces = records.error.shape
    count = _LEVELS.get(stages - 1, _LEVELS_MORE)
    grid = np.zeros((1, 0))
    # Of the faces that reach a stage: their error and cost, for each combination of later stages.
    error = records.error[-1:]
    cost = np.full((1, faces), records.costs[-1])
    for stage in range(stages - 2, -1, -1):
        levels = _levels(records.predicted[stage], count)
        leaves = (records.predicted[stage] < levels[:, None])[:, None]
        grid = np.concatenate([np.repeat(levels, len(grid))[:, None], np.tile(grid, (count, 1))], 1)
        if stage:
            error = np.where(leaves, records.error[stage], error).reshape(-1, faces)
            cost = np.where(leaves, records.costs[stage], cost).reshape(-1, faces)
            continue
        share = leaves[:, 0].astype(np.float64)
        here = (share @ records.error[0])[:, None], (share.sum(1) * records.costs[0])[:, None]
        nme = (here[0] + (1 - share) @ error.T).reshape(-1) / faces
        mma = (here[1] + (1 - share) @ cost.T).reshape(-1) / faces
        return grid, nme, mma
    return grid, error.mean(1), cost.mean(1)


def choose_for_cost(records: FaceRecords, mma: float, shared: bool = False) -> OperatingPoint:
    """The lowest NME at a mean cost of at most `mma`.

    Raises:
        UserError: the first stage alone costs more.
    """
    _refuse_below_first_stage(records, mma)
    affordable = [p for p in operating_points(records, shared) if p.mma <= mma + 1e-9]
    if shared:
        return affordable[-1]
    return _refine(records, affordable[-_STARTS:], _within_cost(mma))


def _refuse_below_first_stage(records: FaceRecords, mma: float) -> None:
    if mma < records.costs[0]:
        raise UserError(
            f"no threshold reaches {mma:g} MMA: the first stage alone costs "
            f"{records.costs[0]:.1f}; allow that, or train with fewer patches"
        )


def choose_within_cost(
    records: FaceRecords,
    mma: float,
    shared: bool = False,
    confidence: float = CONFIDENCE,
    refine: bool = True,
) -> OperatingPoint:
    """The lowest NME at which the mean cost of fresh faces stays within `mma`, most likely.

    The cost of the recorded faces keeps away from the limit by its one-sided confidence interval:
    a quantile of Student's t times its standard error.

    Args:
        records: faces like those to come, drawn independently.
        mma: limit of the mean cost.
        shared: one threshold for all stages.
        confidence: probability with which the mean cost of fresh faces is within the limit.
        refine: False takes the best of the grid, which takes a small part of the time.

    Raises:
        UserError: the first stage alone costs more.
    """
    _refuse_below_first_stage(records, mma)
    within = (
        point
        for point in reversed(operating_points(records, shared, refine))
        if cost_bound(records, point.thresholds, confidence) <= mma + _TIE
    )
    best = next(within)
    if shared or not refine:
        return best
    margin = cost_bound(records, best.thresholds, confidence) - best.mma
    starts = [best, *itertools.islice(within, _STARTS - 1)]
    moved = _refine(records, starts[::-1], _within_cost(mma - margin))
    fits = cost_bound(records, moved.thresholds, confidence) <= mma + _TIE
    return moved if fits and moved.nme < best.nme else best


def cost_bound(
    records: FaceRecords, thresholds: Thresholds, confidence: float = CONFIDENCE
) -> float:
    """Upper end of the one-sided confidence interval of the mean cost under given thresholds."""
    costs = records.costs[find_exit_stages(records.predicted, thresholds)]
    if len(costs) < 2:
        return float(records.costs[-1] if len(costs) == 0 else costs[0])
    error = float(costs.std(ddof=1)) / math.sqrt(len(costs))
    return float(costs.mean()) + _student_quantile(confidence, len(costs) - 1) * error


@functools.cache
def _student_quantile(confidence: float, freedom: int) -> float:
    # SciPy takes longer for it than all the rest of a bound, and hundreds of bounds share one.
    return float(student_t.ppf(confidence, freedom))


def choose_for_error(records: FaceRecords, nme: float, shared: bool = False) -> OperatingPoint:
    """The lowest mean cost at an NME of at most `nme` percent.

    Raises:
        UserError: no threshold reaches it.
    """
    front = operating_points(records, shared)
    accurate = [p for p in front if p.nme <= nme + 1e-9]
    if not accurate:
        raise UserError(
            f"no threshold reaches NME {nme:g}: these faces have {front[-1].nme:.2f} at best; "
            "allow that, or train longer"
        )
    if shared:
        return accurate[0]
    return _refine(records, accurate[:_STARTS], lambda e, c: (np.maximum(e - nme, 1e-9), c, e))


def _refine(
    records: FaceRecords, starts: list[OperatingPoint], objective: Objective
) -> OperatingPoint:
    """The best that moving one threshold at a time makes of `starts`."""
    ends = []
    for start in starts:
        thresholds = list(start.thresholds)
        best: tuple[float, ...] | None = None
        improved = True
        while improved:
            improved = False
            for stage in range(len(thresholds)):
                levels, nme, mma = _sweep_stage(records, thresholds, stage)
                keys = objective(nme, mma)
                k = _argmin(keys)
                lowest = tuple(float(key[k]) for key in keys)
                if best is None or lowest < tuple(b - 1e-9 for b in best):
                    best, thresholds[stage], improved = lowest, float(levels[k]), True
        ends.append(measure_thresholds(records, tuple(thresholds)))
    nme, mma = np.array([p.nme for p in ends]), np.array([p.mma for p in ends])
    return ends[_argmin(objective(nme, mma))]


def _argmin(keys: tuple[Array, ...]) -> int:
    """Where the first key is lowest, of those the second, and so on."""
    return int(np.lexsort(keys[::-1])[0])


def _sweep_stage(
    records: FaceRecords, thresholds: list[float], stage: int
) -> tuple[Array, Array, Array]:
    """Thresholds of one stage that differ in which faces leave, and the mean NME and cost of each.

    Args:
        records: F faces.
        thresholds: of all stages but the last; that of `stage` is not looked at.
        stage: the stage.
    """
    faces = np.arange(len(records))
    before, after = list(thresholds), list(thresholds)
    before[stage:] = [-np.inf] * (len(thresholds) - stage)
    after[: stage + 1] = [-np.inf] * (stage + 1)
    early, later = (find_exit_stages(records.predicted, tuple(t)) for t in (before, after))
    here = faces[early >= stage]
    here = here[np.argsort(records.predicted[stage, here], kind="stable")]
    go_on = np.where(early < stage, early, later)
    values = []
    for leaving, going_on in (
        (records.error[stage, here], records.error[go_on, faces]),
        (records.costs[stage], records.costs[go_on]),
    ):
        saved = np.cumsum(leaving - going_on[here])
        values.append((going_on.sum() + np.append(0.0, saved)) / len(faces))
    predicted = records.predicted[stage, here]
    between = (predicted[1:] + predicted[:-1]) / 2
    levels = np.concatenate([[-np.inf], between, [np.inf]]) if len(here) else np.array([-np.inf])
    # A threshold cannot tell equal predictions apart.
    apart = np.concatenate([[True], predicted[1:] > predicted[:-1], [True]])[: len(levels)]
    return levels[apart], values[0][apart], values[1][apart]
