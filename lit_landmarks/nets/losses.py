"""Losses of points, heat maps and head pose (pure torch), each masked by what is annotated.

Adding a loss here (2 files with the method that first uses it): a function of tensors whose
docstring names paper and equation, with a test against values worked out by hand. The recipe is
that of `lit_landmarks.methods`.
"""

from __future__ import annotations

import math
from typing import Any, Literal, cast

import torch
from torch import Tensor

from lit_landmarks.geometry.crops import points_box
from lit_landmarks.nets.heatmaps import spatial_softmax

Distance = Literal["squared", "euclidean", "l1", "wing"]

#: Wing loss (Feng et al., CVPR 2018, eq. 5): w and epsilon in pixels of a crop of this side.
WING_SIDE, WING_W, WING_EPSILON = 256.0, 10.0, 2.0
#: Adaptive wing loss (Wang et al., ICCV 2019).
AWING_ALPHA, AWING_OMEGA, AWING_EPSILON, AWING_THETA = 2.1, 14.0, 1.0, 0.5
#: Keeps the slope 0 where nothing is wrong, which would be 0 / 0.
_TINY = 1e-30


def point_distance(
    predicted: Tensor, target: Tensor, mask: Tensor, distance: Distance = "squared"
) -> Tensor:
    """Mean distance of the annotated points, each face weighing the same.

    Args:
        predicted: (B, N, 2) in centered units (`geometry.to_centered`), for which the constants of
            "wing" are meant.
        target: (B, N, 2); undefined where masked out.
        mask: (B, N) bool.
        distance: "squared", "l1" and "wing" are means over coordinates, "euclidean" over points.

    Returns:
        A scalar; 0 (with a graph) if no face has a point.

    Example:
        >>> predicted, target = torch.tensor([[[3.0, 4.0]]]), torch.zeros(1, 1, 2)
        >>> point_distance(predicted, target, torch.tensor([[True]]), "euclidean").item()
        5.0
    """
    difference = _annotated_difference(predicted, target, mask)
    if distance == "squared":
        per_point = difference.square().mean(dim=-1)
    elif distance == "euclidean":
        per_point = torch.linalg.vector_norm(difference, dim=-1)
    elif distance == "l1":
        per_point = difference.abs().mean(dim=-1)
    else:
        per_point = wing(difference).mean(dim=-1)
    return mean_over_faces(per_point, mask)


