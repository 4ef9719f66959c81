"""Metrics that keep rows of faces: hand-computed values, references, shards and processes."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from lit_landmarks.metrics import functional as f
from lit_landmarks.metrics import motion
from lit_landmarks.metrics.gathered import FrameMotion, GatheredMetric, VisibilityAUROC

NAN, INF = math.nan, math.inf
N = 3


def make_frames(seed: int, count: int = 40) -> dict[str, Tensor]:
    """Frames of two data sets with two tracks each, gaps and stills among them, in any order."""
    g = torch.Generator().manual_seed(seed)
    rows = torch.cartesian_prod(torch.arange(2), torch.arange(2), torch.arange(12))
    frames = rows[torch.randperm(len(rows), generator=g)][:count].clone()
    frames[:3, 1] = -1
    truth = torch.rand(count, N, 2, generator=g) * 100
    truth[torch.rand(count, N, generator=g) < 0.15] = NAN
    return {
        "predicted": torch.rand(count, N, 2, generator=g) * 100,
        "truth": truth,
        "norm": torch.rand(count, generator=g) * 40 + 20,
        "frames": frames,
        "members": torch.stack(
            [torch.ones(count, dtype=torch.bool), torch.rand(count, generator=g) > 0.3], dim=1
        ),
    }


def reference(rows: dict[str, Tensor], group: int) -> tuple[float, float, float]:
    """Flicker, acceleration and NMF, one pair and one triple of frames at a time."""
    p, g, norm = (rows[k].double().numpy() for k in ("predicted", "truth", "norm"))
    at = {
        tuple(frame): row
        for row, frame in enumerate(rows["frames"].tolist())
        if min(frame) >= 0 and rows["members"][row, group]
    }
    flicker, acceleration = [], []
    squares: dict[tuple[int, int], list[float]] = {}
    for (dataset, track, time), now in at.items():
        before, after = at.get((dataset, track, time - 1)), at.get((dataset, track, time + 1))
        if before is not None:
            off = np.hypot(*((p[now] - p[before]) - (g[now] - g[before])).T)
            if not np.isnan(off).all():
                flicker.append(100 * np.nanmean(off) / norm[now])
                both = ~np.isnan(off)
                low, high = np.nanmin(g[now], axis=0), np.nanmax(g[now], axis=0)
                side = np.sqrt(np.prod(high - low)) / 256
                if side > 0:
                    squares.setdefault((dataset, track), []).append(
                        float((100 * off[both] / side) @ (100 * off[both] / side) / both.sum())
                    )
            if after is not None:
                second = np.hypot(*(p[after] - 2 * p[now] + p[before]).T)
                acceleration.append(100 * second.mean() / norm[now])
    nmf = np.mean([np.sqrt(np.mean(values)) for values in squares.values()])
    return float(np.mean(flicker)), float(np.mean(acceleration)), float(nmf)


def feed(metric: GatheredMetric, rows: dict[str, Tensor], chosen: Tensor | slice) -> None:
    metric.update(**{name: values[chosen] for name, values in rows.items()})


@pytest.mark.parametrize("seed", range(4))
def test_motion_is_the_definition(seed: int) -> None:
    rows = make_frames(seed)
    metric = FrameMotion(N, groups=2)
    feed(metric, rows, slice(None))
    for group, figures in enumerate(metric.compute().tolist()):
        assert figures == pytest.approx(reference(rows, group), rel=1e-5)


def test_flicker_and_acceleration_by_hand() -> None:
    # The truth moves by (3, 4) a frame. Point 0 is right but for a jump of (0, 6) in the second
    # frame; point 1 has a constant offset, which is no flicker. A norm of 60 in every frame.
    step = torch.tensor([3.0, 4.0]) * torch.arange(3.0).view(3, 1, 1)
    truth = torch.zeros(3, 2, 2) + step
    predicted = truth.clone()
    predicted[1, 0, 1] += 6
    predicted[:, 1] += 9
    frames = torch.tensor([[0, 1, 5], [0, 1, 6], [0, 1, 7]])
    metric = FrameMotion(2)
    metric.update(predicted, truth, torch.full((3,), 60.0), frames)
    # both pairs are off by (6 + 0) / 2 = 3 of 60; the second difference is (12 + 0) / 2 = 6 of 60
    assert metric.compute()[:, :2].tolist() == [pytest.approx([5.0, 10.0])]


def test_the_norm_is_that_of_the_later_and_of_the_middle_frame() -> None:
    predicted = torch.tensor([0.0, 1.0, 4.0]).view(3, 1, 1).expand(3, 1, 2) * torch.tensor([1.0, 0])
    frames = torch.tensor([[0, 0, 0], [0, 0, 1], [0, 0, 2]])
    metric = FrameMotion(1)
    metric.update(predicted, torch.zeros(3, 1, 2), torch.tensor([7.0, 10.0, 30.0]), frames)
    # 1 of 10 and 3 of 30; the second difference is 2 of 10
    assert metric.compute()[:, :2].tolist() == [pytest.approx([10.0, 20.0])]
    assert bool(metric.compute()[0, 2].isnan())  # the box of one point has no area


def test_a_prediction_that_is_no_number_makes_its_pairs_infinite() -> None:
    frames = torch.tensor([[0, 0, t] for t in range(4)])
    predicted = torch.zeros(4, 2, 2)
    predicted[0, 1] = NAN
    metric = FrameMotion(2)
    truth = torch.tensor([[0.0, 0.0], [8.0, 8.0]]).expand(4, 2, 2)
    metric.update(predicted, truth, torch.ones(4), frames)
    assert metric.compute().tolist() == [[INF, INF, INF]]
    alone = FrameMotion(2)  # a point that the scheme does not have may be anything
    counted = torch.tensor([[True, False]] * 4)
    alone.update(predicted, torch.zeros(4, 2, 2), torch.ones(4), frames, None, counted)
    assert alone.compute()[:, :2].tolist() == [[0.0, 0.0]]


def test_without_truth_there_is_acceleration_alone() -> None:
    frames = torch.tensor([[0, 0, t] for t in range(3)])
    predicted = torch.tensor([0.0, 1.0, 4.0]).view(3, 1, 1).expand(3, 1, 2)
    metric = FrameMotion(1)
    metric.update(predicted, torch.full((3, 1, 2), NAN), torch.full((3,), 100.0), frames)
    assert metric.compute()[0].isnan().tolist() == [True, False, True]
    assert float(metric.compute()[0, 1]) == pytest.approx(math.sqrt(8))


def test_nmf_by_hand() -> None:
    """The authors' formula: root mean squares within a track, and the mean over tracks."""
    # Boxes of 32 x 128 pixels in each later frame: 1 pixel is 100 * 256 / 64 = 400 units.
    truth = torch.tensor([[0.0, 0.0], [32.0, 128.0]]).expand(5, 2, 2).clone()
    truth[0] *= 3.0  # of a first frame only the motion counts: none of it is predicted
    predicted = torch.tensor([[0.0, 0.0], [32.0, 128.0]]).expand(5, 2, 2).clone()
    predicted[0] *= 3.0
    predicted[1, 0, 0] += 2.0  # errors of motion: 2, 0, then back again 2, 0
    predicted[4] += torch.tensor([3.0, 4.0])  # 5, 5 on the other track
    frames = torch.tensor([[0, 1, 0], [0, 1, 1], [0, 1, 2], [0, 2, 0], [0, 2, 1]])
    metric = FrameMotion(2)
    metric.update(predicted, truth, torch.ones(5), frames)
    expected = 400 * (math.sqrt((4 + 0 + 4 + 0) / 4) + 5) / 2
    assert float(metric.compute()[0, 2]) == pytest.approx(expected)


