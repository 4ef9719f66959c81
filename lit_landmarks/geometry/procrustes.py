"""Least-squares similarity of 2D shapes, their mean up to similarity, rotation of 3D shapes."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_landmarks.exportable import identity_matrix
from lit_landmarks.geometry.crops import transform_points

#: Iterations of the polar factor: each multiplies a small singular value by 1.5, then converges
#: quadratically; a head that is ten times too flat takes 14.
_POLAR_STEPS = 14


def procrustes(src: Tensor, dst: Tensor, mask: Tensor | None = None) -> Tensor:
    """Similarities (no mirror) that take `src` nearest to `dst` in the least-squares sense.

    In the plane the best rotation and scale are one complex number, sum(conj(p) q) / sum(|p|^2) of
    the centred points; no SVD is needed (Umeyama, TPAMI 1991, gives the general case).

    Args:
        src: (B, N, 2).
        dst: (B, N, 2) or (N, 2).
        mask: (B, N) bool, or None if all points count.

    Returns:
        (B, 2, 3) affines, src -> dst. NaN for a face with fewer than two different points.

    Example:
        >>> shape = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
        >>> procrustes(shape, 2.0 * shape + 3.0)[0, :, 2].round()
        tensor([3., 3.])
    """
    weight = torch.ones_like(src[..., :1]) if mask is None else mask.unsqueeze(-1).to(src.dtype)
    if mask is not None:  # undefined coordinates may be NaN, and NaN times 0 is NaN
        src = src.masked_fill(~mask.unsqueeze(-1), 0.0)
        dst = dst.expand_as(src).masked_fill(~mask.unsqueeze(-1), 0.0)
    total = weight.sum(-2)
    src_mean = (weight * src).sum(-2) / total
    dst_mean = (weight * dst).sum(-2) / total
    p, q = (src - src_mean.unsqueeze(-2)) * weight, dst - dst_mean.unsqueeze(-2)
    power = (p * p).sum((-2, -1))
    real = (p * q).sum((-2, -1)) / power
    imaginary = (p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]).sum(-1) / power
    linear = torch.stack((real, -imaginary, imaginary, real), -1).view(*real.shape, 2, 2)
    shift = dst_mean - (linear @ src_mean.unsqueeze(-1)).squeeze(-1)
    return torch.cat((linear, shift.unsqueeze(-1)), -1)


def procrustes_mean(
    shapes: Tensor, mask: Tensor | None = None, rounds: int = 20, tolerance: float = 1e-6
) -> Tensor:
    """Generalized Procrustes mean: of zero centroid, unit RMS radius and the first shape's roll.

    Args:
        shapes: (M, N, 2).
        mask: (M, N) bool, or None. The first shape must be the most complete: others are fitted to
            the points that it has, and bring the rest with them.
        rounds: at most so many alignments.
        tolerance: stop when no coordinate of the mean moves further, in RMS radii.

    Returns:
        (N, 2).
    """
    weight = torch.ones_like(shapes[..., :1]) if mask is None else mask.unsqueeze(-1).to(shapes)
    values = shapes if mask is None else shapes.masked_fill(~mask.unsqueeze(-1), 0.0)
    valid = mask[0] if mask is not None else torch.ones_like(shapes[0, :, 0], dtype=torch.bool)
    mean = _normalize(values[0], valid)
    for _ in range(rounds):
        usable = valid if mask is None else mask & valid
        affine = procrustes(values, mean, usable.expand(shapes.shape[:2]))
        moved = transform_points(affine, values)
        # Shapes that shrink under the fit would pull the mean to a point: weigh them all alike.
        annotated = weight.sum(0).squeeze(-1) > 0
        update = _normalize((moved * weight).sum(0) / weight.sum(0).clamp_min(1), annotated)
        update = transform_points(procrustes(update[None], mean[None], valid[None]), update[None])[
            0
        ]
        update = _normalize(update, annotated)
        change = (update - mean).abs().amax()
        mean, valid = update, annotated
        if float(change) < tolerance:
            break
    return mean


def _normalize(shape: Tensor, valid: Tensor) -> Tensor:
    """A (N, 2) shape moved to zero centroid and scaled to unit RMS radius over `valid` points."""
    center = shape[valid].mean(0)
    radius = (shape[valid] - center).square().sum(-1).mean().sqrt()
    return (shape - center) / radius * valid.unsqueeze(-1)


def fit_rotation(shapes: Tensor, inverse: Tensor) -> Tensor:
    """Rotations nearest to the affine maps that take a 3D reference shape to others.

    The affine map is least squares over all points. Its polar factor, which is the rotation nearest
    to it, comes from Newton-Schulz iterations (Higham, Functions of Matrices, 2008, eq. 8.20):
    products of 3 x 3 matrices alone, which can be exported.

    Args:
        shapes: (B, N, 3), any scale and place.
        inverse: (3, N) pseudo-inverse of the centered reference shape, such as a mean face in the
            head frame.

    Returns:
        (B, 3, 3) orthogonal; without meaning where a shape is flat or mirrored.

    Example:
        >>> from lit_landmarks.geometry.rotations import euler_to_matrix, matrix_to_euler
        >>> head = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, 0]])
        >>> turned = 7.0 * head @ euler_to_matrix(torch.tensor([[20.0, -5.0, 3.0]])).mT + 2.0
        >>> matrix_to_euler(fit_rotation(turned, torch.linalg.pinv(head - head.mean(0)))).round()
        tensor([[20., -5.,  3.]])
    """
    target = shapes - shapes.mean(1, keepdim=True)
    affine = (inverse @ target).mT
    rotation: Tensor = affine / torch.linalg.matrix_norm(affine, keepdim=True).clamp_min(1e-12)
    three = 3.0 * identity_matrix(3, affine)
    for _ in range(_POLAR_STEPS):
        rotation = 0.5 * rotation @ (three - rotation.mT @ rotation)
    return rotation
