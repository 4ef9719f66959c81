"""Closest points of a triangle mesh, for the few queries that a template is made with."""

from __future__ import annotations

import numpy as np

from lit_landmarks.template.loft import Array
from lit_landmarks.template.topology import Indices

#: Triangles round so many of the nearest vertices are searched for the nearest surface point.
_NEAR = 24


def find_nearest(points: Array, vertices: Array, triangles: Indices) -> tuple[Indices, Array]:
    """Closest points of a surface: vertices (N, 3) and weights (N, 3)."""
    used = np.unique(triangles)
    index = np.empty((len(points), 3), np.int64)
    weight = np.empty((len(points), 3))
    for number, point in enumerate(points):
        near = used[np.argsort(((vertices[used] - point) ** 2).sum(1))[:_NEAR]]
        some = triangles[np.isin(triangles, near).any(1)]
        shares = _closest_weights(point, vertices[some])
        place = (vertices[some] * shares[..., None]).sum(1)
        best = int(((place - point) ** 2).sum(1).argmin())
        index[number], weight[number] = some[best], shares[best]
    return index, weight


def _closest_weights(point: Array, corners: Array) -> Array:
    """Weights (T, 3) of the place nearest to `point` in each triangle (T, 3, 3)."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac, ap = b - a, c - a, point - a
    aa, bb, cross = (ab * ab).sum(1), (ac * ac).sum(1), (ab * ac).sum(1)
    pa, pb = (ap * ab).sum(1), (ap * ac).sum(1)
    det = np.maximum(aa * bb - cross**2, 1e-30)
    v, w = (bb * pa - cross * pb) / det, (aa * pb - cross * pa) / det
    best = np.stack([1 - v - w, v, w], -1)
    outside = (best < 0).any(1)
    least = np.where(outside, np.inf, 0.0)
    for k in range(3):
        # The nearest place of a triangle that does not hold the foot lies on one of its edges.
        start, end = corners[:, k], corners[:, (k + 1) % 3]
        edge = end - start
        share = ((point - start) * edge).sum(1) / np.maximum((edge * edge).sum(1), 1e-30)
        share = np.clip(share, 0.0, 1.0)
        away = ((start + share[:, None] * edge - point) ** 2).sum(1)
        shares = np.zeros_like(best)
        shares[:, k], shares[:, (k + 1) % 3] = 1 - share, share
        better = outside & (away < least)
        best[better], least = shares[better], np.where(better, away, least)
    return best
