"""The parts of JPEG, PNG, WebP and BMP files, and whether the files are whole.

Sources: ITU-T T.81 (JPEG), PNG (Third Edition), RFC 9649 (WebP), Microsoft's BITMAPINFOHEADER.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from lit_landmarks.pictures.problems import SAVE, PictureError, check_size

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"

_SCAN, _END, _TABLES, _QUANTIZATION = 0xDA, b"\xff\xd9", 0xC4, 0xDB
#: Frame headers: all of C0 to CF but tables (C4), reserved (C8) and arithmetic conditioning (CC).
_FRAMES = {*range(0xC0, 0xD0)} - {_TABLES, 0xC8, 0xCC}
#: Frames whose scans hold whole blocks.
_SEQUENTIAL = (0xC0, 0xC1)
#: Counts of codes by length in the AC table for luma of T.81, K.3.3.2, which most encoders use.
_STANDARD_AC = bytes.fromhex("0002010303020403050504040000017d")
#: So many zero bytes mean hundreds of coefficients of -1 in that table: a hole in the file.
_HOLE = bytes(64)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Segments of a JPEG file up to its first scan: marker, place of the body, body."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:  # a decoder skips to the next marker, and warns
            at += 1
            continue
        marker = data[at + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:  # fill, or without a body
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, at + 4, data[at + 4 : at + 2 + length]
        if marker == _SCAN or data[at : at + 2] == _END or length < 2:
            return
        at += 2 + length


@dataclass(frozen=True)
class JpegHeader:
    """What the first frame of a JPEG file says.

    Attributes:
        width, height: pixels.
        components: 1 grey, 3 color, 4 CMYK.
    """

    width: int
    height: int
    components: int


def check_jpeg(data: bytes) -> JpegHeader:
    """Check what the decoder does not: the headers, and holes in the data.

    Raises:
        PictureError: the file is damaged, or its samples have more than 8 bits.
    """
    header, frame, standard = None, 0, False
    for marker, at, body in jpeg_segments(data):
        if marker in _FRAMES and len(body) >= 6 and header is None:
            bits, height, width, components = struct.unpack_from(">BHHB", body)
            if bits != 8:
                raise PictureError(f"JPEG of {bits} bits", SAVE)
            header, frame = JpegHeader(width, height, components), marker
        elif marker == _TABLES:
            standard = standard or _STANDARD_AC in body
        elif marker == _QUANTIZATION:
            _check_quantization(body)
        elif marker == _SCAN and header is not None:
            if standard and frame in _SEQUENTIAL:
                end = data.find(_END, at)
                if data.find(_HOLE, at, end if end >= 0 else len(data)) >= 0:
                    raise PictureError("JPEG is damaged: zeros instead of data")
            check_size(header.width, header.height)
            return header
    raise PictureError("JPEG is truncated or damaged: no picture data")


def _check_quantization(body: bytes) -> None:
    """Check the tables of a segment, in which T.81 allows no 0.

    Raises:
        PictureError: a table is cut, or holds a 0.
    """
    at = 0
    while at < len(body):
        width = 1 + (body[at] >> 4)
        steps = body[at + 1 : at + 1 + 64 * width]
        if width > 2 or len(steps) < 64 * width:
            raise PictureError("JPEG is truncated or damaged: a table is cut")
        if 0 in struct.unpack(">64B" if width == 1 else ">64H", steps):
            raise PictureError("JPEG is damaged: a quantization step of 0")
        at += 1 + 64 * width


class PngChunk(NamedTuple):
    """A chunk of a PNG file: its kind, its body and whether its checksum is right."""

    kind: bytes
    body: bytes
    right: bool


def png_chunks(data: bytes) -> Iterator[PngChunk]:
    """Chunks of a PNG file, up to its end or to one that is cut."""
    at = len(PNG)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            return
        checksum = int.from_bytes(data[end - 4 : end], "big")
        right = zlib.crc32(data[at + 4 : end - 4]) == checksum
        yield PngChunk(data[at + 4 : at + 8], data[at + 8 : end - 4], right)
        if data[at + 4 : at + 8] == b"IEND":
            return
        at = end


def check_png(data: bytes) -> int:
    """Check every chunk of a PNG file.

    Returns:
        Bits of a sample.

    Raises:
        PictureError: a chunk is missing, cut or has a wrong checksum.
    """
    kinds: list[bytes] = []
    bits = 0
    for chunk in png_chunks(data):
        if not chunk.right:
            raise PictureError("PNG is truncated or damaged")
        if not kinds and chunk.kind == b"IHDR" and len(chunk.body) == 13:
            width, height, bits = struct.unpack_from(">IIB", chunk.body)
            check_size(width, height)
        kinds.append(chunk.kind)
    if not bits or b"IDAT" not in kinds or kinds[-1] != b"IEND":
        raise PictureError("PNG is truncated or damaged")
    return bits


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Whole chunks of a WebP file: kind and body."""
    at, stop = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while at + 8 <= stop:
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if end > stop:
            return
        yield data[at : at + 4], data[at + 8 : end]
        at = end + end % 2


def check_webp(data: bytes) -> None:
    """Check the lengths that a WebP file states.

    Raises:
        PictureError: the file is shorter than it says, or a chunk does not end where it should.
    """
    size = 8 + int.from_bytes(data[4:8], "little")
    chunks = list(webp_chunks(data))
    used = 12 + sum(8 + len(body) + len(body) % 2 for _, body in chunks)
    pictures = [kind for kind, _ in chunks if kind in (b"VP8 ", b"VP8L", b"ANMF")]
    if size > len(data) or used != size + size % 2 or not pictures:
        raise PictureError("WebP is truncated or damaged")


def check_bmp(data: bytes) -> None:
    """Check that a BMP file holds all rows that its header states.

    Raises:
        PictureError: it does not, or its header means nothing.
    """
    if len(data) < 26:
        raise PictureError("BMP is truncated or damaged")
    start, header = struct.unpack_from("<II", data, 10)
    packing = size = 0
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    elif header >= 40 and len(data) >= 54:
        width, height, _, bits, packing, size = struct.unpack_from("<iiHHII", data, 18)
    else:
        raise PictureError("BMP is truncated or damaged")
    check_size(width, abs(height))
    if packing in (0, 3, 6):
        size = (width * bits + 31) // 32 * 4 * abs(height)
    elif packing not in (1, 2):
        raise PictureError(f"BMP of compression {packing}", SAVE)
    # Run lengths end with a mark of their own.
    unended = packing in (1, 2) and data[start : start + size][-2:] != b"\x00\x01"
    if start < 14 + header or start + size > len(data) or bits not in (1, 4, 8, 16, 24, 32):
        raise PictureError("BMP is truncated or damaged")
    if unended:
        raise PictureError("BMP is truncated or damaged")
