"""The parametric head: symmetric, without holes, and its parameters do what their names say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lit_landmarks.rendering.parametric import ParametricHead, parametric_head
from lit_landmarks.rendering.parts import Material
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template import template_head
from lit_landmarks.template.surface_points import blend

SCHEMES = ("ibug68", "wflw98", "cofw29", "face_synthetics70")


@pytest.fixture(scope="module")
def head() -> ParametricHead:
    return parametric_head()


def _points(head: ParametricHead, scheme: str = "ibug68", **values: float) -> Tensor:
    """(N, 3) points of the head with some parameters set."""
    tables = {}
    for kind in ("identity", "expression"):
        names = getattr(head, f"{kind}_names")
        tables[kind] = torch.zeros(1, len(names), dtype=torch.float64)
        for name in names:
            tables[kind][0, names.index(name)] = values.get(name, 0.0)
    ahead = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64).expand(1, 2, 3)
    return blend(
        head.vertices(tables["identity"], tables["expression"], ahead), head.points(scheme)
    )[0]


def test_there_are_as_many_parameters_as_asked_for(head: ParametricHead) -> None:
    assert len(head.identity_names) >= 12
    assert len(head.expression_names) >= 10


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_neutral_head_is_its_own_mirror_image(head: ParametricHead, scheme: str) -> None:
    points = _points(head, scheme)
    mirrored = points[list(get_scheme(scheme).flip or ())] * torch.tensor([-1.0, 1.0, 1.0])
    assert torch.allclose(points, mirrored, atol=1e-9)


def test_one_sided_expressions_mirror_each_other(head: ParametricHead) -> None:
    flip = list(get_scheme("ibug68").flip or ())
    for stem in ("smile", "blink", "brow_raise"):
        left, right = (_points(head, **{f"{stem}_{side}": 1.0}) for side in ("left", "right"))
        assert torch.allclose(left, right[flip] * torch.tensor([-1.0, 1.0, 1.0]), atol=1e-9)


def test_every_edge_of_the_skin_has_two_triangles_but_for_eyes_mouth_and_rim(
    head: ParametricHead,
) -> None:
    skin = head.skin
    triangles = torch.from_numpy(skin.triangles.copy())
    edges = torch.cat([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    directed = edges[:, 0] * len(skin.angle) + edges[:, 1]
    assert len(directed.unique()) == len(directed)  # one orientation everywhere
    whole, count = edges.sort(1).values.unique(dim=0, return_counts=True)
    assert int(count.max()) == 2
    alone = set(whole[count == 1].flatten().tolist())
    allowed = set(skin.eye_loops.flatten().tolist()) | set(skin.lips.flatten().tolist())
    rim = (skin.row < 1e-6) | (skin.row > skin.row.max() - 1e-6)
    allowed |= set(rim.nonzero()[0].tolist())
    assert alone <= allowed


def test_every_material_is_there(head: ParametricHead) -> None:
    there = set(head.material.unique().tolist())
    # The last ones are worn by ICT heads only.
    assert there == {int(m) for m in Material if m < Material.HAT}


def test_jaw_open_parts_the_lips_and_lowers_the_chin(head: ParametricHead) -> None:
    moved = _points(head, jaw_open=1.0) - _points(head)
    assert moved[66, 1] - moved[62, 1] > 0.2
    assert moved[8, 1] > 0.2
    assert moved[27:36].norm(dim=-1).max() < 0.02  # the nose stays


def test_blink_closes_one_eye_only(head: ParametricHead) -> None:
    def opening(points: Tensor, first: int) -> Tensor:
        return (
            points[first + 4, 1]
            + points[first + 5, 1]
            - points[first + 1, 1]
            - points[first + 2, 1]
        ) / 2

    shut, rest = _points(head, blink_left=1.0), _points(head)
    assert opening(shut, 42) < 0.1 * opening(rest, 42)
    assert opening(shut, 36) == pytest.approx(float(opening(rest, 36)), rel=1e-6)


def test_smile_widens_the_mouth_and_lifts_its_corners(head: ParametricHead) -> None:
    rest, smile = _points(head), _points(head, smile_left=1.0, smile_right=1.0)
    assert smile[54, 0] - smile[48, 0] > 1.15 * (rest[54, 0] - rest[48, 0])
    assert smile[54, 1] < rest[54, 1] - 0.04


def test_pucker_narrows_the_mouth_and_brows_rise(head: ParametricHead) -> None:
    rest = _points(head)
    pucker, up = _points(head, pucker=1.0), _points(head, brow_raise_left=1.0)
    assert pucker[54, 0] < 0.8 * rest[54, 0]
    assert up[24, 1] < rest[24, 1] - 0.04
    assert up[19, 1] == pytest.approx(float(rest[19, 1]), abs=1e-3)


@pytest.mark.parametrize("amount", [0.0, 0.3, 0.7, 1.0])
def test_lids_never_sink_into_the_eyeball(head: ParametricHead, amount: float) -> None:
    names = head.expression_names
    value = torch.zeros(1, len(names), dtype=torch.float64)
    value[0, names.index("blink_left")] = amount
    none = torch.zeros(1, len(head.identity_names), dtype=torch.float64)
    ahead = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64).expand(1, 2, 3)
    vertices = head.vertices(none, value, ahead)[0]
    center = vertices[head.eyes[1]] + torch.tensor([0.0, 0.0, 0.172])
    loop = vertices[torch.from_numpy(head.skin.eye_loops[1].copy())]
    assert ((loop - center).norm(dim=-1) > 0.172).all()


def test_pupils_follow_the_gaze(head: ParametricHead) -> None:
    none = torch.zeros(1, len(head.identity_names), dtype=torch.float64)
    rest = torch.zeros(1, len(head.expression_names), dtype=torch.float64)
    right = torch.tensor([0.3, 0.0, -((1 - 0.09) ** 0.5)], dtype=torch.float64).expand(1, 2, 3)
    points = blend(head.vertices(none, rest, right), head.points("face_synthetics70"))[0]
    ahead = _points(head, "face_synthetics70")
    assert torch.allclose(points[68:, 0] - ahead[68:, 0], torch.full((2,), 0.3 * 0.172).double())


def test_identities_stay_human(head: ParametricHead) -> None:
    """Two standard deviations of any one direction move no point by more than a fifth."""
    rest = _points(head)
    for name in head.identity_names:
        assert (_points(head, **{name: 2.0}) - rest).norm(dim=-1).max() < 0.22, name


def test_the_head_is_real_whoever_asks_for_it_first(head: ParametricHead) -> None:
    parametric_head.cache_clear()
    with torch.device("meta"):
        first = parametric_head()
    try:
        torch.testing.assert_close(_points(first), _points(head))
    finally:
        parametric_head.cache_clear()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_points_lie_where_they_lie_on_the_template(head: ParametricHead, scheme: str) -> None:
    template = template_head()
    on_template = blend(template.neutral[None], template.points(scheme))[0]
    assert torch.equal(blend(head.neutral[None], head.points(scheme))[0], on_template)
