"""Losses of SPIGA: each stack's points, heat maps, edges and pose, and each step's landmarks.

Relayed by readers of the paper (README); its open points are options.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_landmarks.errors import UserError, check_literals
from lit_landmarks.nets.losses import WING_EPSILON, WING_SIDE, WING_W, adaptive_wing, wing

PoseUnits = Literal["degrees", "scaled"]
CoordinateLoss = Literal["smooth_l1", "l1", "wing"]

#: Coordinates are compared in pixels of a grid of this side, whatever the crop's size.
GRID = 64.0
#: Wing's constants in pixels of that grid.
_WING = WING_W * GRID / WING_SIDE, WING_EPSILON * GRID / WING_SIDE
#: Degrees and head units per unit of a scaled pose loss: standard deviations of faces in crops.
_POSE_SCALE = (10.0, 10.0, 10.0, 0.1, 0.1, 0.3)
#: Names of the losses, each with a weight among the options.
_LOSSES = ("points", "heatmaps", "edges", "pose", "cascade")


@dataclass(frozen=True)
class SPIGALossOptions:
    """Weights and open points of the loss.

    Attributes:
        points: weight of the landmarks that the backbone answers (paper: 4).
        heatmaps: weight of its maps of points (paper: 50).
        edges: weight of its maps of edges (paper: 50); 0 draws none.
        pose: weight of the pose.
        cascade: weight of the landmarks after each step.
        pose_units: "degrees" takes the six numbers as they come, so that angles decide; "scaled"
            divides them by their spread.
        coordinates: of landmarks, in pixels of a grid of 64.
        beta: where "smooth_l1" becomes linear, in these pixels.
        sigma: of the heat maps, in pixels of the feature map (authors' code: 1.5).
        edge_sigma: of the edges (authors' code: 1).
    """

    points: float = 4.0
    heatmaps: float = 50.0
    edges: float = 50.0
    pose: float = 1.0
    cascade: float = 1.0
    pose_units: PoseUnits = "scaled"
    coordinates: CoordinateLoss = "smooth_l1"
    beta: float = 1.0
    sigma: float = 1.5
    edge_sigma: float = 1.0

    def __post_init__(self) -> None:
        """Reject values that no choice has."""
        check_literals(self, "loss")
        for name in _LOSSES:
            if not 0.0 <= getattr(self, name) < math.inf:
                raise UserError(f"loss.{name} is {getattr(self, name)}; give a weight from 0 on")
        for name in ("beta", "sigma", "edge_sigma"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise UserError(f"loss.{name} is {getattr(self, name)}; give a number above 0")

    def weights(self) -> dict[str, float]:
        """Weight of each loss; one without is not computed."""
        return {name: getattr(self, name) for name in _LOSSES}


def coordinate_loss(
    shapes: Tensor, target: Tensor, mask: Tensor, options: SPIGALossOptions
) -> Tensor:
    """Loss of each of T shapes, a mean over the annotated coordinates of all faces.

    Args:
        shapes: (T, B, N, 2) sides of the crop.
        target: (B, N, 2); undefined where masked out.
        mask: (B, N) bool.
        options: kind and units.

    Returns:
        (T,); 0 where no point is annotated.
    """
    difference = torch.where(mask[..., None], shapes - target.nan_to_num(), 0.0) * GRID
    if options.coordinates == "l1":
        values = difference.abs()
    elif options.coordinates == "wing":
        values = wing(difference, *_WING)
    else:
        zero = torch.zeros_like(difference)
        values = F.smooth_l1_loss(difference, zero, beta=options.beta, reduction="none")
    return values.sum((1, 2, 3)) / (2 * mask.sum().clamp(min=1))


def map_loss(predicted: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Adaptive Wing loss of heat maps, a mean over the pixels of the maps that count.

    Args:
        predicted: (B, M, h, w) in [0, 1].
        target: (B, M, h, w).
        valid: (B, M) bool.
    """
    values = adaptive_wing(predicted, target).mean((2, 3))
    return torch.where(valid, values, 0.0).sum() / valid.sum().clamp(min=1)


def pose_loss(predicted: Tensor, target: Tensor, valid: Tensor, units: PoseUnits) -> Tensor:
    """Squared length of the difference of poses, a mean over the faces that have one.

    Args:
        predicted: (B, 6) degrees and head units.
        target: (B, 6).
        valid: (B,) bool.
        units: see `SPIGALossOptions`.
    """
    difference = torch.where(valid[:, None], predicted - target, 0.0)
    if units == "scaled":
        difference = difference / difference.new_tensor(_POSE_SCALE)
    return difference.square().sum() / valid.sum().clamp(min=1)


def sum_over_stacks(losses: Sequence[Tensor]) -> Tensor:
    """Sum with weights 1, 2, 4, ... of the stacks, the last weighing most."""
    return torch.stack([2.0**stack * loss for stack, loss in enumerate(losses)]).sum()
