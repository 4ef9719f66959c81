"""Least-squares similarity between 2D shapes, and the mean of shapes up to similarity."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_landmarks.geometry.crops import transform_points


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
