"""Identity and expression: named directions in which the neutral head deforms.

A direction is a function of template positions (V, 3) and the lower-jaw flag (V,) that returns
displacements (V, 3) at value 1. Identities are drawn from N(0, 1) per direction, expressions lie in
[0, 1] (signed ones in [-1, 1]).

Adding a parameter: write the function, decorate it with `identity` or `expression`. Nothing else
knows the list. A change that alters a picture must raise `renderer.RENDER_VERSION`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lit_landmarks.template import features, outlines
from lit_landmarks.template.features import bump, smoothstep
from lit_landmarks.template.loft import Array
from lit_landmarks.template.topology import Indices

Direction = Callable[[Array, Indices], Array]
IDENTITY: dict[str, Direction] = {}
EXPRESSION: dict[str, Direction] = {}


def identity(fn: Direction) -> Direction:
    """Register an identity direction under its function name."""
    IDENTITY[fn.__name__] = fn
    return fn


def expression(fn: Direction) -> Direction:
    """Register an expression direction under its function name."""
    EXPRESSION[fn.__name__] = fn
    return fn


def _move(x: Array | float = 0.0, y: Array | float = 0.0, z: Array | float = 0.0) -> Array:
    return np.stack(np.broadcast_arrays(x, y, z), -1).astype(np.float64)


def _front(p: Array) -> Array:
    return smoothstep(0.85, 0.35, p[:, 2])


def _side(p: Array) -> Array:
    """Sign of x, smooth across the midline."""
    return np.asarray(np.tanh(p[:, 0] / 0.05), dtype=np.float64)


def _head(p: Array) -> Array:
    """1 on the head, 0 from the neck down."""
    return smoothstep(1.75, 1.25, p[:, 1])


# -- identity: skull -------------------------------------------------------------------------------
@identity
def head_width(p: Array, lower: Indices) -> Array:
    """Broad head."""
    return _move(x=0.045 * p[:, 0] * _head(p))


@identity
def head_height(p: Array, lower: Indices) -> Array:
    """High cranium."""
    return _move(y=-0.10 * smoothstep(-0.25, -1.25, p[:, 1]))


@identity
def head_depth(p: Array, lower: Indices) -> Array:
    """Long cranium."""
    return _move(z=0.09 * smoothstep(0.6, 1.9, p[:, 2]) * _head(p))


@identity
def forehead_slope(p: Array, lower: Indices) -> Array:
    """Receding forehead."""
    return _move(z=0.055 * smoothstep(-0.35, -0.95, p[:, 1]) * _front(p))


@identity
def face_length(p: Array, lower: Indices) -> Array:
    """Long lower face."""
    low = smoothstep(0.05, 1.25, p[:, 1]) * smoothstep(0.95, 0.30, p[:, 2])
    return _move(y=0.075 * low)


@identity
def jaw_width(p: Array, lower: Indices) -> Array:
    """Broad jaw angle."""
    low = smoothstep(0.25, 0.95, p[:, 1]) * smoothstep(1.65, 1.15, p[:, 1])
    return _move(x=0.055 * p[:, 0] / 0.7 * low * smoothstep(1.0, 0.45, p[:, 2]))


@identity
def jaw_taper(p: Array, lower: Indices) -> Array:
    """Pointed chin: the sides of the lower jaw come in, the chin goes down."""
    low = smoothstep(0.65, 1.15, p[:, 1]) * smoothstep(0.7, 0.2, p[:, 2])
    side = _side(p) * bump(p[:, 0], p[:, 1], 0.40, 1.12, 0.22, 0.22)
    return _move(x=-0.060 * side * low, y=0.030 * bump(p[:, 0], p[:, 1], 0, 1.25, 0.25, 0.2) * low)


@identity
def chin_forward(p: Array, lower: Indices) -> Array:
    """Prominent chin."""
    return _move(z=-0.055 * bump(p[:, 0], p[:, 1], 0.0, 1.18, 0.30, 0.19) * _front(p))


@identity
def cheek_bones(p: Array, lower: Indices) -> Array:
    """Wide, high cheek bones."""
    w = bump(p[:, 0], p[:, 1], 0.58, 0.18, 0.22, 0.20) * _front(p)
    return _move(x=0.035 * _side(p) * w, z=-0.030 * w)


@identity
def fullness(p: Array, lower: Indices) -> Array:
    """Round cheeks and a soft throat."""
    w = bump(p[:, 0], p[:, 1], 0.60, 0.68, 0.24, 0.30) * smoothstep(1.0, 0.5, p[:, 2])
    throat = bump(p[:, 0], p[:, 1], 0.0, 1.33, 0.45, 0.12) * smoothstep(0.75, 0.2, p[:, 2])
    return _move(x=0.055 * _side(p) * w, y=0.05 * throat, z=-0.040 * w - 0.04 * throat)


# -- identity: eyes and brows ----------------------------------------------------------------------
def _eye_zone(p: Array) -> Array:
    cx, cy, _ = outlines.EYE_CENTER
    r = np.hypot((np.abs(p[:, 0]) - cx) / 0.30, (p[:, 1] - cy) / 0.24)
    return smoothstep(1.0, 0.55, r) * smoothstep(0.6, 0.2, p[:, 2])


@identity
def eye_spacing(p: Array, lower: Indices) -> Array:
    """Wide-set eyes."""
    return _move(x=0.020 * _side(p) * _eye_zone(p))


@identity
def eye_height(p: Array, lower: Indices) -> Array:
    """Tall eye openings: the lids part, the eyeball stays."""
    cx, cy, _ = outlines.EYE_CENTER
    away = p[:, 1] - cy
    near = np.exp(-(((np.abs(p[:, 0]) - cx) / 0.14) ** 2) - (away / 0.11) ** 2)
    return _move(y=0.18 * away * near * _front(p))


@identity
def eye_tilt(p: Array, lower: Indices) -> Array:
    """Outer corners up."""
    lean = np.clip(np.abs(p[:, 0]) - outlines.EYE_CENTER[0], -0.2, 0.2)
    return _move(y=-0.11 * lean * _eye_zone(p))


@identity
def eye_depth(p: Array, lower: Indices) -> Array:
    """Deep-set eyes."""
    return _move(z=0.022 * _eye_zone(p))


@identity
def brow_height(p: Array, lower: Indices) -> Array:
    """High brows."""
    return _move(y=-0.032 * bump(p[:, 0], p[:, 1], 0.38, -0.26, 0.34, 0.12) * _front(p))


@identity
def brow_tilt(p: Array, lower: Indices) -> Array:
    """Outer ends of the brows up."""
    w = bump(p[:, 0], p[:, 1], 0.38, -0.26, 0.34, 0.11) * _front(p)
    return _move(y=-0.10 * np.clip(np.abs(p[:, 0]) - 0.36, -0.3, 0.3) * w)


@identity
def brow_ridge(p: Array, lower: Indices) -> Array:
    """Heavy brow ridge."""
    return _move(z=-0.032 * bump(p[:, 0], p[:, 1], 0.22, -0.23, 0.36, 0.09) * _front(p))


# -- identity: nose --------------------------------------------------------------------------------
def _nose_zone(p: Array) -> Array:
    x = np.abs(p[:, 0])
    return (
        smoothstep(0.30, 0.16, x)
        * smoothstep(-0.12, 0.10, p[:, 1])
        * smoothstep(0.64, 0.53, p[:, 1])
        * _front(p)
    )


@identity
def nose_length(p: Array, lower: Indices) -> Array:
    """Long nose: the tip moves down."""
    w = bump(p[:, 0], p[:, 1], 0.0, 0.43, 0.22, 0.20) * _front(p)
    return _move(y=0.045 * w)


@identity
def nose_projection(p: Array, lower: Indices) -> Array:
    """The tip stands out."""
    return _move(z=-0.22 * features.nose(p[:, 0], p[:, 1]) * _front(p))


@identity
def nose_width(p: Array, lower: Indices) -> Array:
    """Broad nose, most at the wings."""
    low = 0.35 + 0.65 * smoothstep(0.15, 0.42, p[:, 1])
    return _move(x=0.15 * p[:, 0] * _nose_zone(p) * low)


@identity
def nose_bridge(p: Array, lower: Indices) -> Array:
    """High or hooked bridge."""
    return _move(z=-0.040 * bump(p[:, 0], p[:, 1], 0.0, 0.10, 0.07, 0.15) * _front(p))


@identity
def nose_tip_up(p: Array, lower: Indices) -> Array:
    """Turned-up tip."""
    w = bump(p[:, 0], p[:, 1], 0.0, 0.39, 0.12, 0.11) * _front(p)
    return _move(y=-0.030 * w, z=-0.008 * w)


# -- identity: mouth -------------------------------------------------------------------------------
def _mouth_zone(p: Array, wide: float = 0.42, high: float = 0.24) -> Array:
    r = np.hypot(p[:, 0] / wide, (p[:, 1] - 0.77) / high)
    return smoothstep(1.0, 0.45, r) * smoothstep(0.35, 0.0, p[:, 2])


@identity
def mouth_width(p: Array, lower: Indices) -> Array:
    """Wide mouth."""
    return _move(x=0.10 * p[:, 0] * _mouth_zone(p, 0.50))


@identity
def mouth_height(p: Array, lower: Indices) -> Array:
    """Mouth set low."""
    return _move(y=0.028 * _mouth_zone(p, 0.6, 0.30))


@identity
def lips_full(p: Array, lower: Indices) -> Array:
    """Thick lips."""
    x, y = p[:, 0], p[:, 1]
    d = y - outlines.seam(x)
    band = np.exp(-((d / 0.16) ** 2)) * smoothstep(0.36, 0.16, np.abs(x)) * _front(p)
    return _move(y=0.22 * np.clip(d, -0.13, 0.11) * band, z=-0.28 * features.lips(x, y) * _front(p))


@identity
def lips_forward(p: Array, lower: Indices) -> Array:
    """The mouth region stands out."""
    return _move(z=-0.040 * _mouth_zone(p, 0.5, 0.34))


@identity
def ear_size(p: Array, lower: Indices) -> Array:
    """Large, protruding ears."""
    w = smoothstep(0.87, 1.0, np.abs(p[:, 0])) * smoothstep(0.7, 0.4, np.abs(p[:, 1] - 0.1))
    return _move(x=0.05 * _side(p) * w, y=0.10 * (p[:, 1] - 0.1) * w, z=0.03 * w)


@identity
def neck_width(p: Array, lower: Indices) -> Array:
    """Strong neck."""
    w = smoothstep(1.1, 1.5, p[:, 1]) * smoothstep(2.5, 1.9, p[:, 1])
    return _move(x=0.11 * p[:, 0] * w, z=-0.05 * w)


# -- expression: jaw and mouth ---------------------------------------------------------------------
def _jaw_weight(p: Array, lower: Indices) -> Array:
    """Share of the lower jaw's motion: a step at the slit, smooth beyond its corners."""
    x, y, z = p[:, 0], p[:, 1], p[:, 2]
    soft = smoothstep(0.52, 1.02, y + 0.10 * smoothstep(0.1, 0.6, np.abs(x)))
    step = np.where(lower != 0, lower > 0, y > outlines.seam(x)).astype(np.float64)
    step = np.where(step > 0.5, smoothstep(0.70, 0.84, y + 0.2 * (lower > 0)) * 0.25 + 0.75, 0.0)
    corner = smoothstep(0.13, 0.34, np.abs(x))
    weight = step * (1.0 - corner) + soft * corner
    return np.asarray(
        weight * smoothstep(0.85, 0.30, z) * smoothstep(1.62, 1.30, y), dtype=np.float64
    )


