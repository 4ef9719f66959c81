"""Width and height of a picture from the head of its file, without decoding it."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import BinaryIO

from lit_landmarks.errors import UserError
from lit_landmarks.pictures import Grid, decode_image, orientation_tag

#: From this orientation tag on, width and height are exchanged.
_QUARTER = 5
#: JPEG markers that open a frame and hold its size: all of C0 to CF but DHT, JPG and DAC.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: A picture without any of these has no orientation tag.
_EXIF = (b"Exif", b"eXIf", b"Raw profile type")
_HEAD = 1 << 16


def picture_size(path: str | Path, grid: Grid = "stored") -> tuple[int, int] | None:
    """Width and height in pixels on a grid; None if the picture cannot be read."""
    try:
        data = Path(path).read_bytes()
        with io.BytesIO(data) as file:
            size = _size(data[:_HEAD], file)
        if size is None:
            height, width = decode_image(data, path, grid).shape[:2]
            return width, height
        tagged = grid == "shown" and any(text in data for text in _EXIF)
        turned = tagged and orientation_tag(data) >= _QUARTER
    except (OSError, UserError, struct.error):
        return None
    if min(size) <= 0:
        return None
    return size[::-1] if turned else size


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
