"""Losses of points and pose against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from lit_landmarks.nets.losses import point_distance, pose_distance, wing

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
