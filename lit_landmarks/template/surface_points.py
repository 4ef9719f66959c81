"""Points named on the surface: each a blend of three vertices that rides on the mesh.

`LandmarkScheme.point_names` are the keys. A point name that stands for another place in another
scheme (`jaw_3` of 8 or of 16) is resolved by the scheme that asks.

Adding a scheme to the head: name its points as the other schemes do, and it is there. A new name
needs a line in `_FRONT` (seen from the front, image's right half).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template import dense_places, loft, outlines
from lit_landmarks.template.loft import Array
from lit_landmarks.template.topology import Indices, Skin

#: The jaw line seen from the front, from the ear to the chin, evenly spaced along it.
JAW: Array = np.array(
    [
        [0.832, -0.030],
        [0.820, 0.215],
        [0.788, 0.440],
        [0.735, 0.655],
        [0.645, 0.885],
        [0.490, 1.073],
        [0.338, 1.165],
        [0.172, 1.215],
        [0.000, 1.232],
    ]
)

#: Height, and how far towards the middle a jaw point of that height may slide: not onto eye, nose
#: or mouth, but over the whole chin.
_PATH_END: Array = np.array([[-0.1, 0.60], [0.15, 0.56], [0.45, 0.34], [0.85, 0.32], [1.1, 0.0]])

_SEAM_CORNER = 0.245
_BROW_X = (0.665, 0.555, 0.420, 0.270, 0.125)


def _brow_point(x: float, share: float) -> tuple[float, float]:
    """A brow point at `x`, `share` of the way from the upper to the lower edge."""
    upper, lower = outlines.brow_edges(np.array(x))
    return x, float(upper + share * (lower - upper))


def _lip_border_point(x: float, upper: bool) -> tuple[float, float]:
    edge = outlines.upper_border if upper else outlines.lower_border
    return x, float(edge(np.array(x)))


#: Frontal place of each point of the image's right half (the subject's left) or the midline.
_FRONT: dict[str, tuple[float, float]] = {
    **{f"left_brow_{i + 1}": _brow_point(x, 0.22) for i, x in enumerate(_BROW_X)},
    **{f"left_brow_upper_{i + 1}": _brow_point(x, 0.05) for i, x in enumerate(_BROW_X)},
    **{f"left_brow_lower_{i}": _brow_point(_BROW_X[i], 0.95) for i in range(1, 5)},
    "left_brow_outer": _brow_point(0.670, 0.5),
    "left_brow_inner": _brow_point(0.110, 0.5),
    "left_brow_middle": _brow_point(0.405, 0.5),
    "left_brow_upper": _brow_point(0.400, 0.05),
    "left_brow_lower": _brow_point(0.400, 0.95),
    "nose_bridge_1": (0.0, -0.030),
    "nose_bridge_2": (0.0, 0.092),
    "nose_bridge_3": (0.0, 0.212),
    "nose_tip": (0.0, 0.342),
    "left_nose_root": (0.095, 0.020),
    "left_nose_side": (0.115, 0.270),
    "left_ala_upper": (0.152, 0.410),
    "left_ala": (0.146, 0.506),
    "left_nostril": (0.070, 0.515),
    "subnasale": (0.0, 0.525),
    "left_mouth_corner": (outlines.MOUTH_HALF, 0.778),
    "left_upper_lip_side": _lip_border_point(0.180, True),
    "left_upper_lip_peak": _lip_border_point(0.078, True),
    "upper_lip_top": _lip_border_point(0.0, True),
    "left_lower_lip_side": _lip_border_point(0.196, False),
    "left_lower_lip_peak": _lip_border_point(0.105, False),
    "lower_lip_bottom": _lip_border_point(0.0, False),
}

#: Points of the lid margins: share of the way from the inner to the outer corner, upper lid?
_LIDS: dict[str, tuple[float, bool]] = {
    "inner": (0.0, True),
    "outer": (1.0, True),
    "upper_middle": (0.50, True),
    "lower_middle": (0.52, False),
    "upper": (0.45, True),
    "lower": (0.50, False),
}
_LIDS_OF_6 = {
    "upper_inner": (0.34, True),
    "upper_outer": (0.76, True),
    "lower_inner": (0.32, False),
    "lower_outer": (0.74, False),
}
_LIDS_OF_8 = {
    "upper_inner": (0.24, True),
    "upper_outer": (0.78, True),
    "lower_inner": (0.26, False),
    "lower_outer": (0.78, False),
}

#: Points on the slit between the lips: frontal x, lower lip?
_SEAM: dict[str, tuple[float, bool]] = {
    "left_mouth_inner_corner": (_SEAM_CORNER, False),
    "left_upper_lip_inner": (0.105, False),
    "upper_lip_inner": (0.0, False),
    "left_lower_lip_inner": (0.105, True),
    "lower_lip_inner": (0.0, True),
    "mouth_center": (0.0, False),
}


@dataclass(frozen=True)
class SurfacePoints:
    """N points on a mesh.

    Attributes:
        vertices: (N, 3) vertex indices.
        weights: (N, 3) barycentric weights, rows sum to 1.
    """

    vertices: Indices
    weights: Array


@dataclass(frozen=True)
class ContourPaths:
    """For each contour point the line on the mesh along which the silhouette may carry it.

    Attributes:
        points: (C,) numbers of the contour points in their scheme.
        paths: C x S surface points; the first of each path is the point fixed to the skull, the
            last the farthest place towards the middle of the face.
        sides: (C,) -1 image's left, +1 right, 0 the chin, which stays.
    """

    points: Indices
    paths: SurfacePoints
    sides: Indices


def blend(vertices: Tensor, points: SurfacePoints) -> Tensor:
    """Surface points of meshes: (B, V, 3) -> (B, ..., 3)."""
    index = torch.from_numpy(points.vertices).to(vertices.device)
    weight = torch.from_numpy(points.weights).to(vertices)
    return (vertices[:, index] * weight[..., None]).sum(-2)


class SurfaceFinder:
    """Finds named points on the skin mesh by their place in the front view."""

    def __init__(self, skin: Skin, pupils: tuple[int, int]) -> None:
        self.skin, self.pupils = skin, pupils
        self.plane = loft.unroll(skin.angle, skin.row)
        corner = self.plane[skin.triangles]
        right = (skin.angle[skin.triangles] > -1e-9).all(1)
        self._triangles = skin.triangles[right]
        self._corner = corner[right]
        self._points: dict[str, SurfacePoints] = {}
        self._contours: dict[str, ContourPaths] = {}

    def locate(self, x: float, y: float) -> tuple[Indices, Array]:
        """Vertices (3,) and weights (3,) of the skin point seen at (x, y) from the front, x >= 0.

        Raises:
            ValueError: the place is in a hole.
        """
        angle, row = loft.invert_front(np.array([x]), np.array([y]))
        return self.locate_plane(loft.unroll(angle, row)[0])

    def locate_plane(self, place: Array) -> tuple[Indices, Array]:
        """As `locate`, for a place in the unrolled plane of the loft."""
        a, b, c = (self._corner[:, k] for k in range(3))
        ab, ac, ap = b - a, c - a, place - a
        det = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
        v = (ap[:, 0] * ac[:, 1] - ap[:, 1] * ac[:, 0]) / det
        w = (ab[:, 0] * ap[:, 1] - ab[:, 1] * ap[:, 0]) / det
        inside = np.minimum(np.minimum(v, w), 1.0 - v - w)
        best = int(inside.argmax())
        if inside[best] < -0.05:
            raise ValueError(f"no skin at {place}")
        weights = np.clip(np.array([1.0 - v[best] - w[best], v[best], w[best]]), 0.0, 1.0)
        return self._triangles[best], weights / weights.sum()

    def find_point(self, name: str, siblings: tuple[str, ...]) -> tuple[Indices, Array] | None:
        """Find a point by name; None if it has no place on the head.

        Args:
            name: of the point.
            siblings: all names of its scheme, which say how many jaw and lid points there are.
        """
        side, _, part = name.partition("_")
        if side == "right":
            left = self.find_point(f"left_{part}", siblings)
            return None if left is None else (self._mirror_vertices(left[0]), left[1])
        if name in _FRONT:
            return self.locate(*_FRONT[name])
        if part.startswith("surface_"):
            k = int(part.removeprefix("surface_")) - 1
            place = (0.0, dense_places.MIDDLE[k]) if side == "middle" else dense_places.SIDE[k]
            return self.locate_plane(np.array(place))
        if name == "chin":
            return self.locate(*JAW[-1])
        if name in ("left_pupil", "left_eye_center"):
            return np.full(3, self.pupils[1]), np.array([1.0, 0.0, 0.0])
        if name in _SEAM:
            x, low = _SEAM[name]
            return self._locate_on_seam(x, low)
        if part.startswith("jaw_") and part[4:].isdigit():
            count = sum(s.startswith("left_jaw_") for s in siblings)
            return self.locate(*jaw_place((int(part[4:]) - 1) / count))
        if part.startswith("eye_"):
            lids = {**_LIDS, **(_LIDS_OF_8 if "left_eye_upper_middle" in siblings else _LIDS_OF_6)}
            return self._locate_on_lid(*lids[part[4:]]) if part[4:] in lids else None
        return None

    def _mirror_vertices(self, vertices: Indices) -> Indices:
        n = len(self.skin.mirror)
        swap = {self.pupils[1]: self.pupils[0]}
        return np.array(
            [swap.get(int(v), int(self.skin.mirror[v]) if v < n else int(v)) for v in vertices]
        )

    def _locate_on_line(self, line: Indices, share: Array, wanted: float) -> tuple[Indices, Array]:
        k = int(np.clip(np.searchsorted(share, wanted) - 1, 0, len(line) - 2))
        w = float(np.clip((wanted - share[k]) / (share[k + 1] - share[k]), 0.0, 1.0))
        return np.array([line[k], line[k + 1], line[k]]), np.array([1.0 - w, w, 0.0])

    def _locate_on_seam(self, x: float, low: bool) -> tuple[Indices, Array]:
        line = self.skin.lips[1 if low else 0]
        line = line[len(line) // 2 :]
        place = loft.surface(self.skin.angle[line], self.skin.row[line])[:, 0]
        return self._locate_on_line(line, place, x)

    def _locate_on_lid(self, u: float, upper: bool) -> tuple[Indices, Array]:
        loop = self.skin.eye_loops[1]
        half = len(loop) // 2
        line = loop[: half + 1] if upper else np.concatenate([loop[:1], loop[: half - 1 : -1]])
        x = loft.surface(self.skin.angle[line], self.skin.row[line])[:, 0]
        wanted = outlines.EYE_INNER[0] + u * (outlines.EYE_OUTER[0] - outlines.EYE_INNER[0])
        return self._locate_on_line(line, x, wanted)

    def points(self, scheme: str) -> SurfacePoints:
        """All points of a scheme, looked up once.

        Raises:
            UserError: unknown scheme, or a point without a place on the head.
        """
        if scheme not in self._points:
            self._points[scheme] = self._find_points(scheme)
        return self._points[scheme]

    def contour(self, scheme: str) -> ContourPaths:
        """Silhouette paths of the jaw points of a scheme, looked up once."""
        if scheme not in self._contours:
            self._contours[scheme] = self._find_contour(scheme)
        return self._contours[scheme]

    def _find_points(self, name: str) -> SurfacePoints:
        points, placed = self.find_placed(name)
        if not placed.all():
            lost = get_scheme(name).point_names[int(placed.argmin())]
            raise UserError(
                f"scheme {name!r} has no place on the template head for point {lost!r};"
                " name its points as ibug68 does or use a data set with labels"
            )
        return points

    def find_placed(self, scheme: str) -> tuple[SurfacePoints, NDArray[np.bool_]]:
        """The points of a scheme that have a place on the head, and which of its N points they are.

        Raises:
            UserError: unknown scheme.
        """
        names = get_scheme(scheme).point_names
        points = [self.find_point(name, names) for name in names]
        pairs = [point for point in points if point is not None]
        vertices = np.array([p[0] for p in pairs], np.int64).reshape(-1, 3)
        weights = np.array([p[1] for p in pairs], np.float64).reshape(-1, 3)
        return SurfacePoints(vertices, weights), np.array([p is not None for p in points])

    def _find_contour(self, name: str, samples: int = 40) -> ContourPaths:
        names = get_scheme(name).point_names
        count = sum(s.startswith("left_jaw_") for s in names)
        points, sides, vertices, weights = [], [], [], []
        shares = np.linspace(0.0, 1.0, samples) ** 1.3
        for number, point in enumerate(names):
            side, _, part = point.partition("_")
            if point != "chin" and not part.startswith("jaw_"):
                continue
            place = jaw_place(1.0 if point == "chin" else (int(part[4:]) - 1) / count)
            path = self._trace_path(place, shares)
            nodes = np.stack([p[0] for p in path])
            if side == "right":
                nodes = np.stack([self._mirror_vertices(row) for row in nodes])
            points.append(number)
            sides.append({"left": 1, "right": -1}.get(side, 0))
            vertices.append(nodes)
            weights.append(np.stack([p[1] for p in path]))
        return ContourPaths(
            np.array(points, dtype=np.int64),
            SurfacePoints(
                np.array(vertices).reshape(-1, samples, 3),
                np.array(weights).reshape(-1, samples, 3),
            ),
            np.array(sides, dtype=np.int64),
        )

    def _trace_path(self, place: Array, shares: Array) -> list[tuple[Indices, Array]]:
        """Points on the way from the jaw towards the nose at equal height, seen from the front."""
        x, y = float(place[0]), float(place[1])
        end = float(np.interp(y, _PATH_END[:, 0], _PATH_END[:, 1]))
        across = x + shares * (min(end, x) - x)
        plane = loft.unroll(*loft.invert_front(across, np.full_like(across, y)))
        return [self.locate_plane(p) for p in plane]


def jaw_place(share: float) -> Array:
    """Frontal (x, y) on the jaw line, `share` of the way from the ear to the chin."""
    at = share * (len(JAW) - 1)
    # Catmull-Rom through the nine places, mirrored beyond the chin.
    k = min(int(at), len(JAW) - 2)
    f = at - k
    before = JAW[k - 1] if k else 2 * JAW[0] - JAW[1]
    after = JAW[k + 2] if k + 2 < len(JAW) else JAW[-2] * np.array([-1.0, 1.0])
    p0, p1, p2, p3 = before, JAW[k], JAW[k + 1], after
    return np.asarray(
        p1
        + 0.5 * f * (p2 - p0 + f * (2 * p0 - 5 * p1 + 4 * p2 - p3 + f * (3 * (p1 - p2) + p3 - p0)))
    )
