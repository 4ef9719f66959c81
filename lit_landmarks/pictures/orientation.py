"""The orientation tag of a picture file, and turning pixels by it.

Source: Exif 2.32 (CIPA DC-008), tag 274; PNG Extensions 1.5.0 (`eXIf`); WebP Container (`EXIF`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.pictures.containers import JPEG, PNG, jpeg_segments, png_chunks, webp_chunks
from lit_landmarks.pictures.tiff import ORIENTATION, read_directory

Grid = Literal["stored", "shown"]
GRIDS: tuple[Grid, ...] = ("stored", "shown")

_APP1 = 0xE1
_EXIF = b"Exif\0\0"


def orientation_tag(data: bytes) -> int:
    """The orientation tag of a picture file, 1 to 8.

    Args:
        data: the file.

    Returns:
        1 also where there is no tag, or one that means nothing.
    """
    if data[:2] in (b"II", b"MM"):
        blocks = [data]
    elif data.startswith(JPEG):
        segments = (body for marker, _, body in jpeg_segments(data) if marker == _APP1)
        blocks = [body[len(_EXIF) :] for body in segments if body.startswith(_EXIF)]
    elif data.startswith(PNG):
        blocks = [chunk.body for chunk in png_chunks(data) if chunk.kind == b"eXIf"]
    elif data[:4] == b"RIFF":
        blocks = [body.removeprefix(_EXIF) for kind, body in webp_chunks(data) if kind == b"EXIF"]
    else:
        blocks = []
    directory = read_directory(blocks[0]) if blocks else None
    tag = directory.value(ORIENTATION, 1) if directory else 1
    return tag if 1 <= tag <= 8 else 1


def turn(image: NDArray[np.uint8], tag: int) -> NDArray[np.uint8]:
    """A stored picture (H, W, 3) as a viewer shows it.

    Args:
        image: the stored pixels.
        tag: orientation, 1 to 8; 5 to 8 exchange height and width.
    """
    if tag in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if tag in (3, 4, 7, 8):
        image = image[::-1]
    if tag in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
