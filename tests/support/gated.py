"""Methods whose cost is unusual: mostly elementwise products, or an operator without a formula."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn

from lit_landmarks.methods import LandmarkModule
from lit_landmarks.types import FaceBatch, FaceInputs, Prediction


class Gated(LandmarkModule):
    """Each point a sum of pixels, a weight for each, written as `(x * w).sum()`."""

    def __init__(self, **base: Any) -> None:
        super().__init__(**base)
        self.weight = nn.Parameter(torch.randn(68, 2, 3 * self.frame_size**2) * 0.01)
        self.attach(features=2)

    @classmethod
    def tiny(cls, **more: Any) -> Self:
        return cls(**{"frame_size": 32, **more})

    def predict(self, inputs: FaceInputs) -> Prediction:
        pixels = inputs.image.flatten(1)[:, None, None]
        points = (pixels * self.weight).sum(-1) + 0.5
        return Prediction(points=points * inputs.size, features=points.mean(1))

    def losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        return {"l1": (prediction.points - batch.points).abs().mean() / batch.image.shape[-1]}


class Exponential(Gated):
    """Turns the points by a matrix exponential, whose cost depends on its values."""

    def predict(self, inputs: FaceInputs) -> Prediction:
        turn = torch.linalg.matrix_exp(self.weight[0, :, :2])
        points = super().predict(inputs).points @ turn
        return Prediction(points=points, features=points.mean(1))
