"""Boxes of detectors and of landmarks: overlap, mapping and scatter on boxes made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lit_landmarks.geometry.boxes import BoxMapping, box_overlap


def test_overlap_of_boxes() -> None:
    boxes = [[0, 0, 4, 4], [2, 0, 6, 4], [4, 0, 8, 4], [1, 1, 3, 3]]
    np.testing.assert_allclose(box_overlap(boxes, [0, 0, 4, 4]), [1, 8 / 24, 0, 4 / 16])
    assert box_overlap(np.array(boxes)[:, None], boxes).shape == (4, 4)


def test_a_mapping_is_recovered_from_the_boxes_that_it_made() -> None:
    rng = np.random.default_rng(0)
    center, side = rng.uniform(50, 400, (40, 2)), rng.uniform(20, 200, 40)
    # Twice as high as wide: the side is the root of the area.
    half = side[:, None] * np.sqrt([0.5, 2.0]) / 2
    detected = np.concatenate([center - half, center + half], 1)
    truth = BoxMapping(x=-0.03, y=0.17, scale=0.9)
    mapped = truth(detected)
    np.testing.assert_allclose((mapped[:, 2:] - mapped[:, :2]), np.stack([side * 0.9] * 2, 1))
    np.testing.assert_allclose(
        (mapped[:, :2] + mapped[:, 2:]) / 2, center + side[:, None] * [-0.03, 0.17]
    )
    mapping, scatter = BoxMapping.fit(detected, mapped)
    assert (mapping.x, mapping.y, mapping.scale) == pytest.approx((-0.03, 0.17, 0.9))
    assert (scatter.x, scatter.y, scatter.log_size) == pytest.approx((0, 0, 0), abs=1e-12)


def test_scatter_is_in_sides_of_the_landmark_box() -> None:
    detected = np.array([[0, 0, 10, 10]] * 4, np.float64)
    # Sides 20 and 5: the geometric mean is 10, the standard deviation of the logarithm log 2.
    sides = np.array([20.0, 20.0, 5.0, 5.0])
    centers = np.array([[7, 5], [3, 5], [5, 6], [5, 4]], np.float64)
    landmarks = np.concatenate([centers - sides[:, None] / 2, centers + sides[:, None] / 2], 1)
    mapping, scatter = BoxMapping.fit(detected, landmarks)
    assert (mapping.x, mapping.y, mapping.scale) == pytest.approx((0, 0, 1))
    assert scatter.log_size == pytest.approx(np.log(2))
    # Shifts of 2 in sides of 20, of 1 in sides of 5; the other two of each axis are 0.
    assert scatter.x == pytest.approx(np.sqrt(2 * 0.1**2 / 4))
    assert scatter.y == pytest.approx(np.sqrt(2 * 0.2**2 / 4))
