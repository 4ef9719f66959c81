"""Kernels: values of single faces or frames, in percent or degrees, which the classes average.

Two markers run through all of them. NaN means *not counted*: the point is not annotated, or the
face has no valid norm. Infinity means *the prediction is not a number*: such a face is counted as
infinitely wrong, so a network that diverged can never score by being skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from lit_landmarks.geometry import points_box

#: What may be aligned away before 3D shapes are compared: rotation and shift, or scale as well.
Alignment = Literal["rigid", "similarity"]

#: Fewer points than this can be turned onto any truth.
_FEWEST_TO_ALIGN = 3


def point_errors(predicted: Tensor, truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """Euclidean distance of every landmark.

    Args:
        predicted: (B, N, D) pixels.
        truth: (B, N, D) pixels; non-finite points count as not annotated.
        mask: (B, N) bool, True where annotated; None for all.

    Returns:
        (B, N) pixels; NaN where not annotated, infinity where the prediction is not finite.

    Example:
        >>> truth = torch.tensor([[[0.0, 0.0], [10.0, 0.0]]])
        >>> point_errors(truth + torch.tensor([3.0, 4.0]), truth)
        tensor([[5., 5.]])
    """
    annotated = truth.isfinite().all(dim=-1)
    annotated = annotated if mask is None else annotated & mask
    errors = (predicted - truth).norm(dim=-1)
    errors = torch.where(predicted.isfinite().all(dim=-1), errors, torch.inf)
    return torch.where(annotated, errors, torch.nan)


def group_means(errors: Tensor, groups: Tensor | None = None) -> Tensor:
    """Mean over the annotated landmarks of each landmark group.

    Args:
        errors: (B, N) from `point_errors`.
        groups: (B, P, N) or (P, N) bool; None for the one group of all landmarks.

    Returns:
        (B, P), NaN where a group has no annotated landmark.

    Example:
        >>> groups = torch.tensor([[True, True, True], [False, True, True]])
        >>> group_means(torch.tensor([[1.0, 2.0, torch.nan]]), groups)
        tensor([[1.5000, 2.0000]])
    """
    if groups is None:
        groups = torch.ones(1, errors.shape[1], dtype=torch.bool, device=errors.device)
    used = groups & ~errors.isnan().unsqueeze(1)
    total = torch.where(used, errors.unsqueeze(1), 0.0).sum(dim=-1)
    return total / used.sum(dim=-1)  # 0 / 0 is the NaN that we want


def nme(
    predicted: Tensor,
    truth: Tensor,
    norm: Tensor,
    mask: Tensor | None = None,
    groups: Tensor | None = None,
) -> Tensor:
    """Normalized mean error of each face in percent: mean of |p - g| / norm * 100.

    Args:
        predicted: (B, N, D) pixels.
        truth: (B, N, D) pixels.
        norm: (B,) or (B, K) in the same pixels.
        mask: (B, N) bool.
        groups: (B, P, N) or (P, N) bool landmark groups.

    Returns:
        (B,), or (B, P) with groups, each followed by K if `norm` has it.

    Example:
        Distances 5 and 1 under a norm of 10 are an error of 30 %:

        >>> truth = torch.tensor([[[0.0, 0.0], [10.0, 0.0]]])
        >>> predicted = truth + torch.tensor([[3.0, 4.0], [0.0, 1.0]])
        >>> nme(predicted, truth, torch.tensor([10.0]))
        tensor([30.])
    """
    return normalize(group_means(point_errors(predicted, truth, mask), groups), norm, groups)


def sideways_offset(predicted: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """How far the truth of each face lies to the right of the prediction in the mean.

    Args:
        predicted: (B, N, 2) pixels.
        truth: (B, N, 2) pixels.
        mask: (B, N) bool.

    Returns:
        (B,) percent of the longer side of the box about the true points; NaN where it has none.

    Example:
        >>> truth = torch.tensor([[[1.0, 0.0], [11.0, 20.0]]])
        >>> sideways_offset(truth - torch.tensor([1.0, 3.0]), truth, torch.ones(1, 2) > 0)
        tensor([5.])
    """
    mask = mask & truth.isfinite().all(-1)
    away = torch.where(mask, (truth - predicted)[..., 0], 0.0).sum(1) / mask.sum(1)
    box = points_box(truth, mask)
    side = (box[:, 2:] - box[:, :2]).amax(-1)
    return 100.0 * away / torch.where(side > 0, side, torch.nan)


def normalize(means: Tensor, norm: Tensor, groups: Tensor | None = None) -> Tensor:
    """Divide mean errors by norms, in percent.

    Args:
        means: (B, P) from `group_means`.
        norm: (B,) or (B, K); a norm that is not above 0 leaves its face out.
        groups: as `nme`; None drops the axis P.

    Returns:
        As `nme`.

    Example:
        >>> normalize(torch.tensor([[2.0], [2.0]]), torch.tensor([50.0, 0.0]))
        tensor([4., nan])
    """
    valid = torch.where(norm > 0, norm, torch.nan)
    many = valid.dim() == 2
    valid = valid.unsqueeze(1) if many else valid.unsqueeze(1).unsqueeze(2)
    result = 100.0 * means.unsqueeze(-1) / valid
    result = result if many else result.squeeze(-1)
    return result.squeeze(1) if groups is None else result


def failure_indicator(errors: Tensor, threshold: Tensor | float) -> Tensor:
    """100 where the error lies above the threshold, else 0; NaN stays NaN.

    Example:
        >>> failure_indicator(torch.tensor([7.9, 8.0, 8.1, torch.nan]), 8.0)
        tensor([  0.,   0., 100.,  nan])
    """
    failed = torch.where(errors > threshold, 100.0, 0.0).to(errors.dtype)
    return torch.where(errors.isnan(), torch.nan, failed)


def auc_contribution(errors: Tensor, threshold: Tensor | float) -> Tensor:
    """What each face adds to the area under the CED curve up to the threshold t, in percent.

    The area under the empirical distribution is E[max(0, t - x)] / t exactly, so the mean of these
    contributions needs no bins and no step size.

    Example:
        >>> auc_contribution(torch.tensor([0.0, 2.0, 9.0]), 8.0)
        tensor([100.,  75.,   0.])
    """
    return 100.0 * (1.0 - errors / threshold).clamp(min=0.0)


def ced(errors: Tensor, thresholds: Tensor) -> Tensor:
    """Exact cumulative error distribution: the fraction (T,) of faces with error <= threshold.

    Example:
        >>> ced(torch.tensor([1.0, 2.0, 3.0, torch.nan]), torch.tensor([0.5, 2.0, 4.0]))
        tensor([0.0000, 0.6667, 1.0000], dtype=torch.float64)
    """
    counted = errors[~errors.isnan()]
    return (counted.unsqueeze(0) <= thresholds.unsqueeze(1)).double().mean(dim=1)


def percentiles(ranked: Tensor, percents: Sequence[float]) -> Tensor:
    """Percentiles of sorted errors, linear between the two nearest (NumPy's default).

    Args:
        ranked: (G, M) errors of each group in rising order, NaN behind the last.
        percents: P percentages.

    Returns:
        (G, P); NaN of an empty group.

    Example:
        >>> percentiles(torch.tensor([[1.0, 2.0, 4.0], [3.0, torch.nan, torch.nan]]), [50, 75])
        tensor([[2., 3.],
                [3., 3.]])
    """
    count = (~ranked.isnan()).sum(dim=1, keepdim=True)
    if ranked.shape[1] == 0:
        return ranked.new_full((len(ranked), len(percents)), torch.nan)
    shares = torch.tensor(percents, dtype=torch.float64, device=ranked.device) / 100.0
    place = (count - 1).clamp(min=0) * shares
    below = place.floor().long()
    low = ranked.gather(1, below)
    high = ranked.gather(1, (below + 1).minimum((count - 1).clamp(min=0)))
    part = (place - below).to(ranked.dtype)
    # two infinite errors have no difference
    exact = (part == 0) | (low == high)
    return torch.where(exact, low, low + (high - low) * part)


def angle_errors(predicted: Tensor, truth: Tensor) -> Tensor:
    """Absolute difference of angles in degrees, the short way round the circle.

    Args:
        predicted: (B, A) degrees.
        truth: (B, A) degrees, NaN where unknown.

    Returns:
        (B, A) in [0, 180]; NaN where the truth is unknown, infinity where the prediction is not
        finite.

    Example:
        >>> angle_errors(torch.tensor([[179.0]]), torch.tensor([[-179.0]]))
        tensor([[2.]])
    """
    difference = (predicted - truth + 180.0).remainder(360.0) - 180.0
    errors = torch.where(predicted.isfinite(), difference.abs(), torch.inf)
    return torch.where(truth.isfinite(), errors, torch.nan)


def center_depth(points: Tensor, mask: Tensor) -> Tensor:
    """Points (B, N, 3) whose z has mean 0 over the annotated landmarks (B, N).

    Example:
        >>> points = torch.tensor([[[1.0, 2.0, 5.0], [3.0, 4.0, 9.0]]])
        >>> center_depth(points, torch.tensor([[True, True]]))[..., 2]
        tensor([[-2.,  2.]])
    """
    annotated = mask & points.isfinite().all(dim=-1)
    z = torch.where(annotated, points[..., 2], 0.0).sum(dim=1, keepdim=True)
    mean = z / annotated.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.cat([points[..., :2], (points[..., 2] - mean).unsqueeze(-1)], dim=-1)


def align_points(
    source: Tensor, target: Tensor, mask: Tensor, alignment: Alignment = "similarity"
) -> Tensor:
    """Points moved onto others by the least-squares rotation, shift and (similarity) scale.

    Umeyama, TPAMI 13(4), 1991, eqs. 34 to 43: with the singular value decomposition U S V^T of the
    covariance of the centered points, the rotation is U D V^T, where D = diag(1, 1, +-1) forbids a
    mirror, and the scale is trace(S D) / (sum of squares of the source).

    Args:
        source: (B, N, 3).
        target: (B, N, 3).
        mask: (B, N) bool, points that are fitted; there both must be finite.
        alignment: `rigid` keeps the size of the source.

    Returns:
        (B, N, 3), all points of the source, moved.

    Example:
        >>> head = torch.eye(3).unsqueeze(0)
        >>> half_size_and_turned = head[..., [1, 2, 0]] / 2
        >>> align_points(half_size_and_turned, head, torch.tensor([[True] * 3])).round().abs()
        tensor([[[1., 0., 0.],
                 [0., 1., 0.],
                 [0., 0., 1.]]])
    """
    weight = mask.unsqueeze(-1).to(source.dtype)
    total = weight.sum(dim=1, keepdim=True).clamp(min=1)
    fitted, aims = (torch.where(mask.unsqueeze(-1), p, 0.0) for p in (source, target))
    source_mean, target_mean = (p.sum(dim=1, keepdim=True) / total for p in (fitted, aims))
    fitted, aims = (fitted - source_mean) * weight, (aims - target_mean) * weight
    u, singular, vt = torch.linalg.svd(aims.mT @ fitted)
    signs = torch.ones_like(singular)
    signs[:, 2] = torch.where(torch.linalg.det(u @ vt) < 0, -1.0, 1.0)
    rotation = (u * signs.unsqueeze(1)) @ vt
    moved: Tensor = (source - source_mean) @ rotation.mT
    if alignment == "similarity":
        power = fitted.square().sum(dim=(1, 2))
        # a source without extent has no scale; any will do, since all its points are its mean
        scale = (singular * signs).sum(dim=1) / torch.where(power > 0, power, 1.0)
        moved = moved * scale.view(-1, 1, 1)
    return moved + target_mean


def aligned_nme(
    predicted: Tensor,
    truth: Tensor,
    norm: Tensor,
    mask: Tensor | None = None,
    alignment: Alignment = "similarity",
) -> Tensor:
    """Mean 3D distance after the best rigid or similarity alignment, in percent of the norm.

    Args:
        predicted: (B, N, 3) any unit (rigid: that of the truth).
        truth: (B, N, 3); non-finite points count as not annotated.
        norm: (B,) in the unit of the truth.
        mask: (B, N) bool.
        alignment: what is aligned away, see `align_points`.

    Returns:
        (B,); NaN with fewer than three annotated points, infinity where a prediction of an
        annotated point is not finite.

    Example:
        A prediction of twice the size is perfect but for its scale:

        >>> truth = torch.tensor([[[1.0, 0, 0], [-1.0, 0, 0], [0, 2.0, 0], [0, -2.0, 0]]])
        >>> norm = torch.tensor([10.0])
        >>> aligned_nme(2 * truth, truth, norm).round(decimals=3).abs()
        tensor([0.])
        >>> aligned_nme(2 * truth, truth, norm, alignment="rigid").round(decimals=3)
        tensor([15.])
    """
    annotated = truth.isfinite().all(dim=-1)
    annotated = annotated if mask is None else annotated & mask
    broken = (annotated & ~predicted.isfinite().all(dim=-1)).any(dim=1).view(-1, 1, 1)
    aligned = align_points(torch.where(broken, 0.0, predicted), truth, annotated, alignment)
    enough = annotated & (annotated.sum(dim=1, keepdim=True) >= _FEWEST_TO_ALIGN)
    return nme(torch.where(broken, torch.inf, aligned), truth, norm, enough)


def occlusion_counts(visibility: Tensor, visible: Tensor, threshold: float = 0.5) -> Tensor:
    """Confusion counts of each face with *occluded* as the positive class.

    Args:
        visibility: (B, N) probability that the point is visible; NaN counts as "visible".
        visible: (B, N) int8: -1 unknown, 0 occluded, 1 visible, 2 self-occluded.
        threshold: a point is called occluded below it.

    Returns:
        (B, 4) true positives, false positives, false negatives, true negatives.

    Example:
        >>> visible = torch.tensor([[0, 1, 2, 1, -1]])
        >>> occlusion_counts(torch.tensor([[0.1, 0.2, 0.8, 0.9, 0.3]]), visible)
        tensor([[1, 1, 1, 1]])
    """
    labeled, hidden, called = visible >= 0, visible != 1, visibility < threshold
    cells = (called & hidden, called & ~hidden, ~called & hidden, ~called & ~hidden)
    return torch.stack([(cell & labeled).sum(dim=1) for cell in cells], dim=1)


def percentage(part: Tensor, whole: Tensor) -> Tensor:
    """Part of whole in percent; NaN where the whole is empty.

    Example:
        >>> percentage(torch.tensor([1.0, 0.0]), torch.tensor([4.0, 0.0]))
        tensor([25., nan])
    """
    return 100.0 * part / whole


def auroc(scores: Tensor, positive: Tensor) -> Tensor:
    """Area under the ROC curve in percent: how often a positive outranks a negative.

    Exact, by the rank sum of Mann and Whitney (Hanley and McNeil, Radiology 143, 1982): with ranks
    r of the P positives among all P + Q, ties sharing their mean rank (a tie is half a win), it is
    (sum of r - P (P + 1) / 2) / (P Q).

    Args:
        scores: (M,) higher is more positive; a NaN is ranked wrong whatever its label.
        positive: (M,) bool.

    Returns:
        () float64; NaN if one class is empty.

    Example:
        Of four pairs two are won, one is a tie and one is lost:

        >>> auroc(torch.tensor([0.9, 0.4, 0.4, 0.6]), torch.tensor([True, True, False, False]))
        tensor(62.5000, dtype=torch.float64)
    """
    wrong = torch.where(positive, -torch.inf, torch.inf).to(scores.dtype)
    scores = torch.where(scores.isnan(), wrong, scores)
    _, place, ties = torch.unique(scores, return_inverse=True, return_counts=True)
    rank = ties.cumsum(dim=0) - (ties.double() - 1.0) / 2.0
    positives = positive.sum().double()
    negatives = len(positive) - positives
    wins = rank[place][positive].sum() - positives * (positives + 1.0) / 2.0
    return percentage(wins, positives * negatives)


def bin_members(values: Tensor, edges: Sequence[float]) -> Tensor:
    """Which bin each value lies in.

    Args:
        values: (B,) not negative, for example |yaw| in degrees; NaN lies in no bin.
        edges: K + 1 rising edges. A bin holds its upper edge; the first holds its lower one too,
            and the last has no upper end (the AFLW2000-3D protocol counts |yaw| > 90 there).

    Returns:
        (B, K) bool.

    Example:
        >>> bin_members(torch.tensor([0.0, 30.0, 31.0, 95.0]), (0, 30, 60, 90)).int()
        tensor([[1, 0, 0],
                [1, 0, 0],
                [0, 1, 0],
                [0, 0, 1]], dtype=torch.int32)
    """
    inner = torch.tensor(edges[1:-1], dtype=values.dtype, device=values.device)
    place = torch.bucketize(values.nan_to_num(0.0), inner)
    members = torch.nn.functional.one_hot(place, len(edges) - 1).bool()
    return members & (values >= edges[0]).unsqueeze(1)


def mean_over_bins(means: Tensor, bins: Tensor) -> Tensor:
    """Unweighted mean of the means of bins, however many faces each has.

    The headline figure of AFLW2000-3D (Zhu et al., CVPR 2016) is this mean over three bins of yaw.

    Args:
        means: (G, C) mean of each group of faces, NaN where it is empty.
        bins: (R, G) bool: the groups that are the bins of each result.

    Returns:
        (R, C); NaN where there are no bins or one of them is empty, since a mean over fewer bins
        would be another figure.

    Example:
        >>> means = torch.tensor([[3.5], [3.0], [6.0]])
        >>> mean_over_bins(means, torch.tensor([[False, True, True]]))
        tensor([[4.5000]])
    """
    chosen = torch.where(bins.unsqueeze(-1), means.unsqueeze(0), 0.0)
    return chosen.sum(dim=1) / bins.sum(dim=1, keepdim=True)
