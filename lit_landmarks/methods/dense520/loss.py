"""Losses of dense 3D landmarks: Wing and adaptive Wing in pixels, and the authors' recipe.

The published code (see README.md) takes a Wing loss with w = 10 and epsilon = 2, which are meant
for pixels, of coordinates in [0, 1]: there it is 5 |d| to within a few percent, and the squared
term of the 68 points is hundreds of times smaller. `faithful` is that recipe; the others measure
differences in pixels of a crop of 256, so that the curve bends where its authors meant it to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lit_landmarks.errors import UserError, check_literals
from lit_landmarks.nets.losses import (
    WING_EPSILON,
    WING_SIDE,
    WING_W,
    adaptive_wing,
    mean_over_faces,
    wing,
)

DenseDistance = Literal["wing", "adaptive_wing", "l1", "wing_unit", "faithful"]
ContourRule = Literal["near", "frontal", "ignore", "as_labeled"]

#: Weights of Wing on all points and of the squared error on the 68 (authors' code).
FAITHFUL_WING, FAITHFUL_SQUARED = 1.5, 0.5


@dataclass(frozen=True)
class DenseLossOptions:
    """Choices of the loss.

    Attributes:
        distance: "wing" and "adaptive_wing" by their published formulas, in pixels of a crop of 256
            and in crop sides; "l1" in pixels; "wing_unit" is Wing of coordinates in [0, 1], as in
            the authors' code, and "faithful" their whole sum.
        dense_weight: of all points of faces with 3D labels.
        sparse_weight: of the 68 points of the same faces once more.
        photo_weight: of faces with 2D labels only.
        contour: what becomes of the 17 points of the jaw where a data set places them on the
            visible contour, while the dense points are fixed to the skull. Both are the same on
            frontal faces, and on turned ones along the half of the jaw that is "near" the camera:
            take those; or those of "frontal" faces; "ignore" all; or take all "as_labeled".
        frontal: largest |yaw| in degrees of a frontal face.
    """

    distance: DenseDistance = "wing"
    dense_weight: float = 1.0
    sparse_weight: float = 0.5
    photo_weight: float = 1.0
    contour: ContourRule = "near"
    frontal: float = 15.0

    def __post_init__(self) -> None:
        """Reject values that no choice has."""
        check_literals(self, "loss")
        weights = (self.dense_weight, self.sparse_weight, self.photo_weight)
        if not all(0.0 <= w < math.inf for w in weights) or max(weights) == 0.0:
            raise UserError(f"loss weights are {weights}; give numbers from 0, not all of them 0")
        if not 0.0 <= self.frontal <= 180.0:
            raise UserError(f"loss.frontal is {self.frontal}; give degrees from 0 to 180")
        own = DenseLossOptions.dense_weight, DenseLossOptions.sparse_weight
        if self.distance == "faithful" and weights[:2] != own:
            raise UserError(
                "loss.distance faithful has the authors' weights; remove dense_weight and"
                " sparse_weight"
            )


def measure_distance(predicted: Tensor, target: Tensor, distance: DenseDistance) -> Tensor:
    """Loss of each coordinate.

    Args:
        predicted: any shape, in crop sides from the crop's center.
        target: the same shape.
        distance: see `DenseLossOptions`; "faithful" is its first term, without its weight.

    Example:
        >>> off = torch.tensor([2.0 / 256.0])
        >>> measure_distance(off, torch.zeros(1), "wing").item()  # 10 ln 2
        6.931471824645996
    """
    if distance == "adaptive_wing":
        return adaptive_wing(predicted + 0.5, target + 0.5)
    difference = predicted - target
    if distance in ("wing_unit", "faithful"):
        return wing(difference, WING_W, WING_EPSILON)
    pixels = difference * WING_SIDE
    return wing(pixels, WING_W, WING_EPSILON) if distance == "wing" else pixels.abs()


def average_coordinates(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the coordinates of the masked points, each face weighing the same.

    Args:
        values: (B, N, D); undefined where masked out.
        mask: (B, N) bool.

    Returns:
        A scalar; 0 (with a graph) if no face has a point.
    """
    return mean_over_faces(torch.where(mask[..., None], values, 0.0).mean(dim=-1), mask)


def faithful_loss(
    predicted: Tensor, target: Tensor, sparse: Tensor, mask: Tensor | None = None
) -> Tensor:
    """1.5 Wing of all coordinates and 0.5 the mean squared error of the 68 (authors' code).

    Args:
        predicted: (B, N, 3) in crop sides.
        target: (B, N, 3).
        sparse: (68,) indices of iBUG's points.
        mask: (B, N) bool, the points that are labelled; None for all, as the authors have them.

    Returns:
        A scalar.

    Example:
        >>> off = torch.full((1, 520, 3), 0.05)
        >>> round(faithful_loss(off, torch.zeros(1, 520, 3), torch.arange(68)).item(), 4)
        0.3716
    """
    if mask is None:
        mask = torch.ones(predicted.shape[:2], dtype=torch.bool, device=predicted.device)
    difference = predicted - target
    wings = average_coordinates(wing(difference, WING_W, WING_EPSILON), mask)
    squared = average_coordinates(difference[:, sparse].square(), mask[:, sparse])
    return FAITHFUL_WING * wings + FAITHFUL_SQUARED * squared
