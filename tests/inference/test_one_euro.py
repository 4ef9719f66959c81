"""The One-Euro filter beside its equations worked by hand, and on signals with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lit_landmarks.inference.one_euro import OneEuro, smoothing_factor


def _by_hand(
    signal: list[float], cutoff: float, beta: float, size: float, te: float
) -> list[float]:
    """Algorithm 1 of the paper for one coordinate, written out again."""
    filtered, speed, answers = 0.0, 0.0, []
    for k, x in enumerate(signal):
        if k == 0:
            filtered = x
        else:
            slope = (x - filtered) / te
            weight = 1 / (1 + 1 / (2 * math.pi * 1.0 * te))
            speed = weight * slope + (1 - weight) * speed
            frequency = cutoff + beta * abs(speed) / size
            weight = 1 / (1 + 1 / (2 * math.pi * frequency * te))
            filtered = weight * x + (1 - weight) * filtered
        answers.append(filtered)
    return answers


def test_weights_of_the_low_pass_filter() -> None:
    # tau = 1 / (2 pi 5) = 0.031831 s; 1 / (1 + tau / 0.04) = 0.556863
    assert float(smoothing_factor(5.0, 0.04)) == pytest.approx(0.556863, abs=1e-6)


def test_a_signal_is_filtered_as_the_paper_says() -> None:
    signal = [10.0, 10.4, 9.8, 14.0, 22.0, 22.3, 21.9, 22.0]
    for cutoff, beta, size in ((1.0, 0.0, 50.0), (2.0, 10.0, 50.0), (0.5, 3.0, 400.0)):
        smooth = OneEuro(cutoff, beta)
        answers = [smooth(np.array([[x, 7.0]]), size, 0.04)[0] for x in signal]
        expected = _by_hand(signal, cutoff, beta, size, 0.04)
        np.testing.assert_allclose(np.array(answers)[:, 0], expected, rtol=1e-12)
        np.testing.assert_allclose(np.array(answers)[:, 1], 7.0)


def test_noise_at_rest_falls_and_motion_does_not_lag() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.5, (4000, 20, 2))
    still = OneEuro(1.0, 0.0)
    rest = np.stack([still(frame, 200.0, 0.04) for frame in noise])[200:]
    # A filter of first order with weight a leaves a / (2 - a) of the variance of white noise.
    weight = float(smoothing_factor(1.0, 0.04))
    assert rest.var() == pytest.approx(0.25 * weight / (2 - weight), rel=0.05)
    # Even motion: without beta the lag is tau * speed (in the limit of short frames).
    ramp = np.arange(300)[:, None, None] * np.ones((1, 1, 2)) * 4.0
    lag = {}
    for beta in (0.0, 10.0):
        smooth = OneEuro(1.0, beta)
        lag[beta] = float(ramp[-1, 0, 0] - [smooth(x, 200.0, 0.04) for x in ramp][-1][0, 0])
    assert lag[0.0] == pytest.approx(4.0 * (1 - weight) / weight, rel=1e-3)
    assert lag[10.0] < lag[0.0] / 4


def test_speed_is_in_face_sizes() -> None:
    rng = np.random.default_rng(1)
    track = np.cumsum(rng.normal(0, 1, (30, 5, 2)), 0)
    small, large = OneEuro(), OneEuro()
    for frame in track:
        near = large(frame * 8, 800.0, 0.04)
        np.testing.assert_allclose(near, 8 * small(frame, 100.0, 0.04))


def test_depth_follows_the_plane_and_broken_values_begin_anew() -> None:
    smooth = OneEuro()
    smooth(np.zeros((2, 3)), 100.0, 0.04)
    solid = smooth(np.array([[5.0, 0.0, 1.0], [5.0, 0.0, 1.0]]), 100.0, 0.04)
    np.testing.assert_allclose(solid[:, 0] / 5, solid[:, 2])
    assert np.isnan(smooth(np.full((2, 3), np.nan), 100.0, 0.04)).all()
    smooth.reset()
    np.testing.assert_array_equal(smooth(np.full((2, 3), 3.0), 100.0, 0.04), 3.0)
