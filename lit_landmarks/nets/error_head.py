"""Error prediction: a head that estimates the NME of a method's landmarks, its target and loss.

MuSiCa's idea (Shapira et al., ACM MM 2021): beside the landmarks a network predicts their error,
and learns it from the true error in training. `Prediction.error` is that estimate, NME in percent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.types import NORMS, FaceBatch, Prediction

ErrorUnits = Literal["euclidean", "l1"]
#: Mean of |cos a| + |sin a| over all directions: an L1 length in units of the Euclidean one.
L1_PER_EUCLIDEAN = 4.0 / math.pi
#: The norm is at least this share of the face's box: the eye corners of a profile coincide.
_LEAST_NORM = 0.06
#: Keeps the gradient of a length finite at zero, square pixels.
_SOFT = 1e-6


@dataclass(frozen=True)
class ErrorHeadOptions:
    """Options of an error head.

    Attributes:
        weight: of the loss `error`, the mean absolute gap to the true error.
        hidden: width of the layer between.
        detach: keep the gradient of the estimate away from the features.
    """

    weight: float = 0.1
    hidden: int = 64
    detach: bool = True

    def __post_init__(self) -> None:
        """Refuse weights and widths that mean nothing."""
        if self.weight <= 0.0:
            raise UserError(
                f"model.error_head.weight is {self.weight}; give a number above 0, "
                "or error_head null for no error head"
            )
        if self.hidden < 1:
            raise UserError(f"model.error_head.hidden is {self.hidden}; give 1 or more")


class ErrorHead(nn.Module):
    """Two layers from pooled features to the NME of the landmarks regressed from them.

    Args:
        features: length of the feature vector.
        options: see `ErrorHeadOptions`.

    Example:
        >>> ErrorHead(16)(torch.zeros(3, 2, 16)).shape  # two stages are in front
        torch.Size([3, 2])
    """

    def __init__(self, features: int, options: ErrorHeadOptions | None = None) -> None:
        super().__init__()
        options = options or ErrorHeadOptions()
        self.weight = options.weight
        self.detach = options.detach
        last = nn.Linear(options.hidden, 1)
        nn.init.constant_(last.bias, 0.1)  # 10 %: the NME of a network that has begun to learn
        self.layers = nn.Sequential(nn.Linear(features, options.hidden), nn.ReLU(), last)

    def forward(self, features: Tensor) -> Tensor:
        """(..., C) to (...,), a fraction of the norm of NME."""
        estimate: Tensor = self.layers(features.detach() if self.detach else features)
        return estimate[..., 0]

    def loss(self, prediction: Prediction, batch: FaceBatch) -> Tensor:
        """Mean gap between the predicted and the true error of each stage, fraction of the norm.

        Args:
            prediction: with `error` (T, B) in percent; its points are taken as they are.
            batch: the labels.
        """
        assert prediction.error is not None
        shapes = prediction.points[None]
        if prediction.stages is not None and len(prediction.error) > 1:
            shapes = prediction.stages
        target = shape_error(shapes.detach(), batch) * percent_factor()
        return (target - prediction.error).abs().mean() / percent_factor()


def error_norm(batch: FaceBatch) -> Tensor:
    """(B,) distance of the outer eye corners, pixels; half the box where it is undefined.

    At least 6 % of the box, since the eye corners of a profile coincide.
    """
    eyes = batch.norms[:, NORMS.index("interocular")]
    box = batch.norms[:, NORMS.index("box")].nan_to_num(batch.image.shape[-1] / 2)
    return torch.where(eyes.isfinite(), eyes, 0.5 * box).maximum(_LEAST_NORM * box)


def shape_error(points: Tensor, batch: FaceBatch, units: ErrorUnits = "euclidean") -> Tensor:
    """Mean error of whole shapes over the annotated points, as a fraction of the norm.

    Args:
        points: (..., B, N, 2) frame pixels.
        batch: the labels.
        units: the length of a point's error, or the sum of its two absolute differences, which is
            about 4 / pi times as large.

    Returns:
        (..., B).
    """
    mask = batch.mask.float()
    weight = mask / (mask.sum(1, keepdim=True).clamp_min(1.0) * error_norm(batch)[:, None])
    annotated = batch.mask[..., None]
    truth = torch.where(annotated, batch.points, torch.zeros_like(batch.points))
    off = torch.where(annotated, points - truth, torch.zeros_like(points))
    length = off.abs().sum(-1) if units == "l1" else (off.square().sum(-1) + _SOFT).sqrt()
    return (length * weight).sum(-1)


def percent_factor(units: ErrorUnits = "euclidean") -> float:
    """Factor from an estimate in `units` to NME in percent."""
    return 100.0 if units == "euclidean" else 100.0 / L1_PER_EUCLIDEAN
