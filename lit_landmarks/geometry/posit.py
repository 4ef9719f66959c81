"""Head pose from 2D points and a 3D face: POSIT, batched.

The algorithm is the "modern POSIT" of DeMenthon (see David et al., SoftPOSIT, IJCV 2004, §2), as
SPIGA uses it for its pose labels: fit a scaled orthographic camera by least squares, correct every
image point by its perspective scale w = 1 + (r3 . X) / tz under that camera, repeat; at the end
take the nearest rotation. The stopping rule is tighter than SPIGA's, so that noise-free points give
back their pose.

Only w changes between rounds, so the least-squares solution is one constant matrix: shared by the
batch where all faces have the same points, else one per face.

A pose is refused, not only where there is none, but also where the points do not bear it. With few
points the rounds may run away from the face, which the reprojection error tells; or the points fit
well and yet leave the rotation open, which the covariance of the least squares tells: the rows r1
and r2 err along r3, out of the image plane, by s sqrt(r3 (X^T X)^-1 r3), where s^2 is the squared
reprojection error over 2N - 6 degrees of freedom.

The limits were chosen with the mean face of 68 points, yaw to 75 degrees, seen from 4 to 24 units,
N of its 18 pose points (68: all points) and noise in percent of the face box. "Wrong" is more than
10 degrees off. Percent of wrong poses among the accepted without limits > with them, and of right
poses that are refused::

    noise     N = 4         5            6           8         14       68
    0 %     7.4 > 0,  1   0.8 > 0,  0   0.4 > 0,  0   0 > 0, 0   0 > 0, 0   0
    1 %      46 > 3, 53    21 > 3, 24   7.7 > 2, 10   1 > 0, 1   0 > 0, 0   0
    2 %      73 > 17, 60   52 > 15, 40  35 > 14, 22  15 > 9, 5   1 > 1, 0   0
"""

from __future__ import annotations

import torch
from torch import Tensor

from lit_landmarks.geometry.camera import Scalar, per_row, per_row_point, to_camera
from lit_landmarks.geometry.rotations import matrix_to_euler

#: Fewer points than unknowns per image axis (three of the rotation's row, one shift).
MIN_POINTS = 4
_MAX_ROUNDS = 30
# Change of a perspective scale (about 1) below which the whole batch has converged.
_TOLERANCE = 2e-6
# Checking convergence waits for an accelerator, so it is not done in every round.
_ROUNDS_PER_CHECK = 3
# Smallest pivot of the normal matrix over its largest: below it the points lie in a plane.
_MIN_PIVOT = 1e-3
# r1 and r2 of a face have about unit length and a right angle: area 1. Points on a line give 0.
_MIN_AREA = 0.1
# Change of a perspective scale in the last round from which a face has not converged.
_MAX_CHANGE = 1e-3
# Root mean square distance of points from their places, as a share of the model's longest side. On
# 2,612 faces of 300W the mean face is off by 0.04, and by 0.07 in one of a hundred.
_MAX_RESIDUAL = 0.12
# Standard deviation of a turn out of the image plane, degrees. The two limits refuse 7 of those
# 2,612 faces, and 2 of 129 hard ones of WFLW.
_MAX_DEVIATION = 10.0


