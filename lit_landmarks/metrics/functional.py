"""Kernels: per-face values in percent or degrees, which the classes only add up.

Two markers run through all of them. NaN means *not counted*: the point is not annotated, or the
face has no valid normaliser. Infinity means *the prediction is not a number*: such a face is
counted as infinitely wrong, so a network that diverged can never score by being skipped.
"""

from __future__ import annotations

import torch
from torch import Tensor


def point_errors(predicted: Tensor, truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """Euclidean distance of every landmark.

    Args:
        predicted: (B, N, D) pixels.
        truth: (B, N, D) pixels; non-finite points count as not annotated.
        mask: (B, N) bool, True where annotated; None for all.

    Returns:
        (B, N) pixels; NaN where not annotated, infinity where the prediction is not finite.
    """
    known = truth.isfinite().all(dim=-1)
    known = known if mask is None else known & mask
    errors = (predicted - truth).norm(dim=-1)
    errors = torch.where(predicted.isfinite().all(dim=-1), errors, torch.inf)
    return torch.where(known, errors, torch.nan)


def group_means(errors: Tensor, groups: Tensor | None = None) -> Tensor:
    """Mean over the annotated landmarks of each landmark group.

    Args:
        errors: (B, N) from `point_errors`.
        groups: (B, P, N) or (P, N) bool; None for the one group of all landmarks.

    Returns:
        (B, P), NaN where a group has no annotated landmark.
    """
    if groups is None:
        groups = torch.ones(1, errors.shape[1], dtype=torch.bool, device=errors.device)
    used = groups & ~errors.isnan().unsqueeze(1)
    total = torch.where(used, errors.unsqueeze(1), 0.0).sum(dim=-1)
    return total / used.sum(dim=-1)  # 0 / 0 is the NaN that we want


def nme(
    predicted: Tensor,
    truth: Tensor,
    normaliser: Tensor,
    mask: Tensor | None = None,
    groups: Tensor | None = None,
) -> Tensor:
    """Normalised mean error of each face in percent: mean of |p - g| / normaliser * 100.

    Args:
        predicted: (B, N, D) pixels.
        truth: (B, N, D) pixels.
        normaliser: (B,) or (B, K) in the same pixels.
        mask: (B, N) bool.
        groups: (B, P, N) or (P, N) bool landmark groups.

    Returns:
        (B,), or (B, P) with groups, each followed by K if `normaliser` has it.
    """
    return normalise(group_means(point_errors(predicted, truth, mask), groups), normaliser, groups)


def normalise(means: Tensor, normaliser: Tensor, groups: Tensor | None = None) -> Tensor:
    """Divide group means (B, P) by normalisers (B,) or (B, K), in percent; see `nme`."""
    valid = torch.where(normaliser > 0, normaliser, torch.nan)
    many = valid.dim() == 2
    valid = valid.unsqueeze(1) if many else valid.unsqueeze(1).unsqueeze(2)
    result = 100.0 * means.unsqueeze(-1) / valid
    result = result if many else result.squeeze(-1)
    return result.squeeze(1) if groups is None else result


def failure(errors: Tensor, threshold: Tensor | float) -> Tensor:
    """100 where the error lies above the threshold, else 0; NaN stays NaN."""
    failed = torch.where(errors > threshold, 100.0, 0.0).to(errors.dtype)
    return torch.where(errors.isnan(), torch.nan, failed)


def area_share(errors: Tensor, threshold: Tensor | float) -> Tensor:
    """Share of each face in the area under the CED curve up to the threshold t, in percent.

    The area under the empirical distribution is E[max(0, t - x)] / t exactly, so its mean needs no
    bins and no step size.
    """
    return 100.0 * (1.0 - errors / threshold).clamp(min=0.0)


def ced(errors: Tensor, thresholds: Tensor) -> Tensor:
    """Exact cumulative error distribution: the fraction (T,) of faces with error <= threshold."""
    known = errors[~errors.isnan()]
    return (known.unsqueeze(0) <= thresholds.unsqueeze(1)).double().mean(dim=1)


def angle_errors(predicted: Tensor, truth: Tensor) -> Tensor:
    """Absolute difference of angles in degrees, the short way round the circle.

    Args:
        predicted: (B, A) degrees.
        truth: (B, A) degrees, NaN where unknown.

    Returns:
        (B, A) in [0, 180]; NaN where the truth is unknown, infinity where the prediction is not
        finite.
    """
    difference = (predicted - truth + 180.0).remainder(360.0) - 180.0
    errors = torch.where(predicted.isfinite(), difference.abs(), torch.inf)
    return torch.where(truth.isfinite(), errors, torch.nan)


def depth_centred(points: Tensor, mask: Tensor) -> Tensor:
    """Points (B, N, 3) whose z has mean 0 over the annotated landmarks (B, N)."""
    known = mask & points.isfinite().all(dim=-1)
    z = torch.where(known, points[..., 2], 0.0).sum(dim=1, keepdim=True)
    mean = z / known.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.cat([points[..., :2], (points[..., 2] - mean).unsqueeze(-1)], dim=-1)


def occlusion_counts(visibility: Tensor, visible: Tensor, threshold: float = 0.5) -> Tensor:
    """Confusion counts of each face with *occluded* as the positive class.

    Args:
        visibility: (B, N) probability that the point is visible; NaN counts as "visible".
        visible: (B, N) int8: -1 unknown, 0 occluded, 1 visible, 2 self-occluded.
        threshold: a point is called occluded below it.

    Returns:
        (B, 4) true positives, false positives, false negatives, true negatives.
    """
    known, hidden, called = visible >= 0, visible != 1, visibility < threshold
    cells = (called & hidden, called & ~hidden, ~called & hidden, ~called & ~hidden)
    return torch.stack([(cell & known).sum(dim=1) for cell in cells], dim=1)


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Part of whole in percent; NaN where the whole is empty."""
    return 100.0 * part / whole
