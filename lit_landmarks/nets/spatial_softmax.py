"""Spatial softmax: one feature vector of an image that says where its features are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lit_landmarks.nets.backbone import InputScale
from lit_landmarks.nets.fused_map import FusedMap
from lit_landmarks.nets.heatmaps import mean_places, spatial_softmax
from lit_landmarks.nets.precision import apply_in_single, full_precision

#: Places are stretched by this, so that they vary about as much as features do.
_STRETCH = 4.0


class SpatialSoftmaxFeatures(nn.Module):
    """Pooled features, and where in the picture each of M maps responds (Levine, JMLR 2016).

    Pooled features lose where something was; the mean place of a map under its softmax is that
    alone, to a fraction of a pixel.

    Args:
        backbone: timm's name.
        strides: of the maps that are brought together; the finest is that of the result.
        channels: of the map that they are brought together in.
        maps: M.
        input_scale: see `nets.backbone.InputNorm`.

    Attributes:
        num_features: length of the vector.

    Example:
        >>> features = SpatialSoftmaxFeatures("mobilenetv3_small_050").eval()
        >>> features(torch.zeros(1, 3, 64, 64)).shape[1] == features.num_features
        True
    """

    def __init__(
        self,
        backbone: str,
        *,
        strides: Sequence[int] = (8, 16, 32),
        channels: int = 64,
        maps: int = 128,
        input_scale: InputScale = "unit",
    ) -> None:
        super().__init__()
        self.trunk = FusedMap(backbone, strides=strides, channels=channels, input_scale=input_scale)
        self.maps = nn.Conv2d(channels, maps, 1)
        self.num_features = 2 * maps + self.trunk.num_features

    def forward(self, image: Tensor) -> Tensor:
        """(B, num_features) of (B, 3, S, S) RGB in [0, 1]; the largest stride divides S."""
        return self.forward_with_map(image)[1]

    def forward_with_map(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The fused map (B, C, S / stride, S / stride) too, before the vector."""
        features, vector = self.trunk(image)
        with full_precision(image.device):
            logits = apply_in_single(self.maps, features)
            places = mean_places(spatial_softmax(logits), first=0.5) / logits.shape[-1] - 0.5
            return features, torch.cat((_STRETCH * places.flatten(1), vector.float()), 1)
