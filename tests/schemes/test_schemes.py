"""Every scheme: names, groups, and the permutation, against published tables and real faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.geometry import procrustes, transform_points
from lit_landmarks.schemes import (
    SCHEMES,
    LandmarkScheme,
    flip_by_names,
    get_scheme,
    register_scheme,
    swap_sides,
)

SIZES = {"ibug68": 68, "wflw98": 98, "cofw29": 29, "aflw19": 19, "face_synthetics70": 70,
         "lapa106": 106, "dense520": 520, "dense520_published": 520}  # fmt: skip

#: Left-right pairs as published with HRNet's loaders, there from 1 for 300W and COFW.
IBUG_PAIRS = (
    *[(1, 17), (2, 16), (3, 15), (4, 14), (5, 13), (6, 12), (7, 11), (8, 10)],
    *[(18, 27), (19, 26), (20, 25), (21, 24), (22, 23), (32, 36), (33, 35)],
    *[(37, 46), (38, 45), (39, 44), (40, 43), (41, 48), (42, 47)],
    *[(49, 55), (50, 54), (51, 53), (62, 64), (61, 65), (68, 66), (59, 57), (60, 56)],
)
COFW_PAIRS = (
    *[(1, 2), (5, 7), (3, 4), (6, 8), (9, 10), (11, 12), (13, 15), (17, 18), (14, 16)],
    *[(19, 20), (23, 24)],
)
AFLW_PAIRS = ((1, 6), (2, 5), (3, 4), (7, 12), (8, 11), (9, 10), (13, 15), (16, 18))
WFLW_PAIRS = (
    *[(i, 32 - i) for i in range(16)],
    *[(33, 46), (34, 45), (35, 44), (36, 43), (37, 42), (38, 50), (39, 49), (40, 48), (41, 47)],
    *[(60, 72), (61, 71), (62, 70), (63, 69), (64, 68), (65, 75), (66, 74), (67, 73)],
    *[(55, 59), (56, 58), (76, 82), (77, 81), (78, 80), (87, 83), (86, 84)],
    *[(88, 92), (89, 91), (95, 93), (96, 97)],
)
#: As published with a loader of LaPa.
LAPA_PAIRS = (
    *[(i, 32 - i) for i in range(16)],
    *[(33, 46), (34, 45), (35, 44), (36, 43), (37, 42), (38, 50), (39, 49), (40, 48), (41, 47)],
    *[(55, 65), (56, 64), (57, 63), (58, 62), (59, 61)],
    *[(66, 79), (67, 78), (68, 77), (69, 76), (70, 75), (71, 82), (72, 81), (73, 80), (74, 83)],
    *[(84, 90), (85, 89), (86, 88), (91, 95), (92, 94)],
    *[(96, 100), (97, 99), (101, 103), (104, 105)],
)

each_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda s: s.name)
#: The published dense list has no mirror partners.
each_symmetric_scheme = pytest.mark.parametrize(
    "scheme", [s for s in SCHEMES.values() if s.name != "dense520_published"], ids=lambda s: s.name
)


def from_pairs(n_points: int, pairs: tuple[tuple[int, int], ...], first: int) -> tuple[int, ...]:
    flip = list(range(n_points))
    for a, b in pairs:
        flip[a - first], flip[b - first] = b - first, a - first
    return tuple(flip)


def flip_residuals(points: Tensor, scheme: LandmarkScheme) -> tuple[Tensor, Tensor]:
    """RMS distance of the mirrored shapes to the original, permuted and not, in RMS radii."""
    mirrored = points * torch.tensor([-1.0, 1.0])
    assert scheme.flip is not None
    residuals = []
    for shape in (mirrored[:, list(scheme.flip)], mirrored):
        fit = transform_points(procrustes(shape, points), shape)
        residuals.append((fit - points).square().sum(-1).mean(-1).sqrt())
    radius = (points - points.mean(1, keepdim=True)).square().sum(-1).mean(-1).sqrt()
    return residuals[0] / radius, residuals[1] / radius


def wflw_points(real_data: Path) -> Tensor:
    """(M, 98, 2) of the few WFLW rows that are here."""
    file = "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_test.txt"
    lines = (real_data / "wflw" / file).read_text(encoding="utf-8").splitlines()
    rows = [[float(value) for value in line.split()[:196]] for line in lines if line.strip()]
    return torch.tensor(rows).view(-1, 98, 2)


def face_synthetics_points(real_data: Path) -> Tensor:
    """(M, 70, 2)."""
    files = sorted((real_data / "face_synthetics").glob("*_ldmks.txt"))
    return torch.from_numpy(np.stack([np.loadtxt(file) for file in files])).float()


@each_scheme
def test_size_and_name(scheme: LandmarkScheme) -> None:
    assert SIZES[scheme.name] == scheme.n_points
    assert get_scheme(scheme.name) is scheme
    assert scheme.source
    assert hash(scheme) == hash(replace(scheme))


@each_symmetric_scheme
def test_flip_is_an_involution_that_swaps_left_and_right(scheme: LandmarkScheme) -> None:
    assert scheme.flip is not None
    for i, j in enumerate(scheme.flip):
        assert scheme.flip[j] == i
        assert scheme.point_names[j] == swap_sides(scheme.point_names[i])
        sided = {"left", "right"} & set(scheme.point_names[i].split("_"))
        assert bool(sided) == (i != j)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ibug68", from_pairs(68, IBUG_PAIRS, 1)),
        ("cofw29", from_pairs(29, COFW_PAIRS, 1)),
        ("aflw19", from_pairs(19, AFLW_PAIRS, 1)),
        ("wflw98", from_pairs(98, WFLW_PAIRS, 0)),
        ("lapa106", from_pairs(106, LAPA_PAIRS, 0)),
        ("face_synthetics70", from_pairs(70, (*IBUG_PAIRS, (69, 70)), 1)),
    ],
)
def test_flip_equals_the_published_pairs(name: str, expected: tuple[int, ...]) -> None:
    assert get_scheme(name).flip == expected


@each_symmetric_scheme
def test_groups_are_mirror_images(scheme: LandmarkScheme) -> None:
    flip = scheme.flip
    assert flip is not None
    assert flip[scheme.eye_corners[0]] == scheme.eye_corners[1]
    right, left = scheme.pupil_groups
    assert {flip[i] for i in right} == set(left)
    for group in (scheme.contour, scheme.inner, scheme.pose_points):
        assert {flip[i] for i in group} == set(group)
    assert scheme.pose_mask().nonzero().flatten().tolist() == sorted(scheme.pose_points)
    outlines = {frozenset(points) for points, _ in scheme.polylines.values()}
    assert {frozenset(flip[i] for i in points) for points in outlines} == outlines


@each_scheme
def test_names_say_where_points_are(scheme: LandmarkScheme) -> None:
    for corner, side in zip(scheme.eye_corners, ("right", "left"), strict=True):
        assert scheme.point_names[corner] == f"{side}_eye_outer"
    for group, side in zip(scheme.pupil_groups, ("right", "left"), strict=True):
        assert all(scheme.point_names[i].startswith(side) for i in group)
    for name, (points, _) in scheme.polylines.items():
        if name.startswith(("right", "left")):
            side, part = name.split("_")
            assert all(scheme.point_names[i].startswith(f"{side}_{part}") for i in points)
    assert all("jaw" in scheme.point_names[i] or i == scheme.index("chin") for i in scheme.contour)


@pytest.mark.parametrize(
    ("name", "corners"),
    [
        ("ibug68", (36, 45)),
        ("wflw98", (60, 72)),
        ("lapa106", (66, 79)),
        ("cofw29", (8, 9)),
        ("aflw19", (6, 11)),
        ("face_synthetics70", (36, 45)),
    ],
)
def test_interocular_corners_are_the_published_ones(name: str, corners: tuple[int, int]) -> None:
    assert get_scheme(name).eye_corners == corners


@pytest.mark.real
@pytest.mark.parametrize("name", ["wflw98", "face_synthetics70", "ibug68"])
def test_flip_fits_real_faces(real_data: Path, name: str) -> None:
    load = wflw_points if name == "wflw98" else face_synthetics_points
    scheme = get_scheme(name)
    points = load(real_data)[:, : scheme.n_points]
    permuted, unpermuted = flip_residuals(points, scheme)
    # The mirror image of a turned head is another view; the most frontal faces are symmetric.
    frontal = permuted.argsort()[:3]
    assert bool((permuted < unpermuted).all())
    assert float(permuted[frontal].max()) < 0.15
    assert float(unpermuted[frontal].min()) > 0.9


@pytest.mark.real
@pytest.mark.parametrize("name", ["wflw98", "face_synthetics70", "ibug68"])
def test_no_other_pair_fits_real_faces_better(real_data: Path, name: str) -> None:
    load = wflw_points if name == "wflw98" else face_synthetics_points
    scheme = get_scheme(name)
    points = load(real_data)[:, : scheme.n_points]
    assert scheme.flip is not None
    mirrored = (points * torch.tensor([-1.0, 1.0]))[:, list(scheme.flip)]
    fit = transform_points(procrustes(mirrored, points), mirrored)
    squared = torch.cdist(fit, points).square()
    own = squared.diagonal(dim1=1, dim2=2)
    # Let any two points change partners: the sum of squared distances must grow.
    better = own[:, :, None] + own[:, None] > squared + squared.mT + 1e-3
    frontal = flip_residuals(points, scheme)[0].argsort()[:3]
    assert not bool(better[frontal].any())


@pytest.mark.real
def test_named_points_lie_where_they_should_on_wflw(real_data: Path) -> None:
    scheme = get_scheme("wflw98")
    for face in wflw_points(real_data):
        for side in ("right", "left"):
            eye = face[[scheme.index(f"{side}_eye_{part}") for part in ("outer", "inner")]]
            width = (eye[0] - eye[1]).norm()
            pupil = face[scheme.index(f"{side}_pupil")]
            assert float((pupil - eye.mean(0)).norm()) < 0.6 * float(width)
            # Both edges of a brow count from its outer end.
            for i in range(1, 5):
                upper = face[scheme.index(f"{side}_brow_upper_{i}")]
                lower = face[scheme.index(f"{side}_brow_lower_{i}")]
                tail = face[scheme.index(f"{side}_brow_upper_1")]
                nose = face[scheme.index(f"{side}_brow_upper_5")]
                length = float((tail - nose).norm())
                assert float((upper - lower).norm()) < 0.5 * length


def test_unknown_scheme_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"'ibug86'; known: .*ibug68"):
        get_scheme("ibug86")


def test_unknown_point() -> None:
    with pytest.raises(UserError, match="no point 'ear'"):
        get_scheme("ibug68").index("ear")


def test_scheme_registered_at_run_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_landmarks.schemes.registry.SCHEMES", dict(SCHEMES))
    names = ("right_eye_outer", "left_eye_outer", "nose_tip")
    mine = LandmarkScheme(
        name="three",
        n_points=3,
        point_names=names,
        flip=flip_by_names(names),
        polylines={},
        eye_corners=(0, 1),
        pupil_groups=((0,), (1,)),
        contour=(),
        inner=(0, 1, 2),
    )
    assert register_scheme(mine) is get_scheme("three")
    assert bool(mine.pose_mask().all())
    register_scheme(replace(mine))
    with pytest.raises(UserError, match="exists already"):
        register_scheme(replace(mine, flip=None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"point_names": ("a", "a", "b")}, "3 different point names"),
        ({"flip": (1, 2, 0)}, "twice"),
        ({"flip": (0, 1)}, "twice"),
        ({"eye_corners": (0, 3)}, "outside 0..2"),
        ({"polylines": {"x": ((0, -1), False)}}, "outside 0..2"),
        ({"inner": (0, 1)}, "split 0..2"),
    ],
)
def test_contradictions_are_refused(change: dict[str, object], message: str) -> None:
    fields: dict[str, object] = {
        "name": "three",
        "n_points": 3,
        "point_names": ("a", "b", "c"),
        "flip": None,
        "polylines": {},
        "eye_corners": (0, 1),
        "pupil_groups": ((0,), (1,)),
        "contour": (),
        "inner": (0, 1, 2),
    }
    with pytest.raises(UserError, match=message):
        LandmarkScheme(**(fields | change))  # type: ignore[arg-type]


def test_names_without_partner_are_refused() -> None:
    with pytest.raises(UserError, match="'left_ear'"):
        flip_by_names(("right_ear", "nose_tip"))
