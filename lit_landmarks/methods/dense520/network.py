"""One linear layer on the features of a MobileNet: image to dense 3D landmarks (Basak, 2023)."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.nets.backbone import ColorOrder, InputScale, PooledBackbone
from lit_landmarks.nets.precision import apply_in_single
from lit_landmarks.nets.spatial_softmax import SpatialSoftmaxFeatures

Pooling = Literal["average", "spatial_softmax"]


class DenseRegressor(nn.Module):
    """Image to N points in 3D through one feature vector.

    Args:
        n_points: N; the head has 3 N outputs.
        backbone: timm's name.
        colors: order in which the backbone is given the channels (authors' code: "bgr").
        input_scale: see `nets.backbone.InputNorm`.
        pooling: "average" over the last map, as the authors, or `SpatialSoftmaxFeatures`.

    Attributes:
        num_features: length of the vector.

    Example:
        >>> network = DenseRegressor(520, backbone="mobilenetv3_small_050")
        >>> network(torch.zeros(2, 3, 64, 64))[0].shape
        torch.Size([2, 520, 3])
    """

    def __init__(
        self,
        n_points: int,
        *,
        backbone: str = "mobilenetv2_100",
        colors: ColorOrder = "rgb",
        input_scale: InputScale = "unit",
        pooling: Pooling = "average",
    ) -> None:
        super().__init__()
        self.n_points = n_points
        self.colors = colors
        if pooling not in get_args(Pooling):
            raise UserError(f"pooling is '{pooling}'; choose one of {list(get_args(Pooling))}")
        if pooling == "spatial_softmax":
            self.backbone: nn.Module = SpatialSoftmaxFeatures(backbone, input_scale=input_scale)
        else:
            self.backbone = PooledBackbone(backbone, input_scale=input_scale)
        self.num_features = int(self.backbone.num_features)
        self.landmarks = nn.Linear(self.num_features, 3 * n_points)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Points (B, N, 3) in crop sides from the crop's center, z away from the camera.

        Args:
            image: (B, 3, S, S) RGB in [0, 1].

        Returns:
            The points, and the features (B, C) behind them.
        """
        features = self.backbone(image.flip(1) if self.colors == "bgr" else image)
        flat = apply_in_single(self.landmarks, features)
        return torch.unflatten(flat, 1, (self.n_points, 3)), features
