"""Image to one feature map: the maps of a timm network, brought together at the finest stride."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_landmarks.nets.backbone import FeatureMaps, InputScale


class MapBlock(nn.Module):
    """Residual block of a feature map: 5 x 5 in each channel, then 1 x 1; at first the identity.

    The batch norm before the sum starts at zero (Goyal et al. 2017, section 5.1), so that a block
    can be put into a trained network.

    Args:
        channels: C.

    Example:
        >>> maps = torch.rand(1, 8, 4, 4)
        >>> bool((MapBlock(8)(maps) == maps).all())
        True
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.BatchNorm2d(channels)
        nn.init.zeros_(last.weight)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False),
            last,
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        total: Tensor = maps + self.layers(maps)
        return total


class FusedMap(nn.Module):
    """Maps of several strides, projected and summed from coarse to fine (as in FPN, Lin 2017).

    Each map is projected before it is brought to the finer stride: a 1 x 1 convolution and bilinear
    interpolation commute, so this is the function of the other order, for a quarter of the
    multiply-adds at each halving.

    Args:
        name: timm's name of the architecture.
        strides: of the maps; the finest is that of the result.
        channels: C of the result.
        blocks: number of residual blocks on the sum.
        input_scale: see `nets.backbone.InputNorm`.

    Attributes:
        stride: of the result.
        channels: C.
        num_features: length of the pooled vector.

    Example:
        >>> network = FusedMap("mobilenetv3_small_050", strides=(8, 32), channels=16).eval()
        >>> features, vector = network(torch.zeros(1, 3, 64, 64))
        >>> features.shape, vector.shape
        (torch.Size([1, 16, 8, 8]), torch.Size([1, 288]))
    """

    def __init__(
        self,
        name: str,
        *,
        strides: Sequence[int] = (8, 16, 32),
        channels: int = 64,
        blocks: int = 0,
        input_scale: InputScale = "unit",
    ) -> None:
        super().__init__()
        self.maps = FeatureMaps(name, strides=strides, input_scale=input_scale)
        self.stride, self.channels = self.maps.strides[0], channels
        self.num_features = self.maps.num_features
        self.project = nn.ModuleList(
            nn.Conv2d(self.maps.channels[stride], channels, 1, bias=False)
            for stride in self.maps.strides
        )
        self.norm = nn.BatchNorm2d(channels)
        self.blocks = nn.Sequential(*(MapBlock(channels) for _ in range(blocks)))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Fused map and pooled vector.

        Args:
            image: (B, 3, H, W) RGB in [0, 1]; H and W are multiples of the largest stride.

        Returns:
            (B, C, H / stride, W / stride) and (B, num_features) of the last map.
        """
        maps, vector = self.maps(image)
        strides = self.maps.strides
        total: Tensor = self.project[-1](maps[strides[-1]])
        for index in range(len(strides) - 2, -1, -1):
            finer = self.project[index](maps[strides[index]])
            total = F.interpolate(total, size=finer.shape[-2:], mode="bilinear") + finer
        return self.blocks(torch.relu(self.norm(total))), vector
