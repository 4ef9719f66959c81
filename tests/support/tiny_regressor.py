"""A method of three layers, for fits whose network does not matter to their test."""

from __future__ import annotations

from typing import Any, Self

from torch import Tensor, nn

from lit_landmarks.methods import LandmarkModule
from lit_landmarks.schemes import get_scheme
from lit_landmarks.types import FaceBatch, FaceInputs, Prediction


class TinyRegressor(LandmarkModule):
    """A strided convolution, pooled over a 4 x 4 grid, and a linear layer to all points.

    Args:
        dropout: on the pooled features.
        **base: see `LandmarkModule`.
    """

    def __init__(self, *, dropout: float = 0.3, **base: Any) -> None:
        super().__init__(**base)
        assert self.scheme is not None
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=4, padding=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4)
        )
        self.head = nn.Sequential(
            nn.Flatten(), nn.Dropout(dropout), nn.Linear(128, 2 * get_scheme(self.scheme).n_points)
        )
        self.attach(features=128)

    @classmethod
    def tiny(cls, **more: Any) -> Self:
        return cls(**{"frame_size": 64, "dropout": 0.0, **more})

    def predict(self, inputs: FaceInputs) -> Prediction:
        features = self.features(inputs.image)
        points = self.head(features).unflatten(1, (-1, 2)) + 0.5
        return Prediction(points=points * inputs.size, features=features.flatten(1))

    def losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        gap = prediction.points.sub(batch.points)[batch.mask].abs().mean()
        return {"l1": gap / batch.image.shape[-1]}
