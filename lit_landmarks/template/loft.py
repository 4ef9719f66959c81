"""The skull without features: a smooth closed surface lofted through 23 rows of proportions.

Every row is a closed curve that starts on the front midline, passes the widest point of the side
and ends on the back midline. Rows of the lower face run along the jaw, so that the jaw line itself
is a row. Coordinates are the head frame (x to the image's right, y down, z away from the camera,
outer eye corners 1 apart); the numbers are our own round figures, tuned until the head had human
proportions (see `tests/template/test_mean_face.py` for the figure).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Columns: y, z on the front midline; half width, y, z at the side; y, z on the back midline;
#: exponent of the front arc (above 1 a flat front, below 1 a pointed one).
ROWS: Array = np.array(
    [
        [-1.245, 0.950, 0.03, -1.245, 0.97, -1.245, 1.000, 1.00],  # crown
        [-1.190, 0.560, 0.40, -1.185, 0.93, -1.180, 1.360, 1.00],
        [-1.010, 0.175, 0.635, -1.010, 0.92, -1.010, 1.640, 1.10],
        [-0.800, -0.040, 0.765, -0.800, 0.93, -0.780, 1.800, 1.20],
        [-0.600, -0.150, 0.85, -0.600, 0.95, -0.550, 1.890, 1.25],  # forehead
        [-0.400, -0.210, 0.88, -0.410, 0.97, -0.300, 1.935, 1.25],
        [-0.200, -0.240, 0.885, -0.220, 0.97, -0.050, 1.925, 1.15],  # brow ridge
        [0.000, -0.200, 0.87, -0.050, 0.90, 0.150, 1.870, 1.00],  # eyes
        [0.200, -0.190, 0.868, 0.080, 0.85, 0.330, 1.790, 0.97],  # cheek bones
        [0.400, -0.235, 0.848, 0.190, 0.80, 0.470, 1.720, 0.92],
        [0.600, -0.300, 0.825, 0.290, 0.75, 0.580, 1.670, 0.85],  # below the nose
        [0.780, -0.300, 0.815, 0.360, 0.72, 0.660, 1.640, 0.80],  # mouth
        [0.950, -0.268, 0.805, 0.420, 0.69, 0.720, 1.620, 0.75],
        [1.100, -0.262, 0.80, 0.470, 0.67, 0.780, 1.610, 0.72],
        [1.230, -0.210, 0.79, 0.520, 0.66, 0.840, 1.605, 0.68],  # jaw line
        [1.310, -0.040, 0.755, 0.620, 0.70, 0.920, 1.600, 0.66],
        [1.345, 0.200, 0.70, 0.800, 0.80, 1.000, 1.600, 0.67],
        [1.430, 0.340, 0.61, 1.120, 0.95, 1.200, 1.610, 0.80],  # throat
        [1.640, 0.430, 0.57, 1.480, 1.02, 1.450, 1.680, 1.00],
        [1.900, 0.540, 0.68, 1.780, 1.12, 1.700, 1.800, 1.00],  # neck base
        [2.100, 0.570, 1.22, 2.010, 1.18, 1.920, 1.920, 1.00],
        [2.400, 0.400, 1.90, 2.350, 1.20, 2.350, 2.050, 1.00],  # shoulders
        [3.400, 0.200, 2.20, 3.300, 1.20, 3.300, 2.100, 1.00],
    ]
)
N_ROWS = len(ROWS)
#: Row numbers that other modules speak of.
ROW_JAW, ROW_THROAT, ROW_NECK_BASE = 14.0, 17.0, 19.0


def _second_derivatives(values: Array) -> Array:
    """Second derivatives at the knots of a natural cubic spline with unit knot spacing."""
    n = len(values)
    system = np.eye(n)
    for i in range(1, n - 1):
        system[i, i - 1 : i + 2] = (1.0, 4.0, 1.0)
    right = np.zeros_like(values)
    right[1:-1] = 6.0 * (values[2:] - 2.0 * values[1:-1] + values[:-2])
    return np.asarray(np.linalg.solve(system, right), dtype=np.float64)


_CURVATURE = _second_derivatives(ROWS)


def row(t: Array) -> Array:
    """The eight row values at row numbers `t` (any shape), natural cubic spline: (..., 8)."""
    t = np.clip(np.asarray(t, dtype=np.float64), 0.0, N_ROWS - 1.0)
    i = np.minimum(t.astype(int), N_ROWS - 2)
    b = (t - i)[..., None]
    a = 1.0 - b
    bend = (a**3 - a) * _CURVATURE[i] + (b**3 - b) * _CURVATURE[i + 1]
    return np.asarray(a * ROWS[i] + b * ROWS[i + 1] + bend / 6.0, dtype=np.float64)


def surface(angle: Array, t: Array) -> Array:
    """Points of the skull.

    Args:
        angle: (...) radians from the front midline (0) over the side (pi/2) to the back (pi);
            negative on the image's left.
        t: (...) row number.

    Returns:
        (..., 3) in the head frame.
    """
    yf, zf, width, ys, zs, yb, zb, power = np.moveaxis(row(t), -1, 0)
    size = np.abs(angle)
    front = np.clip(1.0 - np.cos(np.minimum(size, np.pi / 2)), 0.0, 1.0)
    back = np.clip(-np.cos(np.maximum(size, np.pi / 2)), 0.0, 1.0)
    x = width * np.sin(angle)
    y = yf + (ys - yf) * front + (yb - ys) * back
    z = zf + (zs - zf) * front ** np.maximum(power, 0.3) + (zb - zs) * back
    return np.stack([x, y, z], -1)


_FINE = np.linspace(0.0, N_ROWS - 1.0, 2201)
_FRONT_HEIGHT = row(_FINE)[:, 0]


def _row_of_front(y: Array) -> Array:
    """Row number whose front midline has height `y` (the front profile falls monotonously)."""
    return np.interp(y, _FRONT_HEIGHT, _FINE)


def invert_front(x: Array, y: Array) -> tuple[Array, Array]:
    """Angle and row number of the front surface point that is seen at (x, y) from the front."""
    t = _row_of_front(y)
    angle = np.zeros_like(t)
    for _ in range(60):
        yf, _, width, ys, *_ = np.moveaxis(row(t), -1, 0)
        angle = np.arcsin(np.clip(x / width, -0.9999, 0.9999))
        wanted = y - (ys - yf) * (1.0 - np.cos(angle))
        t = 0.5 * t + 0.5 * _row_of_front(wanted)
    return angle, t


_GRID = np.linspace(0.0, N_ROWS - 1.0, 441)


def _arc_length() -> Array:
    step = np.diff(row(_GRID), axis=0)
    front = np.hypot(step[:, 0], step[:, 1])
    side = np.sqrt(step[:, 2] ** 2 + step[:, 3] ** 2 + step[:, 4] ** 2)
    return np.concatenate([[0.0], np.cumsum(0.65 * front + 0.35 * side)])


_ARC = _arc_length()
#: Size of the unrolled plane: angle times this, and the arc length of all rows.
ANGLE_SCALE = 0.85
PLANE = (float(np.pi * ANGLE_SCALE), float(_ARC[-1]))


def unroll(angle: Array, t: Array) -> Array:
    """Coordinates (..., 2) in the unrolled plane, where distances are roughly those on the head."""
    return np.stack([angle * ANGLE_SCALE, np.interp(t, _GRID, _ARC)], -1)


def roll(plane: Array) -> tuple[Array, Array]:
    """Inverse of `unroll`: angle and row number of plane coordinates (..., 2)."""
    return plane[..., 0] / ANGLE_SCALE, np.interp(plane[..., 1], _ARC, _GRID)
