"""The loss of ASMNet against values worked out by hand and the identity of its gradient."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.errors import UserError
from lit_landmarks.nets.asm_loss import (
    ASMLossOptions,
    blended_target,
    from_centred,
    point_distance,
    pose_distance,
    to_centred,
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


@given(alpha=st.floats(0.0, 4.0), seed=st.integers(0, 999))
def test_gradient_is_that_of_the_blended_target(alpha: float, seed: int) -> None:
    """d/dP [MSE(P,G) + alpha MSE(P,A)] = (1 + alpha) d/dP MSE(P, (G + alpha A)/(1 + alpha))."""
    generator = torch.Generator().manual_seed(seed)
    predicted, truth, smooth = torch.randn(
        3, 4, 6, 2, generator=generator, dtype=torch.float64
    ).unbind()
    predicted.requires_grad_()
    mask = torch.rand(4, 6, generator=generator) > 0.2
    two = point_distance(predicted, truth, mask) + alpha * point_distance(predicted, smooth, mask)
    one = point_distance(predicted, blended_target(truth, smooth, alpha), mask)
    (left,) = torch.autograd.grad(two, predicted)
    (right,) = torch.autograd.grad((1 + alpha) * one, predicted)
    torch.testing.assert_close(left, right)


def test_alpha_by_thirds_changes_at_the_boundaries() -> None:
    thirds = ASMLossOptions()
    assert [thirds.alpha_at(i, 9) for i in range(9)] == [2.0] * 3 + [1.0] * 3 + [0.5] * 3
    # 150 epochs, as in the authors' code: switches at 50 and 100
    assert [thirds.alpha_at(i, 150) for i in (49, 50, 99, 100, 149)] == [2.0, 1.0, 1.0, 0.5, 0.5]
    # 10 epochs: i < 10/3 for 0..3, i < 20/3 for 4..6
    assert [thirds.alpha_at(i, 10) for i in range(10)] == [2.0] * 4 + [1.0] * 3 + [0.5] * 3


def test_other_alpha_schedules() -> None:
    to_zero = ASMLossOptions(alpha_schedule="to_zero")
    assert [to_zero.alpha_at(i, 5) for i in range(6)] == [2.0, 1.0, 0.5, 0.0, 0.0, 0.0]
    assert ASMLossOptions(alpha_schedule="constant", alpha=0.8).alpha_at(3, 4) == 0.8
    assert ASMLossOptions(alpha_schedule="off").alpha_at(0, 4) == 0.0
    assert ASMLossOptions(alpha=0.5).alpha_at(0, 3) == 1.0


@pytest.mark.parametrize(
    "bad",
    [
        {"alpha_schedule": "half"},
        {"distance": "huber"},
        {"smooth": "both"},
        {"share": 0.0},
        {"pose_scale": 0.0},
    ],
)
def test_bad_options_are_told(bad: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(bad))):
        ASMLossOptions(**bad)  # type: ignore[arg-type]


def test_centred_units() -> None:
    corners = torch.tensor([[-0.5, -0.5], [223.5, 223.5], [111.5, 0.0]])
    unit = to_centred(corners, 224)
    assert torch.allclose(unit[0], torch.tensor([-0.5, -0.5]))
    assert torch.allclose(unit[1], torch.tensor([0.5, 0.5]))
    assert torch.allclose(from_centred(unit, 224), corners, atol=1e-4)
