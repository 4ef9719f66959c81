"""Triangles between landmarks, and places of points on the surface that they make."""

from __future__ import annotations

import numpy as np
import pytest

from lit_landmarks.errors import UserError
from lit_landmarks.schemes import SCHEMES, get_scheme
from lit_landmarks.template import mean_face
from lit_landmarks.template.head import template_head
from lit_landmarks.template.mesh import scheme_triangles, skull_places


@pytest.mark.parametrize("scheme", ["dense520", "ibug68", "wflw98", "cofw29", "face_synthetics70"])
def test_a_mesh_is_one_sheet_that_faces_the_camera(scheme: str) -> None:
    triangles = scheme_triangles(scheme)
    assert set(triangles.ravel().tolist()) == set(range(get_scheme(scheme).n_points))
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1)
    _, count = np.unique(edges, axis=0, return_counts=True)
    assert count.max() == 2
    solid = mean_face(scheme).double().numpy()
    a, b, c = (solid[triangles[:, k], :2] for k in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    # Seen from the front nearly everything is clockwise (y goes down); under chin and nose not.
    assert (area > 0).mean() > 0.85
    assert area.sum() > 0.9 * np.abs(area).sum()


def test_openings_of_eyes_and_mouth_are_open() -> None:
    for convention in ("synthetic_3d", "300w_lp"):
        triangles = scheme_triangles("dense520", convention)
        for name in ("right_eye", "left_eye", "inner_lip"):
            points, _ = get_scheme("dense520").polylines[name]
            assert not np.isin(triangles, points).all(1).any()
    # Euler: vertices - edges + faces of a disc with three holes.
    edges = np.unique(np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1), axis=0)
    assert 520 - len(edges) + len(triangles) == 1 - 3


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
