"""Small video files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def write_video(path: Path, frames: Iterable[NDArray[np.uint8]], rate: float = 25.0) -> Path:
    """Write RGB frames (H, W, 3) of one size as an MP4."""
    writer: cv2.VideoWriter | None = None
    for frame in frames:
        if writer is None:
            code = cv2.VideoWriter.fourcc(*"mp4v")
            writer = cv2.VideoWriter(str(path), code, rate, frame.shape[1::-1])
            assert writer.isOpened()
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    assert writer is not None
    writer.release()
    return path


def moving_squares(count: int, size: tuple[int, int] = (96, 128)) -> Iterable[NDArray[np.uint8]]:
    """`count` frames of (H, W, 3) with a red square that moves by 2 pixels a frame."""
    rng = np.random.default_rng(0)
    ground = rng.integers(60, 120, (*size, 3)).astype(np.uint8)
    for k in range(count):
        frame = ground.copy()
        frame[20:40, 10 + 2 * k : 30 + 2 * k] = (220, 30, 30)
        yield frame
