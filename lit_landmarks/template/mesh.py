"""The surface between the points of a scheme: triangles, and places of other points on it."""

from __future__ import annotations

from functools import cache

import numpy as np

from lit_landmarks.schemes import get_scheme
from lit_landmarks.template.fitted_points import FITTED_CONVENTIONS, fitted_offsets
from lit_landmarks.template.head import template_head
from lit_landmarks.template.loft import Array
from lit_landmarks.template.position_maps import texture_coordinates
from lit_landmarks.template.surface_points import SurfacePoints
from lit_landmarks.template.topology import Indices

#: Closed lines of a scheme with nothing behind them.
_OPENINGS = ("right_eye", "left_eye", "inner_lip")


@cache
def scheme_triangles(scheme: str, convention: str | None = None) -> Indices:
    """Triangles between the points of a scheme, by Delaunay in the plane of the unrolled face.

    Args:
        scheme: one with places on the template head.
        convention: in which the points lie; None for points that are fixed to the skull. The jaw of
            the fits of 300W-LP lies farther back.

    Returns:
        (T, 3) int64, clockwise in the image when seen from outside; eyes and mouth, where closed
        lines go round them, are open.

    Raises:
        UserError: the scheme has a point without a place on the head.

    Example:
        >>> scheme_triangles("dense520").shape[1]
        3
    """
    fitted = convention in FITTED_CONVENTIONS
    triangles = _triangulate(_in_plane(_points_on_template(scheme, fitted)))
    inside = np.zeros(len(triangles), np.bool_)
    for name, (points, closed) in get_scheme(scheme).polylines.items():
        if closed and name in _OPENINGS:
            inside |= np.isin(triangles, points).all(1)
    return triangles[~inside]


@cache
def skull_places() -> tuple[Indices, Indices, Array]:
    """Where a face in the convention of 300W-LP has the points that are fixed to the skull.

    Each of iBUG's points that both conventions place differently is a blend of three points of
    `dense520` around it, on the surface between them.

    Returns:
        (M,) numbers of these points, (M, 3) numbers of points, and (M, 3) weights of sum 1.
    """
    moved = np.flatnonzero(fitted_offsets().any(1))
    plane = _in_plane(_points_on_template("dense520", fitted=True))
    places = _in_plane(_points_on_template("dense520", fitted=False))[moved]
    triangles = _triangulate(plane)
    a, b, c = (plane[triangles[:, k]] for k in range(3))
    v, w = _solve(b - a, c - a, places[:, None] - a)
    weights = np.stack([1.0 - v - w, v, w], -1)
    best = weights.min(-1).argmax(1)
    return moved, triangles[best], weights[np.arange(len(moved)), best]


def _points_on_template(scheme: str, fitted: bool) -> SurfacePoints:
    head = template_head()
    return head.fitted_points(scheme) if fitted else head.points(scheme)


def _in_plane(points: SurfacePoints) -> Array:
    """(N, 2) of points on the skin, rows downwards; the lips are parted, pupils amid the lids."""
    skin = template_head().skin
    plane = texture_coordinates(skin) * np.array([1.0, -1.0])
    pupils = [plane[loop].mean(0) for loop in skin.eye_loops]
    plane = np.concatenate([plane, pupils])
    return np.asarray((plane[points.vertices] * points.weights[..., None]).sum(1))


def _triangulate(plane: Array) -> Indices:
    """(T, 3) Delaunay triangles of points (N, 2), clockwise where rows go down."""
    from scipy.spatial import Delaunay

    triangles = Delaunay(plane).simplices.astype(np.int64)
    a, b, c = (plane[triangles[:, k]] for k in range(3))
    turned = _cross(b - a, c - a) < 0
    triangles[turned] = triangles[turned][:, ::-1]
    return np.asarray(triangles, np.int64)


def _cross(first: Array, second: Array) -> Array:
    return np.asarray(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0])


def _solve(first: Array, second: Array, way: Array) -> tuple[Array, Array]:
    """The shares of two sides of triangles in ways (..., 2)."""
    det = _cross(first, second)
    return _cross(way, second) / det, _cross(first, way) / det
