"""Points of schemes on an ICT head, and the paths along which the jaw's silhouette moves."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from lit_landmarks.errors import UserError
from lit_landmarks.rendering.ict.markup import at_vertices, mirror_vertices, place_markup
from lit_landmarks.rendering.ict.model import SKIN_END, Array, Indices
from lit_landmarks.rendering.ict.sites import Places
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template.dense import transfer
from lit_landmarks.template.fitted_points import move_to_fits
from lit_landmarks.template.surface_points import ContourPaths, SurfacePoints

#: As on the template: height, and how far towards the middle a jaw point may slide.
_PATH_END: Array = np.array([[-0.1, 0.60], [0.15, 0.56], [0.45, 0.34], [0.85, 0.32], [1.0, 0.0]])
_SAMPLES = 40


class Landmarks:
    """Finds the points of each scheme on an ICT head, once.

    Args:
        places: the model's surface.
        vertex_numbers: (V,) number of each model vertex in the mesh that is drawn, -1 for none.
        pupil_start: number of the first of two pupil vertices.
    """

    def __init__(self, places: Places, vertex_numbers: Indices, pupil_start: int) -> None:
        self._places, self._vertex_numbers, self._pupils = places, vertex_numbers, pupil_start
        self._vertices68 = at_vertices(places.model.ibug68)
        self._schemes: dict[str, SurfacePoints] = {}
        self._fitted: dict[str, SurfacePoints] = {}
        self._contours: dict[str, ContourPaths] = {}

    def points(self, scheme: str) -> SurfacePoints:
        """The points of a scheme: iBUG's as people place them, the others as on the template."""
        if scheme not in self._schemes:
            self._schemes[scheme] = self._find_points(scheme, self._markup)
        return self._schemes[scheme]

    def fitted_points(self, scheme: str) -> SurfacePoints:
        """The points of a scheme, iBUG's 68 where the fits of 300W-LP have them."""
        if scheme not in self._fitted:
            shown = np.flatnonzero(self._vertex_numbers >= 0)
            drawn = np.empty((len(shown), 3))
            drawn[self._vertex_numbers[shown]] = self._places.model.mean[shown]
            triangles = self._vertex_numbers[self._places.outer.triangles]
            skin = triangles[(triangles >= 0).all(1)]
            # The ways to the fits were measured from the vertices that the file names.
            points = self._find_points(scheme, self._vertices68)
            self._fitted[scheme] = move_to_fits(scheme, points, drawn, skin)
        return self._fitted[scheme]

    @cached_property
    def _markup(self) -> SurfacePoints:
        return place_markup(self._places.model, self._places.outer)

    @cached_property
    def _dense520(self) -> SurfacePoints:
        """The 520 of our own, mirrored exactly, so that a flipped picture has the same points."""
        model = self._places.model
        faced = model.triangles[(model.triangles < SKIN_END).all(1)]
        skin = model.mean[:SKIN_END]
        return transfer(skin, faced, self._vertices68, mirror_vertices(model))

    def _find_points(self, scheme: str, ibug: SurfacePoints) -> SurfacePoints:
        """The points of a scheme; `ibug` are iBUG's 68 in vertices of the model."""
        if scheme == "dense520":
            vertices = np.concatenate((ibug.vertices, self._dense520.vertices[68:]))
            weights = np.concatenate((ibug.weights, self._dense520.weights[68:]))
            points = SurfacePoints(self._vertex_numbers[vertices], weights)
            return self._require_drawn(scheme, points)
        row = {name: k for k, name in enumerate(get_scheme("ibug68").point_names)}
        jaw = self._places.model.mean[ibug.vertices[:17]]
        line = (ibug.weights[:17, :, None] * jaw).sum(1)
        names = get_scheme(scheme).point_names
        points = self._places.transfer_points(scheme)
        vertices, weights = points.vertices.copy(), points.weights.copy()
        jaws = sum(name.startswith("left_jaw_") for name in names)
        eyes_of_6 = "left_eye_upper_middle" not in names
        for k, name in enumerate(names):
            side, _, part = name.partition("_")
            if part == "pupil":
                vertices[k] = self._pupils + (side == "left")
                weights[k] = (1.0, 0.0, 0.0)
                continue
            if part.startswith("jaw_") and jaws != 8:
                place = _place_on_jaw(line, (int(part[4:]) - 1) / jaws, side == "left")
                at, share = self._places.skin.closest(place[None])
                vertices[k], weights[k] = at[0], share[0]
            elif name in row and (
                eyes_of_6 or "_eye_" not in name or part in ("eye_inner", "eye_outer")
            ):
                vertices[k], weights[k] = ibug.vertices[row[name]], ibug.weights[row[name]]
            vertices[k] = self._vertex_numbers[vertices[k]]
        return self._require_drawn(scheme, SurfacePoints(vertices, weights))

    @staticmethod
    def _require_drawn(scheme: str, points: SurfacePoints) -> SurfacePoints:
        if (points.vertices < 0).any():
            raise UserError(f"scheme {scheme!r} has a point where the ICT head is not drawn")
        return points

    def contour(self, scheme: str) -> ContourPaths:
        """The silhouette paths of a scheme's jaw points."""
        if scheme not in self._contours:
            self._contours[scheme] = self._find_contour(scheme)
        return self._contours[scheme]

    def _find_contour(self, scheme: str) -> ContourPaths:
        names = get_scheme(scheme).point_names
        fixed = self.points(scheme)
        back = np.flatnonzero(self._vertex_numbers >= 0)
        mean = self._places.model.mean
        numbers, sides, vertices, weights = [], [], [], []
        for k, name in enumerate(names):
            side, _, part = name.partition("_")
            if name != "chin" and not part.startswith("jaw_"):
                continue
            place = (mean[back[fixed.vertices[k]]] * fixed.weights[k][:, None]).sum(0)
            at, share = self._trace_path(place)
            at[0], share[0] = back[fixed.vertices[k]], fixed.weights[k]
            numbers.append(k)
            sides.append({"left": 1, "right": -1}.get(side, 0))
            vertices.append(self._vertex_numbers[at])
            weights.append(share)
        paths = SurfacePoints(
            np.array(vertices, dtype=np.int64).reshape(-1, _SAMPLES, 3),
            np.array(weights, dtype=np.float64).reshape(-1, _SAMPLES, 3),
        )
        return ContourPaths(
            np.array(numbers, dtype=np.int64), paths, np.array(sides, dtype=np.int64)
        )

    def _trace_path(self, place: Array) -> tuple[Indices, Array]:
        """Surface points from a jaw point towards the middle of the face at equal height."""
        x, y, z = place
        axis = np.array([0.0, y, 0.75])
        start = np.arctan2(x, axis[2] - z)
        end = float(np.interp(y, _PATH_END[:, 0], _PATH_END[:, 1]))
        fine = np.linspace(start, 0.0, 60)
        ways = np.stack([np.sin(fine), 0 * fine, -np.cos(fine)], -1)
        at, share = self._places.outer.rays(axis, ways, outermost=True)
        points = (share[..., None] * self._places.model.mean[at]).sum(1)
        far = np.abs(points[:, 0]) >= min(end, abs(x)) - 1e-6
        last = int(np.flatnonzero(far)[-1]) if far.any() else 0
        angle = start + (fine[last] - start) * np.linspace(0.0, 1.0, _SAMPLES) ** 1.3
        ways = np.stack([np.sin(angle), 0 * angle, -np.cos(angle)], -1)
        return self._places.outer.rays(axis, ways, outermost=True)


def _place_on_jaw(jaw: Array, share: float, left: bool) -> Array:
    """A place `share` of the way from the ear to the chin, on the line of the 17 points (17, 3)."""
    line = jaw[16:7:-1] if left else jaw[:9]
    at = share * 8.0
    return np.stack([np.interp(at, np.arange(9), line[:, c]) for c in range(3)])
