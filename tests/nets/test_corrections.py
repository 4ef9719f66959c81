"""Corrections that are learned: bounded, zero for the reference, in the frame of the head."""

from __future__ import annotations

import pytest
import torch

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.camera import project
from lit_landmarks.geometry.surfaces import Patches, heights_above
from lit_landmarks.nets.canonical_correction import CanonicalCorrection
from lit_landmarks.nets.query_correction import QueryCorrection
from lit_landmarks.schemes import convention_index
from lit_landmarks.template import mean_face, query_points
from lit_landmarks.template.displaced_points import displaced_query_points
from lit_landmarks.template.mesh import template_patches
from lit_landmarks.types import Prediction

CONVENTIONS = ["synthetic_3d", "300w", "wflw"]
ASKED = torch.tensor([convention_index(name) for name in ("synthetic_3d", "300w", "wflw", "lapa")])


def test_queries_of_the_reference_stay() -> None:
    correction = QueryCorrection(conventions=CONVENTIONS, limit=0.1)
    torch.nn.init.normal_(correction.layers[-1].weight)
    queries = query_points("ibug68").expand(4, -1, -1)
    moved = correction.move_queries(queries, ASKED) - queries
    assert torch.equal(moved[[0, 3]], torch.zeros(2, 68, 3))  # and of one that it does not know
    assert moved[1].abs().max() > 0.01
    assert not torch.allclose(moved[1], moved[2])
    assert moved.abs().max() <= 0.1 + 1e-6
    assert torch.equal(correction.move_queries(queries, None), queries)
    expected = moved[1:3].square().sum(-1).mean(1).sum()
    correction.surface = 0.0
    torch.testing.assert_close(correction.loss(queries[0], template_patches()), expected)


def test_leaving_the_surface_costs_more_than_moving_on_it() -> None:
    correction = QueryCorrection(conventions=CONVENTIONS, surface=10.0)
    floor = Patches(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 1.0]]))
    queries = torch.rand(6, 3) * torch.tensor([1.0, 1.0, 0.0])
    torch.nn.init.normal_(correction.layers[-1].weight, std=0.1)
    rows = torch.tensor([1, 2])
    moved = correction.displacements(queries.expand(2, -1, -1), rows)
    expected = (moved.square().sum(-1) + 10.0 * moved[..., 2].square()).mean(1).sum()
    torch.testing.assert_close(correction.loss(queries, floor), expected)
    with pytest.raises(UserError, match=r"correction\.surface is -1"):
        QueryCorrection(conventions=CONVENTIONS, surface=-1.0)


def test_points_of_the_template_lie_on_its_surface() -> None:
    heights = heights_above(displaced_query_points(), template_patches())
    assert heights.abs().max() < 0.01  # made on it; the nearest patch is not always their own
    away = heights_above(
        query_points("ibug68") - torch.tensor([0.0, 0.0, 0.05]), template_patches()
    )
    assert (away[27:36] > 0.02).all()  # at the nose, towards the camera


def test_queries_without_a_place_teach_nothing() -> None:
    correction = QueryCorrection(conventions=CONVENTIONS)
    queries = query_points("ibug68").expand(4, -1, -1).clone()
    queries[:, 60:] = torch.nan
    moved = correction.move_queries(queries, ASKED)
    assert torch.equal(moved.isnan(), queries.isnan())
    moved.nan_to_num().square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in correction.parameters())


def test_first_displacement_is_zero() -> None:
    correction = QueryCorrection(conventions=CONVENTIONS)
    assert correction.displacements(torch.rand(1, 5, 3), torch.tensor([1])).abs().max() == 0.0


@pytest.mark.parametrize("yaw", [0.0, 50.0])
def test_canonical_displacements_are_seen_as_the_head_is(yaw: float) -> None:
    """A displacement in the head frame looks as the projection of displaced points does."""
    correction = CanonicalCorrection(conventions=CONVENTIONS)
    face = mean_face("ibug68")
    correction.connect("ibug68", face)
    offsets = torch.zeros(68, 3)
    offsets[36:48, 1] = -0.05  # eyes higher
    offsets[30] = torch.tensor([0.0, 0.0, -0.1])  # nose tip nearer
    with torch.no_grad():
        correction.table[1, 0] = offsets
    # Far away, so that the picture is that of an affine camera.
    pose = torch.tensor([[yaw, 5.0, 10.0, 0.0, 0.0, 200.0]])
    points, displaced = (project(face + d, pose, 4000.0, 64.0) for d in (0.0, offsets))
    answer = correction(Prediction(points), torch.tensor([convention_index("300w")]))
    torch.testing.assert_close(answer.points, displaced, atol=0.05, rtol=0)
    same = correction(Prediction(points), torch.tensor([convention_index("synthetic_3d")]))
    assert torch.equal(same.points, points)


def test_points_in_3d_stay_above_those_in_2d() -> None:
    correction = CanonicalCorrection(conventions=CONVENTIONS)
    face = mean_face("ibug68")
    correction.connect("ibug68", face)
    assert correction.table is not None
    torch.nn.init.normal_(correction.table, std=0.05)
    deep = (face * 40.0 + 64.0).expand(4, -1, -1)
    prediction = Prediction(deep[..., :2], stages=deep[None, ..., :2], points3d=deep)
    moved = correction(prediction, ASKED)
    assert moved.points3d is not None
    assert torch.equal(moved.points3d[..., :2], moved.points)
    assert torch.equal(moved.points3d[..., 2], deep[..., 2])
    assert torch.equal(moved.points3d[0], deep[0])
    assert not torch.allclose(moved.points, deep[..., :2], atol=0.1)


def test_turning_displacements_follow_the_yaw() -> None:
    correction = CanonicalCorrection(conventions=CONVENTIONS, turning=True)
    face = mean_face("ibug68")
    correction.connect("ibug68", face)
    with torch.no_grad():
        correction.table[1, 1, :, 1] = 1.0  # down by the sine of yaw
    rows = torch.tensor([convention_index("300w")])
    for yaw in (-40.0, 0.0, 40.0):
        pose = torch.tensor([[yaw, 0.0, 0.0, 0.0, 0.0, 200.0]])
        points = project(face[None], pose, 4000.0, 64.0)
        moved = correction(Prediction(points), rows).points - points
        sine = torch.sin(torch.deg2rad(torch.tensor(yaw))).item()
        assert moved[0, :, 1].mean().item() == pytest.approx(20.0 * sine, abs=0.3)


def test_points_without_a_mean_face_are_refused() -> None:
    for scheme, text in ((None, "a method of queries"), ("dense520_published", "scheme 'dense520")):
        with pytest.raises(UserError, match=text):
            CanonicalCorrection(conventions=CONVENTIONS).connect(scheme, None)


@pytest.mark.parametrize("options", [{"limit": 0.0}, {"weight": -1.0}])
def test_options_that_mean_nothing_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(options))):
        QueryCorrection(conventions=CONVENTIONS, **options)
