"""What `Landmarker` asks of a method; trained modules and exported graphs give it."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from lit_landmarks.types import FaceInputs, Prediction


class Predictor(Protocol):
    """A trained method in evaluation, whatever runs it.

    A `LandmarkModule` is one, once it is in evaluation mode. What runs a file of another program
    implements these names and nothing else.
    """

    @property
    def scheme(self) -> str | None:
        """Name of the scheme of its points; None for a method of queries."""

    @property
    def frame_size(self) -> int:
        """Side of its square input images in pixels."""

    @property
    def normalizer(self) -> object | None:
        """Not None if it looks for the face in a wide picture itself; no more is asked of it."""

    @property
    def device(self) -> torch.device:
        """Where `__call__` expects its inputs."""

    def __call__(self, inputs: FaceInputs) -> Prediction:
        """Landmarks of B faces in pixels of `inputs.image`, (B, 3, S, S) float in [0, 1].

        What it does not predict is None.
        """

    def to(self, device: torch.device | str) -> Any:
        """Moves it to another device; one that cannot raises `UserError`."""

    @property
    def answer_conventions(self) -> tuple[str, ...]:
        """Annotation conventions in which points can be asked for; empty without a choice."""

    def answered_convention(self, asked: str | None) -> str | None:
        """The convention of points that are asked for in one; None without a choice of them."""

    def add_visibility(
        self, prediction: Prediction, inputs: FaceInputs, anchors: int = 0
    ) -> Prediction:
        """The prediction with what is computed beside the network; it may be the same object.

        Args:
            prediction: of the inputs.
            inputs: what was predicted from.
            anchors: number of the last points, asked for beside the others (`methods.anchors`).
        """
