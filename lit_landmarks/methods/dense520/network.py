"""One linear layer on the features of a MobileNet: image to dense 3D landmarks (Basak, 2023)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.nets.backbone import ColorOrder, FeatureMaps, InputScale, PooledBackbone
from lit_landmarks.nets.precision import apply_in_single

Pooling = Literal["average", "grid"]

#: Channels that each map of a stride is squeezed to before it is laid out as a vector.
_SQUEEZED = {16: 16, 32: 64}


class GridFeatures(nn.Module):
    """Feature vector that keeps where things are: maps of two strides, squeezed and laid out.

    Args:
        backbone: timm's name.
        size: side S of the images, a multiple of 32.
        input_scale: see `nets.backbone.InputNorm`.

    Attributes:
        num_features: length of the vector.
    """

    def __init__(self, backbone: str, size: int, *, input_scale: InputScale = "unit") -> None:
        super().__init__()
        if size % 32:
            raise UserError(f"pooling grid needs a crop of a multiple of 32 pixels, not {size}")
        self.maps = FeatureMaps(backbone, strides=tuple(_SQUEEZED), input_scale=input_scale)
        self.squeeze = nn.ModuleList(
            nn.Sequential(nn.Conv2d(self.maps.channels[s], c, 1, bias=False), nn.BatchNorm2d(c))
            for s, c in _SQUEEZED.items()
        )
        self.num_features = sum(c * (size // s) ** 2 for s, c in _SQUEEZED.items())

    def forward(self, image: Tensor) -> Tensor:
        """(B, num_features) of (B, 3, S, S) RGB in [0, 1]."""
        maps, _ = self.maps(image)
        laid_out = [
            torch.relu(squeeze(maps[stride])).flatten(1)
            for squeeze, stride in zip(self.squeeze, _SQUEEZED, strict=True)
        ]
        return torch.cat(laid_out, 1)


class DenseRegressor(nn.Module):
    """Image to N points in 3D through one feature vector.

    Args:
        n_points: N; the head has 3 N outputs.
        backbone: timm's name.
        colors: order in which the backbone is given the channels (authors' code: "bgr").
        input_scale: see `nets.backbone.InputNorm`.
        pooling: "average" over the last map, as the authors; "grid" keeps places (`GridFeatures`).
        size: side of the images, which "grid" needs.

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
        size: int = 256,
    ) -> None:
        super().__init__()
        self.n_points = n_points
        self.colors = colors
        if pooling == "grid":
            self.backbone: nn.Module = GridFeatures(backbone, size, input_scale=input_scale)
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
