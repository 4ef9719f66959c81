"""Writing pictures: a reader never sees half a file, and the same picture gives the same bytes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic

Image = NDArray[np.uint8]


def encode_image(image: Image, suffix: str, quality: int = 95) -> bytes:
    """An image as the content of a picture file.

    Args:
        image: (H, W, 3) RGB or (H, W) grey, uint8.
        suffix: of the file: .png, .jpg or .jpeg.
        quality: of a JPEG, 1 to 100.

    Raises:
        UserError: another suffix, or no image of this shape can be encoded.
    """
    kind = suffix.lower()
    if kind not in (".png", ".jpg", ".jpeg"):
        raise UserError(f"cannot write a {suffix or 'nameless'} image; use png or jpg")
    ordered = image[..., ::-1] if image.ndim == 3 else image  # OpenCV counts blue first
    options = [] if kind == ".png" else [cv2.IMWRITE_JPEG_QUALITY, quality]
    try:
        done, data = cv2.imencode(kind, np.ascontiguousarray(ordered), options)
    except cv2.error:
        done = False
    if not done:
        raise UserError(f"cannot encode an image of shape {image.shape} as {kind}; give (H, W, 3)")
    return bytes(data.tobytes())


def png_bytes(image: Image) -> bytes:
    """An RGB (H, W, 3) or grey (H, W) uint8 image as the content of a PNG file.

    Raises:
        UserError: no image of this shape can be encoded.
    """
    return encode_image(image, ".png")


def save_jpeg(image: Image, path: Path | str, quality: int = 85) -> Path:
    """Write an RGB (H, W, 3) or grey (H, W) uint8 image as JPEG, atomically.

    Raises:
        UserError: it cannot be encoded, or the file cannot be written.
    """
    target = Path(path)
    write_atomic(target, encode_image(image, ".jpg", quality))
    return target


def save_png(image: Image, path: Path | str) -> Path:
    """Write an RGB (H, W, 3) or grey (H, W) uint8 image as PNG, atomically.

    Raises:
        UserError: it cannot be encoded, or the file cannot be written.
    """
    target = Path(path)
    write_atomic(target, png_bytes(image))
    return target