def _turned(p: Array, degrees: float, pivot_y: float, pivot_z: float) -> Array:
    """Displacement of a rotation about an axis parallel to x."""
    a = np.radians(degrees)
    y, z = p[:, 1] - pivot_y, p[:, 2] - pivot_z
    return _move(y=np.cos(a) * y - np.sin(a) * z - y, z=np.sin(a) * y + np.cos(a) * z - z)


@expression
def jaw_open(p: Array, lower: Indices) -> Array:
    """The lower jaw turns about its joint by 19 degrees."""
    return _turned(p, 19.0, 0.15, 0.62) * _jaw_weight(p, lower)[:, None]


@expression
def jaw_side(p: Array, lower: Indices) -> Array:
    """The lower jaw shifts to the image's right (signed)."""
    return _move(x=0.07 * _jaw_weight(p, lower))


def _smile(p: Array, side: float) -> Array:
    x, y = p[:, 0] * side, p[:, 1]
    on = smoothstep(-0.06, 0.16, x) * _front(p)
    corner = np.exp(-(((x - 0.29) / 0.15) ** 2) - ((y - 0.78) / 0.14) ** 2)
    cheek = np.exp(-(((x - 0.42) / 0.16) ** 2) - ((y - 0.36) / 0.17) ** 2)
    return _move(
        x=side * on * (0.095 * corner + 0.02 * cheek),
        y=on * (-0.088 * corner - 0.040 * cheek),
        z=on * (0.070 * corner - 0.035 * cheek),
    )


