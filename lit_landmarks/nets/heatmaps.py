"""Heat maps of landmarks: Gaussian targets and sub-pixel decoding.

Pixel centers lie at integers, so column c of a map of stride s is at x = (c + 0.5) s - 0.5 of the
input. Targets are drawn around the exact place, not around the nearest pixel, and decoding is
exact for such a Gaussian everywhere in the input, at its borders too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lit_landmarks.errors import UserError

#: Values below this share of the peak count as this share: a network's maps have zeros and less.
_FLOOR = 1e-4
#: The least width of which `_FLOOR` leaves the three pixels that decoding reads, in map pixels.
_LEAST_SIGMA = 0.6
#: Curvature of a logarithm that is not a peak; the place is then that of the highest pixel.
_LEAST_CURVATURE = 1e-6


@dataclass(frozen=True)
class Heatmaps:
    """Targets and decoding of one heat map per landmark.

    Attributes:
        size: side of the square input, pixels.
        stride: pixels of the input per pixel of a map; divides `size`.
        sigma: standard deviation of the targets, in pixels of the map.
        offset_radius: distance from the landmark up to which `encode_offsets` teaches, in pixels of
            the map.

    Raises:
        UserError: a stride that does not divide the size, a map below 3 pixels, sigma below 0.6.

    Example:
        >>> heatmaps = Heatmaps(size=64, stride=4)
        >>> points = torch.tensor([[[10.3, 41.8], [0.0, 63.0]]])
        >>> maps = heatmaps.encode(points)
        >>> maps.shape
        torch.Size([1, 2, 16, 16])
        >>> (heatmaps.decode(maps) - points).abs().max().item() < 0.01
        True
    """

    size: int
    stride: int = 4
    sigma: float = 1.5
    offset_radius: float = 2.0

    def __post_init__(self) -> None:
        """Reject sizes that make no map."""
        if self.stride < 1 or self.size % self.stride:
            raise UserError(
                f"heat maps of stride {self.stride} do not fit an input of {self.size} pixels; "
                "take a stride that divides the size"
            )
        if self.side < 3:
            raise UserError(
                f"heat maps of stride {self.stride} have {self.side} pixels a side for an input of "
                f"{self.size}; take a smaller stride, for 3 or more"
            )
        if self.sigma < _LEAST_SIGMA:
            raise UserError(
                f"heat maps with sigma {self.sigma} fall between pixels; "
                f"give {_LEAST_SIGMA} or more"
            )
        if self.offset_radius < 0.5:
            raise UserError(
                f"offset_radius {self.offset_radius} leaves out the landmark's own pixel; give 1"
            )

    @property
    def side(self) -> int:
        """Side of a map, pixels."""
        return self.size // self.stride

    def to_map(self, points: Tensor) -> Tensor:
        """Input pixels (..., 2) to map pixels."""
        return (points + 0.5) / self.stride - 0.5

    def from_map(self, points: Tensor) -> Tensor:
        """Map pixels (..., 2) to input pixels: the inverse of `to_map`."""
        return (points + 0.5) * self.stride - 0.5

    def encode(self, points: Tensor, mask: Tensor | None = None) -> Tensor:
        """Gaussian targets with peak 1, on the device of the points.

        Args:
            points: (B, N, 2) input pixels; undefined where masked out.
            mask: (B, N) bool; the maps of the other landmarks are 0. None: all are annotated.

        Returns:
            (B, N, side, side).
        """
        distance = self._distances(points)
        x, y = torch.exp(-0.5 * (distance / self.sigma).square()).unbind(-2)
        maps = y[..., :, None] * x[..., None, :]
        return maps if mask is None else torch.where(mask[..., None, None], maps, 0.0)

    def encode_offsets(self, points: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Offset targets from each map pixel near a landmark to its exact place.

        Args:
            points: (B, N, 2) input pixels; undefined where masked out.
            mask: (B, N) bool; None: all are annotated.

        Returns:
            offsets (B, N, 2, side, side) in map pixels, x before y, and a mask
            (B, N, side, side) of the pixels within `offset_radius`, where they are to be learnt.
        """
        x, y = self._distances(points).unbind(-2)
        shape = (*points.shape[:2], self.side, self.side)
        offsets = torch.stack([x[..., None, :].expand(shape), y[..., :, None].expand(shape)], 2)
        near = offsets.square().sum(2) <= self.offset_radius**2
        if mask is not None:
            near = near & mask[..., None, None]
            offsets = torch.where(mask[..., None, None, None], offsets, 0.0)
        return offsets, near

    def decode(self, heatmaps: Tensor, offsets: Tensor | None = None) -> Tensor:
        """Sub-pixel positions of the peaks.

        Without `offsets` a parabola is laid through the logarithms around the highest pixel, once
        along x and once along y, each over sums of three pixels; it is exact for a Gaussian of any
        width (the idea of DARK: Zhang et al., CVPR 2020, section 3.1). At a border the three pixels
        lie inside, beside the peak.

        Args:
            heatmaps: (B, N, side, side), high where the landmark is.
            offsets: (B, N, 2, side, side) as `encode_offsets` gives them; read at the highest
                pixel.

        Returns:
            (B, N, 2) input pixels, within half a map pixel of the highest pixel without `offsets`;
            differentiable in the values of the maps.
        """
        flat = heatmaps.flatten(2).float()
        peak = flat.argmax(-1, keepdim=True)
        row, column = peak // self.side, peak % self.side
        if offsets is not None:
            index = peak[:, :, None].expand(-1, -1, 2, -1)
            shift = offsets.flatten(3).gather(3, index)[..., 0]
            return self.from_map(torch.cat([column, row], -1) + shift)
        left, top = (at.clamp(1, self.side - 2) - 1 for at in (column, row))
        three = torch.arange(3, device=flat.device)
        rows = (top + three)[..., :, None] * self.side
        index = (rows + (left + three)[..., None, :]).flatten(2)
        window = flat.gather(2, index).view(*index.shape[:2], 3, 3)
        floor = flat.gather(2, peak) * _FLOOR
        x = left + _parabola_peak(window.sum(-2), floor)
        y = top + _parabola_peak(window.sum(-1), floor)
        place = torch.cat([x, y], -1)
        highest = torch.cat([column, row], -1)
        return self.from_map(place.clamp(highest - 0.5, highest + 0.5))

    def soft_argmax(self, logits: Tensor) -> Tensor:
        """Mean place under the softmax of each map (Sun et al., ECCV 2018), differentiable.

        Drawn towards the middle where the softmax is wide or cut off by a border; a network that is
        trained through it learns to make up for that.

        Args:
            logits: (B, N, side, side).

        Returns:
            (B, N, 2) input pixels.
        """
        return self.from_map(mean_places(spatial_softmax(logits.float())))

    def _distances(self, points: Tensor) -> Tensor:
        """(B, N, 2, side) from each column and each row to the points, in map pixels."""
        places = torch.arange(self.side, device=points.device, dtype=points.dtype)
        return self.to_map(points)[..., None] - places


