"""Kernels and norms against values worked out by hand and against plain NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from lit_landmarks.metrics import NORMS, norm_values
from lit_landmarks.metrics import functional as f
from lit_landmarks.schemes import SCHEMES, get_scheme

NAN, INF = math.nan, math.inf


def numpy_nme(predicted: Tensor, truth: Tensor, mask: Tensor, norm: Tensor) -> list[float]:
    """One face and one landmark at a time, as the definition reads."""
    faces = []
    for p, g, m, d in zip(
        predicted.numpy(), truth.numpy(), mask.numpy(), norm.numpy(), strict=True
    ):
        errors = [np.sqrt(((a - b) ** 2).sum()) for a, b, k in zip(p, g, m, strict=True) if k]
        faces.append(100 * sum(errors) / len(errors) / d if errors and d > 0 else NAN)
    return faces


def test_nme_by_hand() -> None:
    truth = torch.tensor([[[0.0, 0.0], [10.0, 0.0], [5.0, 5.0]]])
    predicted = truth + torch.tensor([[3.0, 4.0], [0.0, 1.0], [0.0, 0.0]])
    # distances 5, 1, 0: mean 2, of a norm of 10 is 20 %; without the last landmark 30 %
    norm = torch.tensor([10.0])
    assert f.nme(predicted, truth, norm).tolist() == pytest.approx([20.0])
    mask = torch.tensor([[True, True, False]])
    assert f.nme(predicted, truth, norm, mask).tolist() == pytest.approx([30.0])
    groups = torch.tensor([[True, False, False], [False, True, True]])
    both = f.nme(predicted, truth, torch.tensor([[10.0, 20.0]]), None, groups)
    assert both.shape == (1, 2, 2)
    assert both[0].tolist() == [pytest.approx([50.0, 25.0]), pytest.approx([5.0, 2.5])]


def test_3d_nme_by_hand_ignores_the_mean_depth() -> None:
    truth = torch.tensor([[[0.0, 0.0, 1.0], [4.0, 0.0, 3.0]]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    predicted = truth + torch.tensor([[0.0, 3.0, 11.0], [0.0, 3.0, 3.0]])
    # depths about their means: truth -1, +1; prediction 3, -3 -> distances 5, 5
    p, g = f.center_depth(predicted, mask), f.center_depth(truth, mask)
    assert f.nme(p, g, torch.tensor([50.0]), mask).tolist() == pytest.approx([10.0])


def test_missing_and_broken_points() -> None:
    truth = torch.tensor([[[0.0, 0.0], [NAN, 0.0]]] * 4)
    predicted = torch.zeros(4, 2, 2)
    predicted[1, 0, 0] = NAN  # the prediction is broken where the truth is annotated
    predicted[2, 1, 0] = NAN  # and where it is not
    mask = torch.tensor([[True, True]] * 3 + [[False, True]])
    errors = f.nme(predicted, truth, torch.ones(4), mask).tolist()
    assert errors[:3] == [0.0, INF, 0.0]
    assert math.isnan(errors[3])
    for bad in (0.0, -1.0, NAN):
        assert f.nme(predicted[:1], truth[:1], torch.tensor([bad])).isnan().all()


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 12))
def test_nme_is_the_definition(seed: int, faces: int, n: int) -> None:
    g = torch.Generator().manual_seed(seed)
    truth = torch.rand(faces, n, 2, generator=g, dtype=torch.float64) * 100
    predicted = truth + torch.randn(faces, n, 2, generator=g, dtype=torch.float64)
    mask = torch.rand(faces, n, generator=g) > 0.3
    norm = torch.rand(faces, generator=g, dtype=torch.float64) * 50 - 5
    mine = f.nme(predicted, truth, norm, mask).numpy()
    np.testing.assert_allclose(mine, numpy_nme(predicted, truth, mask, norm), rtol=1e-9)


def test_threshold_kernels_by_hand() -> None:
    errors = torch.tensor([0.0, 2.0, 8.0, 10.0, INF, NAN])
    assert f.failure_indicator(errors, 8.0)[:5].tolist() == [0, 0, 0, 100, 100]
    assert f.auc_contribution(errors, 8.0)[:5].tolist() == pytest.approx([100, 75, 0, 0, 0])
    assert f.failure_indicator(errors, 8.0)[5].isnan()
    assert f.auc_contribution(errors, 8.0)[5].isnan()
    assert f.ced(errors, torch.tensor([1.0, 8.0, 20.0])).tolist() == pytest.approx([0.2, 0.6, 0.8])


@given(st.lists(st.floats(0, 30), min_size=1, max_size=40), st.floats(0.5, 20))
def test_auc_is_the_area_under_the_ced(errors: list[float], t: float) -> None:
    x = torch.tensor(errors, dtype=torch.float64)
    middles = (torch.arange(200_000, dtype=torch.float64)[::100] + 50) * t / 200_000
    area = 100 * float(f.ced(x, middles).mean())
    assert float(f.auc_contribution(x, t).mean()) == pytest.approx(area, abs=0.05)


def test_angles_take_the_short_way() -> None:
    predicted = torch.tensor([[170.0, -10.0, 0.0], [NAN, 5.0, 360.0]])
    truth = torch.tensor([[-170.0, 20.0, NAN], [0.0, 0.0, -1.0]])
    errors = f.angle_errors(predicted, truth)
    assert errors[0, :2].tolist() == [20.0, 30.0]
    assert errors[0, 2].isnan()
    assert errors[1].tolist() == [INF, 5.0, 1.0]


def test_occlusion_counts_by_hand() -> None:
    visible = torch.tensor([[0, 2, 1, 1, -1, 0]], dtype=torch.int8)
    probability = torch.tensor([[0.1, 0.9, 0.2, 0.8, 0.1, NAN]])
    # one hit, one false alarm, two misses (a NaN calls nothing), one clear; the unknown is left out
    assert f.occlusion_counts(probability, visible).tolist() == [[1, 1, 2, 1]]


def test_norms_by_hand() -> None:
    scheme = get_scheme("ibug68")
    points = torch.zeros(1, 68, 2)
    points[0, 36] = torch.tensor([10.0, 20.0])
    points[0, 45] = torch.tensor([40.0, 60.0])  # 30, 40: 50 apart
    points[0, 37:42] = torch.tensor([10.0, 20.0])
    points[0, 42:45] = points[0, 46:48] = torch.tensor([16.0, 28.0])
    # right pupil (10, 20); left (5 * (16, 28) + (40, 60)) / 6 = (20, 33.33); box 40 x 60
    expected = [50.0, math.hypot(10, 40 / 3), math.sqrt(2400), 60.0, math.hypot(40, 60)]
    assert norm_values(points, None, scheme)[0].tolist() == pytest.approx(expected)


def test_undefined_norms_are_nan() -> None:
    points = torch.rand(4, 68, 2) * 100
    mask = torch.ones(4, 68, dtype=torch.bool)
    mask[0, 36] = False  # an eye corner
    mask[1, 43] = False  # a pupil point that is no corner
    mask[2, 1:] = False  # one point has no box
    mask[3] = False
    nan = norm_values(points, mask, "ibug68").isnan().tolist()
    assert nan[0] == [True, True, False, False, False]
    assert nan[1] == [False, True, False, False, False]
    assert nan[2] == [True] * 5
    assert nan[3] == [True] * 5
    assert norm_values(points, None, None)[:, :2].isnan().all()
    points[0, 36, 0] = NAN  # a point that is not a number counts as missing
    assert norm_values(points, None, "ibug68")[0, 0].isnan()


@pytest.mark.parametrize("name", sorted(SCHEMES))
@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 10))
def test_norms_are_lengths(name: str, seed: int, scale: float) -> None:
    g = torch.Generator().manual_seed(seed)
    points = torch.rand(3, SCHEMES[name].n_points, 2, generator=g, dtype=torch.float64) * 100
    before = norm_values(points, None, name)
    after = norm_values(points * scale + 7, None, name)
    assert before.shape == (3, len(NORMS))
    torch.testing.assert_close(after, before * scale)


def make_shapes(seed: int, faces: int = 4, n: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    truth = torch.randn(faces, n, 3, generator=g, dtype=torch.float64) * 10
    predicted = torch.randn(faces, n, 3, generator=g, dtype=torch.float64) * 4 + 3
    mask = torch.rand(faces, n, generator=g) > 0.2
    mask[:, :3] = True
    return predicted + 0.5 * truth, truth, mask


@given(st.integers(0, 10_000))
def test_alignment_is_that_of_scipy(seed: int) -> None:
    """Rotation by SciPy's solver of Wahba's problem; the scale follows from it by projection."""
    predicted, truth, mask = make_shapes(seed)
    if seed % 2:
        predicted = predicted * torch.tensor([1.0, 1.0, -1.0])  # a mirror, which is not allowed
    rigid, similar = (f.align_points(predicted, truth, mask, a) for a in ("rigid", "similarity"))
    for face in range(len(truth)):
        chosen = mask[face].numpy()
        p, q = predicted[face].numpy()[chosen], truth[face].numpy()[chosen]
        p, center = p - p.mean(axis=0), q.mean(axis=0)
        turned = Rotation.align_vectors(q - center, p)[0].apply(p)
        scale = (turned * (q - center)).sum() / (p * p).sum()
        np.testing.assert_allclose(rigid[face].numpy()[chosen], turned + center, atol=1e-6)
        np.testing.assert_allclose(
            similar[face].numpy()[chosen], scale * turned + center, atol=1e-6
        )


@given(st.integers(0, 10_000))
def test_alignment_undoes_a_similarity(seed: int) -> None:
    _, truth, mask = make_shapes(seed)
    turn = torch.from_numpy(
        Rotation.from_quat(np.random.default_rng(seed).normal(size=4)).as_matrix()
    )
    moved = 0.3 * truth @ turn.T + 5
    norm = torch.full((len(truth),), 10.0, dtype=torch.float64)
    assert f.aligned_nme(moved, truth, norm, mask).tolist() == pytest.approx([0] * 4, abs=1e-9)
    # what is left of a rigid fit is the size: 0.7 of each point's distance from the center
    weight = mask.unsqueeze(-1) / mask.sum(dim=1).view(-1, 1, 1)
    radius = (truth - (truth * weight).sum(dim=1, keepdim=True)).norm(dim=-1, keepdim=True)
    left = 10 * 0.7 * (radius * weight).sum(dim=(1, 2))
    rigid = f.aligned_nme(moved, truth, norm, mask, "rigid")
    torch.testing.assert_close(rigid, left)


def test_alignment_of_what_cannot_be_aligned() -> None:
    _, truth, _ = make_shapes(0, faces=4)
    mask = torch.ones(4, 9, dtype=torch.bool)
    mask[0, 2:] = False  # two points can be turned onto any two
    predicted = truth.clone()
    predicted[1, 4, 2] = NAN
    predicted[2] = 1.0  # all points in one place: the error is the mean distance from the center
    predicted[3, 5] = INF
    mask[3, 5] = False  # no one asks for this one
    error = f.aligned_nme(predicted, truth, torch.ones(4, dtype=torch.float64), mask)
    spread = 100 * (truth[2] - truth[2].mean(dim=0)).norm(dim=-1).mean()
    assert error[0].isnan()
    assert error[1:3].tolist() == [INF, pytest.approx(float(spread))]


def test_bins_by_hand() -> None:
    yaw = torch.tensor([0.0, 29.9, 30.0, 60.0, 60.1, 350.0, NAN])
    assert f.bin_members(yaw, (0, 30, 60, 90)).int().tolist() == [
        [1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0],
    ]  # fmt: skip  # a row for each value
    means = torch.tensor([[9.0], [3.0], [6.0], [NAN], [INF]])
    bins = torch.zeros(4, 5, dtype=torch.bool)
    bins[0, [1, 2]] = bins[1, [1, 3]] = bins[2, [1, 4]] = True
    assert f.mean_over_bins(means, bins).flatten().tolist()[::2] == [4.5, INF]
    assert f.mean_over_bins(means, bins).flatten()[1::2].isnan().all()
