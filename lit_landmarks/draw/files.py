"""Writing pictures: a reader never sees half a file, and the same picture gives the same bytes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic

Image = NDArray[np.uint8]


def png_bytes(image: Image) -> bytes:
    """An RGB (H, W, 3) or grey (H, W) uint8 image as the content of a PNG file.

    Raises:
        UserError: no image of this shape can be encoded.
    """
    ordered = image[..., ::-1] if image.ndim == 3 else image  # OpenCV counts blue first
    done, data = cv2.imencode(".png", np.ascontiguousarray(ordered))
    if not done:
        raise UserError(f"cannot encode an image of shape {image.shape} as PNG")
    return bytes(data.tobytes())


def save_jpeg(image: Image, path: Path | str, quality: int = 85) -> Path:
    """Write an RGB uint8 image (H, W, 3) as JPEG, atomically.

    Raises:
        UserError: it cannot be encoded, or the file cannot be written.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), options)
    if not done:
        raise UserError(f"cannot encode an image of shape {image.shape} as JPEG")
    write_atomic(Path(path), bytes(data.tobytes()))
    return Path(path)


def save_png(image: Image, path: Path | str) -> Path:
    """Write an RGB (H, W, 3) or grey (H, W) uint8 image as PNG, atomically.

    Raises:
        UserError: the file cannot be written.
    """
    target = Path(path)
    write_atomic(target, png_bytes(image))
    return target
