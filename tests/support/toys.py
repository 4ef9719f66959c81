"""Toy parts of methods: learnable, with answers that can be worked out by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lit_landmarks.geometry.crops import similarity
from lit_landmarks.nets.correction import SemanticCorrection
from lit_landmarks.nets.normalizer import SpatialNormalizer
from lit_landmarks.types import Prediction


class OneView(SpatialNormalizer):
    """The same learnable similarity for every face: zoom, roll and shift of the crop.

    Args:
        zoom: side of the crop in sides of the input.
        angle: degrees by which the crop is turned in the input, clockwise.
        **base: see `SpatialNormalizer`.
    """

    def __init__(self, *, zoom: float = 0.8, angle: float = 0.0, **base: Any) -> None:
        super().__init__(**base)
        self.zoom = nn.Parameter(torch.tensor(zoom))
        self.angle = nn.Parameter(torch.tensor(angle))
        self.shift = nn.Parameter(torch.zeros(2))

    def locate(self, image: Tensor) -> Tensor:
        count, side = image.shape[0], image.shape[-1]
        middle = image.new_full((count, 2), (self.crop_size - 1) / 2)
        center = image.new_full((count, 2), (side - 1) / 2) + self.shift * side
        scale = (self.zoom * side / self.crop_size).expand(count)
        return similarity(scale, self.angle.expand(count), middle, center)


class OffsetPerConvention(SemanticCorrection):
    """One learnable displacement of all points for each convention, in input pixels."""

    def __init__(self, *, conventions: list[str]) -> None:
        super().__init__(conventions=conventions)
        self.offsets = nn.Parameter(torch.zeros(len(conventions), 2))

    def displace(self, prediction: Prediction, rows: Tensor) -> Tensor:
        return self.offsets[rows][:, None].expand_as(prediction.points)
