"""Training of ASMNet (paper, section 3.2-3.3), whatever network regresses the coordinates.

ASMNet and its MobileNetV2 baseline differ in their network alone; what they share is here, so that
the comparison compares networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.crops import from_centered, to_centered
from lit_landmarks.geometry.shape_model import ShapeModel
from lit_landmarks.methods.asmnet.loss import ASMLossOptions, blended_target
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.nets.error_head import percent_of, shape_error
from lit_landmarks.nets.losses import point_distance, pose_distance
from lit_landmarks.schemes import get_scheme
from lit_landmarks.types import FaceBatch, Needs, Prediction, ShapeStatistics

#: Rounds in which unannotated points are replaced by what the shape model makes of the others.
IMPUTATIONS = 5

DEFAULT_LOSS = ASMLossOptions()


class ASMRegression(LandmarkModule, abstract=True):
    """Coordinate (and pose) regression towards the truth and its smoothed version.

    A subclass sets `network`: image to landmarks (B, 2n) in centred frame units, pose (B, 3) in
    units of `loss.pose_scale` degrees, or None, and error (B,), or None. Its linear heads are
    called `landmarks` and `pose`.

    Args:
        loss: the options of the loss.
        error_weight: of the estimate of its own error (ours); 0 builds the network without it.
        **base: see `LandmarkModule`.
    """

    needs: ClassVar[Needs] = Needs(frame="tight", statistics=True)

    def __init__(
        self, *, loss: ASMLossOptions = DEFAULT_LOSS, error_weight: float = 0.0, **base: Any
    ) -> None:
        super().__init__(**base)
        if error_weight < 0.0:
            raise UserError(f"model.error_weight is {error_weight}; give 0 or more")
        if self.scheme is None:
            raise UserError(
                f"{type(self).__name__} predicts fixed points; set data.init_args.scheme"
            )
        self.n_points = get_scheme(self.scheme).n_points
        self.loss = loss
        self.error_weight = error_weight
        self.shape_model = ShapeModel(self.n_points)

    def forward(self, image: Tensor, queries: Tensor | None = None) -> Prediction:
        """See `LandmarkModule.forward`; `queries` are not used."""
        landmarks, angles, error = self.network(image)
        points = from_centered(landmarks.unflatten(1, (self.n_points, 2)), image.shape[-1])
        found = Prediction(points=points)
        if angles is not None:
            degrees = angles * self.loss.pose_scale
            found.pose = nn.functional.pad(degrees, (0, 3), value=torch.nan)
        if error is not None:
            found.error = error[None] * percent_of()
        return found

    def optional_labels(self) -> Mapping[str, str]:
        """The pose head's, if there is one."""
        if self.loss.pose_weight == 0.0:
            return {}
        return {"pose": "set model.init_args.loss.pose_weight to 0 to leave the pose head away"}

    def learn_from(self, statistics: ShapeStatistics) -> None:
        """Take the PCA of the augmented training labels (paper, section 3.2).

        The landmark head starts at their mean (ours): from a zero bias, Adam spends the first
        hundreds of steps on finding the face's place in the frame. Weights from `init_from` know it
        already and are kept.
        """
        self.shape_model.set_statistics(statistics)
        if self.init_from is None:
            with torch.no_grad():
                cast(nn.Linear, self.network.landmarks).bias.copy_(statistics.mean)

    def smooth(self, shapes: Tensor, mask: Tensor) -> Tensor:
        """A(x): shapes rebuilt from the kept modes, each clamped (paper, section 3.2).

        Args:
            shapes: (B, N, 2) centred frame units.
            mask: (B, N) bool; the other points are filled in by the model itself.

        Returns:
            (B, N, 2), without graph.
        """
        with torch.no_grad():
            mean = self.shape_model.mean.view(1, -1, 2)
            known = torch.where(mask[..., None], shapes, mean)
            rounds = 1 if bool(mask.all()) else IMPUTATIONS
            smooth = known
            for _ in range(rounds):
                filled = torch.where(mask[..., None], known, smooth)
                smooth = self.shape_model.smooth(
                    filled.flatten(1), share=self.loss.share, clamp=self.loss.clamp
                ).view_as(shapes)
            return smooth

    def targets(self, batch: FaceBatch) -> tuple[Tensor, Tensor]:
        """G and A of a batch, (B, N, 2) each, centred frame units."""
        truth = to_centered(batch.points, self.frame_size)
        return truth, self.smooth(truth, batch.mask)

    def optimum(self, batch: FaceBatch, alpha: float) -> Tensor:
        """Where the squared loss at `alpha` is smallest, (B, N, 2) frame pixels."""
        truth, smooth = self.targets(batch)
        return from_centered(blended_target(truth, smooth, alpha), self.frame_size)

    def losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        """`points` d(P, G), `smooth` d(P, A) and `pose` (paper, section 3.3)."""
        options = self.loss
        predicted = to_centered(prediction.points, self.frame_size)
        truth = to_centered(batch.points, self.frame_size)
        losses = {"points": point_distance(predicted, truth, batch.mask, options.distance)}
        if options.alpha_schedule != "off":
            source = truth if options.smooth == "truth" else predicted.detach()
            smooth = self.smooth(source, batch.mask)
            losses["smooth"] = point_distance(predicted, smooth, batch.mask, options.distance)
        if prediction.pose is not None and options.pose_weight > 0.0:
            angles = prediction.pose[:, :3] / options.pose_scale
            losses["pose"] = pose_distance(angles, batch.pose, batch.has_pose, options.pose_scale)
        if prediction.error is not None:
            gap = shape_error(prediction.points.detach(), batch) * percent_of() - prediction.error
            losses["error"] = gap.abs().mean() / percent_of()
        if options.head_l2 > 0.0:
            heads = (self.network.landmarks, self.network.pose)
            parameters = [p for h in heads if isinstance(h, nn.Linear) for p in h.parameters()]
            losses["head_l2"] = torch.stack([p.square().sum() for p in parameters]).sum()
        return losses

    def loss_weights(self) -> Mapping[str, float]:
        """1, alpha of this epoch, and the weights of pose and error estimate."""
        weights = {"points": 1.0}
        if self.loss.alpha_schedule != "off":
            weights["smooth"] = self.alpha
        if self.loss.pose_weight > 0.0:
            weights["pose"] = self.loss.pose_weight
        if self.error_weight > 0.0:
            weights["error"] = self.error_weight
        if self.loss.head_l2 > 0.0:
            weights["head_l2"] = self.loss.head_l2
        return weights

    @property
    def alpha(self) -> float:
        """Weight of the smooth term in this epoch."""
        return self.loss.alpha_at(self.current_epoch, self.total_epochs)

    def on_train_epoch_start(self) -> None:
        """Say which alpha is at work."""
        self.log("train/alpha", self.alpha)
