"""Maps between schemes: against the names, and on a real face that carries 98 points."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.geometry import procrustes, transform_points
from lit_landmarks.schemes import SCHEMES, get_map, get_scheme, has_map, register_map

DEFINED = [(a, b) for a in SCHEMES for b in SCHEMES if has_map(a, b)]


def neighbor() -> object:
    """The module of scheme tests, whose readers are used here too."""
    path = Path(__file__).with_name("test_schemes.py")
    spec = importlib.util.spec_from_file_location("scheme_tests", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def positions(scheme_name: str) -> Tensor:
    """(1, N, 2) points that hold their own number."""
    n = get_scheme(scheme_name).n_points
    return torch.arange(n).float()[None, :, None].expand(1, n, 2)


@pytest.mark.parametrize("name", list(SCHEMES))
def test_identity(name: str) -> None:
    points = positions(name)
    moved, mask = get_map(name, name).apply(points)
    assert get_map(name, name).is_identity
    assert torch.equal(moved, points)
    assert bool(mask.all())


@pytest.mark.parametrize(("source", "target"), DEFINED)
def test_same_names_are_same_points(source: str, target: str) -> None:
    a, b = get_scheme(source), get_scheme(target)
    for j, i in enumerate(get_map(source, target).source_index.tolist()):
        inner = b.point_names[j]
        if i >= 0 and inner in a.point_names and "jaw" not in inner:
            assert a.point_names[i] == inner
        if i < 0:
            assert inner not in a.point_names


@pytest.mark.parametrize(("source", "target"), DEFINED)
def test_map_and_flip_commute(source: str, target: str) -> None:
    index = get_map(source, target).source_index
    source_flip = get_scheme(source).flip
    target_flip = get_scheme(target).flip
    if "dense520_published" in (source, target):
        assert None in (source_flip, target_flip)  # never flipped, so nothing to commute with
        return
    assert source_flip is not None
    assert target_flip is not None
    flipped = torch.where(index >= 0, torch.tensor(source_flip)[index], -1)
    assert torch.equal(index[list(target_flip)], flipped)


@pytest.mark.parametrize(("source", "target"), DEFINED)
def test_corners_contour_and_pupils_go_to_their_like(source: str, target: str) -> None:
    index = get_map(source, target).source_index
    a, b = get_scheme(source), get_scheme(target)
    assert index[list(b.eye_corners)].tolist() == list(a.eye_corners)
    assert set(index[list(b.contour)].tolist()) <= set(a.contour)
    assert set(index[list(b.inner)].tolist()) <= {-1, *a.inner}


def test_points_without_counterpart_are_masked() -> None:
    mask = torch.ones(1, 68, dtype=torch.bool)
    mask[0, 3] = False
    moved, known = get_map("ibug68", "face_synthetics70").apply(positions("ibug68") + 1, mask)
    assert moved.shape == (1, 70, 2)
    assert moved[0, 68:].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert (~known[0]).nonzero().flatten().tolist() == [3, 68, 69]


def test_labels_of_any_kind_follow() -> None:
    visible = torch.arange(98, dtype=torch.int8)[None]
    moved, _ = get_map("wflw98", "ibug68").apply(visible)
    assert moved.dtype == torch.int8
    assert moved[0, [0, 8, 16, 36, 45]].tolist() == [0, 16, 32, 60, 72]


@pytest.mark.real
def test_mapped_wflw_faces_look_like_ibug_faces(real_data: Path) -> None:
    tests = neighbor()
    wflw = tests.wflw_points(real_data)  # type: ignore[attr-defined]
    faces = tests.face_synthetics_points(real_data)[:, :68]  # type: ignore[attr-defined]
    mapped, mask = get_map("wflw98", "ibug68").apply(wflw)
    assert bool(mask.all())
    for face in mapped:
        # The most similar of 50 other faces, point by point.
        fit = transform_points(procrustes(faces, face), faces)
        corners = (face[36] - face[45]).norm()
        error = (fit - face).norm(dim=-1) / corners
        best = error[error.mean(-1).argmin()]
        assert float(best.mean()) < 0.13
        inner = best[17:]
        assert float(inner.max()) < 0.35
        # One place further in any part, and the fit is worse.
        for part in (slice(36, 42), slice(42, 48), slice(48, 60), slice(60, 68), slice(0, 17)):
            rolled = face.clone()
            rolled[part] = face[part].roll(1, 0)
            assert (fit - rolled).norm(dim=-1).mean(-1).min() > (fit - face).norm(dim=-1).mean(
                -1
            ).min()


def test_undefined_maps_are_refused() -> None:
    assert not has_map("cofw29", "ibug68")
    with pytest.raises(
        UserError, match=r"'cofw29' to 'ibug68'; it has maps to: aflw19, cofw29 itself$"
    ):
        get_map("cofw29", "ibug68")
    with pytest.raises(UserError, match="unknown landmark scheme"):
        get_map("ibug68", "nothing")


def test_map_registered_at_run_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_landmarks.schemes.maps._MAPS", {})
    with pytest.raises(UserError, match="give 29 numbers from -1 to 67"):
        register_map("ibug68", "cofw29", (1, 2, 3))
    index = (17, *(-1 for _ in range(27)), 8)
    register_map("ibug68", "cofw29", index)
    assert get_map("ibug68", "cofw29").source_index.tolist() == list(index)
    register_map("ibug68", "cofw29", index)
    with pytest.raises(UserError, match="exists already"):
        register_map("ibug68", "cofw29", (-1,) * 29)
