"""Procedural backgrounds: gradients, clouds, soft shapes; out of focus, as in a portrait."""

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
        shape_colours: (B, S, 3).
        solid: (B, S) opacity of each shape, 0 where there is none.
        disc: (B, S) bool, round instead of rectangular.
    """

    ends: Tensor
    turn: Tensor
    coarse: Tensor
    middle: Tensor
    fine: Tensor
    shapes: Tensor
    shape_colours: Tensor
    solid: Tensor
    disc: Tensor


def _toned(colour: Tensor, strength: Tensor) -> Tensor:
    """Colours (..., 3) drawn towards gray; strength 1 keeps them."""
    gray = colour.mean(-1, keepdim=True)
    return gray + (colour - gray) * strength


def sample_background(draws: CounterRng) -> Background:
    """The backgrounds that belong to `draws`."""
    n = len(draws)
    vivid = draws.uniform("wall colour")[:, None, None] ** 1.5
    power = draws.uniform("clouds", len(_CLOUDS)) ** 3 * torch.tensor([0.6, 0.45, 0.3]).double()
    layers = []
    for k, cells in enumerate(_CLOUDS):
        grid = draws.uniform(f"cloud {cells}", cells * cells * 4, -1.0, 1.0)
        grid = grid.reshape(n, 4, cells, cells)
        grid = 0.85 * grid[:, 3:] + 0.25 * vivid[..., None] * grid[:, :3]
        layers.append(grid * power[:, k, None, None, None])
    count = draws.choice("shapes", (2.0, 1.0, 1.5, 1.5, 1.5))
    number = torch.arange(_SHAPES)
    colours = draws.uniform("shape colours", 3 * _SHAPES).reshape(n, _SHAPES, 3) ** 1.5
    return Background(
        ends=_toned((draws.uniform("wall", 6) ** 1.6).reshape(n, 2, 3), vivid),
        turn=draws.uniform("wall turn", 1, 0.0, 6.2832),
        coarse=layers[0],
        middle=layers[1],
        fine=layers[2],
        shapes=draws.uniform("shape places", 6 * _SHAPES, -1.0, 1.0).reshape(n, _SHAPES, 6),
        shape_colours=_toned(colours, 0.15 + 0.85 * vivid),
        solid=(number < count[:, None]) * draws.uniform("solid", _SHAPES, 0.4, 0.95),
        disc=draws.uniform("disc", _SHAPES) < 0.3,
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
        picture = picture + (back.shape_colours[:, k, :, None, None] - picture) * share
    whole = F.interpolate(picture, (size, size), mode="bilinear", align_corners=False)
    return whole.permute(0, 2, 3, 1).clamp(0.0, 1.0)
