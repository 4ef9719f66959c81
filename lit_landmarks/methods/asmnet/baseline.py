"""The baseline for training: any timm backbone under ASMNet's loss."""

from __future__ import annotations

from typing import Any, Self

from lit_landmarks.methods.asmnet.baseline_network import PooledRegressor
from lit_landmarks.methods.asmnet.loss import ASMLossOptions
from lit_landmarks.methods.asmnet.regression import DEFAULT_LOSS, ASMRegression
from lit_landmarks.nets.backbone import InputScale


class MobileNetBaseline(ASMRegression):
    """A whole MobileNetV2 (or any timm backbone) with the loss of ASMNet.

    Args:
        loss: the loss; `pose_weight` 0 builds the network without its pose head.
        backbone: timm's name of the architecture.
        dropout: before the heads.
        bn_eps: batch-norm epsilon; None keeps timm's.
        bn_momentum: torch's batch-norm momentum; None keeps timm's.
        input_scale: normalisation of the input.
        **base: see `LandmarkModule`.
    """

    def __init__(
        self,
        *,
        loss: ASMLossOptions = DEFAULT_LOSS,
        backbone: str = "mobilenetv2_100",
        dropout: float = 0.0,
        bn_eps: float | None = 1e-3,
        bn_momentum: float | None = 0.1,
        input_scale: InputScale = "unit",
        **base: Any,
    ) -> None:
        super().__init__(loss=loss, **base)
        self.network = PooledRegressor(
            self.n_points,
            backbone=backbone,
            pose=loss.pose_weight > 0.0,
            dropout=dropout,
            bn_eps=bn_eps,
            bn_momentum=bn_momentum,
            input_scale=input_scale,
        )
        self.attach(features=self.network.num_features)

    @classmethod
    def tiny(cls, **more: Any) -> Self:
        """Timm's smallest MobileNetV3, for 64 px."""
        return cls(**{"frame_size": 64, "backbone": "mobilenetv3_small_050", **more})
