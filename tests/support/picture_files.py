"""Picture files of every format that is read, and ways to damage them."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def photograph(seed: int, height: int = 160, width: int = 208) -> Pixels:
    """Noise with the falling spectrum of photographs, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cell in (2, 4, 8, 16, 32):
        layer = rng.normal(size=(height // cell, width // cell, 3)).astype(np.float32)
        total += cell * cv2.resize(layer, (width, height), interpolation=cv2.INTER_CUBIC)
    total = (total - total.min()) / np.ptp(total) * 255
    return total.astype(np.uint8)


def by_pillow(pixels: NDArray[np.generic], kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def by_opencv(pixels: NDArray[np.generic], suffix: str, *options: int) -> bytes:
    order = pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    done, data = cv2.imencode(suffix, np.ascontiguousarray(order), options)
    assert done
    return data.tobytes()


Encode = Callable[[Pixels], bytes]

#: Every kind of file that is read, by name.
ENCODERS: dict[str, Encode] = {
    "jpeg": lambda p: by_opencv(p, ".jpg"),
    "jpeg_restarts": lambda p: by_opencv(p, ".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 7),
    "jpeg_optimized": lambda p: by_opencv(p, ".jpg", cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    "jpeg_progressive": lambda p: by_opencv(p, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "png": lambda p: by_opencv(p, ".png"),
    "webp": lambda p: by_pillow(p, "WEBP", quality=90),
    "webp_lossless": lambda p: by_pillow(p, "WEBP", lossless=True),
    "bmp": lambda p: by_opencv(p, ".bmp"),
    "ppm": lambda p: by_opencv(p, ".ppm"),
    "tiff": lambda p: by_pillow(p, "TIFF"),
    "tiff_lzw": lambda p: by_pillow(p, "TIFF", compression="tiff_lzw"),
    "tiff_deflate": lambda p: by_pillow(p, "TIFF", compression="tiff_adobe_deflate"),
    "tiff_packbits": lambda p: by_pillow(p, "TIFF", compression="packbits"),
    "tiff_jpeg": lambda p: by_pillow(p, "TIFF", compression="jpeg"),
    "tiff_opencv": lambda p: by_opencv(p, ".tiff"),
}


def _noise(rng: np.random.Generator) -> bytes:
    return rng.integers(0, 256, 400, np.uint8).tobytes()


#: Damage at a place in the data of a picture.
DAMAGES: dict[str, Callable[[bytes, int, np.random.Generator], bytes]] = {
    "end cut": lambda d, at, _: d[:at],
    "400 bytes cut": lambda d, at, _: d[:at] + d[at + 400 :],
    "400 bytes inserted": lambda d, at, rng: d[:at] + _noise(rng) + d[at:],
    "400 bytes overwritten": lambda d, at, rng: d[:at] + _noise(rng) + d[at + 400 :],
    "400 bytes zeroed": lambda d, at, _: d[:at] + bytes(400) + d[at + 400 :],
    "one byte cut": lambda d, at, _: d[:at] + d[at + 1 :],
    "one bit flipped": lambda d, at, rng: (
        d[:at] + bytes([d[at] ^ (1 << int(rng.integers(8)))]) + d[at + 1 :]
    ),
}


def damage(data: bytes, how: str, seed: int) -> bytes:
    """The file with one damage at a random place behind its headers."""
    rng = np.random.default_rng(seed)
    start = data.find(b"\xff\xda") + 14 if data.startswith(b"\xff\xd8") else 64
    return DAMAGES[how](data, int(rng.integers(start, len(data) - 420)), rng)
