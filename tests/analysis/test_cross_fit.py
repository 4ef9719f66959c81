"""Cross-fitted thresholds, and the margin of a limit on the cost of fresh faces."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from lit_landmarks.analysis.calibration import Goal, calibrate
from lit_landmarks.analysis.cross_fit import choose_by_fold, spread_thresholds
from lit_landmarks.analysis.records import FaceRecords
from lit_landmarks.analysis.thresholds import (
    choose_for_cost,
    choose_within_cost,
    cost_bound,
    find_exit_stages,
    measure_thresholds,
)


def draw_faces(rng: np.random.Generator, faces: int, stages: int = 3) -> FaceRecords:
    """Faces of log-normal difficulty; later stages help hard faces, predictions are noisy."""
    hard = np.exp(rng.normal(1.2, 0.45, faces))
    gain = np.linspace(0.5, 0.0, stages)[:, None] * rng.gamma(1.5, 1 / 1.5, faces)
    error = hard * (1 + gain) * np.exp(0.08 * rng.normal(size=(stages, faces)))
    return FaceRecords(
        sets=("faces",), dataset=np.zeros(faces, np.int64), row=np.arange(faces),
        error=error, predicted=error * np.exp(0.25 * rng.normal(size=error.shape)),
        costs=np.linspace(30.0, 130.0, stages), pose=np.zeros((faces, 3)),
        truth=np.zeros((faces, 1, 2)), points=np.zeros((stages, faces, 1, 2)),
    )  # fmt: skip


@pytest.mark.parametrize(("stages", "faces", "limit"), [(2, 60, 70.0), (2, 200, 100.0)])
def test_fresh_faces_stay_within_the_limit(stages: int, faces: int, limit: float) -> None:
    rng = np.random.default_rng(stages + faces)
    fresh = draw_faces(rng, 20_000, stages)
    costs: dict[str, list[float]] = {"plain": [], "margin": []}
    for _ in range(60):
        recorded = draw_faces(rng, faces, stages)
        for name, choose in (("plain", choose_for_cost), ("margin", choose_within_cost)):
            costs[name].append(measure_thresholds(fresh, choose(recorded, limit).thresholds).mma)
    beyond = {name: float((np.array(values) > limit).mean()) for name, values in costs.items()}
    assert beyond["plain"] > 0.3
    assert beyond["margin"] <= 0.1  # 5 % and two standard errors of 60 tries
    # A margin is no more than it has to be.
    assert np.mean(costs["margin"]) > limit - 4 * 50 / math.sqrt(faces)


@pytest.mark.parametrize(("stages", "faces"), [(2, 40), (3, 25)])
def test_cross_fitted_figures_do_not_flatter(stages: int, faces: int) -> None:
    """Errors that nothing predicts have the mean 5 whatever the thresholds; a choice finds luck."""
    rng = np.random.default_rng(stages)
    fold = np.arange(faces) % 5
    chosen_on, crossed = [], []
    for _ in range(30):
        error = rng.exponential(5.0, (stages, faces))
        records = replace(draw_faces(rng, faces, stages), error=error)
        point = choose_for_cost(records, 100.0)
        by_fold = choose_by_fold(records, fold, lambda r: choose_for_cost(r, 100.0).thresholds)
        table = spread_thresholds(point.thresholds, by_fold, fold)
        chosen_on.append(point.nme)
        crossed.append(measure_thresholds(records, table).nme)
    deviation = 5.0 / math.sqrt(faces * 30)
    assert np.mean(chosen_on) < 5.0 - 3 * deviation
    assert abs(np.mean(crossed) - 5.0) < 3 * deviation


def test_the_bound_is_that_of_student() -> None:
    records = draw_faces(np.random.default_rng(0), 4, 2)
    thresholds = (float(np.sort(records.predicted[0])[1]) + 1e-9,)
    # Two faces leave at 30 and two at 130: mean 80, standard deviation 57.735, t(0.95, 3) = 2.3534.
    assert cost_bound(records, thresholds) == pytest.approx(80 + 2.353363 * 57.735027 / 2, rel=1e-6)
    assert cost_bound(records, (math.inf,)) == 30.0
    assert choose_within_cost(records, 30.0).exit_shares == (1.0, 0.0)
    assert choose_within_cost(records, 130.0).mma <= 130.0


def test_no_fold_chooses_for_itself() -> None:
    fold = np.array([0, 1, 0, 2])
    records = draw_faces(np.random.default_rng(1), 4)
    assert choose_by_fold(records, fold, lambda r: r.row.tolist()) == [[1, 3], [0, 2, 3], [0, 1, 2]]
    assert choose_by_fold(records, np.zeros(4, np.int64), len) == [4]


def test_thresholds_of_each_face() -> None:
    table = spread_thresholds((9.0, 8.0), [(1.0, 2.0), (3.0, 4.0)], np.array([1, -1, 0]))
    assert table.tolist() == [[3.0, 9.0, 1.0], [4.0, 8.0, 2.0]]
    predicted = np.array([[2.0, 2.0, 2.0], [5.0, 5.0, 1.0], [9.0, 9.0, 9.0]])
    assert find_exit_stages(predicted, table).tolist() == [0, 0, 1]


def test_a_calibration_reports_every_face_by_the_other_folds() -> None:
    records = draw_faces(np.random.default_rng(2), 60)
    fold = np.arange(60) % 3
    goal = Goal(mma=80.0, confidence=0.95)
    result = calibrate({"val": records}, goal, failure=6.0, folds={"val": fold})
    by_hand = np.stack([goal.choose(records.select(fold != k)).thresholds for k in fold], 1)
    expected = measure_thresholds(records, by_hand)
    assert result.cross_fitted == expected
    assert result.figures["val/faces"]["nme"] == expected.nme
    assert result.figures["val/faces"]["mma"] == expected.mma
    assert result.point == goal.choose(records)
    flagged = sum(
        int((part.predicted[-1] > calibrate({"val": rest}, None, 6.0).detection.fail_above).sum())
        for part, rest in ((records.select(fold == k), records.select(fold != k)) for k in range(3))
    )
    assert result.detection.flagged == flagged
