"""Training of ASMNet (paper, section 3.2-3.3), whatever network regresses the coordinates.

ASMNet and its MobileNetV2 baseline differ in their network alone; what they share is here, so that
the comparison compares networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.crops import (
    from_centered,
    points_in_crop,
    to_centered,
    transform_points,
)
from lit_landmarks.geometry.shape_model import ShapeModel
from lit_landmarks.methods.asmnet.loss import ASMLossOptions, blend_targets
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.methods.landmark_axes import LandmarkAxis
from lit_landmarks.methods.phases import Phase
from lit_landmarks.nets.losses import point_distance, pose_distance
from lit_landmarks.schemes import get_scheme
from lit_landmarks.types import (
    FaceBatch,
    FaceInputs,
    Needs,
    Prediction,
    ShapeStatistics,
)

#: Rounds in which unannotated points are replaced by what the shape model makes of the others.
IMPUTATIONS = 5

DEFAULT_LOSS = ASMLossOptions()


class ASMRegression(LandmarkModule, abstract=True):
    """Coordinate (and pose) regression towards the truth and its smoothed version.

    A subclass sets `network`: image to landmarks (B, 2n) in centred frame units, pose (B, 3) in
    units of `loss.pose_scale` degrees, or None, and the features (B, C) behind both. Its linear
    heads are called `landmarks` and `pose`.

    Args:
        loss: the options of the loss.
        **base: see `LandmarkModule`.
    """

    network: nn.Module

    def __init__(self, *, loss: ASMLossOptions = DEFAULT_LOSS, **base: Any) -> None:
        super().__init__(**base)
        if self.scheme is None:
            raise UserError(
                f"{type(self).__name__} predicts fixed points; set data.init_args.scheme"
            )
        self.n_points = get_scheme(self.scheme).n_points
        self.loss = loss
        self.shape_model = ShapeModel(self.n_points)

    @property
    def needs(self) -> Needs:
        """Faces cut tight, or a wide frame for a normalizer; shape statistics for A(x)."""
        return Needs(frame=self.tight_frame, statistics=True)

    def landmark_axes(self) -> Mapping[str, LandmarkAxis]:
        """The rows of the landmark head."""
        return {f"network.landmarks.{name}": LandmarkAxis(0, 2) for name in ("weight", "bias")}

    def predict(self, inputs: FaceInputs) -> Prediction:
        """See `LandmarkModule.predict`; only the image is used."""
        landmarks, angles, features = self.network(inputs.image)
        points = from_centered(landmarks.unflatten(1, (self.n_points, 2)), inputs.size)
        prediction = Prediction(points=points, features=features)
        if angles is not None:
            degrees = angles * self.loss.pose_scale
            prediction.pose = nn.functional.pad(degrees, (0, 3), value=torch.nan)
        return prediction

    def optional_labels(self) -> Mapping[str, str]:
        """The pose head's, if there is one."""
        if self.loss.pose_weight == 0.0:
            return {}
        return {"pose": "set model.init_args.loss.pose_weight to 0 to leave out the pose head"}

    def set_shape_statistics(self, statistics: ShapeStatistics) -> None:
        """Take the PCA of the augmented training labels (paper, section 3.2).

        The landmark head starts at their mean (ours): from a zero bias, Adam spends the first
        hundreds of steps on finding the face's place in the frame. A bias that `init_from` has
        given has learnt that place and stays as it is.
        """
        self.shape_model.set_statistics(statistics)
        if "network.landmarks.bias" not in self.transferred:
            with torch.no_grad():
                cast(nn.Linear, self.network.landmarks).bias.copy_(statistics.mean)

    def smooth(self, shapes: Tensor, mask: Tensor) -> Tensor:
        """A(x): shapes rebuilt from the leading modes, each clamped (paper, section 3.2).

        Args:
            shapes: (B, N, 2) centred frame units.
            mask: (B, N) bool; the other points are filled in by the model itself.

        Returns:
            (B, N, 2), without graph.
        """
        with torch.no_grad():
            mean = self.shape_model.mean.view(1, -1, 2)
            observed = torch.where(mask[..., None], shapes, mean)
            rounds = 1 if bool(mask.all()) else IMPUTATIONS
            smooth = observed
            for _ in range(rounds):
                filled = torch.where(mask[..., None], observed, smooth)
                smooth = self.shape_model.smooth(
                    filled.flatten(1), explained_variance=self.loss.share, clamp=self.loss.clamp
                ).view_as(shapes)
            return smooth

    def targets(self, batch: FaceBatch, crop: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """G and A of a batch, (B, N, 2) each, centered units of the method's crop.

        Args:
            batch: the labels.
            crop: (B, 2, 3) affine from the crop to input pixels; None where they are one.
        """
        truth = self._in_crop(batch.points, crop)
        return truth, self.smooth(truth, batch.mask)

    def _in_crop(self, points: Tensor, crop: Tensor | None) -> Tensor:
        """(B, N, 2) input pixels in centered units of the crop; its place gets no gradient here."""
        return to_centered(points_in_crop(points, crop), self.crop_size)

    def optimum(self, batch: FaceBatch, alpha: float, crop: Tensor | None = None) -> Tensor:
        """Minimizer of the squared loss at `alpha`, (B, N, 2) frame pixels.

        Args:
            batch: the labels.
            alpha: weight of the smooth term.
            crop: see `targets`.
        """
        best = from_centered(blend_targets(*self.targets(batch, crop), alpha), self.crop_size)
        return best if crop is None else transform_points(crop, best)

    def losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        """`points` d(P, G), `smooth` d(P, A) and `pose` (paper, section 3.3)."""
        options = self.loss
        predicted = self._in_crop(prediction.points, prediction.crop)
        truth = self._in_crop(batch.points, prediction.crop)
        losses = {"points": point_distance(predicted, truth, batch.mask, options.distance)}
        if options.alpha_schedule != "off" and self.computes("smooth"):
            source = truth if options.smooth == "truth" else predicted.detach()
            smooth = self.smooth(source, batch.mask)
            losses["smooth"] = point_distance(predicted, smooth, batch.mask, options.distance)
        if prediction.pose is not None and options.pose_weight > 0.0:
            angles = prediction.pose[:, :3] / options.pose_scale
            losses["pose"] = pose_distance(angles, batch.pose, batch.has_pose, options.pose_scale)
        if options.head_l2 > 0.0:
            heads = (self.network.landmarks, self.network.pose)
            parameters = [p for h in heads if isinstance(h, nn.Linear) for p in h.parameters()]
            losses["head_l2"] = torch.stack([p.square().sum() for p in parameters]).sum()
        return losses

    def own_phases(self) -> list[Phase]:
        """Thirds (or fifths) of training, by the weight alpha of the smooth term."""
        weights = {"points": 1.0}
        if self.loss.pose_weight > 0.0:
            weights["pose"] = self.loss.pose_weight
        if self.loss.head_l2 > 0.0:
            weights["head_l2"] = self.loss.head_l2
        weights |= self.part_weights()
        if self.loss.alpha_schedule == "off":
            return [Phase("plain", until=1.0, losses=weights)]
        return [
            Phase(f"alpha {alpha:g}", until=until, losses={**weights, "smooth": alpha})
            for alpha, until in self.loss.alphas()
        ]

    def on_train_epoch_start(self) -> None:
        """Log the current weight of the smooth term."""
        super().on_train_epoch_start()
        self.log("train/alpha", self.phase.losses.get("smooth", 0.0))
