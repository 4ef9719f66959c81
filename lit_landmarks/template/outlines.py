"""Outlines of the features of the template as seen from the front: eye, brow and mouth.

All functions speak of the image's right half (x > 0); the other half mirrors it. Heights are in the
head frame, so `y` grows downwards.
"""

from __future__ import annotations

import numpy as np

from lit_landmarks.template.loft import Array

# -- eye -------------------------------------------------------------------------------------------
EYE_INNER, EYE_OUTER = (0.205, 0.022), (0.500, 0.000)
EYE_CENTER: Array = np.array([0.350, -0.008, 0.075])
EYE_RADIUS = 0.172
UPPER_LID, LOWER_LID = 0.088, 0.048


def lid(u: Array, upper: bool) -> Array:
    """(..., 2) points of a lid margin; `u` runs from the inner (0) to the outer corner (1)."""
    u = np.clip(np.asarray(u, dtype=np.float64), 0.0, 1.0)
    x = EYE_INNER[0] + (EYE_OUTER[0] - EYE_INNER[0]) * u
    chord = EYE_INNER[1] + (EYE_OUTER[1] - EYE_INNER[1]) * u
    if upper:
        y = chord - UPPER_LID * np.sin(np.pi * u**0.88) ** 0.72
    else:
        y = chord + LOWER_LID * np.sin(np.pi * u**1.12) ** 0.80
    return np.stack([x, y], -1)


def eye_ring(n: int, distance: float) -> Array:
    """(n, 2) points around the opening, `distance` outside its margin.

    Point 0 is the inner corner; then the upper lid, the outer corner at n / 2 and the lower lid.
    """
    half = n // 2
    u = np.linspace(0.0, 1.0, half + 1)
    # Dense near the corners, where the lids turn sharply.
    u = 0.5 - 0.5 * np.cos(np.pi * u) * (0.6 + 0.4 * np.cos(np.pi * u) ** 2)
    margin = np.concatenate([lid(u[:-1], True), lid(u[::-1][:-1], False)])
    center = np.array([(EYE_INNER[0] + EYE_OUTER[0]) / 2, -0.008])
    out = (margin - center) * np.array([1.0, 2.2])
    out /= np.linalg.norm(out, axis=-1, keepdims=True)
    # Lids are wider than high: rings spread less sideways.
    return np.asarray(margin + out * distance * np.array([0.85, 1.0]), dtype=np.float64)


# -- mouth -----------------------------------------------------------------------------------------
MOUTH_HALF, MOUTH_Y = 0.284, 0.778


def seam(x: Array) -> Array:
    """Height of the line between the closed lips, |x| <= MOUTH_HALF (continued beyond)."""
    s = np.clip(np.abs(x) / MOUTH_HALF, 0.0, 1.0)
    return MOUTH_Y - 0.020 * (1.0 - s**2) + 0.010 * np.exp(-((s / 0.22) ** 2))


def upper_border(x: Array) -> Array:
    """Height of the upper lip's border with its cupid's bow."""
    s = np.clip(np.abs(x) / MOUTH_HALF, 0.0, 1.0)
    bow = 0.016 * np.exp(-((s / 0.14) ** 2))
    return (
        MOUTH_Y - 0.126 * (1.0 - s**1.9) ** 0.95 + bow - 0.012 * np.exp(-(((s - 0.3) / 0.2) ** 2))
    )


def lower_border(x: Array) -> Array:
    """Height of the lower lip's border."""
    s = np.clip(np.abs(x) / MOUTH_HALF, 0.0, 1.0)
    return MOUTH_Y + 0.102 * (1.0 - s**2.2) ** 0.85


# -- brow ------------------------------------------------------------------------------------------
#: x, height of the upper edge, height of the lower edge.
_BROW: Array = np.array(
    [
        [0.105, -0.262, -0.185],
        [0.150, -0.292, -0.196],
        [0.270, -0.322, -0.224],
        [0.400, -0.334, -0.250],
        [0.520, -0.318, -0.252],
        [0.610, -0.268, -0.222],
        [0.680, -0.198, -0.180],
    ]
)


def brow_edges(x: Array) -> tuple[Array, Array]:
    """Heights of the upper and lower edge of the brow at `x` (0.105 to 0.68)."""
    return np.interp(x, _BROW[:, 0], _BROW[:, 1]), np.interp(x, _BROW[:, 0], _BROW[:, 2])


BROW_INNER, BROW_OUTER = float(_BROW[0, 0]), float(_BROW[-1, 0])