def _least_squares(model: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Pseudo-inverses (B, 4, N) of [X 1] over the masked points, and whether they exist (B,).

    One of each where all faces have the same points.
    """
    if bool((mask == mask[:1]).all()):
        mask = mask[:1]
    weight = mask.to(model.dtype).unsqueeze(-1)
    rows = torch.cat((model, torch.ones_like(model[..., :1])), -1) * weight
    eye = torch.eye(4, dtype=model.dtype, device=model.device)
    pivots, info = torch.linalg.cholesky_ex(rows.mT @ rows)
    diagonal = pivots.diagonal(dim1=-2, dim2=-1)
    usable = (info == 0) & (diagonal.amin(-1) > _MIN_PIVOT * diagonal.amax(-1))
    pivots = torch.where(usable[:, None, None], pivots, eye)
    return torch.cholesky_solve(rows.mT, pivots), usable


def _scaled_camera(solution: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows r1, r2, r3 as (B, 3, 3), txy (B, 2) and tz (B,) of the scaled orthographic camera."""
    scaled = solution[:, :3].mT  # (B, 2, 3): r1 / tz and r2 / tz
    lengths = torch.linalg.vector_norm(scaled, dim=-1)
    tz = lengths.prod(-1).clamp_min(1e-12).rsqrt()
    rows = scaled * tz[:, None, None]
    third = torch.linalg.cross(rows[:, 0], rows[:, 1])
    return torch.cat((rows, third[:, None]), 1), solution[:, 3] * tz[:, None], tz


def _nearest_rotation(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation nearest to (B, 3, 3) rows r1, r2 and r1 x r2, and the area (B,) of r1 and r2.

    The third row is normal to the others, so the SVD's U V^T (the orthogonal polar factor) splits
    into the third direction and (M M^T)^(-1/2) M of the 2x3 rest, whose square root is closed-form.
    """
    pair = rows[:, :2]
    gram = pair @ pair.mT
    a, b, d = gram[:, 0, 0], gram[:, 0, 1], gram[:, 1, 1]
    root_det = (a * d - b * b).clamp_min(1e-20).sqrt()
    # sqrt(G) = (G + sqrt(det) I) / trace_root, so its inverse is adj(G + sqrt(det) I) / ...
    trace_root = (a + d + 2 * root_det).sqrt()
    inverse = torch.stack((d + root_det, -b, -b, a + root_det), -1).view(-1, 2, 2)
    pair = inverse @ pair / (root_det * trace_root)[:, None, None]
    rotation = torch.cat((pair, torch.linalg.cross(pair[:, 0], pair[:, 1])[:, None]), 1)
    return rotation, root_det


def _bears_pose(
    gaps: Tensor, mask: Tensor, inverse: Tensor, rotation: Tensor, size: Tensor
) -> Tensor:
    """Whether points (B,) lie close to their places and fix the rotation.

    Args:
        gaps: (B, N, 2) reprojection errors in model units.
        mask: (B, N) points that were used.
        inverse: (B or 1, 4, N) pseudo-inverses of the least squares.
        rotation: (B, 3, 3).
        size: longest side of the model.
    """
    count = mask.sum(-1).to(gaps.dtype)
    energy = torch.where(mask, gaps.square().sum(-1), 0.0).sum(-1)
    residual = (energy / count.clamp_min(1)).sqrt()
    # (X^T X)^-1 is P P^T for the pseudo-inverse P: r3 in its metric is the length of r3 P.
    spread = (rotation[:, 2:] @ inverse[:, :3]).squeeze(1).square().sum(-1)
    deviation = (energy / (2 * count - 6).clamp_min(1) * spread).sqrt()
    close = residual < _MAX_RESIDUAL * size
    return close & (torch.rad2deg(deviation) < _MAX_DEVIATION)


@torch.no_grad()
def focal_at_distance(points2d: Tensor, mask: Tensor, model: Tensor, distance: float) -> Tensor:
    """Focal lengths of cameras that see faces as large as their points are, from a given distance.

    The size is that of the scaled orthographic fit, so a larger picture of a face has a
    proportionally larger focal length, and POSIT finds the same rotation.

    Args:
        points2d: (B, N, 2) pixels.
        mask: (B, N) bool, the points to use.
        model: (N, 3) head-frame points.
        distance: of the camera from the face, model units.

    Returns:
        (B,) pixels.
    """
    model = model.to(points2d.dtype)
    inverse, _ = _least_squares(model - model.mean(0), mask)
    _, _, depth = _scaled_camera(inverse @ points2d.masked_fill(~mask.unsqueeze(-1), 0.0))
    return distance / depth


@torch.no_grad()
def posit(
    points2d: Tensor,
    mask: Tensor,
    model: Tensor,
    focal: Scalar,
    center: Scalar,
) -> tuple[Tensor, Tensor]:
    """Poses whose perspective image of `model` fits the points.

    Args:
        points2d: (B, N, 2) pixels.
        mask: (B, N) bool, the points to use. Contour points move with the view: pass
            `mask & scheme.pose_mask()` for labels like SPIGA's.
        model: (N, 3) head-frame points, for example `template.mean_face(scheme)`.
        focal: pixels, a number or (B,); 1.5 frame sides for the pose camera.
        center: principal point: a number for both coordinates, (2,) or (B, 2).

    Returns:
        (B, 6) yaw, pitch, roll in degrees and tx, ty, tz in model units, 0 where not `ok`; and
        `ok` (B,) bool, False with fewer than 4 points, points in one plane, no finite solution in
        front of the camera, no convergence, or points that do not bear the pose (see the module).
    """
    if not len(mask):
        return points2d.new_zeros((0, 6)), mask.new_zeros(0)
    enough = mask.sum(-1) >= MIN_POINTS
    plane = (points2d - per_row_point(center, points2d)) / per_row(focal, points2d)
    plane = plane.masked_fill(~mask.unsqueeze(-1), 0.0)
    middle = model.mean(0)
    centered = (model - middle).to(plane.dtype)
    inverse, usable = _least_squares(centered, mask)
    awaited = mask & (enough & usable).unsqueeze(-1)

    w = previous = torch.ones_like(plane[..., :1])
    rows, txy, tz = _scaled_camera(inverse @ (w * plane))
    for turn in range(1, _MAX_ROUNDS):
        previous = w
        w = 1 + centered @ (rows[:, 2] / tz[:, None]).unsqueeze(-1)
        rows, txy, tz = _scaled_camera(inverse @ (w * plane))
        if turn % _ROUNDS_PER_CHECK == 0:
            moving = (w - previous).squeeze(-1).abs() > _TOLERANCE  # False for NaN: it stays NaN
            if not bool((moving & awaited).any()):
                break

    rotation, area = _nearest_rotation(rows)
    shift = torch.cat((txy, tz[:, None]), -1) - rotation @ middle.to(plane.dtype)
    pose = torch.cat((matrix_to_euler(rotation), shift), -1)
    settled = ((w - previous).squeeze(-1).abs() < _MAX_CHANGE) | ~mask
    placed = to_camera(model.to(plane.dtype), rotation, shift)
    gaps = (placed[..., :2] / placed[..., 2:] - plane) * tz[:, None, None]
    size = (model.amax(0) - model.amin(0)).amax()
    ok = enough & usable & (area > _MIN_AREA) & pose.isfinite().all(-1)
    ok &= settled.all(-1) & ((placed[..., 2] > 0) | ~mask).all(-1)
    ok &= _bears_pose(gaps, mask, inverse, rotation, size)
    return torch.where(ok[:, None], pose, 0.0), ok
