"""The mean face: its frame, its symmetry, and how near it comes to a measured one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lit_landmarks.errors import UserError
from lit_landmarks.schemes import SCHEMES as KNOWN
from lit_landmarks.schemes import get_map, get_scheme, is_built_in, read_scheme, register_scheme
from lit_landmarks.template import has_mean_face, mean_face, placed_query_points, query_points
from lit_landmarks.template.mean_face import TABLE, mean_face_of_head, query_points_of_head
from lit_landmarks.template.write_mean_faces import mean_faces_json

SCHEMES = ("ibug68", "wflw98", "cofw29", "face_synthetics70")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_all_schemes_share_one_head_frame(scheme: str) -> None:
    face = mean_face(scheme)
    right, left = get_scheme(scheme).eye_corners
    assert face.dtype == torch.float32
    assert face.shape == (get_scheme(scheme).n_points, 3)
    assert torch.allclose(face[right], torch.tensor([-0.5, 0.0, 0.0]), atol=1e-6)
    assert torch.allclose(face[left], torch.tensor([0.5, 0.0, 0.0]), atol=1e-6)


def test_the_shipped_table_is_the_head() -> None:
    """To 1e-6 of the eye distance, as numpy's exp, sin and solve differ by a bit between CPUs."""
    both = json.loads(TABLE.read_text(encoding="utf-8"))
    both_fresh = json.loads(mean_faces_json())
    for face, of_head, get in (
        ("neutral", mean_face_of_head, mean_face),
        ("parted", query_points_of_head, query_points),
    ):
        shipped, fresh = both[face], both_fresh[face]
        assert (
            shipped.keys()
            == fresh.keys()
            == {n for n in filter(is_built_in, KNOWN) if n != "dense520_published"}
        )
        for name in shipped:
            assert has_mean_face(name)
            np.testing.assert_allclose(shipped[name], fresh[name], rtol=0, atol=1e-6)
            read_back = torch.tensor(fresh[name], dtype=torch.float32)
            assert torch.equal(read_back, of_head(name))  # no digit is lost in the text
            assert torch.equal(torch.tensor(shipped[name]), get(name))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_query_points_part_the_lips_alone(scheme: str) -> None:
    moved = query_points(scheme) - mean_face(scheme)
    assert torch.equal(moved[:, [0, 2]], torch.zeros(len(moved), 2))
    names = get_scheme(scheme).point_names
    upper, lower = (names.index(f"{lip}_lip_inner") for lip in ("upper", "lower"))
    assert moved[upper, 1].item() == pytest.approx(-0.08, abs=1e-5)
    assert moved[lower, 1].item() == pytest.approx(0.08, abs=1e-5)
    mouth = torch.tensor(["lip" in name or "mouth" in name for name in names])
    assert moved[~mouth, 1].abs().max() < 0.01
    distance = torch.cdist(query_points(scheme), query_points(scheme)).fill_diagonal_(9.0)
    assert distance.min() > 0.04


def test_a_built_in_scheme_needs_no_head() -> None:
    script = """
import sys
from lit_landmarks.template import has_mean_face, mean_face, query_points
from lit_landmarks.template.head import template_head
assert mean_face("wflw98").shape == (98, 3)
assert not has_mean_face("dense520_published")
print(template_head.cache_info().misses, "lit_landmarks.rendering" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["0", "False"]


def test_a_declared_scheme_with_known_names_is_measured_on_the_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = get_scheme("ibug68").point_names
    chosen = [36, 30, 8]
    points = [names[k] for k in chosen]
    declared = read_scheme({"name": "three_of_ibug", "points": points}, "a test")
    monkeypatch.setitem(KNOWN, declared.name, declared)
    assert has_mean_face(declared.name)
    assert torch.equal(mean_face(declared.name), mean_face("ibug68")[chosen])


def test_axes_are_right_down_and_away() -> None:
    face = mean_face("ibug68")
    assert face[:, 2].argmin() == 30  # the nose tip is nearest
    assert face[8, 1] > face[57, 1] > face[33, 1] > face[27, 1] > face[19, 1]
    assert face[0, 2] > face[36, 2]


@pytest.mark.parametrize("source", ["wflw98", "face_synthetics70"])
def test_schemes_agree_where_they_share_points(source: str) -> None:
    mapping = get_map(source, "ibug68").source_index
    shared = mapping >= 0
    apart = (mean_face(source)[mapping[shared]] - mean_face("ibug68")[shared]).norm(dim=-1)
    assert apart.max() < 0.06


def test_an_unknown_scheme_has_no_mean_face() -> None:
    assert not has_mean_face("nobody")
    with pytest.raises(UserError, match="nobody"):
        mean_face("nobody")
    assert all(has_mean_face(scheme) for scheme in SCHEMES)


def test_callers_cannot_spoil_the_mean_face() -> None:
    mean_face("ibug68").zero_()
    assert mean_face("ibug68").abs().sum() > 1


def test_proportions_are_within_4_percent_of_a_measured_mean_head(real_data: Path) -> None:
    """RMS distance per point after a similarity fit to the mean of ICT FaceKit, of interocular."""
    path = real_data / "ict_facekit.npz"
    if not path.exists():
        pytest.skip(f"no {path}")
    with np.load(path, allow_pickle=False) as file:
        other = file["mean"][file["ibug68"]].astype(np.float64) * [1.0, -1.0, -1.0]
    other /= np.linalg.norm(other[45] - other[36])
    own = mean_face("ibug68").double().numpy()
    a, b = own - own.mean(0), other - other.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    assert np.linalg.det(u @ vt) > 0  # same handedness
    fitted = s.sum() / (a**2).sum() * a @ (u @ vt)
    rms = np.sqrt(((fitted - b) ** 2).sum(1).mean())
    assert rms < 0.04


def test_a_point_that_the_head_lacks_takes_no_place_from_the_others() -> None:
    names = ("left_eye_outer", "mole", "nose_tip")
    register_scheme(read_scheme({"name": "with_a_mole", "points": list(names)}, "here"))
    try:
        queries = placed_query_points("with_a_mole")
        assert queries.isfinite().all(-1).tolist() == [True, False, True]
        own = query_points("ibug68")
        rows = [get_scheme("ibug68").point_names.index(names[k]) for k in (0, 2)]
        torch.testing.assert_close(queries[[0, 2]], own[rows])
        assert not has_mean_face("with_a_mole")
        assert torch.equal(placed_query_points("wflw98"), query_points("wflw98"))
    finally:
        del KNOWN["with_a_mole"]
