"""Procedural backgrounds of natural colours: a sky over a ground, a room, lamps in the dark.

A change that alters a picture must raise `ict.renderer.ICT_VERSION`.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lit_landmarks.rendering.appearance import srgb_to_linear
from lit_landmarks.rendering.background import Background, sample_background
from lit_landmarks.rendering.rng import CounterRng

#: sRGB colours of the upper and lower part of a scene, and of things in it.
_ABOVE = (
    (196, 214, 232),
    (120, 160, 205),
    (225, 224, 220),
    (190, 182, 168),
    (150, 142, 130),
    (96, 92, 88),
    (205, 196, 180),
    (44, 44, 52),
)
_BELOW = (
    (122, 112, 92),
    (86, 92, 62),
    (140, 138, 134),
    (120, 100, 80),
    (92, 82, 72),
    (60, 56, 52),
    (150, 130, 105),
    (30, 28, 30),
)
_THINGS = (
    (70, 66, 62),
    (110, 84, 60),
    (60, 76, 52),
    (160, 150, 138),
    (84, 94, 110),
    (126, 62, 50),
    (40, 40, 44),
    (214, 210, 200),
    (104, 112, 84),
)


def sample_walls(rng: CounterRng) -> Background:
    """Sample painted backgrounds, as `sample_background` but of natural colours."""
    back = sample_background(rng)
    n, count = len(rng), back.solid.shape[1]
    scene = rng.choice("scene", (1.0,) * len(_ABOVE))
    jitter = 1.0 + 0.25 * rng.normal("wall light", 2)[..., None]
    ends = torch.stack([srgb_to_linear(_ABOVE)[scene], srgb_to_linear(_BELOW)[scene]], 1) * jitter
    ends = ends * (1.0 + 0.06 * rng.normal("wall tone", 6).reshape(n, 2, 3))
    equal = (1.0,) * len(_THINGS)
    which = torch.stack([rng.choice(f"thing {k}", equal) for k in range(count)], 1)
    colors = srgb_to_linear(_THINGS)[which] * (0.5 + rng.uniform("thing light", count)[..., None])
    shapes = back.shapes.clone()
    # Things stand upright; the first may be the ground up to a horizon.
    shapes[:, :, 4] *= 0.06
    shapes[:, :, 5] = rng.uniform("softness", count) * rng.uniform("depth of field", 1)[:, None]
    ground = rng.chance("ground", 0.5)
    horizon = rng.uniform("horizon", 1, 0.0, 0.7)
    zero = torch.zeros_like(horizon)
    floor = torch.stack([zero, horizon + 1.2, zero + 4.0, zero + 1.17, zero, shapes[:, 0, 5]], -1)
    shapes[:, 0] = torch.where(ground[:, None], floor, shapes[:, 0])
    colors[:, 0] = torch.where(ground[:, None], ends[:, 1] * 0.8, colors[:, 0])
    solid = back.solid.clone()
    solid[:, 0] = torch.where(ground, torch.ones_like(zero), solid[:, 0])
    disc = back.disc.clone()
    disc[:, 0] &= ~ground
    return replace(
        back,
        ends=ends.clamp(0.0, 1.0),
        turn=1.5708 + 0.25 * rng.normal("wall turn"),
        coarse=_mute_clouds(back.coarse, 0.35),
        middle=_mute_clouds(back.middle, 0.30),
        fine=_mute_clouds(back.fine, 0.30),
        shapes=shapes,
        shape_colors=colors.clamp(0.0, 1.0),
        solid=solid,
        disc=disc,
    )


def _mute_clouds(layer: Tensor, strength: float) -> Tensor:
    """Cloud layers (B, 3, C, C) with little colour, scaled by `strength`."""
    gray = layer.mean(1, keepdim=True)
    return strength * (gray + 0.25 * (layer - gray))