def test_stills_are_not_kept() -> None:
    metric = FrameMotion(2)
    metric.update(torch.zeros(5, 2, 2), torch.zeros(5, 2, 2), torch.ones(5), torch.full((5, 3), -1))
    assert sum(len(rows) for rows in metric.predicted) == 0
    assert metric.compute().isnan().all()


def test_runs_need_a_track_and_no_gap() -> None:
    frames = torch.tensor(
        [[0, 1, 2], [0, 1, 0], [1, 1, 3], [0, 1, 1], [0, 2, 3], [0, 1, 4], [0, 1, 1]]
    )
    # times 0, 1, 2 of track 1 are rows 1, 3, 0; row 6 says row 3 again
    assert motion.consecutive_frames(frames, 2).tolist() == [[1, 3], [3, 0]]
    assert motion.consecutive_frames(frames, 3).tolist() == [[1, 3, 0]]
    assert motion.consecutive_frames(frames, 4).shape == (0, 4)
    assert motion.consecutive_frames(frames[:0], 2).shape == (0, 2)


def make_scores(seed: int, faces: int = 30) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    members = torch.rand(faces, 2, generator=g) > 0.4
    return {
        # few values, so that there are ties
        "visibility": (torch.rand(faces, N, generator=g) * 8).round() / 8,
        "visible": torch.randint(-1, 3, (faces, N), generator=g, dtype=torch.int8),
        "members": members,
    }


