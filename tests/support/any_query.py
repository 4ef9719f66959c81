"""A method that answers any template point, written by the recipe for a new method alone."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from lit_landmarks.methods import LandmarkModule
from lit_landmarks.types import FaceBatch, FaceInputs, Needs, Prediction


class AnyQuery(LandmarkModule):
    """Colors pooled over a 3 x 3 grid and the template point, through two layers."""

    def __init__(self, **base: Any) -> None:
        super().__init__(**base)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Flatten())
        self.network = nn.Sequential(nn.Linear(27 + 3, 32), nn.ReLU(), nn.Linear(32, 2))
        self.attach(features=27)

    @property
    def needs(self) -> Needs:
        return Needs(one_scheme=False)

    @classmethod
    def tiny(cls, **more: Any) -> Self:
        return cls(**{"scheme": None, "frame_size": 64, **more})

    def predict(self, inputs: FaceInputs) -> Prediction:
        assert inputs.queries is not None
        features, queries = self.pool(inputs.image), inputs.queries.nan_to_num()
        rows = features[:, None].expand(-1, queries.shape[1], -1)
        points = self.network(torch.cat([rows, queries], -1)) + 0.5
        return Prediction(points=points * inputs.size, features=features)

    def losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        gap = torch.where(batch.mask[..., None], prediction.points - batch.points, 0.0).abs()
        return {"l1": gap.sum() / batch.mask.sum() / batch.image.shape[-1]}
