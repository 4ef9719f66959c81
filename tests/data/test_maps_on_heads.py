"""Maps between schemes against heads that know the place of every point in both."""

from __future__ import annotations

import pytest

from lit_landmarks.data import SyntheticFaces
from lit_landmarks.schemes import get_map, get_scheme, has_map

ON_HEADS = ("ibug68", "wflw98", "cofw29", "face_synthetics70", "aflw19")
PAIRS = [(a, b) for a in ON_HEADS for b in ON_HEADS if a != b and has_map(a, b)]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_mapped_points_lie_where_the_target_has_them(source: str, target: str) -> None:
    faces = SyntheticFaces(n=12, max_yaw=30, seed=3)
    rows = range(12)
    truth = faces.labels(rows, target).points
    mapped, known = get_map(source, target).apply(faces.labels(rows, source).points)
    right, left = get_scheme(target).eye_corners
    width = (truth[:, right] - truth[:, left]).norm(dim=-1)
    error = (mapped - truth).norm(dim=-1) / width[:, None]
    inner = list(get_scheme(target).inner)
    chosen = known[0, inner]
    assert int(chosen.sum()) >= 12
    # A brow end in one scheme is the end of an edge in another; lids differ in their spacing.
    assert float(error[:, inner][:, chosen].max()) < 0.14
    assert float(error[:, inner][:, chosen].mean()) < 0.03
    # No other point of the source comes closer to the target's, by more than that.
    points = faces.labels(rows, source).points
    nearest = (truth[:, inner, None] - points[:, None]).norm(dim=-1).amin(-1) / width[:, None]
    assert float((error[:, inner] - nearest)[:, chosen].mean()) < 0.02


def test_aflw_points_are_on_the_head() -> None:
    faces = SyntheticFaces(n=4, max_yaw=20, scheme="aflw19")
    points = faces.labels(range(4)).points
    scheme = get_scheme("aflw19")
    place = {name: points[:, k] for k, name in enumerate(scheme.point_names)}
    mouth = (place["right_mouth_corner"] + place["left_mouth_corner"]) / 2
    width = (place["right_eye_outer"] - place["left_eye_outer"]).norm(dim=-1)
    assert float(((place["mouth_center"] - mouth).norm(dim=-1) / width).max()) < 0.25
    for side in ("right", "left"):
        corners = (place[f"{side}_eye_outer"] + place[f"{side}_eye_inner"]) / 2
        assert float(((place[f"{side}_eye_center"] - corners).norm(dim=-1) / width).max()) < 0.1
        brow = (place[f"{side}_brow_outer"] + place[f"{side}_brow_inner"]) / 2
        assert float(((place[f"{side}_brow_middle"] - brow).norm(dim=-1) / width).max()) < 0.15
