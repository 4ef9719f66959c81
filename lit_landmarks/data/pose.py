"""Head pose of faces: given by the data set, made by POSIT elsewhere, by one definition.

The label is the rotation against the line of sight to the middle of the face
(`geometry.against_ray`), in the image file, turned with the crop: a crop that is shifted, enlarged
or cut by another box keeps yaw and pitch. POSIT sees each face with a camera of its own, which
looks at the middle of its points: of the focal length that the data set gives, or else from
`CAMERA_DISTANCE`. `FaceBatch.pose_kind` says which labels POSIT made.

POSIT against given poses, mean absolute difference of the three angles in degrees, by the distance
of the camera (rendered faces: seed 5). The first column is a camera of focal length 1.5 W in the
crop, which sees faces from a third of a meter::

                        faces   1.5 W   6 units   10     20     far    own focal length
    AFLW2000-3D, owners'     16    4.80      2.41   1.71   1.39   1.34   -
    the same, more faces     79    3.74      2.15   1.82   1.68   1.69   -
    SyntheticFaces, 60      199    2.90      1.64   1.69   1.95   2.40   1.55
    IctFaces, 60            199    2.55      1.37   1.52   1.89   2.45   1.32

What is left is the difference between a person and the mean face. It is not the same in all sets:
at 10 units pitch is off by -2.5, -1.3, +0.4 and +1.9 degrees in the mean, yaw and roll by less than
0.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from lit_landmarks.geometry import (
    against_ray,
    euler_to_matrix,
    focal_at_distance,
    matrix_to_euler,
    pose_camera,
    posit,
)
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template import has_mean_face, mean_face
from lit_landmarks.types import POSE_KINDS, FaceBatch

#: Distance of the camera from a face whose data set gives no focal length, in head units: about
#: 0.9 m. AFLW2000-3D, whose fits see faces from afar, would like more, rendered faces less.
CAMERA_DISTANCE = 10.0

_GIVEN, _POSIT = (POSE_KINDS.index(kind) for kind in ("given", "posit"))


@cache
def _model(scheme: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean face (N, 3) and the points (N,) that carry pose."""
    return mean_face(scheme).to(device), get_scheme(scheme).pose_mask(device)


def frame_pose(
    source: FaceBatch,
    moved: FaceBatch,
    image_to_crop: Tensor,
    schemes: Sequence[str],
    size: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Poses of faces in their crops.

    Args:
        source: faces with points and focal lengths in pixels of the image file; `pose` holds the
            angles that the data set gives where `has_pose`.
        moved: the same faces with their points in the crop.
        image_to_crop: (B, 2, 3) the warp that brought them there.
        schemes: delivered scheme by `dataset_id`.
        size: side of the frame.

    Returns:
        (B, 6) yaw, pitch, roll, tx, ty, tz, 0 where unknown; (B,) bool, True where known; (B,)
        index into `POSE_KINDS`. The translation puts the mean face, turned so, on the points in
        the pose camera of the crop; a pose for which there is none counts as unknown. In a scheme
        without a mean face the translation is NaN and a given pose is known.
    """
    pose = torch.zeros_like(source.pose)
    present = torch.zeros_like(source.has_pose)
    kind = torch.where(source.has_pose, _GIVEN, _POSIT)
    names = sorted(set(schemes))
    for scheme in names:
        if len(names) == 1:
            return *_pose_of(source, moved, image_to_crop, scheme, size), kind
        ids = [i for i, name in enumerate(schemes) if name == scheme]
        rows = torch.isin(source.dataset_id, torch.tensor(ids, device=pose.device)).nonzero()[:, 0]
        if len(rows):
            pose[rows], present[rows] = _pose_of(
                source.select(rows), moved.select(rows), image_to_crop[rows], scheme, size
            )
    return pose, present, kind


def _pose_of(
    source: FaceBatch, moved: FaceBatch, image_to_crop: Tensor, scheme: str, size: int
) -> tuple[Tensor, Tensor]:
    angles, has_pose = source.pose[:, :3], source.has_pose
    if not has_mean_face(scheme):
        rotation = turned(
            euler_to_matrix(angles.masked_fill(~has_pose[:, None], 0.0)), image_to_crop
        )
        shift = torch.full_like(angles, torch.nan)
        pose = torch.cat([matrix_to_euler(rotation), shift], 1)
        return torch.where(has_pose[:, None], pose, 0.0), has_pose
    if not bool(has_pose.all()):
        count = len(mean_face(scheme))
        points, mask = source.points[:, :count], source.mask[:, :count]
        made, ok = posit_angles(points, mask, scheme, source.focal)
        angles = torch.where(has_pose[:, None], angles, made)
        has_pose = has_pose | ok
    rotation = euler_to_matrix(angles.masked_fill(~has_pose[:, None], 0.0))
    rotation = turned(rotation, image_to_crop)
    model, carries = _model(scheme, moved.points.device)
    focal, center = pose_camera(size)
    plane = (moved.points[:, : len(model)] - center) / focal
    mask = moved.mask[:, : len(model)] & carries
    shift, solved = translation(plane, mask, model @ rotation.mT)
    has_pose = has_pose & solved
    pose = torch.cat([matrix_to_euler(rotation), shift], 1)
    return torch.where(has_pose[:, None], pose, 0.0), has_pose


def posit_angles(
    points: Tensor, mask: Tensor, scheme: str, focal: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Poses of faces by POSIT, from their points alone.

    Args:
        points: (B, N, 2) in pixels of any image that was not turned or stretched.
        mask: (B, N) bool, True where a point is annotated.
        scheme: of the points; it must have a 3D mean face.
        focal: (B,) focal lengths in these pixels, NaN where unknown; None for all.

    Returns:
        (B, 3) yaw, pitch, roll in degrees against the line of sight, 0 where there is none; (B,)
        bool, True where there is one.
    """
    model, carries = _model(scheme, points.device)
    mask = mask & carries
    points = points.masked_fill(~mask[..., None], 0.0)
    middle = points.sum(1) / mask.sum(1, keepdim=True).clamp_min(1)
    # Places in large images lose digits that the differences between points keep.
    near = points - middle[:, None]
    length = focal_at_distance(near, mask, model, CAMERA_DISTANCE)
    if focal is not None:
        length = torch.where(focal > 0, focal, length)
    pose, ok = posit(near, mask, model, length, 0.0)
    rotation = against_ray(euler_to_matrix(pose[:, :3]), pose[:, 3:])
    return torch.where(ok[:, None], matrix_to_euler(rotation), 0.0), ok


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
