"""`Appearance`: colours, light and camera faults of a face, sampled for (seed, index).

A change that alters a picture must raise `renderer.RENDER_VERSION`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from lit_landmarks.rendering.rng import CounterRng

#: sRGB palettes, 0 to 255.
_SKIN = (
    (242, 210, 192),
    (236, 192, 168),
    (226, 172, 142),
    (204, 146, 112),
    (172, 120, 84),
    (130, 86, 60),
    (94, 60, 44),
    (64, 42, 34),
)
_HAIR = (
    (22, 19, 18),
    (38, 28, 23),
    (62, 42, 30),
    (92, 62, 40),
    (128, 78, 44),
    (168, 128, 82),
    (206, 172, 122),
    (150, 148, 146),
    (214, 212, 208),
    (120, 40, 30),
)
_HAIR_WEIGHTS = (4.0, 4.0, 3.0, 2.5, 1.2, 1.5, 1.5, 1.0, 0.7, 0.3)
_IRIS = (
    (46, 28, 18),
    (74, 46, 26),
    (104, 76, 42),
    (86, 98, 60),
    (84, 116, 140),
    (104, 138, 172),
    (110, 118, 122),
)
_IRIS_WEIGHTS = (3.0, 3.0, 1.5, 1.0, 1.5, 1.2, 1.0)


@dataclass(frozen=True)
class Appearance:
    """How B faces look. Colours are linear RGB in [0, 1], float32, (B, 3) unless said.

    Attributes:
        skin, lip, brow, hair, iris, sclera, cloth, trim, frame: base colours; trim is the cloth's
            second one, frame that of glasses.
        collar: (B, 3) height in the unrolled plane at the nape, how much lower it is in front, and
            depth of a V.
        pattern: (B, 3) strength of stripes and their frequency down and across.
        paint: (B, 8) strength of each `paint.Channel`.
        beard: colour of beard and moustache.
        blotch: (B, 2) strength of large and fine skin texture.
        gloss: (B,) strength of highlights on skin.
        ambient, key, fill: light colours.
        key_way, fill_way: (B, 3) unit vectors towards the lights, camera frame.
        shadow: (B,) how dark a cast shadow is.
        strand: (B, 3) hair texture: frequency, contrast, gloss.
        iris_size, pupil_size: (B,) sine of the angle that each covers.
        offset: (B, 2) int64 place in the noise tile.
        noise_key: (B, 1) int64 counter of the image noise.
        gamma, contrast, brightness, saturation, noise, blur: (B,) of the finished picture.
        tint: (B, 3) white balance.
        gray: (B,) bool.
    """

    skin: Tensor
    lip: Tensor
    brow: Tensor
    hair: Tensor
    iris: Tensor
    sclera: Tensor
    cloth: Tensor
    trim: Tensor
    frame: Tensor
    collar: Tensor
    pattern: Tensor
    paint: Tensor
    beard: Tensor
    blotch: Tensor
    gloss: Tensor
    ambient: Tensor
    key: Tensor
    fill: Tensor
    key_way: Tensor
    fill_way: Tensor
    shadow: Tensor
    strand: Tensor
    iris_size: Tensor
    pupil_size: Tensor
    offset: Tensor
    noise_key: Tensor
    gamma: Tensor
    contrast: Tensor
    brightness: Tensor
    saturation: Tensor
    noise: Tensor
    blur: Tensor
    tint: Tensor
    gray: Tensor


def srgb_to_linear(palette: tuple[tuple[int, int, int], ...]) -> Tensor:
    """(K, 3) linear RGB in [0, 1] of 8-bit sRGB colours, with a plain gamma of 2.2."""
    return (torch.tensor(palette, dtype=torch.float64) / 255.0) ** 2.2


def _interpolate_palette(palette: tuple[tuple[int, int, int], ...], at: Tensor) -> Tensor:
    """Colours (B, 3) at places (B,) in [0, 1] along a palette."""
    table = srgb_to_linear(palette)
    place = at.clamp(0, 1) * (len(table) - 1)
    k = place.long().clamp_max(len(table) - 2)
    share = (place - k)[:, None]
    return table[k] * (1 - share) + table[k + 1] * share


def _sample_light_direction(rng: CounterRng, name: str, spread: float, height: float) -> Tensor:
    """Unit vectors towards a light in front of and mostly above the face."""
    side = rng.uniform(f"{name} side", 1, -spread, spread)
    up = rng.uniform(f"{name} up", 1, -0.35, height)
    way = torch.stack([torch.sin(side), -up, -torch.cos(side)], -1)
    length: Tensor = way.norm(dim=-1, keepdim=True)
    return way / length


def _sample_light_color(rng: CounterRng, name: str, size: float) -> Tensor:
    """Light colours between warm and cold."""
    t = rng.normal(name) * size
    return torch.stack([1.0 + t, 1.0 + 0.15 * t, 1.0 - t], -1).clamp(0.35, 1.6)


def _sample_colors(rng: CounterRng) -> dict[str, Tensor]:
    """Base colours of skin, lips, hair, eyes and cloth, as fields of `Appearance`."""
    tone = rng.uniform("skin tone") ** 1.5
    skin = _interpolate_palette(_SKIN, tone) * (1.0 + 0.045 * rng.normal("skin tint", 3))
    rosy = torch.tensor([0.86, 0.52, 0.52], dtype=torch.float64)
    lip = skin * (rosy + 0.08 * rng.normal("lip tint", 3)).clamp(0.3, 1.1)
    stick = rng.chance("lipstick", 0.2)[:, None]
    red = torch.stack(
        [
            rng.uniform("stick r", 1, 0.25, 0.75),
            rng.uniform("stick g", 1, 0.01, 0.16),
            rng.uniform("stick b", 1, 0.02, 0.25),
        ],
        -1,
    )
    hair = srgb_to_linear(_HAIR)[rng.choice("hair colour", _HAIR_WEIGHTS)]
    dark = rng.chance("dark hair", 0.85) & (tone > 0.5)
    hair = torch.where(
        dark[:, None], srgb_to_linear(_HAIR)[rng.choice("dark colour", (1, 1))], hair
    )
    hair = hair * (1.0 + 0.12 * rng.normal("hair tint", 3))
    iris = srgb_to_linear(_IRIS)[rng.choice("iris", _IRIS_WEIGHTS)]
    iris = torch.where(
        (tone > 0.5)[:, None], srgb_to_linear(_IRIS)[rng.choice("dark iris", (1, 1))], iris
    )
    cloth = rng.uniform("cloth", 3) ** 1.8 * 0.75
    pale = torch.tensor([0.78, 0.73, 0.70], dtype=torch.float64)
    return {
        "skin": skin,
        "lip": torch.where(stick, red * (1 - 0.3 * tone[:, None]), lip),
        "brow": (hair * 0.55).clamp_max(0.16) * (0.6 + 0.6 * rng.uniform("brow"))[:, None],
        "hair": hair,
        "beard": (hair * 0.7).clamp_max(0.35),
        "iris": iris * 1.25,
        "sclera": pale * rng.uniform("sclera", 1, 0.55, 0.95)[:, None],
        "cloth": cloth,
    }


def _sample_paint(rng: CounterRng) -> Tensor:
    """Strength of each paint channel."""
    n = len(rng)
    man = rng.chance("bearded", 0.30)
    stubble = torch.where(rng.chance("full beard", 0.45), 0.92, 0.35) * rng.uniform(
        "beard", 1, 0.6, 1.0
    )
    beard = torch.where(man & rng.chance("chin beard", 0.75), stubble, 0.0 * stubble)
    moustache = torch.where(man, stubble, 0.0 * stubble)
    columns = [
        rng.uniform("lip paint", 1, 0.55, 1.0),
        rng.uniform("brow paint", 1, 0.6, 1.0),
        rng.uniform("dark paint", 1, 0.85, 1.0),
        rng.uniform("shade paint", 1, 0.45, 0.9),
        rng.uniform("red paint", 1, 0.0, 0.55),
        beard,
        moustache,
        rng.uniform("eye paint") ** 2.5 * 0.7,
    ]
    return torch.stack([c.expand(n) for c in columns], -1)


def _sample_lights(rng: CounterRng, skin: Tensor) -> dict[str, Tensor]:
    """Three lights, exposed as a camera would for this skin."""
    share = rng.uniform("key share", 1, 0.10, 0.92)[:, None]
    key = 2.1 * share * _sample_light_color(rng, "key colour", 0.07)
    ambient = (1.0 - 0.72 * share) * _sample_light_color(rng, "ambient colour", 0.08)
    fill = (
        0.8 * rng.uniform("fill", 1)[:, None] ** 1.5 * _sample_light_color(rng, "fill colour", 0.13)
    )
    key_way, fill_way = (
        _sample_light_direction(rng, "key", 1.25, 1.1),
        _sample_light_direction(rng, "fill", 1.6, 0.8),
    )
    facing = (-key_way[:, 2:]).clamp_min(0.0)
    light = ambient + key * (0.25 + 0.55 * facing) + 0.4 * fill
    weight = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    bright = (skin * weight).sum(-1, keepdim=True)
    reflected = (skin * light * weight).sum(-1, keepdim=True)
    # Dark skin stays darker than light skin, but less than without the camera's exposure.
    wanted = 0.39 * (bright / 0.5) ** 0.62 * 2.0 ** (0.45 * rng.normal("exposure"))[:, None]
    gain = (wanted / reflected).clamp(0.2, 2.5)
    return {
        "key": key * gain,
        "ambient": ambient * gain,
        "fill": fill * gain,
        "key_way": key_way,
        "fill_way": fill_way,
        "shadow": rng.uniform("shadow", 1, 0.25, 0.9),
    }


def _sample_clothes(rng: CounterRng) -> dict[str, Tensor]:
    """Collar, stripes and the colour of glasses."""
    neck = 3.86 + rng.uniform("collar", 1, -0.28, 0.16)
    vee = rng.chance("vee", 0.3) * rng.uniform("vee depth", 1, 0.1, 0.45)
    striped = rng.chance("stripes", 0.3) * rng.uniform("stripe", 1, 0.3, 1.0)
    down = rng.uniform("stripe down", 1, 0.0, 60.0)
    across = rng.uniform("stripe across", 1, 0.0, 40.0) * rng.chance("slanted", 0.4)
    dark = rng.uniform("frame", 3) ** 3 * 0.35
    return {
        "collar": torch.stack([neck, rng.uniform("scoop", 1, -0.05, 0.25), vee], 1),
        "pattern": torch.stack([striped, 8.0 + down, across], 1),
        "trim": rng.uniform("trim", 3) ** 1.6 * 0.8,
        "frame": dark,
    }


def sample_appearance(rng: CounterRng) -> Appearance:
    """Sample how the faces of `rng` look."""
    colors = _sample_colors(rng)
    faults = rng.chance("poor camera", 0.35)
    return Appearance(
        **colors,
        **_sample_lights(rng, colors["skin"]),
        **_sample_clothes(rng),
        paint=_sample_paint(rng),
        blotch=rng.uniform("blotch", 2) * torch.tensor([0.055, 0.12], dtype=torch.float64),
        gloss=rng.uniform("gloss") ** 2 * 0.34,
        strand=torch.stack(
            [
                rng.uniform("strand", 1, 9.0, 30.0),
                rng.uniform("strand contrast", 1, 0.35, 1.0),
                rng.uniform("hair gloss", 1, 0.0, 0.5),
            ],
            -1,
        ),
        iris_size=rng.uniform("iris size", 1, 0.45, 0.52),
        pupil_size=rng.uniform("pupil size", 1, 0.14, 0.26),
        offset=rng.bits("tile", 2) & 1023,
        noise_key=rng.bits("pixels", 1),
        gamma=rng.uniform("gamma", 1, 0.85, 1.18),
        contrast=rng.uniform("contrast", 1, 0.82, 1.15),
        brightness=rng.normal("brightness") * 0.035,
        saturation=rng.uniform("saturation", 1, 0.65, 1.20),
        noise=rng.uniform("noise") ** 2 * torch.where(faults, 0.055, 0.015),
        blur=torch.where(faults, rng.uniform("blur", 1, 0.0, 1.3), 0.0 * faults.double()),
        tint=1.0 + 0.045 * rng.normal("tint", 3),
        gray=rng.chance("gray", 0.05),
    )


Look = TypeVar("Look", bound=Appearance)


def with_own_noise(look: Look, rng: CounterRng) -> Look:
    """The same looks with the image noise of the faces of `rng`."""
    return replace(look, noise_key=rng.bits("pixels", 1))
