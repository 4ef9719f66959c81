"""Strength of the random part of `BatchTransform`, and the parameters sampled for one batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

#: Rectangles that may cover a face.
_RECTANGLES = 2
#: Patches behind a picture: the first one covers the frame.
_PATCHES = 5
_SMALLEST_PATCH, _LARGEST_PATCH = 0.1, 0.6
#: Sizes in pixels are given at this frame size and scale with the frame.
_REFERENCE_SIZE = 128
_SMALLEST_OCCLUSION = 0.1


@dataclass(frozen=True)
class Augmentation:
    """Strength of each random change; 0 switches it off.

    Attributes:
        rotation: largest angle in degrees, uniform on both sides.
        scale: the face grows or shrinks by up to 1 + scale, log-uniformly.
        shift: largest shift along each axis, in frame sides.
        box_shift: standard deviation of the center of a detector's box about that of the landmarks
            along each axis, in box sides: the face is cut as by such a box (Gaussian), before it is
            turned, zoomed and shifted.
        box_scale: standard deviation of the natural logarithm of its side.
        flip: probability of a mirrored face (where the scheme has a permutation).
        brightness: largest offset, in units of white.
        contrast: largest relative change about mid-grey.
        gamma: exponent in [1 / (1 + gamma), 1 + gamma], log-uniformly.
        tint: largest relative change of each colour channel.
        saturation: largest relative change.
        gray: probability of a colourless image.
        blur: probability of a Gaussian blur.
        blur_sigma: its largest standard deviation, pixels at a frame of 128.
        noise: probability of Gaussian noise.
        noise_sigma: its largest standard deviation, in units of white.
        occlusion: probability of each of two filled rectangles.
        occlusion_size: their largest side, in frame sides.
        margins: probability that the picture ends at a random place between a side of the frame and
            the face, for each side by itself: where pictures end says nothing then of where their
            faces lie.
        surround: probability that patches of other pictures (`surroundings`) lie behind a picture
            that ends within the frame, in place of black.
    """

    rotation: float = 30.0
    scale: float = 0.2
    shift: float = 0.08
    flip: float = 0.5
    brightness: float = 0.2
    contrast: float = 0.3
    gamma: float = 0.4
    tint: float = 0.1
    saturation: float = 0.4
    gray: float = 0.1
    blur: float = 0.2
    blur_sigma: float = 2.0
    noise: float = 0.3
    noise_sigma: float = 0.05
    occlusion: float = 0.25
    occlusion_size: float = 0.4
    box_shift: float = 0.0
    box_scale: float = 0.0
    margins: float = 0.0
    surround: float = 0.0

    @classmethod
    def none(cls) -> Augmentation:
        """Every change off."""
        return cls(**dict.fromkeys(cls.__dataclass_fields__, 0.0))

    def blur_radius(self, size: int) -> int:
        """Half width in pixels of the blur kernel at a frame of `size`."""
        return math.ceil(2.5 * self.blur_sigma * size / _REFERENCE_SIZE)


@dataclass
class AugmentationParams:
    """Parameters of the augmentation of B faces: sampled, or given for an exact disturbance.

    Attributes:
        rotation, scale: (B,) degrees; factor by which the face grows.
        shift: (B, 2) of the face, in frame sides.
        flip: (B,) bool, before asking whether the scheme allows it.
        gamma, contrast, brightness, saturation: (B,); neutral is 1, 1, 0, 1.
        tint: (B, 3) factors.
        blur, noise: (B,) standard deviations in pixels and in units of white; 0 is off.
        noise_start: (B,) in [0, 1), place in the noise bank.
        rectangles: (B, R, 4) x0 y0 x1 y1 whole pixels, end excluded; empty ones are all 0.
        fill: (B, R, 3) their colours in [0, 1].
        window: (B, 4) x0 y0 x1 y1 whole pixels, end excluded, of the frame that show the picture;
            None: all of them.
        patches: (B, P, 4) rectangles of the frame, likewise, that show `surroundings` behind the
            picture; all 0 for a face without. None: black is behind all.
        textures: (B, P, 4) in [0, 1): which square each patch shows, how large, and where.

    Example:
        >>> params = AugmentationParams.neutral(2)
        >>> params.shift[:, 0] = 0.25 / 128  # of a pixel to the right in a crop of 128
        >>> params.rotation.tolist(), params.scale.tolist()
        ([0.0, 0.0], [1.0, 1.0])
    """

    rotation: Tensor
    scale: Tensor
    shift: Tensor
    flip: Tensor
    gamma: Tensor
    contrast: Tensor
    brightness: Tensor
    saturation: Tensor
    tint: Tensor
    blur: Tensor
    noise: Tensor
    noise_start: Tensor
    rectangles: Tensor
    fill: Tensor
    window: Tensor | None = None
    patches: Tensor | None = None
    textures: Tensor | None = None

    @classmethod
    def neutral(cls, faces: int, device: torch.device | str | None = None) -> AugmentationParams:
        """Parameters that change nothing."""
        zero, one = torch.zeros(faces, device=device), torch.ones(faces, device=device)
        empty = torch.zeros(faces, _RECTANGLES, 4, dtype=torch.int64, device=device)
        return cls(
            rotation=zero,
            scale=one,
            shift=torch.zeros(faces, 2, device=device),
            flip=torch.zeros(faces, dtype=torch.bool, device=device),
            gamma=one.clone(),
            contrast=one.clone(),
            brightness=zero.clone(),
            saturation=one.clone(),
            tint=torch.ones(faces, 3, device=device),
            blur=zero.clone(),
            noise=zero.clone(),
            noise_start=zero.clone(),
            rectangles=empty,
            fill=torch.zeros(faces, _RECTANGLES, 3, device=device),
        )


#: Uniform numbers that one face needs; `sample_params` has the layout.
N_UNIFORM = 18 + 8 * _RECTANGLES + 4 + 8 + 1 + 8 * _PATCHES


def sample_params(
    u: Tensor, strength: Augmentation, size: int, box_side: float
) -> AugmentationParams:
    """Augmentation parameters from uniform random numbers.

    Args:
        u: (B, N_UNIFORM) in [0, 1). The column of a change never moves, so switching one off
            leaves the others as they were.
        strength: what is allowed.
        size: frame side in pixels.
        box_side: side of a face box in frame sides.
    """
    s = strength
    both = 2 * u - 1

    def log_uniform(column: int, most: float) -> Tensor:
        return torch.exp(both[:, column] * math.log1p(most))

    def sometimes(column: int, probability: float, value: Tensor) -> Tensor:
        return torch.where(u[:, column] < probability, value, 0.0)

    saturation = 1 + both[:, 11] * s.saturation
    sigma = s.blur_sigma * size / _REFERENCE_SIZE
    last, behind = 18 + 8 * _RECTANGLES, N_UNIFORM - 1 - 8 * _PATCHES
    rectangles, fill = _rectangles(u[:, 18:last].reshape(len(u), _RECTANGLES, 8), s, size)
    scale, shift = log_uniform(1, s.scale), both[:, 2:4] * s.shift
    if s.box_shift or s.box_scale:
        scatter = _normal(u[:, last : last + 4])
        scale = scale * torch.exp(scatter[:, 2] * s.box_scale)
        # A box that is smaller, or a face that is zoomed, shows the same shift larger.
        shift = shift + scatter[:, :2] * (s.box_shift * box_side) * scale[:, None]
    window = patches = textures = None
    if s.margins:
        middle, reach = 0.5 + shift, 0.75 * box_side * scale  # a turned square reaches 0.71 sides
        window = _window(u[:, last + 4 : behind], s.margins, middle, reach, size)
    if s.surround:
        numbers = u[:, behind + 1 :].reshape(len(u), _PATCHES, 8)
        present = u[:, behind] < s.surround
        patches, textures = _patches(numbers[..., :4], present, size), numbers[..., 4:]
    return AugmentationParams(
        rotation=both[:, 0] * s.rotation,
        scale=scale,
        shift=shift,
        flip=u[:, 4] < s.flip,
        gamma=log_uniform(5, s.gamma),
        contrast=1 + both[:, 6] * s.contrast,
        brightness=both[:, 7] * s.brightness,
        tint=1 + both[:, 8:11] * s.tint,
        saturation=torch.where(u[:, 12] < s.gray, 0.0, saturation),
        blur=sometimes(13, s.blur, u[:, 14] * sigma),
        noise=sometimes(15, s.noise, u[:, 16] * s.noise_sigma),
        noise_start=u[:, 17],
        rectangles=rectangles,
        fill=fill,
        window=window,
        patches=patches,
        textures=textures,
    )


def _normal(u: Tensor) -> Tensor:
    """Standard normal numbers (B, 4) from uniform ones (B, 4), by Box and Muller (1958)."""
    radius = torch.sqrt(-2 * torch.log1p(-u[:, ::2]))
    angle = 2 * math.pi * u[:, 1::2]
    return torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], 1)


def _rectangles(u: Tensor, s: Augmentation, size: int) -> tuple[Tensor, Tensor]:
    """Corners and colours from (B, R, 8) uniform numbers: centre, sides, colour, presence."""
    smallest = min(_SMALLEST_OCCLUSION, s.occlusion_size)
    corners = _corners(u[..., :4], smallest, s.occlusion_size, size)
    return corners * (u[..., 7:] < s.occlusion), u[..., 4:7]


def _corners(u: Tensor, smallest: float, largest: float, size: int) -> Tensor:
    """Whole corners (..., 4) from uniform numbers (..., 4): centre, sides between two limits."""
    sides = smallest + u[..., 2:] * (largest - smallest)
    corners = torch.cat([u[..., :2] - sides / 2, u[..., :2] + sides / 2], -1)
    return (corners * size).round().clamp(0, size).long()


def _window(u: Tensor, probability: float, middle: Tensor, reach: Tensor, size: int) -> Tensor:
    """Corners (B, 4) of what shows the picture; the face lies inside.

    Args:
        u: (B, 8) uniform numbers: presence and depth of the ends left, top, right, bottom.
        probability: of an end.
        middle: (B, 2) of the face, frame sides.
        reach: (B,) from there to what must stay free, frame sides.
        size: side of the frame in pixels.
    """
    free = torch.cat([middle - reach[:, None], 1 - middle - reach[:, None]], 1).clamp(min=0)
    depth = (torch.where(u[:, :4] < probability, u[:, 4:] * free, 0.0) * size).round().long()
    return torch.cat([depth[:, :2], size - depth[:, 2:]], 1)


def _patches(u: Tensor, present: Tensor, size: int) -> Tensor:
    """Corners (B, P, 4) from uniform numbers (B, P, 4): centre, sides; (B,) whether there are any.

    The first patch covers the frame.
    """
    corners = _corners(u, _SMALLEST_PATCH, _LARGEST_PATCH, size)
    corners[:, 0] = torch.tensor([0, 0, size, size], device=u.device)
    return corners * present[:, None, None]
