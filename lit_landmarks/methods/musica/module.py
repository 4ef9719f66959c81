"""MuSiCa for training: L1 loss over all stages, and a predicted error for early exit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.methods.landmark_axes import LandmarkAxis
from lit_landmarks.methods.musica.network import FEATURES, Init, MuSiCaNet
from lit_landmarks.methods.musica.patch_selection import choose_patches
from lit_landmarks.nets.error_head import ErrorUnits, percent_factor, shape_error
from lit_landmarks.nets.windows import Sampling
from lit_landmarks.schemes import get_scheme
from lit_landmarks.types import (
    FaceBatch,
    FaceInputs,
    Needs,
    Prediction,
    ShapeStatistics,
)

#: Weights of landmarks and of the error estimate (authors' code).
POINTS_WEIGHT, ERROR_WEIGHT = 0.95, 0.05


class MuSiCa(LandmarkModule):
    """Cascaded patch regression that predicts its own error, and from which faces leave early.

    Args:
        patches: landmarks that get a patch; see `choose_patches`.
        levels: for each stage, how often its image is halved; one to eight stages (paper:
            [2, 1, 0]).
        hidden: length of the recurrent state.
        rank: features of a patch that reach the recurrent layer; None for all 256 (paper).
        recurrent_scale: factor on the input of the recurrent layer (ours; 1: as published). Adam's
            step size does not shrink with the number of inputs, so with thousands of them one step
            can carry the pre-activation out of tanh's linear range; 0.1 slows this layer tenfold
            without changing the function at initialization.
        sampling: patches at whole pixels (authors' code) or between them.
        init: initial weights; see `MuSiCaNet`.
        error_units: what the error head learns: the NME ("euclidean", ours), or the sum of both
            absolute differences over the same norm ("l1", authors' code), which is about
            4 / pi times as large.
        detach_error: keep the gradient of the error estimate away from the landmarks (ours; the
            authors let it through).
        detach_points: keep the gradient of later stages away from earlier displacements (ours;
            the authors let it through).
        points_weight, error_weight: of the two losses (authors' code: 0.95, 0.05).
        **base: see `LandmarkModule`.
    """

    network: MuSiCaNet

    settings_of_weights: ClassVar[tuple[str, ...]] = ("recurrent_scale",)

    def __init__(
        self,
        *,
        patches: list[int] | int | None = None,
        levels: Sequence[int] = (2, 1, 0),
        hidden: int = 512,
        rank: int | None = None,
        recurrent_scale: float = 1.0,
        sampling: Sampling = "integer",
        init: Init = "kaiming",
        error_units: ErrorUnits = "euclidean",
        detach_error: bool = True,
        detach_points: bool = True,
        points_weight: float = POINTS_WEIGHT,
        error_weight: float = ERROR_WEIGHT,
        **base: Any,
    ) -> None:
        if not 1 <= len(levels) <= 8 or any(not 0 <= level <= 3 for level in levels):
            raise UserError(
                f"model.levels is {list(levels)}; list one to eight numbers of halvings from 0 to 3"
            )
        super().__init__(**base)
        if self.scheme is None:
            raise UserError("MuSiCa predicts fixed points; set data.init_args.scheme")
        if self.crop_size % 2 ** max(levels):
            raise UserError(
                f"model.frame_size {self.crop_size} cannot be halved {max(levels)} times;"
                f" take a multiple of {2 ** max(levels)}"
            )
        if rank is not None and rank < 1:
            raise UserError(f"model.rank is {rank}; take null for all features, or 1 and more")
        if not 0.0 < recurrent_scale < float("inf"):
            raise UserError(f"model.recurrent_scale is {recurrent_scale}; give a number above 0")
        self.rank = rank
        self.error_units = error_units
        self.detach_error = detach_error
        self.weights = {"points": points_weight, "error": error_weight}
        self.network = MuSiCaNet(
            get_scheme(self.scheme).n_points,
            choose_patches(self.scheme, patches),
            levels=tuple(levels),
            hidden=hidden,
            rank=rank,
            recurrent_scale=recurrent_scale,
            sampling=sampling,
            detach_points=detach_points,
            init=init,
        )
        if self.error_head_options is not None and error_units != "euclidean":
            raise UserError("an error head predicts the NME; set model.error_units euclidean")
        self.attach(features=hidden, stages=len(levels))

    def landmark_axes(self) -> Mapping[str, LandmarkAxis]:
        """Displacements by landmark, and features that reach the recurrent layer by patch."""
        axes: dict[str, LandmarkAxis] = {}
        for stage in range(len(self.network.iterations)):
            name = f"network.iterations.{stage}"
            features = self.rank or FEATURES
            axes[f"{name}.recurrent.weight"] = LandmarkAxis(
                1, features, chosen="network.chosen", output=False
            )
            axes[f"{name}.head.weight"] = LandmarkAxis(0, 2)
            axes[f"{name}.head.bias"] = LandmarkAxis(0, 2)
        return axes

    # ---- prediction ------------------------------------------------------------------------

    @property
    def needs(self) -> Needs:
        """Faces cut tight, or a wide frame for a normalizer; the mean shape to start from."""
        return Needs(frame=self.tight_frame, statistics=True)

    @classmethod
    def tiny(cls, **more: Any) -> Self:
        """Nine patches, narrow layers, 64 px."""
        return cls(**{"frame_size": 64, "patches": 9, "hidden": 32, "rank": 8, **more})

    def predict(self, inputs: FaceInputs) -> Prediction:
        """Run the cascade on the image; see `LandmarkModule.predict`."""
        early_exit = self.early_exit
        assert early_exit is not None
        thresholds, last = early_exit.thresholds, early_exit.last_stage
        unit = percent_factor(self.error_units)
        cascade = self.network(
            inputs.image,
            count=None if last is None else last + 1,
            stop=None if thresholds is None else thresholds / unit,
            estimate=self.error_head,
        )
        return Prediction(
            points=cascade.points[-1],
            stages=cascade.points,
            error=cascade.error * unit,
            exit_stage=cascade.exits,
            attention=cascade.attention,
            features=cascade.states,
            # As the loss wants it: a percentage does not divide back to the last digit.
            aux=cascade.error,
        )

    # ---- learning --------------------------------------------------------------------------

    def set_shape_statistics(self, statistics: ShapeStatistics) -> None:
        """Take the mean of the training shapes, at which every face starts."""
        self.network.mean.copy_(statistics.mean.view(-1, 2))

    def losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        """`points`, L1 error summed over stages, and `error`, gap of the predicted to that error.

        Authors' code: sum over i of 0.95 mean(e_i) + 0.05 mean(|e_i - E_i|).
        """
        assert prediction.stages is not None
        l1 = shape_error(prediction.stages, batch, "l1")
        losses = {"points": l1.mean(1).sum()}
        if self.error_head is None:
            target = l1 if self.error_units == "l1" else shape_error(prediction.stages, batch)
            if self.detach_error:
                target = target.detach()
            losses["error"] = (target - prediction.aux).abs().mean(1).sum()
        return losses

    def loss_weights(self) -> Mapping[str, float]:
        """See `points_weight` and `error_weight`; an error head has a weight of its own."""
        weights = {"points": self.weights["points"]}
        return weights if self.error_head is not None else self.weights