@expression
def smile_left(p: Array, lower: Indices) -> Array:
    """Mouth corner on the image's right goes out and up, the cheek rises."""
    return _smile(p, 1.0)


@expression
def smile_right(p: Array, lower: Indices) -> Array:
    """Mouth corner on the image's left goes out and up, the cheek rises."""
    return _smile(p, -1.0)


@expression
def mouth_frown(p: Array, lower: Indices) -> Array:
    """Mouth corners go down."""
    return _move(y=0.060 * bump(p[:, 0], p[:, 1], 0.29, 0.79, 0.12, 0.13) * _front(p))


@expression
def pucker(p: Array, lower: Indices) -> Array:
    """Lips narrow and come forward, as for a kiss."""
    w = _mouth_zone(p, 0.46, 0.22)
    return _move(x=-0.42 * p[:, 0] * w, z=-0.085 * w * np.exp(-((p[:, 0] / 0.22) ** 2)))


@expression
def mouth_shift(p: Array, lower: Indices) -> Array:
    """The mouth moves to the image's right (signed)."""
    return _move(x=0.065 * _mouth_zone(p, 0.52, 0.30))


@expression
def upper_lip_raise(p: Array, lower: Indices) -> Array:
    """The upper lip bares the teeth."""
    x, y = p[:, 0], p[:, 1]
    up = np.where(lower != 0, lower < 0, y < outlines.seam(x))
    w = smoothstep(0.29, 0.08, np.abs(x)) * smoothstep(0.50, 0.70, y) * up * _front(p)
    return _move(y=-0.065 * w, z=-0.006 * w)


