"""The loss of ASMNet: the identity of its gradient, its schedules, its options."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.errors import UserError
from lit_landmarks.methods.asmnet.loss import ASMLossOptions, blended_target
from lit_landmarks.nets.losses import point_distance


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
