"""Procedural backgrounds: gradients, clouds, soft shapes; out of focus, as in a portrait.

A change that alters a picture must raise `renderer.RENDER_VERSION`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_landmarks.rendering.rng import CounterRng

#: Cells of the cloud layers per side.
_CLOUDS = (3, 7, 17)
_SHAPES = 4


@dataclass(frozen=True)
class Background:
    """What stands behind B faces; float64, colours linear RGB.

    Attributes:
        ends: (B, 2, 3) colours of the gradient.
        turn: (B,) its direction in radians.
        coarse, middle, fine: (B, 3, C, C) cloud layers, already scaled.
        shapes: (B, S, 6) place x, y, half width, half height, turn, softness, all in [-1, 1].
        shape_colors: (B, S, 3).
        solid: (B, S) opacity of each shape, 0 where there is none.
        disc: (B, S) bool, round instead of rectangular.
    """

    ends: Tensor
    turn: Tensor
    coarse: Tensor
    middle: Tensor
    fine: Tensor
    shapes: Tensor
    shape_colors: Tensor
    solid: Tensor
    disc: Tensor


def desaturate(color: Tensor, strength: Tensor) -> Tensor:
    """Colours (..., 3) mixed with their gray; `strength` 1 keeps them, 0 is gray."""
    gray = color.mean(-1, keepdim=True)
    return gray + (color - gray) * strength


def sample_background(rng: CounterRng) -> Background:
    """Sample the backgrounds of the faces of `rng`."""
    n = len(rng)
    vivid = rng.uniform("wall colour")[:, None, None] ** 1.5
    power = rng.uniform("clouds", len(_CLOUDS)) ** 3 * torch.tensor([0.6, 0.45, 0.3]).double()
    layers = []
    for k, cells in enumerate(_CLOUDS):
        grid = rng.uniform(f"cloud {cells}", cells * cells * 4, -1.0, 1.0)
        grid = grid.reshape(n, 4, cells, cells)
        grid = 0.85 * grid[:, 3:] + 0.25 * vivid[..., None] * grid[:, :3]
        layers.append(grid * power[:, k, None, None, None])
    count = rng.choice("shapes", (2.0, 1.0, 1.5, 1.5, 1.5))
    number = torch.arange(_SHAPES)
    colors = rng.uniform("shape colours", 3 * _SHAPES).reshape(n, _SHAPES, 3) ** 1.5
    return Background(
        ends=desaturate((rng.uniform("wall", 6) ** 1.6).reshape(n, 2, 3), vivid),
        turn=rng.uniform("wall turn", 1, 0.0, 6.2832),
        coarse=layers[0],
        middle=layers[1],
        fine=layers[2],
        shapes=rng.uniform("shape places", 6 * _SHAPES, -1.0, 1.0).reshape(n, _SHAPES, 6),
        shape_colors=desaturate(colors, 0.15 + 0.85 * vivid),
        solid=(number < count[:, None]) * rng.uniform("solid", _SHAPES, 0.4, 0.95),
        disc=rng.uniform("disc", _SHAPES) < 0.3,
    )


def paint_background(back: Background, size: int) -> Tensor:
    """(B, size, size, 3) linear RGB; worked at half the resolution."""
    half = (size + 1) // 2
    axis = torch.linspace(-1.0, 1.0, half, device=back.turn.device)
    y, x = axis[:, None], axis[None, :]
    turn = back.turn[:, None, None]
    ramp = (0.5 + 0.45 * (x * torch.cos(turn) + y * torch.sin(turn))).clamp(0.0, 1.0)[:, None]
    first, second = back.ends[:, 0, :, None, None], back.ends[:, 1, :, None, None]
    picture = first + (second - first) * ramp
    for layer in (back.coarse, back.middle, back.fine):
        picture = picture + F.interpolate(layer, (half, half), mode="bicubic", align_corners=False)
    for k in range(_SHAPES):
        cx, cy, wide, high, lean, soft = back.shapes[:, k, :, None, None].unbind(1)
        cos, sin = torch.cos(lean * 1.6), torch.sin(lean * 1.6)
        u = ((x - cx) * cos + (y - cy) * sin) / (0.15 + 0.5 * wide.abs())
        v = ((y - cy) * cos - (x - cx) * sin) / (0.15 + 0.9 * high.abs())
        disc = back.disc[:, k, None, None]
        far = torch.where(disc, (u * u + v * v).sqrt(), torch.maximum(u.abs(), v.abs()))
        share = ((1.0 - far) / (0.04 + 0.35 * soft.abs())).clamp(0.0, 1.0)
        share = (share * back.solid[:, k, None, None])[:, None]
        picture = picture + (back.shape_colors[:, k, :, None, None] - picture) * share
    whole = F.interpolate(picture, (size, size), mode="bilinear", align_corners=False)
    return whole.permute(0, 2, 3, 1).clamp(0.0, 1.0)
