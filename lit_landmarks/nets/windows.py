"""Square windows around points: of images (`Windows`) and of feature maps (`sample_windows`).

Neither loops over windows or faces. `Windows` is zero outside and reads neighboring
pixels of images, which need no gradient, as runs of memory. `sample_windows` reads between pixels,
at any distance, with gradients for maps and points.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_landmarks.geometry.crops import to_unit

Sampling = Literal["integer", "bilinear"]
Padding = Literal["zeros", "border"]


class Windows:
    """Square windows of images, read from a layout in which each window row is contiguous.

    Channels are last in memory, in the windows too: convolutions and pooling of many small maps run
    two to four times as fast so. A gradient for the images would take `side` times their memory.

    Args:
        images: (B, C, H, W); zero outside.
        side: pixels along each side of a window.

    Example:
        >>> images = torch.arange(20.0).view(1, 1, 4, 5)
        >>> Windows(images, side=2).extract(torch.tensor([[[1.5, 2.5]]]))[0, 0, 0]
        tensor([[11., 12.],
                [16., 17.]])
    """

    def __init__(self, images: Tensor, side: int) -> None:
        self.side = side
        self.channels, self.height, self.width = images.shape[1:]
        # A window far outside lies in the margin whole, with a row to interpolate.
        self.margin = side + 1
        padded = F.pad(images, (self.margin,) * 4).permute(0, 2, 3, 1).contiguous()
        self.pixels = padded.flatten()
        self.stride = self.width + 2 * self.margin

    def extract(
        self, centers: Tensor, faces: Tensor | None = None, sampling: Sampling = "integer"
    ) -> Tensor:
        """Windows of neighboring pixels.

        Args:
            centers: (K, M, 2) middles of the windows, in pixels of the images; that of a window
                with an even side lies between two of its pixels.
            faces: (K,) which images the windows are read from; None: the K-th from the K-th.
            sampling: "integer" reads whole pixels, the nearest; "bilinear" reads between them.

        Returns:
            (K, M, C, side, side).
        """
        start = centers - (self.side - 1) / 2
        if sampling == "integer":
            return self._read(torch.floor(start + 0.5), faces, self.side).permute(0, 1, 4, 2, 3)
        first = torch.floor(start)
        window = self._read(first, faces, self.side + 1)
        # All pixels of a window lie equally far between those of the image.
        fraction = (start - first)[..., None, None, None]
        window = torch.lerp(window[:, :, :-1], window[:, :, 1:], fraction[:, :, 1])
        window = torch.lerp(window[..., :-1, :], window[..., 1:, :], fraction[:, :, 0])
        return window.permute(0, 1, 4, 2, 3)

    def _read(self, start: Tensor, faces: Tensor | None, side: int) -> Tensor:
        """(K, M, side, side, C) from the whole pixels `start` (K, M, 2) on."""
        # `len` would fix the batch of an exported graph.
        count, device = start.shape[0], start.device
        # Clamped as integers: what is not a number would pass a clamp and lie outside.
        place = (start + self.margin).long()
        column = place[..., 0].clamp(0, self.width + self.margin)
        row = place[..., 1].clamp(0, self.height + self.margin)
        faces = torch.arange(count, device=device) if faces is None else faces
        top = (faces * (self.height + 2 * self.margin)).view(-1, 1)
        rows = (top + row)[..., None] + torch.arange(side, device=device)
        first = rows * self.stride + column[..., None]
        if torch.compiler.is_exporting():
            # Graphs have no overlapping runs: they would copy the images `side` times.
            each = first[..., None] + torch.arange(side, device=device)
            windows = self.pixels.view(-1, self.channels).index_select(0, each.flatten())
        else:
            # Runs of so many pixels that begin at any pixel, without a copy.
            runs = self.pixels.unfold(0, side * self.channels, self.channels)
            windows = runs.index_select(0, first.flatten())
        return windows.view(count, -1, side, side, self.channels)


def sample_windows(
    maps: Tensor,
    centers: Tensor,
    side: int,
    step: float = 1.0,
    padding: Padding = "zeros",
) -> Tensor:
    """Windows of feature maps, bilinear, with gradients for maps and centers.

    Args:
        maps: (B, C, H, W).
        centers: (B, M, 2) middles of the windows, in pixels of the maps.
        side: samples along each side of a window.
        step: distance of neighboring samples, in pixels of the maps.
        padding: outside the maps are 0, or as at their border.

    Returns:
        (B, M, C, side, side), in memory (B, C, side, side, M).

    Example:
        >>> ramp = torch.arange(16.0).view(1, 1, 4, 4)
        >>> sample_windows(ramp, torch.tensor([[[1.0, 1.0]]]), side=2, step=0.5)[0, 0, 0]
        tensor([[3.7500, 4.2500],
                [5.7500, 6.2500]])
    """
    height, width = maps.shape[-2:]
    places = (torch.arange(side, device=maps.device) - (side - 1) / 2) * step
    offsets = torch.stack(torch.meshgrid(places, places, indexing="xy"), -1).view(-1, 2)
    samples = centers[:, None] + offsets[:, None]
    if torch.compiler.is_exporting():  # runtimes are slow at `GridSample`
        gathered = _gather_samples(maps, samples.flatten(1, 2), padding)
        windows = torch.unflatten(gathered, 1, (side**2, -1)).permute(0, 3, 1, 2)
    else:
        grid = to_unit(samples, (width, height))
        windows = F.grid_sample(maps, grid, padding_mode=padding, align_corners=False)
    return torch.unflatten(windows.permute(0, 3, 1, 2), 3, (side, side))


def _gather_samples(maps: Tensor, places: Tensor, padding: Padding) -> Tensor:
    """`F.grid_sample` by four gathers of whole pixels: for exported graphs.

    Args:
        maps: (B, C, H, W).
        places: (B, K, 2) in pixels of the maps.
        padding: see `sample_windows`.

    Returns:
        (B, K, C).
    """
    batch, channels, height, width = maps.shape
    x, y = places.unbind(-1)
    pixels = maps.permute(0, 2, 3, 1).reshape(-1, channels)
    first = (torch.arange(batch, device=maps.device) * (height * width))[:, None]
    rows = _pixels_beside(y, height, padding)
    columns = _pixels_beside(x, width, padding)
    total: Tensor | None = None
    for row, share in rows:
        for column, part in columns:
            index = first + row * width + column
            values = pixels.index_select(0, index.flatten()).view(batch, -1, channels)
            values = values * (share * part)[..., None]
            total = values if total is None else total + values
    assert total is not None
    return total


def _pixels_beside(places: Tensor, count: int, padding: Padding) -> list[tuple[Tensor, Tensor]]:
    """The whole pixels before and behind places along an axis, and the share of each."""
    if padding == "border":
        places = places.clamp(0, count - 1)
    before = places.floor()
    beside: list[tuple[Tensor, Tensor]] = []
    for pixel in (before, before + 1):
        inside = pixel.clamp(0, count - 1)
        share = 1 - (places - pixel).abs()
        beside.append((inside.long(), share * (inside == pixel) if padding == "zeros" else share))
    return beside
