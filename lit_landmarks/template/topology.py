"""The skin mesh: feature-aligned points, Delaunay triangles of one half, mirrored, slit open.

The right half (x >= 0) is triangulated in the unrolled plane of `loft`, so that the mesh is exactly
symmetric. The eye opening is cut out and the mouth is a slit: its seam points exist twice, once for
each lip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.template import loft, outlines
from lit_landmarks.template.loft import Array

Indices = NDArray[np.int64]

#: Distances of the eye rings from the lid margin, and the number of points on each.
EYE_RINGS = ((0.0, 24), (0.018, 24), (0.042, 24), (0.075, 20), (0.118, 18))
SEAM_X = (0.0, 0.035, 0.07, 0.105, 0.14, 0.175, 0.21, 0.24, 0.265)


def delaunay(points: Array) -> Indices:
    """Delaunay triangles (T, 3) of planar points by insertion (Bowyer 1981, Watson 1981)."""
    low, high = points.min(0), points.max(0)
    center, span = (low + high) / 2, float((high - low).max()) * 50.0
    corners = center + span * np.array([[-1.0, -1.0], [1.0, -1.0], [0.0, 1.5]])
    xy = np.concatenate([points, corners])
    n = len(points)
    triangles = np.array([[n, n + 1, n + 2]])
    circles = _circles(xy, triangles)
    for i in range(n):
        inside = ((xy[i] - circles[:, :2]) ** 2).sum(-1) < circles[:, 2]
        bad = triangles[inside]
        edges = np.concatenate([bad[:, [0, 1]], bad[:, [1, 2]], bad[:, [2, 0]]])
        keys = np.sort(edges, 1) @ np.array([n + 3, 1])
        _, first, count = np.unique(keys, return_index=True, return_counts=True)
        border = edges[first[count == 1]]
        new = np.concatenate([border, np.full((len(border), 1), i)], 1)
        triangles = np.concatenate([triangles[~inside], new])
        circles = np.concatenate([circles[~inside], _circles(xy, new)])
    return triangles[(triangles < n).all(1)].astype(np.int64)


def _circles(xy: Array, triangles: Indices) -> Array:
    """Centre and squared radius (T, 3) of circumscribed circles."""
    a, b, c = (xy[triangles[:, k]] for k in range(3))
    ab, ac = b - a, c - a
    d = 2.0 * (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])
    d = np.where(np.abs(d) < 1e-15, 1e-15, d)
    lab, lac = (ab**2).sum(-1), (ac**2).sum(-1)
    u = np.stack([ac[:, 1] * lab - ab[:, 1] * lac, ab[:, 0] * lac - ac[:, 0] * lab], -1)
    u = u / d[:, None]
    return np.concatenate([a + u, (u**2).sum(-1, keepdims=True)], -1)


@dataclass(frozen=True)
class Skin:
    """The neutral skin without features.

    Attributes:
        angle, row: (V,) loft coordinates; `angle` is negative on the image's left.
        lip: (V,) int: +1 lower side of the mouth slit, -1 upper side, 0 elsewhere.
        triangles: (T, 3), outside seen clockwise in the image (y down) from the front.
        ring: (V,) number of the eye ring, -1 elsewhere.
        mirror: (V,) index of the mirrored vertex.
        eye_loops: (2, 24) margin loops, image's left eye first; from the inner corner along the
            upper lid.
        lips: (2, 19) seam vertices of the upper and lower lip from the image's left corner.
    """

    angle: Array
    row: Array
    lip: Indices
    triangles: Indices
    ring: Indices
    mirror: Indices
    eye_loops: Indices
    lips: Indices


def _to_plane(points: Array) -> Array:
    return loft.unroll(*loft.invert_front(points[:, 0], points[:, 1]))


def _feature_points() -> tuple[Array, Indices, int]:
    """Frontal points of features in plane coordinates, their ring numbers, first seam index."""
    blocks: list[Array] = []
    rings: list[int] = []

    def add(points: Array, ring: int = -1) -> None:
        blocks.append(_to_plane(np.asarray(points, dtype=np.float64)))
        rings.extend([ring] * len(points))

    for number, (distance, count) in enumerate(EYE_RINGS):
        add(outlines.eye_ring(count, distance), number)
    first_seam = len(rings)
    x = np.array(SEAM_X)
    add(np.concatenate([np.stack([x, outlines.seam(x)], -1), [[outlines.MOUTH_HALF, 0.778]]]))
    for share in (0.3, 0.62, 1.0, 1.35):
        keep = x[:-1] if share > 0.5 else x[:-2]
        up = outlines.seam(keep) + share * (outlines.upper_border(keep) - outlines.seam(keep))
        low = outlines.seam(keep) + share * (outlines.lower_border(keep) - outlines.seam(keep))
        add(np.stack([keep, up], -1))
        add(np.stack([keep, low], -1))
    add(np.array([[0.272, 0.744], [0.272, 0.81], [0.312, 0.778], [0.305, 0.73], [0.305, 0.83]]))
    for y in np.arange(-0.06, 0.60, 0.036):
        wide = 0.21 if y > 0.1 else 0.13
        xs = np.arange(0.0, wide, 0.0295)
        add(np.stack([xs, np.full_like(xs, y)], -1))
    return np.concatenate(blocks), np.array(rings), first_seam


def _spacing(plane: Array) -> Array:
    """Target distance between neighbouring points at places (P, 2) of the plane."""
    angle, t = loft.roll(plane)
    face = (np.abs(angle) < 1.35) & (t > 4.0) & (t < 15.3)
    near = (np.abs(angle) < 0.9) & (t > 5.4) & (t < 13.6)
    return np.where(near, 0.066, np.where(face, 0.088, np.where(t < 18.5, 0.17, 0.30)))


def _fill_plane(points: Array) -> Array:
    """Add the border of the plane and a hexagonal filling wherever there is room."""
    wide, high = loft.PLANE
    extra: list[Array] = []
    for y in np.arange(0.0, high + 1e-9, high / 64):
        extra += [np.array([0.0, y]), np.array([wide, y])]
    extra += [np.array([x, y]) for x in np.linspace(0, wide, 13) for y in (0.0, high)]
    jaw = loft.unroll(np.linspace(0.0, 1.5, 22), np.full(22, loft.ROW_JAW))
    extra += list(jaw)
    for step in (0.066, 0.088, 0.17, 0.30):
        rows = np.arange(step / 2, high, step * 0.866)
        for k, y in enumerate(rows):
            xs = np.arange(step * (0.5 if k % 2 else 1.0), wide - step * 0.3, step)
            line = np.stack([xs, np.full_like(xs, y)], -1)
            extra += list(line[np.isclose(_spacing(line), step)])
    eye = _to_plane(outlines.EYE_CENTER[None, :2])[0]
    stack = points
    for candidate in extra:
        if (((candidate - eye) / (0.165, 0.075)) ** 2).sum() < 1.0:
            continue
        border = candidate[0] in (0.0, wide) or candidate[1] in (0.0, high)
        room = float(_spacing(candidate[None])[0]) * (0.5 if border else 0.74)
        if ((stack - candidate) ** 2).sum(-1).min() >= room**2:
            stack = np.concatenate([stack, candidate[None]])
    # A deterministic hair's breadth of jitter keeps four points off one circle.
    n = np.arange(len(stack))
    jitter = 1e-5 * np.stack([np.sin(12.9898 * n), np.sin(78.233 * n)], -1)
    inner = (stack[:, 0] > 0) & (stack[:, 0] < wide) & (stack[:, 1] > 0) & (stack[:, 1] < high)
    return np.asarray(stack + jitter * inner[:, None], dtype=np.float64)


def build_skin() -> Skin:
    """Builds the mesh; about 0.3 s, so callers cache it."""
    features, rings, seam0 = _feature_points()
    plane = _fill_plane(features)
    plane[np.abs(plane[:, 0]) < 1e-9, 0] = 0.0
    angle, t = loft.roll(plane)
    triangles = delaunay(plane)
    ring = np.full(len(plane), -1)
    ring[: len(rings)] = rings
    loop = np.arange(EYE_RINGS[0][1])
    triangles = triangles[~np.isin(triangles, loop).all(1)]
    one = plane[triangles[:, 1]] - plane[triangles[:, 0]]
    other = plane[triangles[:, 2]] - plane[triangles[:, 0]]
    cross = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    triangles = triangles[np.abs(cross) > 1e-9]
    cross = cross[np.abs(cross) > 1e-9]
    triangles[cross < 0] = triangles[cross < 0][:, ::-1]
    seam = np.arange(seam0, seam0 + len(SEAM_X))
    return _join_mirror_image(angle, t, ring, triangles, loop, seam, seam0 + len(SEAM_X))


def _join_mirror_image(
    angle: Array,
    t: Array,
    ring: Indices,
    triangles: Indices,
    loop: Indices,
    seam: Indices,
    corner: int,
) -> Skin:
    """Open the mouth slit of the half mesh, then join it with its mirror image."""
    n = len(angle)
    lower = np.arange(n, n + len(seam))
    center = loft.surface(angle, t)[triangles].mean(1)
    below = (center[:, 1] > outlines.seam(center[:, 0])) & (np.abs(center[:, 2]) < 0.6)
    renamed = np.arange(n)
    renamed[seam] = lower
    triangles = np.where(below[:, None], renamed[triangles], triangles)
    angle, t, ring = (np.concatenate([v, v[seam]]) for v in (angle, t, ring))
    lip = np.zeros(len(angle), dtype=np.int64)
    lip[seam], lip[lower] = -1, 1
    n = len(angle)
    middle = (angle == 0.0) | (np.abs(angle - np.pi) < 1e-9)
    image = np.where(middle, np.arange(n), n + np.cumsum(~middle) - 1)
    mirror = np.concatenate([image, np.arange(n)[~middle]])
    both = np.concatenate([triangles, image[triangles][:, ::-1]])
    other = ~middle
    return Skin(
        angle=np.concatenate([angle, -angle[other]]),
        row=np.concatenate([t, t[other]]),
        lip=np.concatenate([lip, lip[other]]),
        triangles=both,
        ring=np.concatenate([ring, ring[other]]),
        mirror=mirror,
        eye_loops=np.stack([image[loop], loop]),
        lips=np.stack(
            [np.concatenate([[image[corner]], image[s][:0:-1], s, [corner]]) for s in (seam, lower)]
        ),
    )
