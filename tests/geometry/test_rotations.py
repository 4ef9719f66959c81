"""Rotations: the documented signs, round trips, and an independent product of matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.geometry import (
    euler_to_matrix,
    flip_pose,
    geodesic_degrees,
    matrix_to_euler,
    matrix_to_six_d,
    six_d_to_matrix,
)

NOSE = torch.tensor([0.0, 0.0, -1.0])
EYE_ON_THE_RIGHT = torch.tensor([1.0, 0.0, 0.0])
angle = st.floats(-179.9, 179.9)
pitch_angle = st.floats(-89.0, 89.0)


def turn(yaw: float, pitch: float, roll: float) -> torch.Tensor:
    return euler_to_matrix(torch.tensor([yaw, pitch, roll], dtype=torch.float64))


@pytest.mark.parametrize(
    ("ypr", "part", "expected"),
    [
        ((0, 0, 0), NOSE, (0, 0, -1)),
        ((30, 0, 0), NOSE, (0.5, 0, -math.sqrt(0.75))),  # to the image's right
        ((0, 30, 0), NOSE, (0, -0.5, -math.sqrt(0.75))),  # up
        ((0, 0, 30), NOSE, (0, 0, -1)),
        ((0, 0, 30), EYE_ON_THE_RIGHT, (math.sqrt(0.75), 0.5, 0)),  # clockwise
        ((90, 0, 0), EYE_ON_THE_RIGHT, (0, 0, 1)),  # away from the camera
    ],
)
def test_documented_signs(
    ypr: tuple[int, int, int], part: torch.Tensor, expected: tuple[float, float, float]
) -> None:
    moved = turn(*ypr) @ part.double()
    assert torch.allclose(moved, torch.tensor(expected, dtype=torch.float64), atol=1e-12)


def test_same_product_as_spiga() -> None:
    """Ry(90 - yaw) Rz(-pitch) Rx(-(roll + 90)) on (z, -x, -y) of SPIGA's file axes."""

    def axis_rotation(axis: int, degrees: float) -> np.ndarray:
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        matrix = np.eye(3)
        matrix[i, i] = matrix[j, j] = c
        matrix[i, j], matrix[j, i] = -s, s
        return matrix

    yaw, pitch, roll = 25.0, -13.0, 40.0
    spiga = axis_rotation(1, 90 - yaw) @ axis_rotation(2, -pitch) @ axis_rotation(0, -(roll + 90))
    head = np.array([0.3, -0.7, 0.2])
    file_axes = head * (1, -1, -1)  # x right, y up, z towards the camera
    model = np.array([file_axes[2], -file_axes[0], -file_axes[1]])
    assert np.allclose(turn(yaw, pitch, roll).numpy() @ head, spiga @ model)


@given(angle, pitch_angle, angle)
def test_euler_round_trip(yaw: float, pitch: float, roll: float) -> None:
    ypr = torch.tensor([yaw, pitch, roll], dtype=torch.float64)
    matrix = euler_to_matrix(ypr)
    assert torch.allclose(matrix @ matrix.mT, torch.eye(3, dtype=torch.float64), atol=1e-12)
    assert abs(float(torch.linalg.det(matrix)) - 1) < 1e-12
    assert torch.allclose(matrix_to_euler(matrix), ypr, atol=1e-9)


@given(angle, st.sampled_from([90.0, -90.0]), angle)
def test_gimbal_lock_keeps_the_rotation(yaw: float, pitch: float, roll: float) -> None:
    matrix = turn(yaw, pitch, roll)
    ypr = matrix_to_euler(matrix)
    assert ypr[2] == 0
    assert torch.allclose(euler_to_matrix(ypr), matrix, atol=1e-6)


@given(angle, pitch_angle, angle)
def test_six_d_round_trip(yaw: float, pitch: float, roll: float) -> None:
    matrix = turn(yaw, pitch, roll)
    assert torch.allclose(six_d_to_matrix(matrix_to_six_d(matrix)), matrix, atol=1e-12)


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_any_six_numbers_give_a_rotation(numbers: list[float]) -> None:
    six_d = torch.tensor(numbers, dtype=torch.float64)
    a, b = six_d[:3], six_d[3:]
    if torch.linalg.vector_norm(torch.linalg.cross(a, b)) < 1e-3:
        return
    matrix = six_d_to_matrix(six_d)
    assert torch.allclose(matrix.mT @ matrix, torch.eye(3, dtype=torch.float64), atol=1e-9)
    assert torch.linalg.det(matrix) > 0
    assert torch.allclose(matrix[:, 0], a / a.norm())


@given(st.floats(1e-4, 179.9), angle, pitch_angle, angle)
def test_geodesic_is_the_angle_between(
    turned: float, yaw: float, pitch: float, roll: float
) -> None:
    a = turn(yaw, pitch, roll)
    b = a @ turn(0, 0, turned)
    assert float(geodesic_degrees(a, b)) == pytest.approx(turned, rel=1e-6)


def test_geodesic_keeps_small_angles_in_single_precision() -> None:
    a = torch.eye(3)
    b = euler_to_matrix(torch.tensor([0.01, 0.0, 0.0]))
    assert float(geodesic_degrees(a, b)) == pytest.approx(0.01, rel=1e-3)


@given(angle, pitch_angle, angle)
def test_flipped_pose_is_the_mirrored_rotation(yaw: float, pitch: float, roll: float) -> None:
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64))
    pose = torch.tensor([yaw, pitch, roll, 0.3, 0.2, 4.0], dtype=torch.float64)
    flipped = flip_pose(pose)
    expected = mirror @ euler_to_matrix(pose[:3]) @ mirror
    assert torch.allclose(euler_to_matrix(flipped[:3]), expected, atol=1e-12)
    assert flipped[3:].tolist() == [-0.3, 0.2, 4.0]
    assert torch.equal(flip_pose(pose[:3]), flipped[:3])
