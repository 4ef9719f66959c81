"""Predicting one's own error: the target, the loss and a head that any method can carry.

MuSiCa's idea (Shapira et al., ACM MM 2021): beside the landmarks a network says how far they are
off, and learns it from how far they were. `Prediction.error` is that estimate as NME in percent.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from lit_landmarks.types import NORMS, FaceBatch

ErrorUnits = Literal["euclidean", "l1"]
#: Mean of |cos a| + |sin a| over all directions: an L1 length in units of the Euclidean one.
L1_PER_EUCLIDEAN = 4.0 / math.pi
#: The normaliser is at least this share of the frame: eyes of a profile coincide.
_LEAST_NORM = 0.05
#: Keeps the gradient of a length finite at zero, square pixels.
_SOFT = 1e-6


class ErrorHead(nn.Module):
    """Pooled features to the error of the landmarks that were made from them.

    Args:
        features: length of the feature vector.
        hidden: width of the layer between.
        detach: keep the gradient of the estimate away from the features.
    """

    def __init__(self, features: int, hidden: int = 64, detach: bool = True) -> None:
        super().__init__()
        self.detach = detach
        last = nn.Linear(hidden, 1)
        nn.init.constant_(last.bias, 0.1)  # about the first NME worth the name
        self.layers = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), last)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C) to (B,), a fraction of the normaliser."""
        found: Tensor = self.layers(features.detach() if self.detach else features)
        return found[:, 0]


def error_normaliser(batch: FaceBatch) -> Tensor:
    """(B,) distance of the outer eye corners, pixels; half the box where it is undefined.

    At least 5 % of the frame, since the eyes of a profile coincide.
    """
    frame = batch.image.shape[-1]
    eyes = batch.norms[:, NORMS.index("interocular")]
    half = 0.5 * batch.norms[:, NORMS.index("box")]
    norm = torch.where(eyes.isfinite(), eyes, half).nan_to_num(frame / 4)
    return norm.clamp_min(_LEAST_NORM * frame)


def shape_error(points: Tensor, batch: FaceBatch, units: ErrorUnits = "euclidean") -> Tensor:
    """Mean error of whole shapes over the annotated points, as a fraction of the normaliser.

    Args:
        points: (..., B, N, 2) frame pixels.
        batch: the labels.
        units: the length of a point's error, or the sum of its two absolute differences, which is
            about 4 / pi times as large.

    Returns:
        (..., B).
    """
    mask = batch.mask.float()
    share = mask / (mask.sum(1, keepdim=True).clamp_min(1.0) * error_normaliser(batch)[:, None])
    known = batch.mask[..., None]
    truth = torch.where(known, batch.points, torch.zeros_like(batch.points))
    off = torch.where(known, points - truth, torch.zeros_like(points))
    length = off.abs().sum(-1) if units == "l1" else (off.square().sum(-1) + _SOFT).sqrt()
    return (length * share).sum(-1)


def percent_of(units: ErrorUnits = "euclidean") -> float:
    """What an estimate is multiplied by to be NME in percent."""
    return 100.0 if units == "euclidean" else 100.0 / L1_PER_EUCLIDEAN