def spatial_softmax(logits: Tensor) -> Tensor:
    """Softmax over the pixels of each map: (B, N, h, w) of that shape."""
    return logits.flatten(2).softmax(-1).view_as(logits)


def mean_places(weights: Tensor, first: float = 0.0) -> Tensor:
    """Weighted means of the places of map pixels.

    Args:
        weights: (B, N, h, w), of each map with sum 1.
        first: coordinate of the first pixel: 0 counts from its middle, 0.5 from its border.

    Returns:
        (B, N, 2) map pixels.

    Example:
        >>> mean_places(torch.full((1, 1, 2, 4), 1 / 8))
        tensor([[[1.5000, 0.5000]]])
    """
    y, x = (
        torch.arange(n, device=weights.device, dtype=weights.dtype) + first
        for n in weights.shape[-2:]
    )
    return torch.stack((weights.sum(-2) @ x, weights.sum(-1) @ y), -1)


def _parabola_peak(values: Tensor, floor: Tensor) -> Tensor:
    """(B, N, 1) place of the peak of a parabola through the logarithms of (B, N, 3) values."""
    tiny = torch.finfo(values.dtype).tiny
    first, middle, last = values.maximum(floor).clamp(min=tiny).log().unbind(-1)
    curvature = (first - 2.0 * middle + last).clamp(max=-_LEAST_CURVATURE)
    return (1.0 + 0.5 * (first - last) / curvature)[..., None]
