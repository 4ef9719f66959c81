"""A whole backbone, pooled, with ASMNet's two heads: the paper's baseline "mnv2"."""

from __future__ import annotations

from torch import Tensor, nn

from lit_landmarks.nets.backbone import InputScale, PooledBackbone
from lit_landmarks.nets.precision import apply_in_single


class PooledRegressor(nn.Module):
    """Image to raw landmarks and pose through one pooled feature vector.

    Args:
        n_points: landmarks n; the first head has 2n outputs.
        backbone: timm's name.
        pose: with the second head (yaw, pitch, roll)?
        dropout: before the heads (the authors use none here).
        bn_eps: batch-norm epsilon; None keeps timm's.
        bn_momentum: torch's batch-norm momentum; None keeps timm's.
        input_scale: see `nets.backbone.InputNorm`.

    Attributes:
        num_features: length of the pooled vector.
    """

    def __init__(
        self,
        n_points: int,
        *,
        backbone: str = "mobilenetv2_100",
        pose: bool = True,
        dropout: float = 0.0,
        bn_eps: float | None = 1e-3,
        bn_momentum: float | None = 0.1,
        input_scale: InputScale = "unit",
    ) -> None:
        super().__init__()
        self.backbone = PooledBackbone(
            backbone, input_scale=input_scale, bn_eps=bn_eps, bn_momentum=bn_momentum
        )
        self.num_features = self.backbone.num_features
        self.dropout = nn.Dropout(dropout)
        self.landmarks = nn.Linear(self.num_features, 2 * n_points)
        self.pose = nn.Linear(self.num_features, 3) if pose else None

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Landmarks (B, 2n), order x0, y0, x1, ...; pose (B, 3) or None; their features (B, C)."""
        features = self.dropout(self.backbone(image))
        pose = None if self.pose is None else apply_in_single(self.pose, features)
        return apply_in_single(self.landmarks, features), pose, features
