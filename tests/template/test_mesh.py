"""Triangles between landmarks, and places of points on the surface that they make."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lit_landmarks.data import SyntheticFaces
from lit_landmarks.errors import UserError
from lit_landmarks.schemes import SCHEMES, get_scheme
from lit_landmarks.template import mean_face
from lit_landmarks.template.head import template_head
from lit_landmarks.template.mesh import (
    count_folds,
    fitting_triangles,
    scheme_triangles,
    skull_places,
)


@pytest.mark.parametrize("scheme", ["dense520", "ibug68", "wflw98", "cofw29", "face_synthetics70"])
def test_a_mesh_is_one_sheet_that_faces_the_camera(scheme: str) -> None:
    triangles = scheme_triangles(scheme)
    pupils = {"wflw98": {96, 97}, "face_synthetics70": {68, 69}, "cofw29": {16, 17}}
    drawn = set(range(get_scheme(scheme).n_points)) - pupils.get(scheme, set())
    assert set(triangles.ravel().tolist()) == drawn
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1)
    _, count = np.unique(edges, axis=0, return_counts=True)
    assert count.max() == 2
    solid = mean_face(scheme).double().numpy()
    a, b, c = (solid[triangles[:, k], :2] for k in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    # Seen from the front nearly everything is clockwise (y goes down); under chin and nose not.
    assert (area > 0).mean() > 0.85
    assert area.sum() > 0.9 * np.abs(area).sum()


@pytest.mark.parametrize("convention", [None, "300w_lp"])
def test_no_triangle_spans_the_border_or_an_opening(convention: str | None) -> None:
    triangles = scheme_triangles("dense520", convention)
    head = template_head()
    points = (head.points if convention is None else head.fitted_points)("dense520")
    solid = (head.neutral.numpy()[points.vertices] * points.weights[..., None]).sum(1)
    unit = np.linalg.norm(solid[36] - solid[45])
    sides = np.linalg.norm(solid[triangles] - solid[np.roll(triangles, 1, 1)], axis=2)
    assert sides.max() < 0.5 * unit
    # Euler: vertices - edges + faces of a disc with three holes.
    edges = np.unique(np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1), axis=0)
    assert 520 - len(edges) + len(triangles) == 1 - 3


def covered(places: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(P,) whether places (P, 2) lie in one of the triangles (T, 3, 2), whichever way they turn."""
    turned = []
    for k in range(3):
        start, end = corners[:, k], corners[:, (k + 1) % 3]
        side, way = end - start, places[:, None] - start
        turned.append(side[:, 0] * way[..., 1] - side[:, 1] * way[..., 0])
    cross = np.stack(turned)
    return np.asarray(((cross > 0).all(0) | (cross < 0).all(0)).any(1))


@pytest.mark.parametrize("scheme", ["dense520", "wflw98", "face_synthetics70"])
def test_open_mouths_and_eyes_of_rendered_faces_are_open(scheme: str) -> None:
    """Places inside the lines round mouth and eyes, on faces that show them from the front."""
    faces = SyntheticFaces(n=240, seed=5, max_yaw=20, scheme=scheme, visibility=False)
    points = faces.labels(range(240)).points.double().numpy()
    triangles, lines = scheme_triangles(scheme), get_scheme(scheme).polylines
    for name in ("inner_lip", "right_eye", "left_eye"):
        ring = points[:, list(lines[name][0])]
        height = np.ptp(ring[..., 1], axis=1) / np.ptp(ring[..., 0], axis=1)
        wide = np.argsort(height)[-6:]
        assert height[wide].min() > 0.25
        for row in wide:
            middle = ring[row].mean(0)
            # From the middle nearly to each point of the line.
            inside = middle + np.linspace(0.0, 0.9, 8)[:, None, None] * (ring[row] - middle)
            hit = covered(inside.reshape(-1, 2), points[row][triangles])
            assert hit.mean() < 0.02, (name, row)


@pytest.mark.parametrize("convention", ["synthetic_3d", "300w_lp"])
def test_the_triangles_of_an_unknown_convention_are_those_that_do_not_fold(
    convention: str,
) -> None:
    faces = SyntheticFaces(
        n=12, seed=1, max_yaw=90, scheme="dense520", convention=convention, visibility=False
    )
    expected = scheme_triangles("dense520", convention)
    for solid in faces.labels(range(12)).points3d.double().numpy():
        assert np.array_equal(fitting_triangles(solid, "dense520"), expected)
        other = "300w_lp" if convention != "300w_lp" else None
        assert count_folds(solid, expected) < count_folds(
            solid, scheme_triangles("dense520", other)
        )


def test_the_dense_mesh_is_symmetric_but_for_ties() -> None:
    triangles = scheme_triangles("dense520")
    order = np.array(get_scheme("dense520").flip)
    own = {tuple(sorted(t)) for t in triangles.tolist()}
    mirrored = {tuple(sorted(order[t])) for t in triangles}
    assert len(own & mirrored) > 0.95 * len(own)


def test_points_on_the_skull_are_blends_of_fitted_points() -> None:
    moved, sources, weights = skull_places()
    assert np.allclose(weights.sum(1), 1)
    assert weights.min() > -0.05  # inside a triangle, or on its rim
    head = template_head()
    places = {}
    for name in ("points", "fitted_points"):
        points = getattr(head, name)("dense520")
        vertices = head.neutral.numpy()[points.vertices]
        places[name] = (vertices * points.weights[..., None]).sum(1)
    blended = (places["fitted_points"][sources] * weights[..., None]).sum(1)
    off = np.linalg.norm(blended - places["points"][moved], axis=1)
    way = np.linalg.norm(places["fitted_points"][moved] - places["points"][moved], axis=1)
    assert off.max() < 0.03  # distances of the outer eye corners
    assert (off[:17] < 0.25 * way[:17]).all()


def test_a_scheme_without_places_has_no_mesh() -> None:
    assert "dense520_published" in SCHEMES
    with pytest.raises(UserError, match="no place on the template head"):
        scheme_triangles("dense520_published")
