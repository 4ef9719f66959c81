"""Pictures and label files of data sets that a test writes itself."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Picture = NDArray[np.uint8]


def smooth_noise(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Random colors, one for every 8 x 8 pixels, interpolated; (height, width, 3)."""
    cells = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.asarray(cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def write_image(path: Path, image: Picture | int, size: tuple[int, int] = (64, 64)) -> Path:
    """Write a picture in the format that the suffix names.

    Args:
        path: file; its folder is made if it is missing.
        image: (H, W, 3) BGR, or the one gray value of a picture of `size`.
        size: height and width where `image` is a gray value.

    Returns:
        The path.
    """
    pixels = np.full((*size, 3), image, np.uint8) if isinstance(image, int) else image
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels), path
    return path


def write_pts(path: Path, points: ArrayLike) -> Path:
    """Write (N, 2) points, pixel centers at integers, as an iBUG file, which counts from 1."""
    places = np.asarray(points, np.float64)
    rows = "\n".join(f"{x + 1:.3f} {y + 1:.3f}" for x, y in places)
    path.write_text(f"version: 1\nn_points: {len(places)}\n{{\n{rows}\n}}\n", encoding="ascii")
    return path
