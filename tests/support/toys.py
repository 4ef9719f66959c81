"""Toy parts and methods: small, learnable, with answers that can be worked out by hand."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from lit_landmarks.geometry.crops import similarity
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.methods.phases import Phase
from lit_landmarks.nets.correction import SemanticCorrection
from lit_landmarks.nets.normalizer import SpatialNormalizer
from lit_landmarks.types import FaceBatch, FaceInputs, Needs, Prediction


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


class PooledColors(nn.Module):
    """Image to a 27-vector: mean color of each cell of a 3 x 3 grid."""

    def forward(self, image: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(image, 3).flatten(1)


class TwoPhases(LandmarkModule, abstract=True):
    """Linear regression from a batch-normed body and a head; the head learns first.

    Args:
        **base: see `LandmarkModule`.
    """

    def __init__(self, **base: Any) -> None:
        super().__init__(**base)
        self.body = nn.Sequential(PooledColors(), nn.Linear(27, 16), nn.BatchNorm1d(16), nn.ReLU())
        self.head = nn.Linear(16, 2 * 68)
        self.attach(features=16)

    @classmethod
    def tiny(cls, **more: Any) -> Self:
        return cls(**{"frame_size": 64, **more})

    def own_phases(self) -> list[Phase]:
        return [
            Phase("head", until=0.5, learns=("head",), losses={"l2": 1.0}, judged=False),
            Phase("all", until=1.0, losses={"l1": 1.0}),
        ]

    def predict(self, inputs: FaceInputs) -> Prediction:
        features = self.body(inputs.image)
        points = self.head(features).unflatten(1, (68, 2)) + 0.5
        return Prediction(points=points * inputs.size, features=features)

    def losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        gap = (prediction.points - batch.points)[batch.mask] / batch.image.shape[-1]
        return {"l1": gap.abs().mean(), "l2": gap.square().mean()}


class AnyQuery(LandmarkModule, abstract=True):
    """Answers any template point: pooled colors and the query, through two layers.

    Args:
        **base: see `LandmarkModule`.
    """

    def __init__(self, **base: Any) -> None:
        super().__init__(**base)
        self.network = nn.Sequential(nn.Linear(27 + 3, 32), nn.ReLU(), nn.Linear(32, 2))
        self.pool = PooledColors()
        self.attach(features=27)

    @property
    def needs(self) -> Needs:
        return Needs(one_scheme=False)

    @classmethod
    def tiny(cls, **more: Any) -> Self:
        return cls(**{"scheme": None, "frame_size": 64, **more})

    def predict(self, inputs: FaceInputs) -> Prediction:
        assert inputs.queries is not None
        features = self.pool(inputs.image)
        queries = inputs.queries.nan_to_num()
        rows = features[:, None].expand(-1, queries.shape[1], -1)
        points = self.network(torch.cat([rows, queries], -1)) + 0.5
        return Prediction(points=points * inputs.size, features=features)

    def losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        gap = (prediction.points - batch.points.nan_to_num()) / batch.image.shape[-1]
        return {"l1": (gap.abs().mean(-1) * batch.mask).sum() / batch.mask.sum().clamp(min=1)}
