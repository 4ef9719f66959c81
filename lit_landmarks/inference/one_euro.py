"""The One-Euro filter: landmarks of a video that are steady at rest and do not lag in motion.

Casiez, Roussel and Vogel: 1 Euro filter: a simple speed-based low-pass filter for noisy input in
interactive systems. CHI 2012, algorithm 1 and equations 1 to 7.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

#: Cutoff frequency of the low-pass filter of the speed, as the paper fixes it.
SPEED_CUTOFF = 1.0
#: Cutoff frequency at rest in hertz, and by how much it grows for each face size a second.
MIN_CUTOFF, BETA = 2.0, 10.0


def smoothing_factor(cutoff: float | Numbers, seconds: float) -> Numbers:
    """Weight of the new value in a low-pass filter of first order (equations 3 and 4).

    Args:
        cutoff: frequency in hertz.
        seconds: since the value before.
    """
    tau = 1 / (2 * math.pi * np.asarray(cutoff, np.float64))
    return np.asarray(1 / (1 + tau / seconds))


class OneEuro:
    """Smooths points over time, each by its own speed.

    Args:
        min_cutoff: cutoff frequency of a point at rest, in hertz; less is steadier at rest.
        beta: growth of the cutoff, in hertz for a speed of one face size a second; more lags less.

    Example:
        >>> smooth = OneEuro(min_cutoff=1.0, beta=0.0)
        >>> _ = smooth(np.zeros((1, 2)), size=100.0, seconds=0.04)
        >>> smooth(np.ones((1, 2)), size=100.0, seconds=0.04).round(3).tolist()
        [[0.201, 0.201]]
    """

    def __init__(self, min_cutoff: float = MIN_CUTOFF, beta: float = BETA) -> None:
        self.min_cutoff, self.beta = min_cutoff, beta
        self.reset()

    def reset(self) -> None:
        """Forget all values: the next one is taken as it is."""
        self._last: Numbers | None = None
        self._speed: Numbers | None = None

    def __call__(self, values: NDArray[np.generic], size: float, seconds: float) -> Numbers:
        """The smoothed values of the next frame.

        Args:
            values: (N, D) points, x and y first; the further columns are smoothed as those are.
            size: of the face, in the same unit, in which its speed is measured.
            seconds: since the frame before, above 0.
        """
        new = np.asarray(values, np.float64)
        if self._last is None or self._speed is None or not np.isfinite(new).all():
            self._last, self._speed = new, np.zeros_like(new[:, :2])
            return new
        speed = (new[:, :2] - self._last[:, :2]) / seconds
        weight = smoothing_factor(SPEED_CUTOFF, seconds)
        self._speed = weight * speed + (1 - weight) * self._speed
        length = np.linalg.norm(self._speed, axis=1, keepdims=True) / size
        weight = smoothing_factor(self.min_cutoff + self.beta * length, seconds)
        self._last = weight * new + (1 - weight) * self._last
        return self._last
