"""Overlays land on the right pixels, in the right colors, and change nothing they are given."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.draw import FaceAnnotator, to_image
from lit_landmarks.draw.overlay import AXES, AXIS_LENGTH, PREDICTED, RESIDUAL, TRUTH
from lit_landmarks.schemes import get_scheme

ANNOTATOR = FaceAnnotator()
BLACK = np.zeros((128, 128, 3), np.uint8)


def center(picture: np.ndarray, color: tuple[int, int, int]) -> tuple[float, float]:
    """Mean place (x, y) of the pixels in a color's hue, weighted by brightness."""
    unit = np.array(color) / np.linalg.norm(color)
    along = picture.astype(float) @ unit
    across = np.linalg.norm(picture - along[..., None] * unit, axis=-1)
    weight = np.where((across < 0.1 * along) & (along > 30), along, 0)
    assert weight.sum() > 0, "nothing in this color"
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return float((x * weight).sum() / weight.sum()), float((y * weight).sum() / weight.sum())


@given(st.floats(10, 117), st.floats(10, 117), st.integers(1, 4))
def test_a_point_is_drawn_where_it_is(x: float, y: float, zoom: int) -> None:
    truth, guess = [[x, y]], [[127 - x, 127 - y]]
    picture = FaceAnnotator(zoom=zoom).annotate(BLACK, truth)
    assert picture.shape == (128 * zoom, 128 * zoom, 3)
    for place, color, drawn in (
        (truth[0], TRUTH, picture),
        (guess[0], PREDICTED, FaceAnnotator(zoom=zoom).annotate(BLACK, predicted=guess)),
    ):
        drawn_at = center(drawn, color)
        # pixel centres at integers: (p + 0.5) zoom - 0.5 in the enlarged picture
        wanted = [(v + 0.5) * zoom - 0.5 for v in place]
        assert drawn_at == pytest.approx(wanted, abs=0.35)


def test_missing_points_and_their_lines_are_not_drawn() -> None:
    annotator = FaceAnnotator(get_scheme("ibug68"), residuals=True)
    points = np.random.default_rng(0).uniform(20, 100, (68, 2))
    assert annotator.annotate(BLACK, points, mask=np.zeros(68, bool)).max() == 0
    points[:] = math.nan
    points[5] = (1e12, 3)
    assert annotator.annotate(BLACK, points, predicted=points).max() == 0
    pair = np.full((68, 2), np.nan)
    pair[0], pair[1], pair[3] = (20, 20), (20, 60), (90, 90)  # 0 and 1 are joined, 1 and 3 are not
    picture = annotator.annotate(BLACK, pair)
    assert picture[40, 20].max() > 50
    assert picture[75, 55].max() == 0


def test_residuals_join_predicted_and_true_points() -> None:
    truth, guess = [[20.0, 64.0]], [[108.0, 64.0]]
    plain = ANNOTATOR.annotate(BLACK, truth, predicted=guess)
    joined = FaceAnnotator(residuals=True).annotate(BLACK, truth, predicted=guess)
    assert plain[64, 64].max() == 0
    assert center(joined, RESIDUAL) == pytest.approx((64, 64), abs=1.0)


def test_inputs_are_not_changed_and_kinds_agree() -> None:
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    points = torch.tensor([[10.0, 20.0], [30.0, 40.0]])
    copy = image.copy()
    drawn = ANNOTATOR.annotate(image, points, mask=torch.tensor([True, True]))
    np.testing.assert_array_equal(image, copy)
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    np.testing.assert_array_equal(ANNOTATOR.annotate(tensor, points.numpy()), drawn)
    np.testing.assert_array_equal(ANNOTATOR.annotate(tensor / 255, points.tolist()), drawn)
    np.testing.assert_array_equal(ANNOTATOR.annotate(image, points), drawn)  # the same twice
    grey = to_image(torch.full((1, 4, 5), 2.0))  # out of range is cut
    assert grey.shape == (4, 5, 3)
    assert grey.min() == 255


@pytest.mark.parametrize("bad", [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros(3)])
def test_what_is_no_image_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="an image is"):
        ANNOTATOR.annotate(bad)


