"""iBUG's 68 points where the model fits of 300W-LP and AFLW2000-3D have them.

Labels of those sets are vertices of the Basel face model that was fitted to each picture (Zhu et
al., CVPR 2016), not places that a person has chosen. Their jaw line runs along the border of that
model: up to a third of the distance of the eyes farther back than the visible contour of a frontal
face, which at 75 degrees of yaw moves a point by as much in the picture. Brows and nose differ by
up to a tenth; eyes and mouth agree within 0.04.

The offsets were measured by `rendering.ict.registration`, which bends the ICT head onto the
canonical face that PRNet ships with its position maps (MIT licence).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_map, get_scheme, has_map
from lit_landmarks.template.loft import Array
from lit_landmarks.template.surface_points import SurfacePoints
from lit_landmarks.template.surface_search import find_nearest
from lit_landmarks.template.topology import Indices

#: Conventions of `schemes.CONVENTIONS` whose labels are such points.
FITTED_CONVENTIONS = ("300w_lp", "position_map")

#: Name -> way from the point that is fixed to the skull to that of the fits, in distances of the
#: outer eye corners: head frame, image's right half. Points that are not named agree.
OFFSETS: dict[str, tuple[float, float, float]] = {
    "chin": (0.0000, 0.0462, 0.0988),
    "left_jaw_8": (0.0736, 0.0383, 0.1450),
    "left_jaw_7": (0.0864, -0.0080, 0.1943),
    "left_jaw_6": (0.0690, -0.0176, 0.2655),
    "left_jaw_5": (0.0162, 0.0295, 0.3051),
    "left_jaw_4": (-0.0098, 0.0730, 0.3048),
    "left_jaw_3": (-0.0010, 0.0960, 0.2795),
    "left_jaw_2": (0.0144, 0.1017, 0.2524),
    "left_jaw_1": (0.0224, 0.1244, 0.2324),
    "left_brow_5": (0.0901, 0.0387, 0.0139),
    "left_brow_4": (0.0396, 0.0440, 0.0085),
    "left_brow_3": (0.0118, 0.0289, -0.0029),
    "left_brow_2": (0.0136, 0.0324, -0.0014),
    "left_brow_1": (0.0065, 0.0209, 0.0080),
    "nose_bridge_1": (0.0000, 0.0251, -0.0104),
    "nose_bridge_2": (0.0000, 0.0453, -0.0324),
    "nose_bridge_3": (0.0000, 0.0582, -0.0437),
    "nose_tip": (0.0000, 0.0280, -0.0007),
    "subnasale": (0.0000, -0.0029, -0.0014),
    "left_nostril": (0.0050, -0.0091, 0.0036),
    "left_ala": (-0.0054, -0.0215, -0.0083),
}


@cache
def fitted_offsets() -> Array:
    """(68, 3) ways from iBUG's points on the skull to those of the fits; outer eyes 1 apart."""
    table = np.zeros((68, 3))
    for number, name in enumerate(get_scheme("ibug68").point_names):
        side, _, part = name.partition("_")
        way = OFFSETS.get(f"left_{part}" if side == "right" else name, (0.0, 0.0, 0.0))
        table[number] = np.array(way) * ((-1.0 if side == "right" else 1.0), 1.0, 1.0)
    return table


def sparse_points(scheme: str) -> Indices:
    """(68,) the numbers of iBUG's points in a scheme that has all of them.

    Raises:
        UserError: it has not, or means other places by them.
    """
    names = get_scheme("ibug68").point_names
    if has_map(scheme, "ibug68"):
        numbers = get_map(scheme, "ibug68").source_index.numpy()
        own = get_scheme(scheme).point_names
        if tuple(own[k] if k >= 0 else "" for k in numbers) == names:
            return np.asarray(numbers, dtype=np.int64)
    raise UserError(
        f"scheme {scheme!r} does not hold the 68 points of ibug68, which alone have places of the"
        " convention 300w_lp; choose another convention, or scheme ibug68 or dense520"
    )


def move_to_fits(
    scheme: str, points: SurfacePoints, vertices: Array, triangles: Indices
) -> SurfacePoints:
    """The points of a scheme, those of iBUG's 68 where the fits have them.

    Args:
        scheme: the points' scheme.
        points: fixed to the skull.
        vertices: (V, 3) the head at rest, in the axes of the head frame.
        triangles: (T, 3) skin on which the points may come to lie.

    Raises:
        UserError: the scheme does not hold the 68 points.
    """
    sparse = sparse_points(scheme)
    at = vertices[points.vertices[sparse]]
    fixed = (at * points.weights[sparse][..., None]).sum(1)
    corners = get_scheme("ibug68").eye_corners
    unit = float(np.linalg.norm(fixed[corners[0]] - fixed[corners[1]]))
    moved = np.flatnonzero(fitted_offsets().any(1))
    places = (fixed + unit * fitted_offsets())[moved]
    index, weights = points.vertices.copy(), points.weights.copy()
    index[sparse[moved]], weights[sparse[moved]] = find_nearest(places, vertices, triangles)
    return SurfacePoints(index, weights)
