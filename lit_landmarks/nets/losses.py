"""Losses of points and of head pose (pure torch), each masked by what is annotated."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Distance = Literal["squared", "euclidean", "l1", "wing"]

#: Wing loss (Feng et al., CVPR 2018, eq. 5) uses w = 10, epsilon = 2 for pixels of a 256 px crop.
WING_W, WING_EPSILON = 10.0 / 256.0, 2.0 / 256.0


def point_distance(
    predicted: Tensor, target: Tensor, mask: Tensor, distance: Distance = "squared"
) -> Tensor:
    """Mean distance of the points that `mask` names, each face weighing the same.

    Args:
        predicted: (B, N, 2) centred frame units.
        target: (B, N, 2); undefined where masked out.
        mask: (B, N) bool.
        distance: which one. Squared, l1 and wing are means over coordinates, euclidean
            over points.

    Returns:
        A scalar; 0 (with a graph) if no face has a point.
    """
    # `where` before any arithmetic: a masked NaN would poison the gradient even if weighed by 0.
    difference = torch.where(mask[..., None], predicted - target.nan_to_num(), 0.0)
    if distance == "squared":
        per_point = difference.square().mean(dim=-1)
    elif distance == "euclidean":
        per_point = torch.linalg.vector_norm(difference, dim=-1)
    elif distance == "l1":
        per_point = difference.abs().mean(dim=-1)
    else:
        per_point = wing(difference).mean(dim=-1)
    count = mask.sum(dim=-1)
    per_face = per_point.sum(dim=-1) / count.clamp(min=1)
    return per_face.sum() / (count > 0).sum().clamp(min=1)


def wing(difference: Tensor, w: float = WING_W, epsilon: float = WING_EPSILON) -> Tensor:
    """Wing loss of each element (Feng et al., CVPR 2018, eq. 5): logarithm near 0, then linear."""
    magnitude = difference.abs()
    offset = w - w * math.log1p(w / epsilon)
    return torch.where(magnitude < w, w * torch.log1p(magnitude / epsilon), magnitude - offset)


def pose_distance(predicted: Tensor, pose: Tensor, has_pose: Tensor, scale: float) -> Tensor:
    """Mean squared error of yaw, pitch, roll in units of `scale` degrees (ASMNet, L_pose).

    Args:
        predicted: (B, 3) yaw, pitch, roll in units of `scale`.
        pose: (B, >=3) labels, degrees; undefined where `has_pose` is False.
        has_pose: (B,) bool.
        scale: degrees per unit.

    Returns:
        A scalar; 0 (with a graph) if no row has a pose.
    """
    target = pose[:, :3].nan_to_num() / scale
    error = torch.where(has_pose[:, None], predicted - target, 0.0)
    return error.square().mean(dim=-1).sum() / has_pose.sum().clamp(min=1)
