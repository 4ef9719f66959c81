"""Width and height of a picture from the head of its file, without decoding it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from lit_landmarks.data.index import read_image
from lit_landmarks.errors import UserError

#: JPEG markers that open a frame and hold its size: all of C0 to CF but DHT, JPG and DAC.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: An orientation tag may turn a picture that holds this, which exchanges its sides.
_EXIF = b"Exif"
_HEAD = 1 << 16


def picture_size(path: str | Path) -> tuple[int, int] | None:
    """Sides (width, height) that no pixel of the picture lies beyond; None if it cannot be read.

    A picture that an orientation tag may turn has the longer side twice, since whether it is
    turned depends on its reader.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD)
            file.seek(0)
            size = _size(head, file)
        if size is None:
            height, width = read_image(path).shape[:2]
            size = width, height
    except (OSError, UserError, struct.error):
        return None
    if not all(side > 0 for side in size):
        return None
    return (max(size), max(size)) if _EXIF in head else size


def _size(head: bytes, file: BinaryIO) -> tuple[int, int] | None:
    """Width and height by the format; None if it is another one."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = struct.unpack(">II", head[16:24])
        return width, height
    if head.startswith(b"BM"):
        width, height = struct.unpack("<ii", head[18:26])
        return width, abs(height)
    if head.startswith(b"\xff\xd8"):
        return _jpeg_size(file)
    return None


def _jpeg_size(file: BinaryIO) -> tuple[int, int] | None:
    file.seek(2)
    while True:
        byte = file.read(1)
        while byte == b"\xff":  # fill bytes may stand before a marker
            byte = file.read(1)
        if not byte:
            return None
        marker = byte[0]
        if marker in _FRAMES:
            _, _, height, width = struct.unpack(">HBHH", file.read(7))
            return width, height
        if marker == 0xDA or marker == 0xD9:
            return None
        if 0xD0 <= marker <= 0xD8 or marker == 0x01:  # these have no length
            continue
        file.seek(struct.unpack(">H", file.read(2))[0] - 2, 1)
