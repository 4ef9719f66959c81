"""Painted properties of the skin, as a table over the unrolled plane of one half of the head.

Channels say where things are, not what colour they have: colours belong to a face. A change that
alters a picture must raise `renderer.RENDER_VERSION`.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from lit_landmarks.template import loft, outlines
from lit_landmarks.template.features import bump, nostrils, smoothstep
from lit_landmarks.template.loft import Array


class Channel(IntEnum):
    """Columns of the paint table, each in [0, 1]."""

    LIP = 0
    BROW = 1
    DARK = 2
    SHADE = 3
    RED = 4
    BEARD = 5
    MOUSTACHE = 6
    EYE = 7


#: Texels across the half circumference and down to the shoulders.
WIDTH, HEIGHT = 400, 720


def _paint_line(distance: Array, width: float) -> Array:
    """Strength of a soft line at a distance from its middle."""
    return np.asarray(np.exp(-((distance / width) ** 2)), dtype=np.float64)


def _paint_brow(x: Array, y: Array) -> Array:
    upper, lower = outlines.brow_edges(x)
    middle, half = (upper + lower) / 2, np.maximum((lower - upper) / 2, 1e-3)
    inside = smoothstep(1.25, 0.55, np.abs(y - middle) / half)
    ends = smoothstep(outlines.BROW_INNER - 0.03, outlines.BROW_INNER + 0.04, x)
    ends = ends * smoothstep(outlines.BROW_OUTER + 0.02, outlines.BROW_OUTER - 0.06, x)
    return np.asarray(inside * ends, dtype=np.float64)


def _paint_lips(x: Array, y: Array) -> Array:
    up, low = outlines.upper_border(x), outlines.lower_border(x)
    edge = np.minimum(y - up, low - y)
    return smoothstep(-0.006, 0.014, edge) * smoothstep(0.292, 0.268, x)


def _paint_dark_lines(x: Array, y: Array) -> Array:
    """Lashes, lid crease, line of the mouth, nostrils and folds."""
    u = (x - outlines.EYE_INNER[0]) / (outlines.EYE_OUTER[0] - outlines.EYE_INNER[0])
    upper, lower = outlines.lid(u, True)[..., 1], outlines.lid(u, False)[..., 1]
    over = smoothstep(-0.06, 0.06, u) * smoothstep(1.10, 0.98, u)
    lashes = (
        0.95 * _paint_line(np.minimum(y - upper, 0.0), 0.015) * over * (y < (upper + lower) / 2)
    )
    below = 0.40 * _paint_line(np.maximum(y - lower, 0.0), 0.010) * over * (y > (upper + lower) / 2)
    crease = (
        0.42
        * _paint_line(y - upper + 0.045, 0.011)
        * smoothstep(0.0, 0.3, u)
        * smoothstep(1.25, 0.9, u)
    )
    mouth = 0.75 * _paint_line(y - outlines.seam(x), 0.011) * smoothstep(0.305, 0.265, x)
    mouth += 0.35 * bump(x, y, 0.292, 0.782, 0.022, 0.016)
    nose = 0.95 * np.clip(1.35 * nostrils(x, y), 0, 1)
    ala = (
        0.30
        * _paint_line(np.hypot((x - 0.125) / 1.05, (y - 0.42) / 1.15) - 0.082, 0.014)
        * ((x > 0.13) & (y > 0.36))
    )
    fold = 0.20 + 0.45 * (y - 0.45)
    cheek = (
        0.14 * _paint_line(x - fold, 0.016) * smoothstep(0.42, 0.52, y) * smoothstep(0.80, 0.66, y)
    )
    return np.clip(lashes + below + crease + mouth + nose + ala + cheek, 0.0, 1.0)


def _paint_shading(x: Array, y: Array, z: Array, t: Array) -> Array:
    """Ambient occlusion by hand: what the light from all round hardly reaches."""
    eye = 0.42 * bump(x, y, 0.225, -0.06, 0.085, 0.08) + 0.25 * bump(x, y, 0.36, -0.11, 0.15, 0.045)
    under_nose = 0.55 * bump(x, y, 0.0, 0.515, 0.13, 0.032)
    under_lip = 0.35 * bump(x, y, 0.0, 0.935, 0.16, 0.035)
    wing = 0.28 * bump(x, y, 0.20, 0.42, 0.035, 0.08)
    throat = 0.75 * smoothstep(14.15, 15.6, t) * smoothstep(19.5, 16.8, t) * smoothstep(1.5, 0.5, z)
    behind_ear = 0.45 * np.exp(-(((z - 1.05) / 0.2) ** 2) - ((y - 0.2) / 0.4) ** 2)
    collar = 0.35 * smoothstep(18.2, 19.2, t)
    total = eye + under_nose + under_lip + wing + throat + behind_ear + collar
    return np.clip(total, 0.0, 0.92)


def build_paint() -> Tensor:
    """(HEIGHT, WIDTH, 8) float32 table; column 0 is the front midline, row 0 the crown."""
    wide, high = loft.PLANE
    columns = (np.arange(WIDTH) + 0.5) / WIDTH * wide
    rows = (np.arange(HEIGHT) + 0.5) / HEIGHT * high
    plane = np.stack(np.meshgrid(columns, rows), -1)
    angle, t = loft.roll(plane)
    x, y, z = np.moveaxis(loft.surface(angle, t), -1, 0)
    front = smoothstep(0.75, 0.45, z)
    jaw = smoothstep(0.56, 0.80, y + 0.30 * smoothstep(0.45, 0.72, x))
    around = 1.0 - np.exp(-((x / 0.33) ** 4) - ((y - 0.77) / 0.135) ** 4)
    sides = smoothstep(0.10, 0.40, y) * smoothstep(0.62, 0.74, x) * smoothstep(0.75, 0.45, z)
    beard = (
        np.clip(jaw * around + sides, 0, 1) * smoothstep(16.3, 15.0, t) * smoothstep(0.80, 0.55, z)
    )
    table = np.zeros((HEIGHT, WIDTH, len(Channel)))
    table[..., Channel.LIP] = _paint_lips(x, y) * front
    table[..., Channel.BROW] = _paint_brow(x, y) * front
    table[..., Channel.DARK] = _paint_dark_lines(x, y) * front
    table[..., Channel.SHADE] = _paint_shading(x, y, z, t)
    red = 0.8 * bump(x, y, 0.47, 0.32, 0.20, 0.17) + 0.8 * bump(x, y, 0.0, 0.38, 0.12, 0.12)
    red += 0.4 * bump(x, y, 0.0, 1.12, 0.16, 0.10) + 0.5 * bump(x, y, 0.34, 0.04, 0.18, 0.10)
    table[..., Channel.RED] = np.clip(red, 0, 1) * front
    table[..., Channel.BEARD] = beard
    lip_top = outlines.upper_border(x)
    table[..., Channel.MOUSTACHE] = (
        smoothstep(0.0, 0.025, lip_top - y)
        * smoothstep(0.535, 0.585, y)
        * smoothstep(0.33, 0.24, x)
        * (1 - 0.7 * _paint_line(x, 0.022))
        * front
    )
    cx, cy, _ = outlines.EYE_CENTER
    table[..., Channel.EYE] = np.exp(-(((x - cx) / 0.17) ** 4) - ((y - cy) / 0.10) ** 4) * front
    return torch.from_numpy(table).float()
