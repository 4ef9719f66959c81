"""The pinhole camera: hand-computed images, one number or one value per face."""

from __future__ import annotations

import pytest
import torch

from lit_landmarks.geometry import (
    FACE_MIDDLE,
    against_ray,
    euler_to_matrix,
    geodesic_degrees,
    pose_camera,
    project,
    project_rt,
)


def test_projection_by_hand() -> None:
    focal, center = pose_camera(100)
    assert (focal, center) == (150.0, 49.5)
    points = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 1.0, 1.0]])
    pose = torch.tensor([[0.0, 0, 0, 0.1, 0.0, 3.0]])
    image = project(points, pose, focal, center)
    # 150 * 0.1 / 3 = 5; 150 * 0.6 / 3 = 30; the third lies 4 deep: 150 * 0.1 / 4 and 150 / 4.
    expected = torch.tensor([[54.5, 49.5], [79.5, 49.5], [53.25, 87.0]])
    assert torch.allclose(image[0], expected)


def test_nose_tip_moves_as_documented() -> None:
    nose = torch.tensor([[0.0, 0.0, -0.5]])
    poses = torch.tensor([[20.0, 0, 0, 0, 0, 4], [0, 20, 0, 0, 0, 4], [0, 0, 20, 0, 0, 4]])
    moved = (project(nose, poses, 1.0, 0.0)[:, 0]).sign()
    assert moved.tolist() == [[1.0, 0.0], [0.0, -1.0], [0.0, 0.0]]


def test_focal_and_center_per_face() -> None:
    points = torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(0))
    pose = torch.tensor([[10.0, 5, -3, 0.1, 0.2, 4], [-40, 0, 20, 0, 0, 6]])
    focal = torch.tensor([100.0, 300.0])
    center = torch.tensor([[40.0, 30.0], [10.0, 20.0]])
    together = project(points, pose, focal, center)
    for row in range(2):
        alone = project_rt(
            points[row : row + 1],
            euler_to_matrix(pose[row : row + 1, :3]),
            pose[row : row + 1, 3:],
            float(focal[row]),
            center[row],
        )
        assert torch.allclose(together[row : row + 1], alone)


@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (50.0, -20.0, 30.0)])
@pytest.mark.parametrize("place", [(0.7, -0.2, 3.0), (-2.0, 1.5, 5.0)])
def test_a_camera_that_turns_to_the_face_sees_the_rotation_against_the_ray(
    angles: tuple[float, ...], place: tuple[float, ...]
) -> None:
    rotation = euler_to_matrix(torch.tensor([angles], dtype=torch.float64))
    middle = torch.tensor([place], dtype=torch.float64)
    translation = middle - rotation @ rotation.new_tensor(FACE_MIDDLE)
    turned = against_ray(rotation, translation)
    turn = rotation @ turned.mT  # of the camera, in its old axes
    assert torch.linalg.det(turn).item() == pytest.approx(1.0)
    # The middle of the face comes to lie straight ahead, and nothing turns about that axis.
    ahead = (turn.mT @ middle[..., None])[0, :, 0]
    assert ahead.tolist() == pytest.approx([0.0, 0.0, float(middle.norm())], abs=1e-9)
    assert turn[0, 0, 1].item() == pytest.approx(turn[0, 1, 0].item())
    off_axis = torch.rad2deg(torch.atan2(middle[0, :2].norm(), middle[0, 2]))
    assert geodesic_degrees(rotation, turned).item() == pytest.approx(float(off_axis))
