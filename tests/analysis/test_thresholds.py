"""Thresholds against brute force, failure detection worked by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from lit_landmarks.analysis.failures import (
    choose_fail_above,
    measure_detection,
    rank_correlation,
)
from lit_landmarks.analysis.records import FaceRecords
from lit_landmarks.analysis.thresholds import (
    choose_for_cost,
    choose_for_error,
    find_exit_stages,
    measure_thresholds,
    operating_points,
)
from lit_landmarks.errors import UserError


def some(faces: int = 300, stages: int = 3, seed: int = 0, noise: float = 1.0) -> FaceRecords:
    """Faces whose error falls with each stage, easy ones sooner; predictions are noisy."""
    rng = np.random.default_rng(seed)
    hard = rng.uniform(1, 8, faces)
    fall = np.array([1.0 + 0.4 * (stages - 1 - t) for t in range(stages)])
    error = hard * (1 + (fall[:, None] - 1) * np.where(hard > 5, 1.0, 0.1))
    predicted = error + noise * rng.normal(size=error.shape)
    return FaceRecords(
        sets=("faces",), dataset=np.zeros(faces, np.int64), row=np.arange(faces),
        error=error, predicted=predicted, costs=np.arange(1, stages + 1) * 10.0,
        pose=np.zeros((faces, 3)), truth=np.zeros((faces, 2, 2)),
        points=np.zeros((stages, faces, 2, 2)),
    )  # fmt: skip


def test_faces_leave_at_the_first_stage_that_is_sure() -> None:
    predicted = np.array([[1.0, 5.0, 5.0], [9.0, 2.0, 5.0], [9.0, 9.0, 9.0]])
    assert find_exit_stages(predicted, (2.0, 3.0)).tolist() == [0, 1, 2]
    assert find_exit_stages(predicted, (-np.inf, -np.inf)).tolist() == [2, 2, 2]
    assert find_exit_stages(predicted, (np.inf, np.inf)).tolist() == [0, 0, 0]


def test_an_operating_point_is_the_mean_over_faces() -> None:
    records = some(4)
    found = measure_thresholds(records, (records.predicted[0].min() + 1e-9, -np.inf))
    first = int(records.predicted[0].argmin())
    expected = records.error[-1].copy()
    expected[first] = records.error[0, first]
    assert found.nme == pytest.approx(expected.mean())
    assert found.mma == pytest.approx((10 + 3 * 30) / 4)
    assert found.exit_shares == (0.25, 0.0, 0.75)


@pytest.mark.parametrize("stages", [2, 3, 4])
def test_operating_points_are_the_pareto_front_of_the_grid(stages: int) -> None:
    records = some(80, stages)
    found = operating_points(records)
    costs, errors = [o.mma for o in found], [o.nme for o in found]
    assert costs == sorted(costs)
    assert errors == sorted(errors, reverse=True)
    assert found[0].mma == pytest.approx(10.0), "all faces may leave at once"
    assert errors[-1] <= records.error[-1].mean() + 1e-9
    rng = np.random.default_rng(1)
    for _ in range(50):
        # No thresholds from the same grid do better than the front.
        quantiles = rng.integers(1, 5, stages - 1) / 5
        other = measure_thresholds(records, tuple(
            float(np.quantile(records.predicted[t], q)) for t, q in enumerate(quantiles)
        ))  # fmt: skip
        cheaper = [o.nme for o in found if o.mma <= other.mma + 1e-9]
        assert cheaper
        assert min(cheaper) <= other.nme + 0.05


def test_goals_are_met_at_the_best_price() -> None:
    records = some()
    at = choose_for_cost(records, 20.0)
    assert at.mma <= 20.0
    shared = choose_for_cost(records, 20.0, shared=True)
    assert len(set(shared.thresholds)) == 1
    assert at.nme <= shared.nme + 0.02
    blind = records.error[1].mean()
    assert at.nme < blind, "stopping the sure faces beats stopping all of them"
    within = choose_for_error(records, records.error[-1].mean() * 1.03)
    assert within.nme <= records.error[-1].mean() * 1.03
    assert within.mma < 30.0


@pytest.mark.parametrize("stages", [2, 3, 4, 6, 8])
def test_goals_are_met_better_than_by_the_grid(stages: int) -> None:
    records = some(120, stages, seed=5)
    limit = records.error[-1].mean() * 1.03
    within, grid = (
        choose_for_error(records, limit),
        [o for o in operating_points(records) if o.nme <= limit],
    )
    assert within.nme <= limit + 1e-9
    assert within.mma <= grid[0].mma + 1e-9
    assert within == measure_thresholds(records, within.thresholds)
    at = choose_for_cost(records, within.mma)
    assert at.mma <= within.mma + 1e-9
    assert at.nme <= limit * 1.005
    if stages <= 3:
        # Every threshold that tells two faces apart, tried in all combinations.
        cuts = [np.concatenate([[-np.inf], np.sort(p), [np.inf]]) for p in records.predicted[:-1]]
        every = [
            measure_thresholds(records, t) for t in itertools.product(*(c.tolist() for c in cuts))
        ]
        assert within.mma <= min(o.mma for o in every if o.nme <= limit) * 1.02


def test_equal_predictions_leave_together() -> None:
    records = some(40, 3)
    rounded = replace(records, predicted=np.round(records.predicted))
    found = choose_for_error(rounded, rounded.error[-1].mean() * 1.03)
    assert found == measure_thresholds(rounded, found.thresholds)


def test_goals_out_of_reach_are_told() -> None:
    records = some()
    with pytest.raises(UserError, match=r"no threshold reaches 5 MMA.*costs 10\.0"):
        choose_for_cost(records, 5.0)
    with pytest.raises(UserError, match=r"no threshold reaches NME 0\.1"):
        choose_for_error(records, 0.1)


def test_failures_by_brute_force() -> None:
    records = some(60, noise=2.0, seed=3)
    found = choose_fail_above(records, failure=7.0)
    predicted, failed = records.predicted[-1], records.error[-1] >= 7.0
    best = 0.0
    for cut in np.concatenate([predicted - 1e-9]):
        flagged = predicted > cut
        hits = (flagged & failed).sum()
        best = max(best, 2 * hits / (flagged.sum() + failed.sum()))
    f1 = 2 * found.precision * found.recall / (found.precision + found.recall)
    assert f1 == pytest.approx(best)
    assert measure_detection(records, found.fail_above, 7.0) == found
    every = choose_fail_above(records, failure=7.0, recall=1.0)
    assert every.recall == 1.0
    assert every.precision <= found.precision
    none = choose_fail_above(records, failure=100.0)
    assert none.fail_above == 100.0, "nothing to choose by, so the limit itself"
    assert (none.failures, none.flagged) == (0, 0)


def test_rank_correlation() -> None:
    sure, unsure = some(noise=0.01), some(noise=5.0)
    assert min(rank_correlation(sure)) > 0.99
    for a, b in itertools.product(rank_correlation(unsure), [0.2]):
        assert b < a < 0.9
    assert np.isnan(rank_correlation(some(2))).all()
