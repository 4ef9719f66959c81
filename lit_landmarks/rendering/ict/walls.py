"""Painted walls of natural colours: a sky over a ground, a room, lamps in the dark."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lit_landmarks.rendering.background import Background, sample_background
from lit_landmarks.rendering.rng import CounterRng

#: sRGB colours of the upper and lower part of a scene, and of things in it.
_ABOVE = ((196, 214, 232), (120, 160, 205), (225, 224, 220), (190, 182, 168), (150, 142, 130),
          (96, 92, 88), (205, 196, 180), (44, 44, 52))  # fmt: skip
_BELOW = ((122, 112, 92), (86, 92, 62), (140, 138, 134), (120, 100, 80), (92, 82, 72),
          (60, 56, 52), (150, 130, 105), (30, 28, 30))  # fmt: skip
_THINGS = ((70, 66, 62), (110, 84, 60), (60, 76, 52), (160, 150, 138), (84, 94, 110),
           (126, 62, 50), (40, 40, 44), (214, 210, 200), (104, 112, 84))  # fmt: skip


def _linear(palette: tuple[tuple[int, int, int], ...]) -> Tensor:
    return (torch.tensor(palette, dtype=torch.float64) / 255.0) ** 2.2


def sample_walls(draws: CounterRng) -> Background:
    """The backgrounds that belong to `draws`, as `sample_background` but of natural colours."""
    back = sample_background(draws)
    n, count = len(draws), back.solid.shape[1]
    scene = draws.choice("scene", (1.0,) * len(_ABOVE))
    jitter = 1.0 + 0.25 * draws.normal("wall light", 2)[..., None]
    ends = torch.stack([_linear(_ABOVE)[scene], _linear(_BELOW)[scene]], 1) * jitter
    ends = ends * (1.0 + 0.06 * draws.normal("wall tone", 6).reshape(n, 2, 3))
    equal = (1.0,) * len(_THINGS)
    which = torch.stack([draws.choice(f"thing {k}", equal) for k in range(count)], 1)
    colours = _linear(_THINGS)[which] * (0.5 + draws.uniform("thing light", count)[..., None])
    shapes = back.shapes.clone()
    # Things stand upright; the first may be the ground up to a horizon.
    shapes[:, :, 4] *= 0.06
    shapes[:, :, 5] = draws.uniform("softness", count) * draws.uniform("depth of field", 1)[:, None]
    ground = draws.chance("ground", 0.5)
    horizon = draws.uniform("horizon", 1, 0.0, 0.7)
    zero = torch.zeros_like(horizon)
    floor = torch.stack([zero, horizon + 1.2, zero + 4.0, zero + 1.17, zero, shapes[:, 0, 5]], -1)
    shapes[:, 0] = torch.where(ground[:, None], floor, shapes[:, 0])
    colours[:, 0] = torch.where(ground[:, None], ends[:, 1] * 0.8, colours[:, 0])
    solid = back.solid.clone()
    solid[:, 0] = torch.where(ground, torch.ones_like(zero), solid[:, 0])
    disc = back.disc.clone()
    disc[:, 0] &= ~ground
    return replace(
        back,
        ends=ends.clamp(0.0, 1.0),
        turn=1.5708 + 0.25 * draws.normal("wall turn"),
        coarse=_muted(back.coarse, 0.35),
        middle=_muted(back.middle, 0.30),
        fine=_muted(back.fine, 0.30),
        shapes=shapes,
        shape_colours=colours.clamp(0.0, 1.0),
        solid=solid,
        disc=disc,
    )


def _muted(layer: Tensor, strength: float) -> Tensor:
    """Clouds (B, 3, C, C) with little colour."""
    gray = layer.mean(1, keepdim=True)
    return strength * (gray + 0.25 * (layer - gray))