def test_head_axes_by_hand() -> None:
    # frontal, 4.5 head units away, in the camera f = 192, c = 63.5: x points right, y down
    picture = ANNOTATOR.annotate(BLACK, pose=[0, 0, 0, 0, 0, 4.5])
    reach = 192 * AXIS_LENGTH / 4.5
    assert center(picture, AXES[0]) == pytest.approx((63.5 + reach / 2, 63.5), abs=1.0)
    assert center(picture, AXES[1]) == pytest.approx((63.5, 63.5 + reach / 2), abs=1.0)
    # turned to the image's right the nose points right: 90 degrees of yaw put it on the x axis
    turned = ANNOTATOR.annotate(BLACK, pose=torch.tensor([90.0, 0, 0, 0, 0, 4.5]))
    assert center(turned, AXES[2]) == pytest.approx((63.5 + reach / 2, 63.5), abs=1.0)


def test_head_axes_without_a_translation_stand_on_the_points() -> None:
    points = np.array([[30.0, 40.0], [50.0, 60.0]])
    angles = [90.0, 0.0, 0.0]
    for pose in (angles, [*angles, math.nan, math.nan, math.nan], [*angles, 0, 0, -3]):
        x, y = center(ANNOTATOR.annotate(BLACK, points, pose=pose), AXES[2])
        assert x > 41
        assert y == pytest.approx(50, abs=1.5)
    assert ANNOTATOR.annotate(BLACK, pose=[math.nan] * 6).max() == 0


def test_occluded_points_look_different() -> None:
    points = [[30.0, 30.0], [90.0, 90.0]]
    picture = FaceAnnotator(zoom=4).annotate(BLACK, points, visible=[1, 0])
    assert center(picture, TRUTH) == pytest.approx((121.5, 121.5), abs=0.5)
    hidden = picture[355:370, 355:370].astype(int)
    assert hidden.max() > 180
    assert np.ptp(hidden, axis=-1).max() < 30  # grey to white, not green


def _drawn_width(picture: np.ndarray) -> int:
    """Pixels that one dot covers from left to right."""
    return int((picture.max(axis=(0, 2)) > 60).sum())


@pytest.mark.parametrize("side", [60.0, 400.0])
@pytest.mark.parametrize("count", [5, 68, 300])
def test_dots_follow_the_face_and_not_the_photo(side: float, count: int) -> None:
    rng = np.random.default_rng(1)
    points = 20 + side * rng.uniform(0, 1, (count, 2))
    points[:2] = (20, 20), (20 + side, 20 + side)
    visible = np.full((count, 2), math.nan)
    visible[:2] = points[:2]
    pictures = [
        FaceAnnotator().annotate(np.zeros((n, n, 3), np.uint8), points) for n in (480, 1400)
    ]
    assert (pictures[0] == pictures[1][:480, :480]).all(), "the photo does not matter"
    dot = pictures[0][20 - 19 : 20 + 20, 20 - 19 : 20]  # its left half, nothing lies further left
    assert _drawn_width(dot) <= max(2.5, 0.035 * side)


def test_dots_of_a_larger_face_are_larger() -> None:
    canvas = np.zeros((1000, 1000, 3), np.uint8)
    areas = []
    for side in (300, 600, 900):
        face = 40 + side * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        drawn = FaceAnnotator().annotate(canvas, face).max(axis=-1) > 100
        areas.append(drawn.sum() / side**2)
    assert areas == pytest.approx([areas[0]] * 3, rel=0.25)


def test_a_mesh_shows_the_sides_that_face_the_camera() -> None:
    points = np.array([[20.0, 20], [100, 20], [100, 100], [20, 100]])
    clockwise = np.array([[0, 1, 2], [0, 2, 3]])
    picture = FaceAnnotator(triangles=clockwise).annotate(BLACK, predicted=points)
    assert picture[60, 60].sum() > 200  # the diagonal
    assert picture[20, 60].sum() > 200
    assert picture[40, 80].sum() == 0
    turned = FaceAnnotator(triangles=clockwise[:, ::-1]).annotate(BLACK, predicted=points)
    assert turned[60, 60].sum() == turned[20, 60].sum() == 0
    half = FaceAnnotator(triangles=np.array([[0, 1, 2], [0, 3, 2]])).annotate(BLACK, points)
    assert half[20, 60].sum() > 200
    assert half[100, 60].sum() == 0
    missing = points.copy()
    missing[1] = np.nan
    holed = FaceAnnotator(triangles=clockwise).annotate(BLACK, predicted=missing)
    assert holed[20, 60].sum() == 0 < holed[100, 60].sum()
