"""Queries of a head's mesh at rest: closest points, rays, and the thin-plate warp of a template.

A change that alters a picture must raise `ict.renderer.ICT_VERSION`.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from lit_landmarks.rendering.ict.model import Array, Indices

#: Triangles whose centres are nearest to a query, among which the closest point is sought.
_CANDIDATES = 24
#: Triangles whose centres are seen nearest to a ray, among which it leaves the surface.
_ALONG_RAY = 96


class Surface:
    """Triangles of a mesh at rest, with closest-point and ray queries.

    Args:
        points: (V, 3).
        triangles: (T, 3), those on which places may lie.
    """

    def __init__(self, points: Array, triangles: Indices) -> None:
        self.points, self.triangles = points, triangles
        self._corner = points[triangles]
        self._centers = self._corner.mean(1)
        self._tree = cKDTree(self._centers)

    def closest(self, places: Array) -> tuple[Indices, Array]:
        """Vertices (N, 3) and weights (N, 3) of the surface points nearest to `places` (N, 3)."""
        _, near = self._tree.query(places, k=_CANDIDATES)
        weights = _barycentric_of_closest(places[:, None], self._corner[near])
        result = (weights[..., None] * self._corner[near]).sum(-2)
        best = ((result - places[:, None]) ** 2).sum(-1).argmin(1)
        rows = np.arange(len(places))
        return self.triangles[near[rows, best]], weights[rows, best]

    @cached_property
    def normals(self) -> Array:
        """(T, 3) outward, not of unit length."""
        a, b, c = self._corner.transpose(1, 0, 2)
        return np.asarray(np.cross(c - a, b - a), dtype=np.float64)

    def rays(self, origin: Array, ways: Array, outermost: bool) -> tuple[Indices, Array]:
        """Where rays leave the surface: vertices (N, 3) and weights (N, 3).

        Args:
            origin: (N, 3) or (3,).
            ways: (N, 3) directions.
            outermost: take the farthest place where a ray comes out, else the nearest.
        """
        origin = np.broadcast_to(origin, ways.shape)
        vertices = np.zeros((len(ways), 3), dtype=np.int64)
        weights = np.zeros((len(ways), 3))
        starts, group = np.unique(origin, axis=0, return_inverse=True)
        for number, start in enumerate(starts):
            rows = np.flatnonzero(group.reshape(-1) == number)
            away = self._centers - start
            tree = cKDTree(away / np.linalg.norm(away, axis=-1, keepdims=True))
            unit = ways[rows] / np.linalg.norm(ways[rows], axis=-1, keepdims=True)
            near = tree.query(unit, k=min(_ALONG_RAY, len(away)))[1]
            best, result = self._intersect(start, ways[rows], near, outermost)
            vertices[rows], weights[rows] = self.triangles[best], result
        return vertices, weights

    def _intersect(
        self, origin: Array, ways: Array, near: Indices, outermost: bool
    ) -> tuple[Indices, Array]:
        """Each ray against the triangles near (N, K) that it may meet: numbers and weights.

        Weights are volumes of the ray and the edges (Moeller and Trumbore, JGT 1997).
        """
        a, b, c = (self._corner[near][..., k, :] - origin for k in range(3))
        way = ways[:, None]

        def volume(p: Array, q: Array) -> Array:
            return np.asarray((way * np.cross(p, q)).sum(-1), dtype=np.float64)

        w = np.stack([volume(b, c), volume(c, a), volume(a, b)], -1)
        total = w.sum(-1, keepdims=True)
        w = w / np.where(total == 0, 1.0, total)
        out = self.normals[near]
        rising = (way * out).sum(-1)
        along = (a * out).sum(-1) / np.where(rising == 0, 1.0, rising)
        inside = w.min(-1)
        leaves = (rising > 0) & (along > 0)
        good = (inside > -1e-6) & leaves
        score = np.where(good, along if outermost else -along, -np.inf)
        # A ray through a hole ends on its rim.
        score = np.where(good.any(1, keepdims=True), score, np.where(leaves, inside, -np.inf))
        best = score.argmax(1)
        rows = np.arange(len(ways))
        result = np.clip(w[rows, best], 0.0, None)
        result = result / np.maximum(result.sum(-1, keepdims=True), 1e-12)
        return near[rows, best], result


def _barycentric_of_closest(places: Array, corner: Array) -> Array:
    """(N, C, 3) weights of the points of triangles (N, C, 3, 3) closest to places (N, 1, 3)."""
    a, b, c = corner[..., 0, :], corner[..., 1, :], corner[..., 2, :]
    e1, e2, q = b - a, c - a, places - a
    d11, d12, d22 = (e1 * e1).sum(-1), (e1 * e2).sum(-1), (e2 * e2).sum(-1)
    p1, p2 = (q * e1).sum(-1), (q * e2).sum(-1)
    det = np.maximum(d11 * d22 - d12 * d12, 1e-18)
    v, w = (d22 * p1 - d12 * p2) / det, (d11 * p2 - d12 * p1) / det
    inner = np.stack([1.0 - v - w, v, w], -1)
    options = [inner]
    for i, j in ((0, 1), (1, 2), (2, 0)):
        start, edge = corner[..., i, :], corner[..., j, :] - corner[..., i, :]
        length = np.maximum((edge * edge).sum(-1), 1e-18)
        share = np.clip(((places - start) * edge).sum(-1) / length, 0.0, 1.0)
        option = np.zeros_like(inner)
        option[..., i], option[..., j] = 1.0 - share, share
        options.append(option)
    every = np.stack(options)
    result = (every[..., None] * corner).sum(-2)
    far = ((result - places) ** 2).sum(-1)
    far[0] = np.where(inner.min(-1) >= 0, far[0], np.inf)
    best = far.argmin(0)
    return np.asarray(np.take_along_axis(every, best[None, ..., None], 0)[0], dtype=np.float64)


class Warp:
    """A smooth map that carries places of one head to another: spline with kernel r in space.

    Args:
        source: (M, 3) places.
        target: (M, 3) where they go.
    """

    def __init__(self, source: Array, target: Array) -> None:
        self._source = source
        m = len(source)
        kernel = np.linalg.norm(source[:, None] - source, axis=-1)
        flat = np.concatenate([np.ones((m, 1)), source], 1)
        system = np.zeros((m + 4, m + 4))
        system[:m, :m], system[:m, m:], system[m:, :m] = kernel, flat, flat.T
        system[:m, :m] += 1e-6 * np.eye(m)
        right = np.concatenate([target, np.zeros((4, 3))])
        self._weights = np.linalg.solve(system, right)

    def __call__(self, places: Array) -> Array:
        """(N, 3) to (N, 3)."""
        kernel = np.linalg.norm(places[:, None] - self._source, axis=-1)
        flat = np.concatenate([np.ones((len(places), 1)), places], 1)
        return np.asarray(np.concatenate([kernel, flat], 1) @ self._weights, dtype=np.float64)
