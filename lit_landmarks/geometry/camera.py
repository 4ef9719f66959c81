"""Pinhole camera: head-frame points to frame pixels.

Depth z grows away from the camera and must be positive. The camera of `project` and `posit` may be
any. The *pose camera*, which all methods share, has a focal length of 1.5 frame sides and its
principal point at the middle of the frame. Translations are in head units (outer eye corners of the
mean face 1 apart): for a face whose eye corners are W / 3 apart, tz is about 4.5 there.

The pose of a face, as a label and as a prediction, is its rotation against the line of sight: the
rotation that a camera finds which looks straight at the middle of the face (`against_ray`). A crop
shows this rotation, wherever the face stood in its photo. The rotation in the axes of the photo's
camera is another one, by the angle between the face and the optical axis.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lit_landmarks.exportable import identity_matrix
from lit_landmarks.geometry.rotations import euler_to_matrix

#: Focal length of the pose camera in frame sides (SPIGA, Prados-Torreblanca et al., BMVC 2022).
POSE_FOCAL = 1.5

#: Middle of the face between brows and chin, half way to the ears; head frame.
FACE_MIDDLE = (0.0, 0.45, 0.15)

#: Rounds of `from_ray`: each brings ten times the accuracy at the distance of a tight crop.
_RAY_ROUNDS = 8

Scalar = float | Tensor


def pose_camera(size: int) -> tuple[float, float]:
    """Focal length and both coordinates of the principal point, in pixels of a `size` frame."""
    return POSE_FOCAL * size, (size - 1) / 2


def against_ray(rotation: Tensor, translation: Tensor) -> Tensor:
    """Rotations of heads against the line of sight, from those in the axes of a camera.

    The camera is turned, on the shortest way, until its optical axis meets the middle of the face.

    Args:
        rotation: (B, 3, 3) in the axes of the camera.
        translation: (B, 3) head units, in front of the camera.

    Returns:
        (B, 3, 3).

    Example:
        >>> beside = torch.tensor([[1.0, -0.45, 0.85]])  # the middle lies 45 degrees to the right
        >>> against_ray(torch.eye(3)[None], beside)[0, 0]
        tensor([ 0.7071,  0.0000, -0.7071])
    """
    return _turn_to_sight(rotation, translation).mT @ rotation


def from_ray(rotation: Tensor, translation: Tensor) -> Tensor:
    """Rotations in the axes of a camera, from those against the line of sight.

    Args:
        rotation: (B, 3, 3) against the line of sight, as `against_ray` gives them.
        translation: (B, 3) head units, in front of the camera.

    Returns:
        (B, 3, 3).

    Example:
        >>> beside = torch.tensor([[1.0, -0.45, 3.0]])
        >>> turned = from_ray(torch.eye(3)[None], beside)
        >>> (against_ray(turned, beside) - torch.eye(3)).abs().max().item() < 1e-5
        True
    """
    turned = rotation
    # The middle of the face moves with the rotation, by far less than the head is away.
    for _ in range(_RAY_ROUNDS):
        turned = _turn_to_sight(turned, translation) @ rotation
    return turned


def _turn_to_sight(rotation: Tensor, translation: Tensor) -> Tensor:
    """(B, 3, 3) shortest turns of the optical axis into the line to the middle of the face."""
    ray = torch.nn.functional.normalize(
        rotation @ rotation.new_tensor(FACE_MIDDLE) + translation, dim=-1
    )
    across, along = ray[:, :2], ray[:, 2:]
    # Rodrigues' formula for the turn about the axis z x ray.
    outer = across[:, :, None] * across[:, None]
    block = identity_matrix(2, ray) - outer / (1 + along[..., None])
    upper = torch.cat((block, across[:, :, None]), 2)
    lower = torch.cat((-across, along), 1)[:, None]
    return torch.cat((upper, lower), 1)


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
    """Perspective image of points under (B, 6) rotations and translations; see `project_rt`."""
    return project_rt(points3d, euler_to_matrix(pose[..., :3]), pose[..., 3:], focal, center)
