"""Losses of queried landmarks: distance, likelihood, and what keeps the 3D shape a face."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.crops import affine_scale
from lit_landmarks.nets.head3d import measure_offsets
from lit_landmarks.nets.losses import box_side, gaussian_nll, point_distance
from lit_landmarks.types import TIGHT_SCALE, FaceBatch, Prediction


@dataclass(frozen=True)
class InfiniteLossOptions:
    """Weights of the losses; no weight of the papers is public, these are ours.

    Attributes:
        points: Wing of the last answer, in pixels of a tight crop of 256 about the face.
        start: the same of the first answer, before evidence.
        evidence: negative log-probability of the labels under the heat maps of the evidence, which
            teaches the map several times faster than the mean place does.
        sigma: Gaussian likelihood of the labels under the predicted standard deviations, which
            alone learn from it.
        offset: Huber length of a face's difference from the learned mean shape, head units. Where
            it weighs little, offsets take the part of the camera: heads are turned too little.
        mean: the same of the mean shape from the queries; labels of many poses tell its depth.
        rigid: squared shift and turn in both, which a camera should explain.
        focal: squared logarithm of the focal length by 1.5 sides.
    """

    points: float = 100.0
    start: float = 50.0
    evidence: float = 5.0
    sigma: float = 0.1
    offset: float = 200.0
    mean: float = 1.0
    rigid: float = 200.0
    focal: float = 0.1

    def __post_init__(self) -> None:
        """Refuse weights that mean nothing."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if not all(0.0 <= value < math.inf for value in values.values()) or not self.points:
            raise UserError(f"loss weights are {values}; give numbers from 0, points above 0")


def landmark_losses(prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
    """`points`, `start` and `sigma`, in units of a tight crop about each face.

    Args:
        prediction: with `stages` and `log_sigma`, in pixels of the input.
        batch: the labels.
    """
    assert prediction.stages is not None
    assert prediction.log_sigma is not None
    unit = TIGHT_SCALE * box_side(batch.points, batch.mask)
    target = batch.points.nan_to_num() / unit
    stages = prediction.stages / unit
    losses = {"points": point_distance(stages[-1], target, batch.mask, "wing")}
    if len(stages) > 1:
        losses["start"] = point_distance(stages[0], target, batch.mask, "wing")
    log_sigma = prediction.log_sigma - unit.squeeze(-1).log()
    if prediction.crop is not None:  # a larger crop is no way to be less sure
        scale = affine_scale(prediction.crop).log().unsqueeze(-1)
        log_sigma = log_sigma - scale + scale.detach()
    losses["sigma"] = gaussian_nll(stages[-1].detach(), log_sigma, target, batch.mask)
    return losses


def shape_losses(
    offsets: Tensor, queries: Tensor, log_focal: Tensor, mask: Tensor
) -> dict[str, Tensor]:
    """`offset`, `mean`, `rigid` and `focal` of a prediction in 3D.

    Args:
        offsets: (2, B, N, 3) head units, of the mean shape and of the face; see `QueryAnswer`.
        queries: (B, N, 3).
        log_focal: (B,).
        mask: (B, N) bool: queries that have a place.
    """
    of_mean, of_face = (measure_offsets(part, queries, mask) for part in offsets)
    return {
        "offset": of_face.offset,
        "mean": of_mean.offset,
        "rigid": measure_offsets(offsets.sum(0), queries, mask).rigid,
        "focal": log_focal.square().mean(),
    }