@expression
def lower_lip_drop(p: Array, lower: Indices) -> Array:
    """The lower lip bares the teeth."""
    x, y = p[:, 0], p[:, 1]
    down = np.where(lower != 0, lower > 0, y > outlines.seam(x))
    w = smoothstep(0.29, 0.08, np.abs(x)) * smoothstep(1.06, 0.86, y) * down * _front(p)
    return _move(y=0.065 * w)


@expression
def lips_press(p: Array, lower: Indices) -> Array:
    """Lips roll in and get thin."""
    x, y = p[:, 0], p[:, 1]
    d = y - outlines.seam(x)
    band = np.exp(-((d / 0.12) ** 2)) * smoothstep(0.33, 0.20, np.abs(x)) * _front(p)
    return _move(y=-0.42 * d * band, z=0.55 * features.lips(x, y) * band)


@expression
def cheek_puff(p: Array, lower: Indices) -> Array:
    """Blown-up cheeks."""
    w = bump(p[:, 0], p[:, 1], 0.48, 0.72, 0.20, 0.22) * _front(p)
    return _move(x=0.075 * _side(p) * w, z=-0.085 * w)


@expression
def nose_wrinkle(p: Array, lower: Indices) -> Array:
    """Wings of the nose and inner brows draw together."""
    wing = bump(p[:, 0], p[:, 1], 0.13, 0.43, 0.09, 0.11)
    root = bump(p[:, 0], p[:, 1], 0.0, -0.10, 0.16, 0.14)
    return _move(y=(-0.030 * wing + 0.018 * root) * _front(p), z=-0.008 * wing * _front(p))


