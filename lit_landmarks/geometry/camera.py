"""Pinhole camera: head-frame points to frame pixels.

Depth z grows away from the camera and must be positive. A `pose` is yaw, pitch, roll in degrees
and tx, ty, tz in head units (outer eye corners of the mean face 1 apart), in the *pose camera* that
all methods share: focal length 1.5 frame sides, principal point at the middle of the frame. For a
face whose eye corners are W / 3 apart, tz is about 4.5.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lit_landmarks.geometry.rotations import euler_to_matrix

#: Focal length of the pose camera in frame sides (SPIGA, Prados-Torreblanca et al., BMVC 2022).
POSE_FOCAL = 1.5

Scalar = float | Tensor


def pose_camera(size: int) -> tuple[float, float]:
    """Focal length and both coordinates of the principal point, in pixels of a `size` frame."""
    return POSE_FOCAL * size, (size - 1) / 2


def per_row(value: Scalar, like: Tensor) -> Tensor:
    """A number or (B,) values as (B or 1, 1, 1), to scale (B, N, 2) points."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).reshape(-1, 1, 1)


def per_row_point(value: Scalar, like: Tensor) -> Tensor:
    """A number, (2,) or (B, 2) as something that broadcasts against (B, N, 2) points."""
    point = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    return point.reshape(-1, 1, 2) if point.ndim else point


def to_camera(points3d: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
    """R x + t: (B, N, 3) or (N, 3) head-frame points to (B, N, 3) camera points."""
    return points3d @ rotation.mT + translation.unsqueeze(-2)


def project_rt(
    points3d: Tensor, rotation: Tensor, translation: Tensor, focal: Scalar, center: Scalar
) -> Tensor:
    """Perspective image of points under a rotation matrix and a translation.

    Args:
        points3d: (B, N, 3) or (N, 3) head frame.
        rotation: (B, 3, 3).
        translation: (B, 3) head units.
        focal: pixels, a number or (B,).
        center: principal point, a number for both coordinates, (2,) or (B, 2).

    Returns:
        (B, N, 2) pixels.
    """
    camera = to_camera(points3d, rotation, translation)
    plane = camera[..., :2] / camera[..., 2:]
    return plane * per_row(focal, plane) + per_row_point(center, plane)


def project(points3d: Tensor, pose: Tensor, focal: Scalar, center: Scalar) -> Tensor:
    """Perspective image of points under (B, 6) poses; see `project_rt` and `pose_camera`."""
    return project_rt(points3d, euler_to_matrix(pose[..., :3]), pose[..., 3:], focal, center)
