"""Hourglass networks (Newell, Yang, Deng, ECCV 2016) of pre-activation bottlenecks."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """Pre-activation residual block: 1 x 1 to half the channels, 3 x 3, 1 x 1.

    Args:
        inputs: channels in.
        outputs: channels out, even.

    Example:
        >>> Bottleneck(8, 16)(torch.zeros(1, 8, 4, 4)).shape
        torch.Size([1, 16, 4, 4])
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        layers: list[nn.Module] = []
        for before, after, side in ((inputs, half, 1), (half, half, 3), (half, outputs, 1)):
            convolution = nn.Conv2d(before, after, side, padding=side // 2, bias=False)
            layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True), convolution]
        self.layers = nn.Sequential(*layers)
        self.skip: nn.Module = nn.Identity()
        if inputs != outputs:
            self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        total: Tensor = self.skip(maps) + self.layers(maps)
        return total


def halve(inputs: int, outputs: int) -> nn.Sequential:
    """Convolution of 2 x 2 with stride 2, batch norm and ReLU: half the side."""
    convolution = nn.Conv2d(inputs, outputs, 2, stride=2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def double(inputs: int, outputs: int) -> nn.Sequential:
    """Transposed convolution of 2 x 2 with stride 2, batch norm and ReLU: twice the side."""
    convolution = nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Hourglass(nn.Module):
    """Down to a side of H / 2^depth and up again, with a block beside each level.

    Args:
        channels: C, of all maps.
        depth: number of halvings.

    Example:
        >>> maps, innermost = Hourglass(8, depth=3)(torch.zeros(1, 8, 32, 32))
        >>> maps.shape, innermost.shape
        (torch.Size([1, 8, 32, 32]), torch.Size([1, 8, 4, 4]))
    """

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.beside = Bottleneck(channels, channels)
        self.down = nn.Sequential(halve(channels, channels), Bottleneck(channels, channels))
        self.inner: nn.Module = Bottleneck(channels, channels)
        if depth > 1:
            self.inner = Hourglass(channels, depth - 1)
        self.up = nn.Sequential(Bottleneck(channels, channels), double(channels, channels))

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of the size that is given, and the smallest maps.

        Args:
            maps: (B, C, H, W); 2^depth divides H and W.

        Returns:
            (B, C, H, W) and (B, C, H / 2^depth, W / 2^depth).
        """
        inner = self.inner(self.down(maps))
        low, innermost = inner if isinstance(inner, tuple) else (inner, inner)
        return self.up(low) + self.beside(maps), innermost


class Coordinates(nn.Module):
    """Three more channels that say where a pixel is (CoordConv; Liu et al., NeurIPS 2018).

    x and y in [-1, 1] from the first to the last pixel, and the distance from the point (0.5, 0.5)
    in these units, as in the published code.

    Example:
        >>> Coordinates()(torch.zeros(1, 3, 2, 2))[0, 3:5, 1]
        tensor([[-1.,  1.],
                [ 1.,  1.]])
    """

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C + 3, H, W)."""
        height, width = image.shape[-2:]
        y = torch.linspace(-1, 1, height, device=image.device, dtype=image.dtype)[:, None]
        x = torch.linspace(-1, 1, width, device=image.device, dtype=image.dtype)[None]
        radius = ((x - 0.5).square() + (y - 0.5).square()).sqrt()
        channels = torch.stack((x.expand(height, width), y.expand(height, width), radius))
        return torch.cat((image, channels.expand(image.shape[0], -1, -1, -1)), 1)
