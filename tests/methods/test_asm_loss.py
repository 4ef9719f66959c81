"""The loss of ASMNet: the identity of its gradient, its schedules, its options."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.errors import UserError
from lit_landmarks.methods.asmnet.loss import ASMLossOptions, blend_targets
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
    one = point_distance(predicted, blend_targets(truth, smooth, alpha), mask)
    (left,) = torch.autograd.grad(two, predicted)
    (right,) = torch.autograd.grad((1 + alpha) * one, predicted)
    torch.testing.assert_close(left, right)


@pytest.mark.parametrize(
    "bad",
    [
        {"alpha_schedule": "half"},
        {"distance": "huber"},
        {"smooth": "both"},
        {"share": 0.0},
        {"pose_scale": 0.0},
        {"pose_scale": float("inf")},
        {"alpha": -1.0},
        {"alpha": float("nan")},
        {"clamp": -0.5},
        {"clamp": float("inf")},
        {"pose_weight": -0.5},
        {"pose_weight": float("nan")},
        {"head_l2": -0.01},
    ],
)
def test_bad_options_are_told(bad: dict[str, object]) -> None:
    with pytest.raises(UserError, match=next(iter(bad))):
        ASMLossOptions(**bad)  # type: ignore[arg-type]
