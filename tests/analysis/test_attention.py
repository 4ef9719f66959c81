"""Attention on made-up weights whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from lit_landmarks.analysis.attention import (
    HUMAN_ORDER,
    correlate_with_humans,
    draw_attention,
    draw_regions,
    find_region,
    measure_attention,
    select_patches,
)
from lit_landmarks.analysis.records import FaceRecords
from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_scheme

NAMES = get_scheme("ibug68").point_names


def looked(weight: dict[str, float], faces: int = 30, seed: int = 0) -> FaceRecords:
    """Faces of all poses whose patches weigh as their region says, with little noise."""
    rng = np.random.default_rng(seed)
    base = np.array([weight[find_region(name)] for name in NAMES])
    weights = base + 0.001 * rng.normal(size=(3, faces, 68))
    truth = rng.uniform(0, 100, (faces, 68, 2))
    return FaceRecords(
        ("faces",), np.zeros(faces, np.int64), np.arange(faces), np.ones((3, faces)),
        np.ones((3, faces)), np.array([1.0, 2.0, 3.0]),
        np.stack([np.linspace(-60, 60, faces), np.zeros(faces), np.zeros(faces)], 1),
        truth, np.zeros((3, faces, 68, 2)), weights,
    )  # fmt: skip


def test_every_point_has_a_region() -> None:
    for scheme in ("ibug68", "wflw98", "cofw29", "face_synthetics70", "aflw19", "lapa106"):
        names = get_scheme(scheme).point_names
        assert "other" not in {find_region(name) for name in names}, scheme
    assert [find_region(NAMES[k]) for k in (0, 8, 17, 30, 36, 48, 66)] == [
        "jaw", "jaw", "brows", "nose", "eyes", "mouth", "mouth",
    ]  # fmt: skip


def test_human_like_attention_correlates() -> None:
    human = dict(zip(HUMAN_ORDER, (0.8, 0.7, 0.6, 0.5), strict=True)) | {"brows": 0.9}
    found = measure_attention(looked(human), "ibug68", range(68))
    assert correlate_with_humans(found)[0] == pytest.approx(1.0)
    assert correlate_with_humans(found)[1] > 0.9
    assert next(iter(found.by_region())) == "brows"
    against = dict(zip(HUMAN_ORDER, (0.5, 0.6, 0.7, 0.8), strict=True)) | {"brows": 0.9}
    found = measure_attention(looked(against), "ibug68", range(68))
    assert correlate_with_humans(found)[0] == pytest.approx(-1.0)
    assert {"yaw 0-15", "yaw 15-30", "yaw 30-90"} <= set(found.groups)
    assert sum(found.faces[f"yaw {b}"] for b in ("0-15", "15-30", "30-90")) == 30
    assert draw_regions(found).axes


def test_a_scheme_without_a_mean_face_is_drawn_on_the_mean_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lit_landmarks.analysis.attention.has_mean_face", lambda scheme: False)
    records = looked(dict.fromkeys((*HUMAN_ORDER, "brows"), 0.5))
    records.truth[3, 5] = np.nan
    records.truth[:, 7] = np.nan
    found = measure_attention(records, "ibug68", range(68))
    np.testing.assert_allclose(found.shape[6], records.truth[:, 6].mean(0))
    np.testing.assert_allclose(found.shape[5], np.nanmean(records.truth[:, 5], 0))
    assert np.isfinite(found.shape).all()
    assert len(set(select_patches(found, 20))) == 20
    assert draw_attention(found).axes


def test_patches_that_are_kept_weigh_and_lie_apart() -> None:
    even = dict.fromkeys((*HUMAN_ORDER, "brows"), 0.5)
    apart = select_patches(measure_attention(looked(even), "ibug68", range(68)), 20)
    assert {find_region(NAMES[p]) for p in apart} == set(even), "spread over the face"
    eyes = even | {"eyes": 5.0}
    found = select_patches(measure_attention(looked(eyes), "ibug68", range(68)), 20)
    assert sum(find_region(NAMES[p]) == "eyes" for p in found) > sum(
        find_region(NAMES[p]) == "eyes" for p in apart
    )
    assert len(set(found)) == 20
    with pytest.raises(UserError, match="cannot keep 69 of 68"):
        select_patches(measure_attention(looked(even), "ibug68", range(68)), 69)


def test_a_mouth_that_nobody_labelled_is_neither_open_nor_closed() -> None:
    records = looked(dict.fromkeys((*HUMAN_ORDER, "brows"), 0.5))
    corners = [NAMES.index(f"{side}_eye_outer") for side in ("right", "left")]
    records.truth[:, corners] = [[0.0, 0.0], [100.0, 0.0]]
    upper, lower = (NAMES.index(f"{side}_lip_inner") for side in ("upper", "lower"))
    records.truth[:, [upper, lower]] = [[50.0, 60.0], [50.0, 61.0]]
    records.truth[:10, lower] = [50.0, 90.0]
    records.truth[12:20, lower] = np.nan
    found = measure_attention(records, "ibug68", range(68))
    assert (found.faces["mouth open"], found.faces["mouth closed"]) == (10, 12)
