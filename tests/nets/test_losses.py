"""Losses of points and pose against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from lit_landmarks.nets.losses import (
    adaptive_wing,
    gaussian_nll,
    heatmap_nll,
    point_distance,
    pose_distance,
    wing,
)

NAN = math.nan


def test_distances_by_hand() -> None:
    # Face 1: (3, 4) and (0, 0) off; face 2: one point (0, 1) off, the other not annotated.
    truth = torch.tensor([[[0.0, 0.0], [1.0, 1.0]], [[2.0, 2.0], [NAN, NAN]]])
    predicted = torch.tensor([[[3.0, 4.0], [1.0, 1.0]], [[2.0, 3.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True], [True, False]])
    # squared: face 1 (12.5 + 0) / 2 = 6.25, face 2 0.5
    assert point_distance(predicted, truth, mask).item() == pytest.approx((6.25 + 0.5) / 2)
    # euclidean: face 1 (5 + 0) / 2, face 2 1
    value = point_distance(predicted, truth, mask, "euclidean").item()
    assert value == pytest.approx((2.5 + 1.0) / 2)
    # l1: face 1 (3.5 + 0) / 2, face 2 0.5
    assert point_distance(predicted, truth, mask, "l1").item() == pytest.approx((1.75 + 0.5) / 2)


def test_wing_by_hand() -> None:
    # w = 10, epsilon = 2: ln(1 + 3/2) * 10 below w, 20 - (10 - 10 ln 6) above.
    values = wing(torch.tensor([0.0, -3.0, 20.0]), w=10.0, epsilon=2.0)
    expected = [0.0, 10 * math.log(2.5), 20 - (10 - 10 * math.log(6))]
    assert values.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("distance", ["squared", "euclidean", "l1", "wing"])
def test_masked_points_leave_no_trace(distance: str) -> None:
    predicted = torch.rand(2, 5, 2, requires_grad=True)
    truth = torch.rand(2, 5, 2)
    truth[:, 3] = NAN
    truth[1] = NAN
    mask = torch.tensor([[True, True, True, False, True], [False] * 5])
    point_distance(predicted, truth, mask, distance).backward()  # type: ignore[arg-type]
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()
    assert (predicted.grad.abs().sum(-1) > 0).equal(mask)


def test_no_annotated_point_is_zero_with_a_graph() -> None:
    predicted = torch.rand(2, 3, 2, requires_grad=True)
    loss = point_distance(predicted, torch.full((2, 3, 2), NAN), torch.zeros(2, 3, dtype=bool))
    loss.backward()
    assert loss.item() == 0.0
    assert predicted.grad is not None
    assert not predicted.grad.any()


def test_pose_by_hand() -> None:
    predicted = torch.tensor([[0.5, 0.0, 0.0], [7.0, 7.0, 7.0]])
    pose = torch.tensor([[65.0, 0.0, -32.5, 1, 2, 3], [NAN] * 6])
    has_pose = torch.tensor([True, False])
    # differences 0.5, 0, 0.5 of row 1 alone
    value = pose_distance(predicted, pose, has_pose, 65.0).item()
    assert value == pytest.approx((0.25 + 0.0 + 0.25) / 3)
    assert pose_distance(predicted, pose, torch.zeros(2, dtype=bool), 65.0).item() == 0.0


def test_wing_is_continuous_and_its_slope_is_known_on_both_sides() -> None:
    w, epsilon = 10.0, 2.0
    joint = torch.tensor([w - 1e-4, w + 1e-4], dtype=torch.float64, requires_grad=True)
    values = wing(joint, w=w, epsilon=epsilon)
    assert (values[1] - values[0]).item() == pytest.approx(0.0, abs=1e-3)
    (slopes,) = torch.autograd.grad(values.sum(), joint)
    # w / (epsilon + |d|) within, 1 beyond: the kink is the published one.
    assert slopes.tolist() == pytest.approx([10.0 / 12.0, 1.0], abs=1e-4)


def test_adaptive_wing_by_hand() -> None:
    # y = 1: exponent 1.1; y = 0: exponent 2.1 (alpha 2.1, omega 14, epsilon 1, theta 0.5)
    target = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    predicted = torch.tensor([0.8, 0.3, 0.2, -1.0], dtype=torch.float64)
    small = [14 * math.log(1 + 0.2**1.1), 14 * math.log(1 + 0.3**2.1)]

    def line(difference: float, power: float) -> float:
        slope = 14 * (1 / (1 + 0.5**power)) * power * 0.5 ** (power - 1)
        return slope * difference - (0.5 * slope - 14 * math.log(1 + 0.5**power))

    expected = [*small, line(0.8, 1.1), line(1.0, 2.1)]
    assert adaptive_wing(predicted, target).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("target", [0.0, 0.4, 1.0])
def test_adaptive_wing_is_smooth_at_its_joint_and_flat_where_nothing_is_wrong(
    target: float,
) -> None:
    truth = torch.full((3,), target, dtype=torch.float64)
    off = torch.tensor([0.0, 0.5 - 1e-6, 0.5 + 1e-6], dtype=torch.float64)
    predicted = (truth + off).requires_grad_()
    values = adaptive_wing(predicted, truth)
    (slopes,) = torch.autograd.grad(values.sum(), predicted)
    assert values[0] == 0.0
    assert slopes[0] == 0.0
    assert values[1].item() == pytest.approx(values[2].item(), abs=1e-4)
    assert slopes[1].item() == pytest.approx(slopes[2].item(), abs=1e-4)
    wanted = torch.tensor([0.03, 0.2, 0.45, 0.7, -0.2, -0.9], dtype=torch.float64)
    point = (target + wanted).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: adaptive_wing(p, torch.full_like(p, target)), point)


def test_adaptive_wing_far_off_keeps_a_finite_gradient() -> None:
    predicted = torch.tensor([1e30, -1e30], requires_grad=True)
    adaptive_wing(predicted, torch.tensor([1.0, 0.0])).sum().backward()
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()


def test_gaussian_nll_is_the_density_of_the_normal_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted, truth = torch.randn(2, 3, 5, 2, generator=generator, dtype=torch.float64).unbind()
    log_sigma = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    mask = torch.tensor([[True, True, False, True, True], [True] * 5, [False] * 5])
    truth[~mask] = NAN
    normal = torch.distributions.Normal(predicted, log_sigma.exp()[..., None])
    density = normal.log_prob(truth.nan_to_num()).sum(-1) + math.log(2 * math.pi)
    faces = [-density[b][mask[b]].mean().item() for b in (0, 1)]
    value = gaussian_nll(predicted, log_sigma, truth, mask).item()
    assert value == pytest.approx(sum(faces) / 2)


def test_gaussian_nll_by_hand_and_at_its_minimum() -> None:
    predicted = torch.tensor([[[3.0, 4.0]]])
    log_sigma = torch.tensor([[math.log(5.0 / math.sqrt(2.0))]], requires_grad=True)
    loss = gaussian_nll(predicted, log_sigma, torch.zeros(1, 1, 2), torch.tensor([[True]]))
    # 25 / (2 * 12.5) + 2 log sigma
    assert loss.item() == pytest.approx(1.0 + math.log(12.5))
    loss.backward()
    assert log_sigma.grad is not None
    assert log_sigma.grad.item() == pytest.approx(0.0, abs=1e-6)


def test_gaussian_nll_leaves_masked_points_alone() -> None:
    predicted = torch.rand(1, 2, 2, requires_grad=True)
    log_sigma = torch.tensor([[0.3, -1e4]], requires_grad=True)
    truth = torch.tensor([[[0.5, 0.5], [NAN, NAN]]])
    gaussian_nll(predicted, log_sigma, truth, torch.tensor([[True, False]])).backward()
    for gradient in (predicted.grad, log_sigma.grad):
        assert gradient is not None
        assert gradient.isfinite().all()
        assert not gradient[0, 1].any()
        assert gradient[0, 0].any()


def test_heatmap_nll_reads_the_softmax_between_pixels() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.2], [0.3, 0.4]]))[None, None]
    places = torch.tensor([[[0.5, 0.0]]])
    mask = torch.ones(1, 1, dtype=torch.bool)
    loss = heatmap_nll(logits, places, mask).item()
    assert loss == pytest.approx(-math.log((0.1 + 0.2) / 2), rel=1e-5)
    outside = torch.tensor([[[1.2, 0.0]]])
    assert heatmap_nll(logits, outside, mask).item() == 0.0
    assert heatmap_nll(logits, places * torch.nan, ~mask).item() == 0.0
