"""What a real camera does to a picture: motion blur, low resolution, JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lit_landmarks.heads.ict.looks import IctLook


def photograph(pictures: NDArray[np.uint8], look: IctLook) -> NDArray[np.uint8]:
    """(B, S, S, 3) uint8 RGB, as a camera and a file keep them; points stay where they are.

    Motion blur is symmetric about each point, and a picture is enlarged about pixel centres.
    """
    out = np.empty_like(pictures)
    motion = look.motion.cpu().numpy()
    quality, shrink = look.jpeg.cpu().tolist(), look.shrink.cpu().tolist()
    size = pictures.shape[1]
    for k, picture in enumerate(pictures):
        image: NDArray[np.uint8] = picture
        if np.hypot(*motion[k]) > 0.7:
            image = np.asarray(cv2.filter2D(image, -1, _streak(motion[k] * size / 256.0)), np.uint8)
        if shrink[k] < 0.99:
            small = max(16, round(size * shrink[k]))
            low = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
            image = np.asarray(
                cv2.resize(low, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8
            )
        if quality[k] >= 1:
            image = _as_jpeg(image, int(quality[k]))
        out[k] = image
    return out


def _as_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    again = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert again is not None  # our own JPEG
    return np.asarray(cv2.cvtColor(again, cv2.COLOR_BGR2RGB), np.uint8)


def _streak(way: NDArray[np.float64]) -> NDArray[np.float32]:
    """A line of unit sum through the middle of a small kernel."""
    reach = int(np.ceil(np.abs(way).max() / 2)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for s in np.linspace(-0.5, 0.5, 8 * reach + 1):
        x, y = (float(v) for v in reach + s * way)
        i, j = int(np.floor(x)), int(np.floor(y))
        for dj, wj in ((0, 1 - (y - j)), (1, y - j)):
            for di, wi in ((0, 1 - (x - i)), (1, x - i)):
                kernel[min(j + dj, 2 * reach), min(i + di, 2 * reach)] += wi * wj
    return np.asarray(kernel / kernel.sum(), np.float32)
