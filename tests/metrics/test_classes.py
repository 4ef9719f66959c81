"""The torchmetrics classes: hand-computed values, shards, groups and processes."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lit_landmarks.metrics.classes import (
    AreaUnderCurve,
    FaceCount,
    FailureRate,
    GroupedMetric,
    NormalizedMeanError,
    OcclusionScore,
    PoseError,
)
from lit_landmarks.metrics.gathered import ErrorDistribution

NAN, INF = math.nan, math.inf
ERRORS = torch.tensor([2.0, 4.0, 12.0, NAN])


def fed(metric: GroupedMetric, *values: Tensor) -> Tensor:
    metric.update(*values)
    return metric.compute().reshape(metric.groups, -1)  # a single value comes as a scalar


def test_values_by_hand() -> None:
    assert fed(NormalizedMeanError(), ERRORS).tolist() == [[6.0]]
    columns = ERRORS.unsqueeze(1).expand(-1, 2)
    # above 8: one of three; above 3: two of three
    assert fed(FailureRate([8.0, 3.0]), columns)[0].tolist() == pytest.approx([100 / 3, 200 / 3])
    # (6/8 + 4/8 + 0) / 3 and (1/3 + 0 + 0) / 3
    assert fed(AreaUnderCurve([8.0, 3.0]), columns)[0].tolist() == pytest.approx([125 / 3, 100 / 9])
    assert fed(FaceCount(1), ERRORS.unsqueeze(1)).tolist() == [[4.0, 1.0]]


def test_pose_by_hand() -> None:
    predicted = torch.tensor([[10.0, 0.0, 179.0, 0, 0, 0], [0.0, 0.0, 0.0, 0, 0, 0]])
    truth = torch.tensor([[13.0, 1.0, -179.0, 9, 9, 9], [NAN, NAN, NAN, 9, 9, 9]])
    assert fed(PoseError(), predicted, truth)[0].tolist() == pytest.approx([3.0, 1.0, 2.0, 2.0])


def test_occlusion_by_hand() -> None:
    visible = torch.tensor([[0, 0, 2, 1, 1, 1, 1, -1]], dtype=torch.int8)
    chance = torch.tensor([[0.1, 0.2, 0.9, 0.4, 0.8, 0.8, 0.8, 0.0]])
    # 2 hits, 1 false alarm, 1 miss, 3 clear
    expected = [100 * 2 / 3, 100 * 2 / 3, 100 * 2 / 3, 100 * 5 / 7]
    assert fed(OcclusionScore(), chance, visible)[0].tolist() == pytest.approx(expected)


def test_distribution_by_hand() -> None:
    metric = ErrorDistribution(groups=2, upper=10.0, n_bins=10)
    errors = torch.tensor([0.0, 0.5, 1.0, 1.5, 9.9, 25.0, INF, NAN])
    members = torch.ones(8, 2, dtype=torch.bool)
    members[4:, 1] = False
    metric.update(errors, members)
    curve = metric.curve()
    assert metric.edges().tolist() == pytest.approx(list(range(1, 11)))
    assert curve[0].tolist() == pytest.approx([3 / 7, *[4 / 7] * 8, 5 / 7])
    assert curve[1].tolist() == pytest.approx([0.75] + [1.0] * 9)
    # of 0, .5, 1, 1.5: halfway between the two in the middle, and the last
    assert metric.percentiles([50, 100])[1].tolist() == [0.75, 1.5]
    # six places up to infinity: the fifth is 25, above it there is no number
    assert metric.percentiles([100 * 5 / 6, 90, 99])[0].tolist() == [25.0, INF, INF]


@given(st.lists(st.floats(0.0, 200.0), min_size=1, max_size=60), st.integers(0, 60))
def test_percentiles_are_those_of_numpy_over_any_shards(errors: list[float], cut: int) -> None:
    whole = torch.tensor(errors, dtype=torch.float64)
    metric, shard = ErrorDistribution(), ErrorDistribution()
    metric.update(whole[cut:])
    shard.update(whole[:cut])
    metric.merge_state(shard)
    percents = (0, 25, 50, 90, 95, 99, 100)
    assert metric.percentiles(percents)[0].tolist() == pytest.approx(
        np.percentile(errors, percents).tolist(), rel=1e-12
    )


def test_percentiles_by_hand() -> None:
    # 21 errors 0, 1, ..., 20: places 18, 19 and 19.8 of the sorted ones
    metric = ErrorDistribution(groups=2)
    members = torch.tensor([[True, n % 2 == 0] for n in range(21)])
    metric.update(torch.arange(21.0).flip(0), members.flip(0))
    found = metric.percentiles([90, 95, 99])
    assert found[0].tolist() == pytest.approx([18.0, 19.0, 19.8])
    # 0, 2, ..., 20: places 9, 9.5 and 9.9 of eleven
    assert found[1].tolist() == pytest.approx([18.0, 19.0, 19.8])
    assert metric.percentiles([33])[1].tolist() == pytest.approx([6.6])


def test_nothing_counted_is_nan_and_not_zero() -> None:
    for metric in (NormalizedMeanError(), FailureRate([8.0]), AreaUnderCurve([8.0])):
        assert fed(metric, torch.tensor([NAN])).isnan().all()
    empty = ErrorDistribution()
    empty.update(torch.tensor([NAN]))
    assert empty.percentiles([90]).isnan().all()


def test_an_infinite_error_stays_in_its_group() -> None:
    metric = NormalizedMeanError(groups=2)
    metric.update(torch.tensor([INF, 3.0]), torch.tensor([[True, False], [True, True]]))
    assert metric.compute()[:, 0].tolist() == [INF, 3.0]


def metrics_of(columns: int, groups: int) -> list[GroupedMetric]:
    levels = [4.0 + c for c in range(columns)]
    return [
        NormalizedMeanError(columns, groups),
        FailureRate(levels, groups),
        AreaUnderCurve(levels, groups),
        FaceCount(columns, groups),
    ]


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_any_number_of_shards_equals_one(seed: int, shards: int) -> None:
    g = torch.Generator().manual_seed(seed)
    errors = torch.rand(23, 3, generator=g, dtype=torch.float64) * 12
    errors[torch.rand(23, 3, generator=g) < 0.2] = NAN
    members = torch.rand(23, 4, generator=g) < 0.5
    for one in metrics_of(3, 4):
        parts = [copy.deepcopy(one) for _ in range(shards)]
        one.update(errors, members)
        for row in range(23):  # face by face, dealt out in turn
            parts[row % shards].update(errors[row : row + 1], members[row : row + 1])
        for other in parts[1:]:
            parts[0].merge_state(other)
        torch.testing.assert_close(parts[0].compute(), one.compute(), equal_nan=True)


def test_three_processes_reduce_to_one() -> None:
    """The reduction that Lightning triggers, with the gathering of three ranks played by hand."""
    errors = torch.rand(31, 2, dtype=torch.float64) * 12
    whole = NormalizedMeanError(2)
    whole.update(errors)
    ranks = [NormalizedMeanError(2) for _ in range(3)]
    for rank, metric in enumerate(ranks):
        metric.update(errors[rank::3])
    states = [{"total": m.total, "count": m.count} for m in ranks]

    def gather(state: Tensor, group: object = None) -> list[Tensor]:
        name = "total" if state is ranks[0].total else "count"
        return [s[name] for s in states]

    ranks[0].dist_sync_fn = gather
    ranks[0].distributed_available_fn = lambda: True
    torch.testing.assert_close(ranks[0].compute(), whole.compute())
    assert ranks[0].count.tolist() == [[11.0, 11.0]]  # its own state is put back


@given(st.integers(0, 10_000))
def test_the_whole_is_the_count_weighted_mean_of_its_parts(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    errors = torch.rand(40, 1, generator=g, dtype=torch.float64) * 12
    errors[torch.rand(40, 1, generator=g) < 0.2] = NAN
    part = torch.randint(0, 3, (40,), generator=g)
    members = torch.nn.functional.one_hot(part, 3).bool()
    members = torch.cat([torch.ones(40, 1, dtype=torch.bool), members], dim=1)
    for metric in metrics_of(1, 4)[:3]:
        metric.update(errors, members)
        values, counts = metric.compute()[:, 0], metric.count[:, 0]
        weighted = (values[1:] * counts[1:]).nansum() / counts[1:].sum()
        torch.testing.assert_close(values[0], weighted)


def test_states_are_sums_only_and_leave_checkpoints_alone() -> None:
    for metric in [*metrics_of(2, 2), PoseError(), OcclusionScore()]:
        assert {r.__name__ for r in metric._reductions.values()} == {"dim_zero_sum"}
        assert not metric.state_dict()
        assert metric.full_state_update is False
