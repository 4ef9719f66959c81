"""Head pose of warped faces: exact rotation where the data set gives it, POSIT elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from lit_landmarks.geometry import euler_to_matrix, matrix_to_euler, pose_camera, posit
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template import has_mean_face, mean_face
from lit_landmarks.types import FaceBatch


@cache
def _model(scheme: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean face (N, 3) and the points (N,) that carry pose."""
    return mean_face(scheme).to(device), get_scheme(scheme).pose_mask(device)


def frame_pose(
    batch: FaceBatch, image_to_crop: Tensor, schemes: Sequence[str], size: int
) -> tuple[Tensor, Tensor]:
    """Poses in the pose camera of the crop.

    Args:
        batch: faces with their points already in the crop; `pose` still holds the angles that the
            data set gives, as seen in the image, where `has_pose`.
        image_to_crop: (B, 2, 3) the warp that brought them there.
        schemes: delivered scheme by `dataset_id`.
        size: side of the frame.

    Returns:
        (B, 6) yaw, pitch, roll, tx, ty, tz, 0 where unknown; (B,) bool, True where known. Where
        the rotation is given but the translation cannot be had, the translation is 0 and the pose
        counts as unknown.
    """
    pose = torch.zeros_like(batch.pose)
    present = torch.zeros_like(batch.has_pose)
    names = sorted(set(schemes))
    for scheme in names:
        if not has_mean_face(scheme):
            continue
        if len(names) == 1:
            return _pose_of(batch, image_to_crop, scheme, size)
        ids = [i for i, name in enumerate(schemes) if name == scheme]
        rows = torch.isin(batch.dataset_id, torch.tensor(ids, device=pose.device)).nonzero()[:, 0]
        if len(rows):
            pose[rows], present[rows] = _pose_of(
                batch.select(rows), image_to_crop[rows], scheme, size
            )
    return pose, present


def _pose_of(
    batch: FaceBatch, image_to_crop: Tensor, scheme: str, size: int
) -> tuple[Tensor, Tensor]:
    model, carries = _model(scheme, batch.points.device)
    points = batch.points[:, : len(model)]
    mask = batch.mask[:, : len(model)] & carries
    focal, center = pose_camera(size)
    given = batch.has_pose
    if not bool(given.all()):
        pose, present = posit(points, mask, model, focal, center)
    else:
        pose, present = torch.zeros_like(batch.pose), torch.zeros_like(given)
    if not bool(given.any()):
        return pose, present
    angles = torch.where(given[:, None], batch.pose[:, :3], 0.0)
    rotation = turned(euler_to_matrix(angles), image_to_crop)
    plane = (points - center) / focal
    shift, solved = translation(plane, mask, model @ rotation.mT)
    exact = torch.cat([matrix_to_euler(rotation), shift], 1)
    good = given & solved
    pose = torch.where(given[:, None], exact * good[:, None], pose)
    return pose, torch.where(given, good, present)


def turned(rotation: Tensor, warp: Tensor) -> Tensor:
    """Rotations of heads after their image was warped by similarities.

    Args:
        rotation: (B, 3, 3) before.
        warp: (B, 2, 3) image -> crop: scale, turn in the plane, shift, perhaps mirrored.

    Returns:
        (B, 3, 3). With F = diag(-1, 1, 1), a mirrored head is F R F; the turn comes after.
    """
    linear = warp[:, :, :2]
    mirrored = torch.linalg.det(linear) < 0
    sign = torch.where(mirrored, -1.0, 1.0)
    flip = torch.ones_like(rotation[:, 0])
    flip[:, 0] = sign
    turn = torch.zeros_like(rotation)
    # The linear part is s Rz F: taking F out leaves the turn.
    turn[:, :2, :2] = torch.nn.functional.normalize(linear * flip[:, None, :2], dim=1)
    turn[:, 2, 2] = 1.0
    return turn @ (flip[:, :, None] * rotation * flip[:, None, :])


def translation(plane: Tensor, mask: Tensor, head: Tensor) -> tuple[Tensor, Tensor]:
    """Least-squares translation of heads whose rotation is known.

    From u (z + tz) = x + tx and v (z + tz) = y + ty, linear in the translation; tx and ty are
    eliminated by taking means.

    Args:
        plane: (B, N, 2) points divided by the focal length, principal point at 0.
        mask: (B, N) points to use.
        head: (B, N, 3) head points after rotation.

    Returns:
        (B, 3) translations, (B,) bool whether they exist (two or more points, in front).
    """
    weight = mask.to(plane.dtype).unsqueeze(-1)
    count = weight.sum(1).clamp_min(1)
    right = torch.where(mask[..., None], plane * head[..., 2:] - head[..., :2], 0.0)
    plane = torch.where(mask[..., None], plane, 0.0)
    mean_plane, mean_right = plane.sum(1) / count, right.sum(1) / count
    a = (plane - mean_plane[:, None]) * weight
    b = (right - mean_right[:, None]) * weight
    energy = (a * a).sum((1, 2))
    depth = -(a * b).sum((1, 2)) / energy.clamp_min(1e-12)
    shift = mean_right + mean_plane * depth[:, None]
    return torch.cat([shift, depth[:, None]], 1), (energy > 1e-12) & (depth > 0)
