"""The orientation tag of a picture file, and turning pixels by it.

Source: Exif 2.32 (CIPA DC-008), tag 274; PNG Extensions 1.5.0 (`eXIf`); WebP Container (`EXIF`);
the text "Raw profile type exif" in which ImageMagick and others keep the block of a PNG.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.pictures.containers import JPEG, PNG, jpeg_segments, png_chunks, webp_chunks
from lit_landmarks.pictures.tiff import ORIENTATION, read_directory

Grid = Literal["stored", "shown"]
GRIDS: tuple[Grid, ...] = ("stored", "shown")

_APP1 = 0xE1
_EXIF = b"Exif\0\0"
#: PNG texts whose keyword is followed by "\n<name>\n<length>\n<hexadecimal digits>".
_PROFILES = (b"Raw profile type exif", b"Raw profile type APP1")
_HEXADECIMAL = re.compile(rb"\n[^\n]*\n\s*\d+\n([0-9a-fA-F\s]*)")
#: A longer profile is none of EXIF, which has at most 64 KiB.
_LONGEST_PROFILE = 1 << 18


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
        blocks = list(_png_blocks(data))
    elif data[:4] == b"RIFF":
        blocks = [body.removeprefix(_EXIF) for kind, body in webp_chunks(data) if kind == b"EXIF"]
    else:
        blocks = []
    directories = [directory for block in blocks if (directory := read_directory(block))]
    tag = directories[0].value(ORIENTATION, 1) if directories else 1
    return tag if 1 <= tag <= 8 else 1


def _png_blocks(data: bytes) -> Iterator[bytes]:
    """EXIF blocks of a PNG file: those in a chunk of their own first."""
    chunks = [c for c in png_chunks(data) if c.kind in (b"eXIf", b"tEXt", b"zTXt")]
    yield from (chunk.body.removeprefix(_EXIF) for chunk in chunks if chunk.kind == b"eXIf")
    for chunk in chunks:
        keyword, _, text = chunk.body.partition(b"\0")
        if chunk.kind == b"eXIf" or keyword not in _PROFILES:
            continue
        if chunk.kind == b"zTXt":  # a byte names the method, of which there is one
            try:
                text = zlib.decompressobj().decompress(text[1:], _LONGEST_PROFILE)
            except zlib.error:
                continue
        digits = b"".join(match[1].split()) if (match := _HEXADECIMAL.match(text)) else b""
        yield bytes.fromhex(digits[: len(digits) // 2 * 2].decode()).removeprefix(_EXIF)


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