def gaussian_nll(predicted: Tensor, log_sigma: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Negative log-likelihood of points under isotropic 2D Gaussians, each face weighing the same.

    Of each point |p - t|^2 / (2 sigma^2) + 2 log sigma: both coordinates are summed, and the
    constant log(2 pi) of the density is dropped. The best sigma^2 of a point is |p - t|^2 / 2.

    Args:
        predicted: (B, N, 2) means p.
        log_sigma: (B, N) logarithm of the standard deviation, in the unit of the points.
        target: (B, N, 2) points t; undefined where masked out.
        mask: (B, N) bool.

    Returns:
        A scalar; 0 (with a graph) if no face has a point.

    Example:
        >>> mask = torch.ones(1, 1, dtype=torch.bool)
        >>> gaussian_nll(torch.zeros(1, 1, 2), torch.zeros(1, 1), torch.ones(1, 1, 2), mask)
        tensor(1.)
    """
    difference = _annotated_difference(predicted, target, mask)
    log_sigma = torch.where(mask, log_sigma, 0.0)
    per_point = 0.5 * difference.square().sum(dim=-1) * torch.exp(-2.0 * log_sigma)
    return mean_over_faces(per_point + 2.0 * log_sigma, mask)


def heatmap_nll(logits: Tensor, places: Tensor, mask: Tensor) -> Tensor:
    """Negative logarithm of the probability that heat maps give to the true places.

    The softmax of a map over its pixels is a distribution of the place; between pixels it is read
    bilinearly. The cross-entropy of integral regression (as in Sun et al., ECCV 2018).

    Args:
        logits: (B, N, h, w).
        places: (B, N, 2) in pixels of the maps; undefined where masked out.
        mask: (B, N) bool; places outside of the maps are left out too.

    Returns:
        A scalar; 0 (with a graph) if no face has a point inside.

    Example:
        >>> heatmap_nll(torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 2), torch.ones(1, 1) > 0)
        tensor(2.7726)
    """
    height, width = logits.shape[-2:]
    last = places.new_tensor([width - 1.0, height - 1.0])
    places = places.nan_to_num()
    inside = mask & ((places >= 0) & (places <= last)).all(-1)
    weights = [
        (1.0 - (places[..., axis, None] - torch.arange(count, device=places.device)).abs()).clamp(0)
        for axis, count in enumerate((width, height))
    ]
    share = (spatial_softmax(logits) * weights[1][..., None] * weights[0][..., None, :]).sum(
        (-1, -2)
    )
    surprise = torch.where(inside, -torch.log(share.clamp(min=1e-8)), 0.0)
    return mean_over_faces(surprise, inside)


def wing(
    difference: Tensor, w: float = WING_W / WING_SIDE, epsilon: float = WING_EPSILON / WING_SIDE
) -> Tensor:
    """Wing loss of each element (Feng et al., CVPR 2018, eq. 5): logarithm near 0, then linear.

    The defaults are meant for differences in sides of the crop.

    Example:
        >>> wing(torch.tensor([0.0, 1.0]), w=1.0, epsilon=1.0)
        tensor([0.0000, 0.6931])
    """
    magnitude = difference.abs()
    offset = w - w * math.log1p(w / epsilon)
    return torch.where(magnitude < w, w * torch.log1p(magnitude / epsilon), magnitude - offset)


def adaptive_wing(
    predicted: Tensor,
    target: Tensor,
    *,
    alpha: float = AWING_ALPHA,
    omega: float = AWING_OMEGA,
    epsilon: float = AWING_EPSILON,
    theta: float = AWING_THETA,
) -> Tensor:
    """Adaptive wing loss of each element (Wang et al., ICCV 2019).

    With y the target and d the difference, omega ln(1 + |d / epsilon|^(alpha - y)) where |d| is
    below theta, and A |d| - C from there on, with the value and the slope of the curve at theta.
    The exponent makes it a wing where the target is high and nearly a squared loss where it is 0.

    Args:
        predicted: any shape.
        target: the same shape, in [0, 1]: intensities of heat maps, or coordinates in units of the
            crop (outside of it the exponent is that of the border). Without a gradient.
        alpha: above 2, so that the slope is 0 where nothing is wrong.
        omega: height of the curve.
        epsilon: difference at which the logarithm begins to bend.
        theta: difference at which the curve becomes a line.

    Returns:
        The shape of `predicted`.

    Example:
        >>> adaptive_wing(torch.tensor([0.5, 1.0]), torch.tensor([0.5, 0.5]))
        tensor([0.0000, 3.9912])
    """
    constants = (alpha, omega, epsilon, theta)
    return cast(Tensor, _AdaptiveWing.apply(predicted, target.detach(), constants))


class _AdaptiveWing(torch.autograd.Function):
    """Heat maps have millions of elements: the slope is computed with the value, in few passes.

    Beyond theta curve and slope are those at theta, and the line goes on from there.
    """

    @staticmethod
    def forward(
        context: Any, predicted: Tensor, target: Tensor, constants: tuple[float, ...]
    ) -> Tensor:
        alpha, omega, epsilon, theta = constants
        power = alpha - target.clamp(0.0, 1.0)
        difference = predicted - target
        magnitude = difference.abs()
        bent = magnitude.clamp(max=theta)
        beyond = magnitude - bent
        # exp(p log x) takes a fraction of the time of x^p.
        ratio = torch.log(bent / epsilon).mul_(power).exp_()
        slope = (ratio * power).mul_(omega).div_((1.0 + ratio).mul_(bent).add_(_TINY))
        value = torch.log1p(ratio).mul_(omega).addcmul_(slope, beyond)
        if context.needs_input_grad[0]:
            context.save_for_backward(slope.mul_(difference.sign()))
        return value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = context.saved_tensors
        return grads[0] * slope, None, None


def pose_distance(predicted: Tensor, pose: Tensor, has_pose: Tensor, scale: float) -> Tensor:
    """Mean squared error of yaw, pitch, roll in units of `scale` degrees (ASMNet, L_pose).

    Args:
        predicted: (B, 3) yaw, pitch, roll in units of `scale`.
        pose: (B, >=3) labels, degrees, given or by POSIT; undefined where `has_pose` is False.
        has_pose: (B,) bool.
        scale: degrees per unit.

    Returns:
        A scalar; 0 (with a graph) if no row has a pose.

    Example:
        >>> pose_distance(torch.zeros(1, 3), torch.full((1, 6), 30.0), torch.tensor([True]), 30.0)
        tensor(1.)
    """
    target = pose[:, :3].nan_to_num() / scale
    error = torch.where(has_pose[:, None], predicted - target, 0.0)
    return error.square().mean(dim=-1).sum() / has_pose.sum().clamp(min=1)


def box_side(points: Tensor, mask: Tensor) -> Tensor:
    """Longer side of the box about the annotated points, to measure distances of a face in.

    Args:
        points: (B, N, 2); undefined where masked out.
        mask: (B, N) bool.

    Returns:
        (B, 1, 1) in the unit of the points; 1 where fewer than two points tell.
    """
    box = points_box(points, mask)
    side = (box[:, 2:] - box[:, :2]).amax(-1)
    return torch.where(side > 0, side, 1.0).view(-1, 1, 1)


def _annotated_difference(predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """(B, N, 2) difference, 0 where `mask` is False."""
    # `where` before any arithmetic: a masked NaN would poison the gradient even if weighed by 0.
    return torch.where(mask[..., None], predicted - target.nan_to_num(), 0.0)


def mean_over_faces(per_point: Tensor, mask: Tensor) -> Tensor:
    """Mean over the annotated points of each face, then over the faces that have one.

    Args:
        per_point: (B, N), 0 where `mask` is False.
        mask: (B, N) bool.

    Returns:
        A scalar; 0 (with a graph) if no face has a point.
    """
    count = mask.sum(dim=-1)
    per_face = per_point.sum(dim=-1) / count.clamp(min=1)
    return per_face.sum() / (count > 0).sum().clamp(min=1)
