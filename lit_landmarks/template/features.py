"""Nose, lips, lids, chin: smooth displacements that turn the bare skull into a neutral face.

Each is a sum of bumps over the frontal template coordinates of a vertex (where the loft has put
it), so the same formulas serve the neutral head, the identity directions and painted textures.
"""

from __future__ import annotations

import numpy as np

from lit_landmarks.template import outlines
from lit_landmarks.template.loft import Array


def smoothstep(low: float, high: float, x: Array) -> Array:
    """0 below `low`, 1 above `high`, smooth between; `low` > `high` turns it round."""
    s = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(s * s * (3.0 - 2.0 * s), dtype=np.float64)


def bump(x: Array, y: Array, cx: float, cy: float, sx: float, sy: float) -> Array:
    """Gaussian bump of height 1, mirrored to both halves when `cx` is not 0."""
    side = np.abs(x) if cx else x
    return np.asarray(np.exp(-(((side - cx) / sx) ** 2) - ((y - cy) / sy) ** 2), dtype=np.float64)


#: Height of the nose's ridge over the skull by height, and its half width there.
_RIDGE: Array = np.array(
    [
        [-0.26, 0.000, 0.085],
        [-0.18, 0.004, 0.082],
        [-0.10, 0.014, 0.078],
        [-0.03, 0.042, 0.074],
        [0.04, 0.090, 0.078],
        [0.12, 0.150, 0.092],
        [0.20, 0.215, 0.108],
        [0.28, 0.272, 0.118],
        [0.34, 0.295, 0.124],
        [0.385, 0.286, 0.130],
        [0.425, 0.240, 0.132],
        [0.465, 0.150, 0.130],
        [0.500, 0.060, 0.125],
        [0.535, 0.016, 0.120],
        [0.600, 0.000, 0.110],
    ]
)


def _ridge(y: Array, column: int) -> Array:
    """A ridge column, softened by a short moving average so that it has no corners."""
    taps = np.linspace(-0.028, 0.028, 7)
    weights = np.array([1, 3, 5, 6, 5, 3, 1], dtype=np.float64) / 24.0
    samples = np.interp(np.asarray(y)[..., None] + taps, _RIDGE[:, 0], _RIDGE[:, column])
    return np.asarray(samples @ weights, dtype=np.float64)


def nose(x: Array, y: Array) -> Array:
    """Height of ridge and tip towards the camera."""
    width = _ridge(y, 2)
    return np.asarray(_ridge(y, 1) * np.exp(-((np.abs(x) / width) ** 2.4)), dtype=np.float64)


def alae(x: Array, y: Array) -> Array:
    """Height of the two wings of the nose, with the crease behind them."""
    wing = 0.090 * bump(x, y, 0.132, 0.425, 0.052, 0.068)
    crease = 0.022 * bump(x, y, 0.205, 0.430, 0.026, 0.075)
    return wing - crease


def nostrils(x: Array, y: Array) -> Array:
    """Weight of the nostril openings, 0 to 1."""
    return bump(x, y, 0.066, 0.487, 0.034, 0.020)


def lips(x: Array, y: Array) -> Array:
    """Height of both lips; the slit between them is where they sink in."""
    taper = np.sqrt(np.clip(1.0 - (np.abs(x) / 0.30) ** 2.6, 0.0, 1.0))
    d = y - outlines.seam(x)
    upper = 0.064 * np.exp(-(((d + 0.078) / 0.056) ** 2)) * (1.0 - 0.2 * np.exp(-((x / 0.03) ** 2)))
    lower = 0.066 * np.exp(-(((d - 0.066) / 0.056) ** 2))
    roll = 0.020 * np.exp(-((d / 0.020) ** 2))
    corner = 0.026 * bump(x, y, 0.300, 0.785, 0.050, 0.045)
    return np.asarray(taper * (upper + lower - roll) - corner, dtype=np.float64)


def relief(x: Array, y: Array) -> Array:
    """Everything else that stands out (+) or back (-): sockets, cheeks, chin, folds."""
    height = -0.088 * bump(x, y, 0.205, -0.030, 0.075, 0.090)
    height += -0.030 * bump(x, y, 0.37, -0.105, 0.13, 0.060)
    height += 0.022 * bump(x, y, 0.36, -0.255, 0.20, 0.060)
    height += -0.022 * bump(x, y, 0.30, 0.130, 0.14, 0.060)
    height += 0.040 * bump(x, y, 0.47, 0.270, 0.17, 0.120)
    height += -0.020 * bump(x, y, 0.55, 0.62, 0.14, 0.17)
    height += 0.030 * bump(x, y, 0.0, 1.120, 0.17, 0.085)
    height += -0.020 * bump(x, y, 0.0, 0.965, 0.17, 0.040)
    height += -0.012 * bump(x, y, 0.0, 0.595, 0.022, 0.050)
    height += 0.018 * bump(x, y, 0.15, 0.64, 0.11, 0.09)
    fold = 0.20 + 0.45 * (y - 0.45)
    height += (
        -0.014
        * np.exp(-(((np.abs(x) - fold) / 0.028) ** 2))
        * smoothstep(0.40, 0.52, y)
        * smoothstep(0.86, 0.72, y)
    )
    return np.asarray(height, dtype=np.float64)


def lid_depth(x: Array, y: Array, z: Array, radius: float) -> Array:
    """Depth of the skin around the eyes: the skull's, but drawn over the eyeball like a lid."""
    cx, cy, cz = outlines.EYE_CENTER
    square = (np.abs(x) - cx) ** 2 + (y - cy) ** 2
    ball = cz - np.sqrt(np.clip(radius**2 - square, 0.0, None))
    inside = square < radius**2
    # Smooth minimum (polynomial): lids melt into the socket.
    k = 0.035
    h = np.clip(0.5 + 0.5 * (z - ball) / k, 0.0, 1.0)
    mixed = z * (1.0 - h) + ball * h - k * h * (1.0 - h)
    return np.asarray(np.where(inside, mixed, z), dtype=np.float64)


def neutral(points: Array) -> Array:
    """The neutral face from loft points (V, 3): the same points, moved in depth.

    Points beyond the front (z > 0.75) stay as they are.
    """
    x, y, z = np.moveaxis(points, -1, 0)
    front = smoothstep(0.8, 0.4, z)
    height = nose(x, y) + alae(x, y) + lips(x, y) + relief(x, y)
    depth = z - front * height
    depth = np.where(front > 0, lid_depth(x, y, depth, outlines.EYE_RADIUS * 1.075), depth)
    moved = np.stack([x, y, depth], -1)
    # The nostrils' edges are drawn upwards and in.
    moved[:, 2] += front * 0.045 * nostrils(x, y)
    moved[:, 1] -= front * 0.012 * nostrils(x, y)
    return moved
