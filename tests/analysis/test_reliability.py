"""Reliability of attention on made-up records whose answer is known, and end to end."""

from __future__ import annotations

import numpy as np
import pytest

from lit_landmarks.analysis.reliability import LandmarkRecords, measure_reliability

FACES, POINTS = 400, 6


def records(strength: float, seed: int = 0) -> LandmarkRecords:
    """Attention falls with what is hidden and with the error, by `strength`, besides noise.

    Landmarks differ in attention, error and visibility whatever the face: the last are attended to
    most, are wrong most and hidden most, which says nothing.
    """
    rng = np.random.default_rng(seed)
    own = np.arange(POINTS)
    visible = (rng.random((FACES, POINTS)) > own / 10).astype(float)
    error = own + rng.random((FACES, POINTS)) + (1 - visible)
    noise = rng.random((FACES, POINTS))
    attention = 10.0 * own + strength * (visible - error) + noise
    return LandmarkRecords(attention[None], visible, error)


def test_attention_that_knows() -> None:
    (step,) = measure_reliability(records(10.0))
    assert step.auroc == pytest.approx(1.0)
    assert step.error_correlation < -0.95
    assert step.landmarks == POINTS - 1  # the first is never hidden


def test_attention_that_does_not_know() -> None:
    (step,) = measure_reliability(records(0.0))
    assert step.auroc == pytest.approx(0.5, abs=0.05)
    assert step.error_correlation == pytest.approx(0.0, abs=0.1)


def test_attention_that_is_wrong() -> None:
    (step,) = measure_reliability(records(-10.0))
    assert step.auroc == pytest.approx(0.0)
    assert step.error_correlation > 0.95


def test_without_labels_of_visibility() -> None:
    given = records(10.0)
    unlabelled = LandmarkRecords(given.attention, np.full_like(given.visible, np.nan), given.error)
    (step,) = measure_reliability(unlabelled)
    assert np.isnan(step.auroc)
    assert step.landmarks == 0
    assert step.error_correlation < -0.95