# -- expression: eyes and brows --------------------------------------------------------------------
def _lid_travel(p: Array, side: float, share_upper: float, share_lower: float) -> Array:
    """Vertical travel of the lids of one eye towards the line on which they meet."""
    x, y = p[:, 0] * side, p[:, 1]
    u = (x - outlines.EYE_INNER[0]) / (outlines.EYE_OUTER[0] - outlines.EYE_INNER[0])
    up, low = outlines.lid(u, True)[..., 1], outlines.lid(u, False)[..., 1]
    meet = low - 0.22 * (low - up)
    beyond = smoothstep(0.12, 0.0, np.maximum(-u, u - 1.0))
    middle = outlines.lid(np.clip(u, 0, 1), True)[..., 1] * 0.5 + 0.5 * low
    upper = y < middle
    above = smoothstep(0.115, 0.0, up - y) * upper
    below = smoothstep(0.09, 0.0, y - low) * ~upper
    travel = share_upper * (meet - up) * above + share_lower * (meet - low) * below
    return np.asarray(travel * beyond * _front(p), dtype=np.float64)


@expression
def blink_left(p: Array, lower: Indices) -> Array:
    """Closes the eye on the image's right."""
    return _move(y=_lid_travel(p, 1.0, 1.0, 1.0))


@expression
def blink_right(p: Array, lower: Indices) -> Array:
    """Closes the eye on the image's left."""
    return _move(y=_lid_travel(p, -1.0, 1.0, 1.0))


@expression
def eyes_wide(p: Array, lower: Indices) -> Array:
    """Both eyes torn open."""
    travel = _lid_travel(p, 1.0, -0.32, -0.12) + _lid_travel(p, -1.0, -0.32, -0.12)
    return _move(y=travel)


@expression
def squint(p: Array, lower: Indices) -> Array:
    """Both eyes narrowed, the lower lids raised."""
    travel = _lid_travel(p, 1.0, 0.22, 1.5) + _lid_travel(p, -1.0, 0.22, 1.5)
    cheek = bump(p[:, 0], p[:, 1], 0.36, 0.17, 0.17, 0.08) * _front(p)
    return _move(y=travel - 0.020 * cheek, z=-0.010 * cheek)


@expression
def brow_raise_inner(p: Array, lower: Indices) -> Array:
    """Inner brows up."""
    return _move(y=-0.070 * bump(p[:, 0], p[:, 1], 0.14, -0.27, 0.18, 0.13) * _front(p))


@expression
def brow_raise_left(p: Array, lower: Indices) -> Array:
    """The brow on the image's right goes up."""
    w = np.exp(-(((p[:, 0] - 0.42) / 0.26) ** 2) - ((p[:, 1] + 0.28) / 0.13) ** 2)
    return _move(y=-0.075 * w * _front(p))


@expression
def brow_raise_right(p: Array, lower: Indices) -> Array:
    """The brow on the image's left goes up."""
    w = np.exp(-(((p[:, 0] + 0.42) / 0.26) ** 2) - ((p[:, 1] + 0.28) / 0.13) ** 2)
    return _move(y=-0.075 * w * _front(p))


@expression
def brow_frown(p: Array, lower: Indices) -> Array:
    """Brows together and down."""
    w = bump(p[:, 0], p[:, 1], 0.20, -0.24, 0.20, 0.12) * _front(p)
    return _move(x=-0.032 * _side(p) * w, y=0.050 * w, z=-0.012 * w)
