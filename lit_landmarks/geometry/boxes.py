"""Face boxes x0 y0 x1 y1: overlap, and from the box of a detector to the box of the landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def box_overlap(a: Any, b: Any) -> Numbers:
    """Intersection over union of boxes (..., 4) and (..., 4), whose leading axes broadcast.

    Example:
        >>> float(box_overlap([0, 0, 2, 2], [1, 0, 3, 2]).round(4))
        0.3333
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = sides.clip(0).prod(-1)
    areas = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    return np.asarray(shared / (areas - shared))


@dataclass(frozen=True)
class BoxScatter:
    """How far mapped boxes still lie from those of the landmarks.

    Attributes:
        x, y: standard deviations of the center, in sides of the landmark box.
        log_size: standard deviation of the natural logarithm of the side.
    """

    x: float
    y: float
    log_size: float


@dataclass(frozen=True)
class BoxMapping:
    """From a detector's box of a face to the square about its landmarks, as crops are cut by.

    Detectors box faces in ways of their own, many from the forehead on; methods are trained with
    crops about the landmarks. The side of a detector's box is the root of its area, the side of a
    landmark box the longer one.

    Attributes:
        x, y: from the center of the detector's box to that of the landmarks, in its sides.
        scale: side of the landmark box in sides of the detector's.

    Example:
        >>> BoxMapping(y=0.1, scale=0.5)([[0, 0, 10, 10]]).tolist()
        [[2.5, 3.5, 7.5, 8.5]]
    """

    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0

    def __call__(self, boxes: Any) -> Numbers:
        """Squares (F, 4) about the landmarks for a detector's boxes (F, 4)."""
        center, side = _center_side(boxes)
        center = center + side[:, None] * np.array([self.x, self.y])
        half = side[:, None] * self.scale / 2
        return np.concatenate([center - half, center + half], 1)

    @classmethod
    def fit(cls, detected: Any, landmarks: Any) -> tuple[BoxMapping, BoxScatter]:
        """The mapping between boxes of the same faces, and what it leaves.

        Args:
            detected: (n, 4) boxes of a detector.
            landmarks: (n, 4) tight boxes of the landmarks.

        Returns:
            Mean shift and geometric mean of the scale, and the scatter about them.
        """
        center, side = _center_side(detected)
        corners = np.asarray(landmarks, np.float64).reshape(-1, 4)
        own, longer = (
            (corners[:, :2] + corners[:, 2:]) / 2,
            (corners[:, 2:] - corners[:, :2]).max(1),
        )
        shift = (own - center) / side[:, None]
        ratio = np.log(longer / side)
        x, y = shift.mean(0).tolist()
        mapping = cls(x, y, float(np.exp(ratio.mean())))
        left = (own - center - side[:, None] * np.array([x, y])) / longer[:, None]
        across, down = left.std(0).tolist()
        return mapping, BoxScatter(across, down, float(ratio.std()))


def _center_side(boxes: Any) -> tuple[Numbers, Numbers]:
    """Centers (n, 2) and roots of the areas (n,) of boxes (n, 4)."""
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    low, high = corners[:, :2], corners[:, 2:]
    return (low + high) / 2, np.sqrt((high - low).prod(1))
