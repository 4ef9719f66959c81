"""Camera faults of a picture: motion blur, low resolution, sensor noise, JPEG.

A change that alters a picture must raise `ict.renderer.ICT_VERSION`.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from lit_landmarks.rendering.ict.looks import IctLook

#: One standard deviation of the noise that is kept, in 8-bit levels.
_GRAIN = 32.0


def apply_camera(pictures: NDArray[np.uint8], look: IctLook) -> NDArray[np.uint8]:
    """(B, S, S, 3) uint8 RGB, as a camera and a file keep them; points stay where they are.

    Motion blur is symmetric about each point, and a picture is enlarged about pixel centres.
    """
    out = np.empty_like(pictures)
    motion = look.motion.cpu().numpy()
    quality, shrink = look.jpeg.cpu().tolist(), look.shrink.cpu().tolist()
    noise, starts = look.noise.cpu().tolist(), look.noise_key[:, 0].cpu().tolist()
    size = pictures.shape[1]
    for k, picture in enumerate(pictures):
        image: NDArray[np.uint8] = picture
        if np.hypot(*motion[k]) > 0.7:
            image = np.asarray(
                cv2.filter2D(image, -1, _motion_kernel(motion[k] * size / 256.0)), np.uint8
            )
        if shrink[k] < 0.99:
            small = max(16, round(size * shrink[k]))
            low = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
            image = np.asarray(
                cv2.resize(low, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8
            )
        if noise[k] > 0.002:
            first = int(starts[k]) % (1 << 16)
            grain = _noise_table(size)[first : first + image.size].reshape(image.shape)
            weight = noise[k] * 255.0 / _GRAIN
            added = cv2.addWeighted(image, 1.0, grain, weight, -128.0 * weight)
            image = np.asarray(added, np.uint8)
        if quality[k] >= 1:
            image = _compress_jpeg(image, int(quality[k]))
        out[k] = image
    return out


@cache
def _noise_table(size: int) -> NDArray[np.uint8]:
    """Gaussian noise about 128, of which a picture reads a window."""
    values = np.random.default_rng(1).standard_normal((1 << 16) + 3 * size * size)
    return np.rint(values * _GRAIN + 128).clip(0, 255).astype(np.uint8)


def _compress_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    again = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert again is not None  # our own JPEG
    return np.asarray(cv2.cvtColor(again, cv2.COLOR_BGR2RGB), np.uint8)


def _motion_kernel(way: NDArray[np.float64]) -> NDArray[np.float32]:
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
