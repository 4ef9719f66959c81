"""A method with two phases: its head learns first, on a frozen body, then all of it."""

from __future__ import annotations

from typing import Any, Self

from torch import Tensor, nn

from lit_landmarks.methods import LandmarkModule
from lit_landmarks.methods.phases import Phase
from lit_landmarks.types import FaceBatch, FaceInputs, Prediction


class TwoPhases(LandmarkModule):
    """Linear regression from a batch-normed body and a head."""

    def __init__(self, **base: Any) -> None:
        super().__init__(**base)
        self.body = nn.Sequential(
            nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(27, 16), nn.BatchNorm1d(16), nn.ReLU()
        )
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
