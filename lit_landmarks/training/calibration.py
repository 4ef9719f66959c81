"""Thresholds of an early stop and of failure detection, chosen on measured faces, not guessed.

The paper (MuSiCa, figure 3) compares the predicted error with one T_s after each iteration but the
last and with T_f after the last, and gives no values. Here each iteration has a threshold of its
own unless `shared`, and they are those that reach a wanted cost at the lowest NME, or a wanted NME
at the lowest cost. Candidates are quantiles of the predicted errors, so the search is exact on
their grid; the best of the grid are then moved, one stage at a time, to wherever between two faces
they do best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from lit_landmarks.compute.pareto import undominated
from lit_landmarks.errors import UserError
from lit_landmarks.training.records import Array, FaceRecords

#: Candidate thresholds for each stage, by the number of stages that may stop.
_LEVELS = {1: 201, 2: 61, 3: 21, 4: 9, 5: 6, 6: 5}
_LEVELS_MORE = 4
_LEVELS_SHARED = 401
#: Operations of the grid from which thresholds are moved.
_STARTS = 30
#: Stages that may stop from which a front is refined at so many costs, each from a few operations.
_COARSE, _COSTS, _FEW_STARTS = 4, 41, 3

#: A smaller difference of two mean errors is one of rounding.
_TIE = 1e-9

#: Mean NME and cost of several operations to keys, the first of which counts most; lowest is best.
Goal = Callable[[Array, Array], tuple[Array, ...]]


@dataclass(frozen=True)
class Operation:
    """What thresholds do to measured faces.

    Attributes:
        stop_below: one threshold for each stage but the last, predicted NME in percent.
        nme: mean true NME in percent.
        mma: mean cost.
        exits: share of the faces that leave after each stage.
    """

    stop_below: tuple[float, ...]
    nme: float
    mma: float
    exits: tuple[float, ...]


@dataclass(frozen=True)
class Detection:
    """How well predicted errors after the last stage find failures.

    Attributes:
        fail_above: the threshold, predicted NME in percent; `failure` itself if no face failed.
        failure: true NME in percent from which a face has failed.
        failures: how many did.
        flagged: how many the threshold names.
        precision: share of the flagged that failed; NaN if none is flagged.
        recall: share of the failed that are flagged; NaN if none failed.
    """

    fail_above: float
    failure: float
    failures: int
    flagged: int
    precision: float
    recall: float


def exit_stages(predicted: Array, stop_below: tuple[float, ...]) -> NDArray[np.int64]:
    """(F,) stage after which each face leaves, from (T, F) predicted errors."""
    below = predicted[:-1] < np.array(stop_below)[:, None]
    last = np.ones((1, predicted.shape[1]), bool)
    first: NDArray[np.int64] = np.concatenate([below, last]).argmax(0)
    return first


def operate(records: FaceRecords, stop_below: tuple[float, ...]) -> Operation:
    """What some thresholds do."""
    leave = exit_stages(records.predicted, stop_below)
    faces = np.arange(len(records))
    shares = np.bincount(leave, minlength=len(records.costs)) / max(len(records), 1)
    return Operation(
        stop_below, float(records.error[leave, faces].mean()),
        float(records.costs[leave].mean()), tuple(float(s) for s in shares),
    )  # fmt: skip


def _levels(predicted: Array, count: int) -> Array:
    """Thresholds worth trying, the first of which stops none and the last all."""
    inner = np.quantile(predicted, np.linspace(0, 1, count)[1:-1])
    return np.concatenate([[-np.inf], inner, [np.inf]])


def candidates(records: FaceRecords, shared: bool = False) -> list[Operation]:
    """The best operations by cost: each has a lower NME than all cheaper ones; cheapest first.

    Of the grid, with five stages and more also of thresholds that are moved off it.

    Args:
        records: faces, with two stages or more.
        shared: one threshold for all stages, as the paper draws it.
    """
    may_stop = len(records.costs) - 1
    if shared:
        levels = _levels(records.predicted[:-1], _LEVELS_SHARED).tolist()
        return _front([operate(records, (level,) * may_stop) for level in levels])
    grid, nme, mma = _grid(records)
    found = zip(mma.tolist(), nme.tolist(), grid, strict=True)
    best = [operate(records, tuple(row.tolist())) for row in undominated(found, _TIE)]
    if may_stop < _COARSE:
        return best
    # Between the few levels of a grid of so many stages.
    for cost in np.linspace(best[0].mma, best[-1].mma, _COSTS)[1:]:
        starts = [o for o in best if o.mma <= cost + 1e-9]
        best.append(_refined(records, starts[-_FEW_STARTS:], _within_cost(float(cost))))
        best.sort(key=lambda operation: operation.mma)
    return _front(best)


def _front(found: list[Operation]) -> list[Operation]:
    return undominated(((o.mma, o.nme, o) for o in found), _TIE)


def _within_cost(mma: float) -> Goal:
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


def for_cost(records: FaceRecords, mma: float, shared: bool = False) -> Operation:
    """The lowest NME at a mean cost of at most `mma`.

    Raises:
        UserError: the first stage alone costs more.
    """
    if mma < records.costs[0]:
        raise UserError(
            f"no threshold reaches {mma:g} MMA: the first stage alone costs "
            f"{records.costs[0]:.1f}; allow that, or train with fewer patches"
        )
    fine = [o for o in candidates(records, shared) if o.mma <= mma + 1e-9]
    if shared:
        return fine[-1]
    return _refined(records, fine[-_STARTS:], _within_cost(mma))


def for_error(records: FaceRecords, nme: float, shared: bool = False) -> Operation:
    """The lowest mean cost at an NME of at most `nme` percent.

    Raises:
        UserError: no threshold reaches it.
    """
    found = candidates(records, shared)
    fine = [o for o in found if o.nme <= nme + 1e-9]
    if not fine:
        raise UserError(
            f"no threshold reaches NME {nme:g}: these faces have {found[-1].nme:.2f} at best; "
            "allow that, or train longer"
        )
    if shared:
        return fine[0]
    return _refined(records, fine[:_STARTS], lambda e, c: (np.maximum(e - nme, 1e-9), c, e))


def _refined(records: FaceRecords, starts: list[Operation], goal: Goal) -> Operation:
    """The best that moving one threshold at a time makes of `starts`."""
    ends = []
    for start in starts:
        stop = list(start.stop_below)
        best: tuple[float, ...] | None = None
        improved = True
        while improved:
            improved = False
            for stage in range(len(stop)):
                levels, nme, mma = _along(records, stop, stage)
                keys = goal(nme, mma)
                k = _lowest(keys)
                found = tuple(float(key[k]) for key in keys)
                if best is None or found < tuple(b - 1e-9 for b in best):
                    best, stop[stage], improved = found, float(levels[k]), True
        ends.append(operate(records, tuple(stop)))
    return ends[_lowest(goal(np.array([o.nme for o in ends]), np.array([o.mma for o in ends])))]


def _lowest(keys: tuple[Array, ...]) -> int:
    """Where the first key is lowest, of those the second, and so on."""
    return int(np.lexsort(keys[::-1])[0])


def _along(records: FaceRecords, stop: list[float], stage: int) -> tuple[Array, Array, Array]:
    """Thresholds of one stage that differ in which faces leave, and the mean NME and cost of each.

    Args:
        records: F faces.
        stop: thresholds of all stages but the last; that of `stage` is not looked at.
        stage: the stage.
    """
    faces = np.arange(len(records))
    before, after = list(stop), list(stop)
    before[stage:] = [-np.inf] * (len(stop) - stage)
    after[: stage + 1] = [-np.inf] * (stage + 1)
    early, later = (exit_stages(records.predicted, tuple(t)) for t in (before, after))
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


def detect_failures(records: FaceRecords, failure: float, recall: float | None = None) -> Detection:
    """The threshold on the last predicted error that finds failed faces.

    Args:
        records: the faces.
        failure: true NME in percent from which a face has failed.
        recall: the share of failures to find, at the best precision; None: the best F1.
    """
    predicted, failed = records.predicted[-1], records.error[-1] >= failure
    if not failed.any():
        # Nothing to choose by. The estimate is an NME, so the limit itself is the best guess.
        return measure_detection(records, failure, failure)
    order = np.argsort(-predicted, kind="stable")
    hits = np.cumsum(failed[order])
    flagged = np.arange(1, len(order) + 1)
    precision, found = hits / flagged, hits / failed.sum()
    # Only between different predictions can a threshold be put.
    cut = np.append(predicted[order][1:] < predicted[order][:-1], True)
    score = 2 * precision * found / (precision + found + 1e-12)
    if recall is not None:
        score = np.where(found >= recall, precision, -1.0)
    k = int(np.where(cut, score, -2.0).argmax())
    low = predicted[order][k + 1] if k + 1 < len(order) else predicted[order][k] - 1.0
    return measure_detection(records, float((predicted[order][k] + low) / 2), failure)


def measure_detection(records: FaceRecords, fail_above: float, failure: float) -> Detection:
    """What a threshold finds."""
    flagged, failed = records.predicted[-1] > fail_above, records.error[-1] >= failure
    both = int((flagged & failed).sum())
    return Detection(
        fail_above, failure, int(failed.sum()), int(flagged.sum()),
        both / int(flagged.sum()) if flagged.any() else float("nan"),
        both / int(failed.sum()) if failed.any() else float("nan"),
    )  # fmt: skip


def rank_correlation(records: FaceRecords) -> tuple[float, ...]:
    """Spearman's correlation of predicted and true error after each stage; NaN below 3 faces."""
    if len(records) < 3:
        return (float("nan"),) * len(records.error)
    pairs = zip(records.predicted, records.error, strict=True)
    return tuple(float(spearmanr(a, b).statistic) for a, b in pairs)
