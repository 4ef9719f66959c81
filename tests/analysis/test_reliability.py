"""Reliability of attention on made-up records whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from lit_landmarks.analysis.reliability import LandmarkRecords, measure_reliability

FACES, POINTS = 600, 6


def records(strength: float, seed: int = 0) -> LandmarkRecords:
    """Attention falls with what is occluded and with the error, by `strength`, besides noise.

    Landmarks differ in attention, error and visibility whatever the face: the last are attended to
    most, are wrong most and hidden most, which says nothing. Turned away landmarks get as much.
    """
    rng = np.random.default_rng(seed)
    own = np.arange(POINTS)
    draw = rng.random((FACES, POINTS))
    visible = np.where(draw < own / 15, 0, np.where(draw < own / 8, 2, 1))
    error = own + rng.random((FACES, POINTS)) + (visible == 0)
    noise = rng.random((FACES, POINTS))
    attention = 10.0 * own - strength * ((visible == 0) + error) + noise
    return LandmarkRecords(attention[None], visible, error)


def test_attention_that_knows() -> None:
    (step,) = measure_reliability(records(10.0))
    assert step.auroc_occluded == pytest.approx(1.0)
    assert step.auroc_turned == pytest.approx(0.5, abs=0.05)
    assert step.received_occluded == pytest.approx(-20.0, abs=0.5)
    assert step.error_correlation < -0.9


def test_attention_that_does_not_know() -> None:
    (step,) = measure_reliability(records(0.0))
    assert step.auroc_occluded == pytest.approx(0.5, abs=0.05)
    assert step.received_occluded == pytest.approx(0.0, abs=0.05)
    assert step.error_correlation == pytest.approx(0.0, abs=0.1)


def test_attention_that_is_wrong() -> None:
    (step,) = measure_reliability(records(-10.0))
    assert step.auroc_occluded == pytest.approx(0.0)
    assert step.error_correlation > 0.9


def test_without_labels_of_visibility() -> None:
    given = records(10.0)
    unlabelled = LandmarkRecords(given.attention, np.full_like(given.visible, -1), given.error)
    (step,) = measure_reliability(unlabelled)
    assert np.isnan(step.auroc_occluded)
    assert step.error_correlation < -0.9


def test_a_landmark_that_is_always_right_has_no_correlation() -> None:
    given = records(10.0)
    error = given.error.copy()
    error[:, 2] = 0.0
    (step,) = measure_reliability(LandmarkRecords(given.attention, given.visible, error))
    assert step.error_correlation < -0.9
