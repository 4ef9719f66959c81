"""The surface between the points of a scheme: triangles, and places of other points on it."""

from __future__ import annotations

import contextlib
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.surfaces import Patches, triangle_patches
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template.fitted_points import FITTED_CONVENTIONS, fitted_offsets
from lit_landmarks.template.head import template_head
from lit_landmarks.template.loft import Array
from lit_landmarks.template.mean_face import query_points
from lit_landmarks.template.position_maps import texture_coordinates
from lit_landmarks.template.surface_points import SurfacePoints
from lit_landmarks.template.topology import Indices

#: Closed lines of a scheme with nothing behind them, or an eye.
_OPENINGS = ("right_eye", "left_eye", "inner_lip")
#: A scheme of so many points covers the face evenly, so that a triangle with a longer side (in
#: distances of the outer eye corners) spans a concavity.
_DENSE, _LONGEST = 200, 0.5
#: How far the lips are parted in the plane of the triangulation, fading over so much: the mouth is
#: open there, so that no triangle joins the lips across it.
_PARTED, _FADE = 0.10, 0.16


@cache
def scheme_triangles(scheme: str, convention: str | None = None) -> Indices:
    """Triangles between the points of a scheme, by Delaunay in the plane of the unrolled face.

    Args:
        scheme: one with places on the template head.
        convention: in which the points lie; None for points that are fixed to the skull. The jaw of
            the fits of 300W-LP lies farther back.

    Returns:
        (T, 3) int64, clockwise in the image when seen from outside; eyes and mouth, where closed
        lines go round them, are open, and pupils have no triangle.

    Raises:
        UserError: the scheme has a point without a place on the head.

    Example:
        >>> scheme_triangles("dense520").shape[1]
        3
    """
    points = _points_on_template(scheme, convention in FITTED_CONVENTIONS)
    plane = _in_plane(points, parted=_PARTED, fade=_FADE)
    triangles = _triangulate(plane)
    good = np.ones(len(triangles), np.bool_)
    if get_scheme(scheme).n_points >= _DENSE:
        skin = template_head().neutral.numpy()
        solid = (skin[points.vertices] * points.weights[..., None]).sum(1)
        corners = solid[list(get_scheme(scheme).eye_corners)]
        sides = np.linalg.norm(solid[triangles] - solid[np.roll(triangles, 1, 1)], axis=2)
        good = sides.max(1) < _LONGEST * np.linalg.norm(corners[0] - corners[1])
    for name, (line, closed) in get_scheme(scheme).polylines.items():
        if closed and name in _OPENINGS:
            good &= ~_is_inside(plane[triangles].mean(1), plane[list(line)])
    return triangles[good]


@cache
def template_patches() -> Patches:
    """The surface between the 520 points of the mean face, head frame; normals point outwards."""
    triangles = torch.from_numpy(scheme_triangles("dense520").copy())
    return triangle_patches(query_points("dense520"), triangles)


def fitting_triangles(points3d: Array, scheme: str) -> Indices:
    """Triangles for points of an unknown convention: those of which fewer are folded over.

    Args:
        points3d: (N, 3) points of the scheme, z away from the camera.
        scheme: of the points.

    Raises:
        UserError: the scheme has a point without a place on the head.
    """
    choices = [scheme_triangles(scheme)]
    with contextlib.suppress(UserError):  # a scheme without the 68 points has one arrangement
        choices.append(scheme_triangles(scheme, FITTED_CONVENTIONS[0]))
    return min(choices, key=lambda triangles: count_folds(points3d, triangles))


def count_folds(points3d: Array, triangles: Indices) -> int:
    """Pairs of triangles with a common side whose outsides point away from one another."""
    a, b, c = (points3d[triangles[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    sides = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1)
    _, side, count = np.unique(sides, axis=0, return_inverse=True, return_counts=True)
    owner = np.repeat(np.arange(len(triangles)), 3)[np.argsort(side.reshape(-1), kind="stable")]
    first = (np.cumsum(count) - count)[count == 2]
    return int(((normals[owner[first]] * normals[owner[first + 1]]).sum(1) < 0).sum())


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


def _in_plane(points: SurfacePoints, **lips: float) -> Array:
    """(N, 2) of points on the skin, rows downwards; the lips are parted, pupils amid the lids."""
    skin = template_head().skin
    plane = texture_coordinates(skin, **lips) * np.array([1.0, -1.0])
    pupils = [plane[loop].mean(0) for loop in skin.eye_loops]
    plane = np.concatenate([plane, pupils])
    return np.asarray((plane[points.vertices] * points.weights[..., None]).sum(1))


def _is_inside(places: Array, line: Array) -> NDArray[np.bool_]:
    """(T,) whether places (T, 2) lie inside a closed line (M, 2)."""
    start, end = line, np.roll(line, -1, 0)
    below = start[:, 1] > places[:, None, 1]
    crosses = below != (end[:, 1] > places[:, None, 1])
    rise = np.where(end[:, 1] == start[:, 1], 1.0, end[:, 1] - start[:, 1])
    share = (places[:, None, 1] - start[:, 1]) / rise
    right = places[:, None, 0] < start[:, 0] + share * (end[:, 0] - start[:, 0])
    return np.asarray((crosses & right).sum(1) % 2 == 1)


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
