"""Flip averaging for a `Landmarker`: each face is run as it is and mirrored, at twice the cost."""

from __future__ import annotations

from typing import Any, Self, cast

import torch

from lit_landmarks.inference.landmarker import Landmarker
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.methods.mirroring import average_flipped, flip_permutation
from lit_landmarks.types import FaceInputs, Prediction


class FlipAverage:
    """A method that answers with the mean of each face and its mirror image.

    It stands where the method stood: whatever else is asked of it, the method says.

    Args:
        method: the method.

    Raises:
        UserError: its scheme has no left-right pairs.

    Example:
        >>> from lit_landmarks.methods import METHODS
        >>> method = FlipAverage(METHODS["MuSiCa"].tiny().eval())
        >>> method(method.example()).points.shape
        torch.Size([1, 68, 2])
    """

    def __init__(self, method: Any) -> None:
        flip_permutation(method.scheme)
        self.method = method

    def __call__(self, inputs: FaceInputs) -> Prediction:
        """See `average_flipped`."""
        return average_flipped(self.method, inputs, self.method.scheme)

    def __getattr__(self, name: str) -> Any:
        """What the method has under this name."""
        if name == "method":  # a copy that is not yet filled
            raise AttributeError(name)
        return getattr(self.method, name)

    def eval(self) -> Self:
        """Put the method into evaluation mode."""
        self.method.eval()
        return self

    def to(self, device: torch.device | str) -> Self:
        """Move the method to another device."""
        self.method.to(device)
        return self


def average_flips(landmarker: Landmarker) -> Landmarker:
    """The same landmarker with flip averaging; its notes say the cost of both runs.

    Raises:
        UserError: the scheme has no left-right pairs.
    """
    notes = dict(landmarker.notes)
    if notes.get("mma") is not None:
        notes["mma"] = 2 * notes["mma"]
    method = cast(LandmarkModule, FlipAverage(landmarker.method))
    return Landmarker(method, landmarker.crop, notes, landmarker.batch_size)
