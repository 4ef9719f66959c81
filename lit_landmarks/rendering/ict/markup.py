"""iBUG's 68 points of an ICT head where the annotators of 300W place them in photographs.

The head file names 68 vertices, which lie up to 7 % of the distance of the outer eye corners beside
the places that people choose in photos: nose and brows too far from each other, eyelids and inner
lips too far to the sides, the chin on the front of its curve. A network that learned from such
heads alone, with faces of HELEN and AFW beside it, had the same mean differences on both
(README of `data`). The places here keep to what iBUG's own figure shows: lids and lips divided
evenly between the corners that a photo shows, the nose at its base, brows on the brow, the chin at
its lower end. How far each is moved was set by those mean differences, rounded to half a percent.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.spatial import cKDTree

from lit_landmarks.rendering.ict.model import SKIN_END, Array, IctModel, Indices
from lit_landmarks.rendering.ict.surface import Surface
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template.surface_points import SurfacePoints

#: Points on the edge of a lid or lip: two vertices of that edge, and the share of the second. Of an
#: eye's outer and an inner mouth corner one lies on the upper and one on the lower edge.
ON_EDGES: Mapping[str, tuple[int, int, float]] = {
    "right_eye_outer": (1933, 1508, 0.5),
    "right_eye_upper_outer": (1540, 1962, 0.7),
    "right_eye_upper_inner": (1536, 1535, 0.4),
    "right_eye_lower_inner": (1518, 1519, 0.7),
    "right_eye_lower_outer": (1513, 1514, 0.4),
    "right_mouth_inner_corner": (5579, 5802, 0.5),
    "right_upper_lip_inner": (6023, 5781, 0.2),
    "right_lower_lip_inner": (6009, 5880, 0.4),
}
#: Ways over the skin from the file's vertices, in percent of the distance of the outer eye corners:
#: towards the middle of the face, and down.
MOVES: Mapping[str, tuple[float, float]] = {
    "chin": (0.0, 5.0),
    "right_jaw_8": (0.0, 6.0),
    "right_jaw_7": (0.0, 2.0),
    "right_jaw_5": (0.0, 2.5),
    "right_jaw_4": (0.0, 5.0),
    "right_jaw_3": (0.0, 5.0),
    "right_jaw_2": (0.0, 4.0),
    "right_jaw_1": (0.0, 4.0),
    "right_brow_1": (2.0, 4.0),
    "right_brow_2": (2.0, 2.0),
    "right_brow_3": (4.0, 2.0),
    "right_brow_4": (3.5, 3.0),
    "right_brow_5": (2.0, 6.0),
    "nose_bridge_1": (0.0, -1.5),
    "nose_bridge_3": (0.0, 1.0),
    "right_ala": (0.0, -3.0),
    "right_nostril": (0.0, -2.0),
    "subnasale": (0.0, -1.0),
    "right_mouth_corner": (1.5, 0.0),
    "right_upper_lip_side": (3.5, 1.0),
    "right_upper_lip_peak": (2.5, 1.0),
    "upper_lip_top": (0.0, 2.0),
    "right_lower_lip_side": (4.0, 1.0),
    "right_lower_lip_peak": (5.0, 1.5),
    "lower_lip_bottom": (0.0, 0.5),
}
#: Steps by which the nearest place of the skin comes to lie at the height and width that are asked.
_STEPS = 4


def place_markup(model: IctModel, skin: Surface) -> SurfacePoints:
    """The 68 points, mirrored exactly.

    Args:
        model: the head.
        skin: without the inside of mouth, nostrils and eyes.
    """
    scheme = get_scheme("ibug68")
    points = at_vertices(model.ibug68)
    vertices, weights = points.vertices, points.weights
    number = {name: k for k, name in enumerate(scheme.point_names)}
    for name, (first, second, share) in ON_EDGES.items():
        vertices[number[name]] = (first, second, second)
        weights[number[name]] = (1.0 - share, share, 0.0)
    moved = [number[name] for name in MOVES]
    ways = np.array([(*way, 0.0) for way in MOVES.values()]) / 100.0
    vertices[moved], weights[moved] = _slide(model.mean[model.ibug68[moved]], ways, skin)
    _mirror(model, vertices, weights, [number[name] for name in (*ON_EDGES, *MOVES)])
    return points


def at_vertices(numbers: Indices) -> SurfacePoints:
    """Points that are vertices (N,)."""
    return SurfacePoints(np.repeat(numbers[:, None], 3, 1), np.eye(1, 3).repeat(len(numbers), 0))


def mirror_vertices(model: IctModel) -> Indices:
    """(SKIN_END,) the vertex of the skin at the mirrored place of each."""
    skin = model.mean[:SKIN_END]
    nearest = cKDTree(skin).query(skin * np.array([-1.0, 1.0, 1.0]))[1]
    return np.asarray(nearest, dtype=np.int64)


def _slide(places: Array, ways: Array, skin: Surface) -> tuple[Indices, Array]:
    """Vertices and weights (N, 3) of skin at `places` (N, 3) moved by `ways`, from ahead."""
    asked = places + ways
    aim = asked.copy()
    vertices, weights = skin.closest(aim)
    for _ in range(_STEPS):
        reached = (weights[..., None] * skin.points[vertices]).sum(1)
        aim[:, :2] += (asked - reached)[:, :2]
        aim[:, 2] = reached[:, 2]
        vertices, weights = skin.closest(aim)
    return vertices, weights


def _mirror(model: IctModel, vertices: Indices, weights: Array, rows: list[int]) -> None:
    """Give points of the left side the mirrored places of those of the right."""
    flip = np.array(get_scheme("ibug68").flip)
    mirrored = mirror_vertices(model)
    for row in rows:
        if flip[row] != row:
            vertices[flip[row]], weights[flip[row]] = mirrored[vertices[row]], weights[row]
