"""`SourceBatch`: a `FaceBatch` as the data loader hands it out, before the one warp."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lit_landmarks.types import FaceBatch


@dataclass
class SourceBatch(FaceBatch):
    """Faces as they leave the data loader: source crops, with labels in pixels of the image file.

    `image` is uint8 (B, 3, S, S) in channels-last memory, `frame_to_image` takes its pixels to
    image pixels, and `pose` holds the angles that the data set gives (translation 0).

    Attributes:
        box: (B, 4) face box in image pixels, about which the crop is placed.
        draw: (B,) int64, how often the face was drawn before in this epoch.
    """

    box: Tensor
    draw: Tensor
