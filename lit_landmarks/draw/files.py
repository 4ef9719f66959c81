"""Writing pictures: a reader never sees half a file, and the same picture gives the same bytes."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lit_landmarks.errors import UserError

Image = NDArray[np.uint8]


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, then rename it into place.

    Folders are made. After an error nothing of it is left.

    Raises:
        UserError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot write {path}: {reason}; choose another folder") from error
    finally:
        with contextlib.suppress(OSError):  # gone after success; there may be no folder at all
            temporary.unlink()


def save_png(image: Image, path: Path | str) -> Path:
    """Write an RGB (H, W, 3) or grey (H, W) uint8 image as PNG, atomically.

    Raises:
        UserError: the file cannot be written.
    """
    ordered = image[..., ::-1] if image.ndim == 3 else image  # OpenCV counts blue first
    done, data = cv2.imencode(".png", np.ascontiguousarray(ordered))
    if not done:
        raise UserError(f"cannot encode an image of shape {image.shape} as PNG")
    target = Path(path)
    write_atomic(target, data.tobytes())
    return target
