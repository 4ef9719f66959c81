"""Many small windows cut from images at once: the patches that the cascade looks at."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

#: Side of a patch at every scale (paper, caption of figure 3).
PATCH = 14
#: Of zeros around an image: a patch far outside lies in it whole, with a row to interpolate.
_MARGIN = PATCH + 1

Sampling = Literal["integer", "bilinear"]


class Windows:
    """Images laid out so that a row of any window is one piece of memory.

    Channels are last in memory, in the windows too: convolutions and pooling of many small maps run
    two to four times as fast so.

    Args:
        image: (B, C, H, W); zero outside.
    """

    def __init__(self, image: Tensor) -> None:
        self.channels, self.height, self.width = image.shape[1:]
        padded = F.pad(image, (_MARGIN,) * 4).permute(0, 2, 3, 1).contiguous()
        self.pixels = padded.flatten()
        self.stride = self.width + 2 * _MARGIN

    def cut(self, centres: Tensor, faces: Tensor | None, sampling: Sampling) -> Tensor:
        """Windows of 14 px.

        Args:
            centres: (K, M, 2) pixels; the middle of a window lies between its 7th and 8th pixel.
            faces: (K,) which images they are cut from; None: the K-th from the K-th.
            sampling: from whole pixels, the nearest, or between them.

        Returns:
            (K, M, C, 14, 14).
        """
        # A window that starts at s has its middle at s + 6.5.
        start = centres - (PATCH - 1) / 2
        if sampling == "integer":
            return self._read(torch.floor(start + 0.5), faces, PATCH).permute(0, 1, 4, 2, 3)
        first = torch.floor(start)
        found = self._read(first, faces, PATCH + 1)
        # All pixels of a window lie equally far between the image's.
        share = (start - first)[..., None, None, None]
        rows = torch.lerp(found[:, :, :-1], found[:, :, 1:], share[:, :, 1])
        window = torch.lerp(rows[..., :-1, :], rows[..., 1:, :], share[:, :, 0])
        return window.permute(0, 1, 4, 2, 3)

    def _read(self, start: Tensor, faces: Tensor | None, side: int) -> Tensor:
        """(K, M, side, side, C) from whole pixels on, (K, M, 2)."""
        count, device = len(start), start.device
        column = (start[..., 0] + _MARGIN).clamp(0, self.width + _MARGIN).long()
        row = (start[..., 1] + _MARGIN).clamp(0, self.height + _MARGIN).long()
        faces = torch.arange(count, device=device) if faces is None else faces
        image = (faces * (self.height + 2 * _MARGIN)).view(-1, 1)
        line = (image + row)[..., None] + torch.arange(side, device=device)
        first = line * self.stride + column[..., None]
        # Rows of so many pixels that begin at any pixel, without a copy.
        runs = self.pixels.unfold(0, side * self.channels, self.channels)
        found = runs.index_select(0, first.flatten())
        return found.view(count, -1, side, side, self.channels)