@given(st.integers(0, 10_000))
def test_auroc_is_that_of_torchmetrics(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    scores = (torch.rand(60, generator=g) * 10).round() / 10
    positive = torch.rand(60, generator=g) < 0.3 + 0.4 * scores
    positive[0], positive[1] = True, False
    expected = 100 * float(binary_auroc(scores, positive.int()))
    assert float(f.auroc(scores, positive)) == pytest.approx(expected, abs=1e-3)


def test_auroc_by_counting_pairs() -> None:
    rows = make_scores(1)
    metric = VisibilityAUROC(N, groups=2)
    feed(metric, rows, slice(None))
    for group, area in enumerate(metric.compute()[:, 0].tolist()):
        inside = rows["members"][:, group]
        scores, visible = rows["visibility"][inside].flatten(), rows["visible"][inside].flatten()
        wins = [
            float(a > b) + 0.5 * float(a == b)
            for a in scores[visible == 1]
            for b in scores[(visible == 0) | (visible == 2)]
        ]
        assert area == pytest.approx(100 * sum(wins) / len(wins))


def test_auroc_of_numbers_that_are_none_and_of_one_class() -> None:
    positive = torch.tensor([True, True, False, False])
    # every pair with a NaN is lost, of visible and of occluded points alike
    assert float(f.auroc(torch.tensor([NAN, 0.9, 0.1, NAN]), positive)) == 25.0
    assert f.auroc(torch.rand(3), torch.ones(3, dtype=torch.bool)).isnan()
    assert f.auroc(torch.rand(0), torch.ones(0, dtype=torch.bool)).isnan()


CASES = [(FrameMotion(N, groups=2), make_frames), (VisibilityAUROC(N, groups=2), make_scores)]


@pytest.mark.parametrize(("metric", "make"), CASES, ids=["motion", "auroc"])
@given(seed=st.integers(0, 10_000), shards=st.integers(1, 5))
def test_any_order_and_number_of_shards_equals_one(
    metric: GatheredMetric, make: object, seed: int, shards: int
) -> None:
    rows = make(seed)  # type: ignore[operator]
    count = len(rows["members"])
    one = copy.deepcopy(metric)
    feed(one, rows, slice(None))
    parts = [copy.deepcopy(metric) for _ in range(shards + 1)]  # the last has no face at all
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    for place, chosen in enumerate(shuffled.split(3)):
        feed(parts[place % shards], rows, chosen)
    for other in parts[1:]:
        parts[0].merge_state(other)
    torch.testing.assert_close(parts[0].compute(), one.compute(), equal_nan=True)


@pytest.mark.parametrize(("metric", "make"), CASES, ids=["motion", "auroc"])
def test_three_processes_join_to_one(metric: GatheredMetric, make: object) -> None:
    """The gathering that Lightning triggers, played by hand; the third rank has no face."""
    rows = make(7)  # type: ignore[operator]
    whole = copy.deepcopy(metric)
    feed(whole, rows, slice(None))
    ranks = [copy.deepcopy(metric) for _ in range(3)]
    for rank in range(2):
        feed(ranks[rank], rows, slice(rank, None, 2))
    names = list(metric._empty)
    calls = iter(names)

    def gather(state: Tensor, group: object = None) -> list[Tensor]:
        states = [torch.cat(getattr(rank, name)) for name in [next(calls)] for rank in ranks]
        assert torch.equal(state.nan_to_num(-1), states[0].nan_to_num(-1))
        # what a collective needs: one type and one row shape, whoever has no rows
        assert len({(s.dtype, s.shape[1:]) for s in states}) == 1
        return states

    ranks[0].dist_sync_fn = gather
    ranks[0].distributed_available_fn = lambda: True
    torch.testing.assert_close(ranks[0].compute(), whole.compute())


def test_half_precision_and_reset() -> None:
    metric = VisibilityAUROC(N).half()
    visible = torch.tensor([[1, 0, -1]], dtype=torch.int8)
    metric.update(torch.tensor([[0.9, 0.1, 0.5]], dtype=torch.float16), visible)
    assert {rows.dtype for rows in metric.scores} == {torch.float32}
    assert metric.compute().tolist() == 100.0
    metric.reset()
    metric.update(torch.tensor([[0.1, 0.9, 0.5]]), visible)
    assert metric.compute().tolist() == 0.0
    assert not metric.state_dict()
