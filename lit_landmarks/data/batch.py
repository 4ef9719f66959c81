"""`SourceBatch`: a `FaceBatch` whose frame is still the source crop."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor

from lit_landmarks.types import FaceBatch


@dataclass
class SourceBatch(FaceBatch):
    """Faces as they leave the data loader: all pixel quantities are in source-crop pixels.

    `image` is uint8 (B, 3, S, S) in channels-last memory, `pose` holds the angles that the data set
    knows (translation NaN), `frame_to_image` takes source pixels to image pixels.

    Attributes:
        box: (B, 4) face box in source pixels, about which the frame is placed.
        draw: (B,) int64, how often the face was drawn before in this epoch.
    """

    box: Tensor
    draw: Tensor


#: What `BatchTransform` hands on: the fields of `FaceBatch` alone.
FACE_FIELDS = tuple(f.name for f in fields(FaceBatch))
