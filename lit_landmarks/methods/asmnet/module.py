"""ASMNet for training: its network under the shared loss (`regression.py`)."""

from __future__ import annotations

from typing import Any, Self

from lit_landmarks.methods.asmnet.loss import ASMLossOptions
from lit_landmarks.methods.asmnet.network import ASMNetwork, LastTap
from lit_landmarks.methods.asmnet.regression import DEFAULT_LOSS, ASMRegression
from lit_landmarks.nets.backbone import InputScale


class ASMNet(ASMRegression):
    """ASMNet (Fard, Abdollahi, Mahoor, CVPRW 2021): cut MobileNetV2, smooth targets, head pose.

    Args:
        loss: the loss; `pose_weight` 0 builds the network without its pose head.
        dropout: on the 536 features.
        last_tap: where block 15 is read.
        bn_eps: batch-norm epsilon.
        bn_momentum: torch's batch-norm momentum.
        input_scale: normalisation of the input.
        width: factor on all channels (ours; the paper's is 1).
        **base: see `LandmarkModule`.
    """

    def __init__(
        self,
        *,
        loss: ASMLossOptions = DEFAULT_LOSS,
        dropout: float = 0.3,
        last_tap: LastTap = "sum",
        bn_eps: float = 1e-3,
        bn_momentum: float = 0.1,
        input_scale: InputScale = "unit",
        width: float = 1.0,
        **base: Any,
    ) -> None:
        super().__init__(loss=loss, **base)
        self.network = ASMNetwork(
            self.n_points,
            pose=loss.pose_weight > 0.0,
            dropout=dropout,
            last_tap=last_tap,
            bn_eps=bn_eps,
            bn_momentum=bn_momentum,
            input_scale=input_scale,
            width=width,
        )
        self.attach(features=self.network.num_features)

    @classmethod
    def tiny(cls, **more: Any) -> Self:
        """A third of the width, for 64 px."""
        return cls(**{"frame_size": 64, "width": 0.35, "dropout": 0.0, **more})
