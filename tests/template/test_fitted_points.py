"""Points of the model fits of 300W-LP and AFLW2000-3D on the heads, against those labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lit_landmarks.data import Aflw2000, IctFaces, SyntheticFaces
from lit_landmarks.errors import UserError
from lit_landmarks.rendering.ict import load_ict_head
from lit_landmarks.rendering.ict.model import load_model
from lit_landmarks.rendering.ict.registration import read_map_face, register
from lit_landmarks.rendering.parametric import parametric_head
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template.dense import on_position_maps
from lit_landmarks.template.fitted_points import OFFSETS, fitted_offsets, sparse_points
from lit_landmarks.template.head import template_head

INNER = np.arange(17, 68)


def neutral(head: Any, name: str, scheme: str = "ibug68") -> NDArray[np.float64]:
    """(N, 3) points of a head at rest; `name` is `points` or `fitted_points`."""
    points = getattr(head, name)(scheme)
    vertices = head.rest if hasattr(head, "rest") else head.neutral
    found = (vertices.numpy()[points.vertices] * points.weights[..., None]).sum(1)
    return np.asarray(found, np.float64)


def align(
    source: NDArray[Any], target: NDArray[Any], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Similarity of least squares over some rows, applied to all."""
    start, end = source[rows].mean(0), target[rows].mean(0)
    left, sizes, right = np.linalg.svd((source[rows] - start).T @ (target[rows] - end))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    scale = (sizes * signs).sum() / ((source[rows] - start) ** 2).sum()
    return np.asarray((source - start) @ (left * signs) @ right * scale + end)


@pytest.fixture(params=["template", "rendered", "ict"])
def head(request: pytest.FixtureRequest, real_data: Path) -> Any:
    """Each head that has points."""
    if request.param == "ict":
        return load_ict_head(real_data / "ict_facekit.npz")
    return template_head() if request.param == "template" else parametric_head()


def test_the_fits_of_real_faces_lie_there(head: Any, real_data: Path) -> None:
    """Mean of 95 faces that are turned by the points inside the face onto the head."""
    faces = np.concatenate(
        [Aflw2000(str(real_data / n)).index().points3d for n in ("aflw2000", "aflw2000_more")]  # type: ignore[misc]
    ).astype(np.float64)
    bias = {}
    for name in ("points", "fitted_points"):
        own = neutral(head, name)
        side = np.sqrt(np.ptp(own[:, 0]) * np.ptp(own[:, 1]))
        mean = np.mean([align(face, own, INNER) - own for face in faces], 0)
        percent = 100 * np.linalg.norm(mean, axis=1) / side
        bias[name] = percent[:17].mean(), percent[17:].mean()
    # Percent of the face's box, in 3D: the jaw that is fixed to the contour is far in front.
    assert bias["points"][0] > (11.0 if hasattr(head, "model") else 12.0)
    assert bias["fitted_points"][0] < 3.5
    assert bias["fitted_points"][1] < bias["points"][1] - 0.5


def test_they_are_symmetric_and_the_dense_points_begin_with_them(head: Any) -> None:
    own = neutral(head, "fitted_points")
    flip = list(get_scheme("ibug68").flip or ())
    assert np.abs(own - own[flip] * [-1, 1, 1]).max() < 0.005
    assert np.array_equal(neutral(head, "fitted_points", "dense520")[:68], own)
    others = neutral(head, "fitted_points", "dense520")[68:]
    assert np.array_equal(others, neutral(head, "points", "dense520")[68:])
    # The table counts from the vertices that the file of an ICT head names.
    ict = hasattr(head, "model")
    fixed = head.model.mean[head.model.ibug68] if ict else neutral(head, "points")
    moved = fitted_offsets().any(1)
    assert np.array_equal(own[~moved], fixed[~moved])
    corners = fixed[[36, 45]]
    unit = np.linalg.norm(corners[0] - corners[1])
    # Onto the skin from where the table says, which is near it on either head.
    off = np.linalg.norm(own - fixed - unit * fitted_offsets(), axis=1) / unit
    assert off.max() < 0.12


def test_the_table_names_half_of_the_face() -> None:
    names = get_scheme("ibug68").point_names
    assert set(OFFSETS) <= {name for name in names if not name.startswith("right_")}
    offsets = fitted_offsets()
    assert offsets[0].tolist() == [-offsets[16][0], *offsets[16][1:]]
    assert offsets[8][0] == 0.0


@pytest.mark.slow
def test_the_table_is_what_the_registration_gives(real_data: Path) -> None:
    face, key_points = read_map_face(real_data / "position_maps")
    result = register(load_model(real_data / "ict_facekit.npz"), face, key_points)
    assert result.distance < 0.005
    unit = np.linalg.norm(result.fixed[36] - result.fixed[45])
    measured = (result.fitted - result.fixed) / unit
    moved = fitted_offsets().any(1)
    assert np.abs(measured - fitted_offsets())[moved].max() < 0.003
    assert np.linalg.norm(measured[~moved], axis=1).max() < 0.04


def test_labels_of_rendered_faces_follow_the_convention(real_data: Path) -> None:
    head = str(real_data / "ict_facekit.npz")
    more: dict[str, Any] = {"n": 3, "seed": 2, "max_yaw": 80.0, "scheme": "dense520"}
    for make in (SyntheticFaces, lambda **k: IctFaces(head=head, **k)):
        fixed, fitted = make(convention="3d", **more), make(convention="300w_lp", **more)
        assert (fitted.scheme, fitted.convention) == ("dense520", "300w_lp")
        a, b = fixed.index(), fitted.index()
        assert np.array_equal(a.points[:, 68:], b.points[:, 68:])
        inner = np.abs(a.points - b.points)[:, 36:68]
        assert inner.max() <= (8.0 if isinstance(fixed, IctFaces) else 0.0)
        assert (np.abs(a.points - b.points)[:, :8].max(axis=(1, 2)) > 2).all()
        assert a.pose is not None
        assert np.array_equal(a.pose, b.pose)  # type: ignore[arg-type]
        assert fixed.content_key([0]) == fitted.content_key([0])  # the same pictures


def test_a_scheme_without_the_68_points_is_refused() -> None:
    assert sparse_points("dense520").tolist() == list(range(68))
    for scheme in ("wflw98", "cofw29", "aflw19"):
        with pytest.raises(UserError, match="does not hold the 68 points of ibug68"):
            SyntheticFaces(n=1, scheme=scheme, convention="300w_lp").index()


def test_dense_points_of_position_maps_are_those_of_the_heads(real_data: Path) -> None:
    """Between the maps' key points too: those are the fits', and not fixed to the contour."""
    face, key_points = read_map_face(real_data / "position_maps")
    pixels = np.loadtxt(real_data / "position_maps/face_ind.txt").astype(np.int64)
    sparse = np.loadtxt(real_data / "position_maps/uv_kpt_ind.txt").astype(np.int64).T
    points = on_position_maps(face * [1, 1, -1], pixels, sparse)
    placed = (face[points.vertices] * points.weights[..., None]).sum(1)
    assert np.allclose(placed[:68], face[key_points])
    own = neutral(load_ict_head(real_data / "ict_facekit.npz"), "fitted_points", "dense520")
    # A similarity alone leaves the difference of two mean faces; a wrong jaw left 6.4 and 17.
    off = np.linalg.norm(align(own, placed, np.arange(68)) - placed, axis=1)[68:]
    side = np.sqrt(np.ptp(placed[:68, 0]) * np.ptp(placed[:68, 1]))
    assert 100 * off.mean() / side < 1.5
    assert 100 * np.quantile(off, 0.95) / side < 3.0
