"""TIFF directories (the files' own, and those of EXIF blocks) and whether a TIFF file is whole.

Sources: TIFF Revision 6.0 (Adobe, 1992), TIFF Technical Note 2 (JPEG), the BigTIFF design of
libtiff.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from dataclasses import dataclass

import simplejpeg
from PIL import Image

from lit_landmarks.pictures.problems import SAVE, PictureError, check_size

ORIENTATION = 274
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 322, 323, 324, 325
_EXTRA_SAMPLES, _SAMPLE_FORMAT, _JPEG_TABLES = 338, 339, 347
#: Struct letter of each whole-number type: BYTE, SHORT, LONG, UNDEFINED, LONG8.
_LETTERS = {1: "B", 3: "H", 4: "I", 7: "B", 16: "Q"}
_NONE, _LZW, _JPEG, _DEFLATE, _PACKBITS = 1, 5, 7, (8, 32946), 32773
_GREY, _RGB, _PALETTE, _CMYK, _YCBCR = (0, 1), 2, 3, 5, 6


@dataclass(frozen=True)
class Directory:
    """The first directory of a TIFF structure.

    Attributes:
        data: the structure.
        order: "<" or ">".
        entries: tag -> number of its type, count of its values, place of the first.
    """

    data: bytes
    order: str
    entries: dict[int, tuple[int, int, int]]

    def values(self, tag: int) -> tuple[int, ...]:
        """Whole numbers of a tag; none if it is absent, of another kind or beyond the end."""
        kind, count, at = self.entries.get(tag, (0, 0, 0))
        letter = _LETTERS.get(kind)
        if letter is None or at + count * struct.calcsize(letter) > len(self.data):
            return ()
        return struct.unpack_from(f"{self.order}{count}{letter}", self.data, at)

    def value(self, tag: int, default: int) -> int:
        """The first number of a tag."""
        values = self.values(tag)
        return values[0] if values else default

    def upright(self) -> bytes:
        """The structure with an orientation tag of 1, so that a decoder leaves the grid alone."""
        if self.value(ORIENTATION, 1) == 1:
            return self.data
        kind, _, at = self.entries[ORIENTATION]
        changed = bytearray(self.data)
        struct.pack_into(f"{self.order}{_LETTERS[kind]}", changed, at, 1)
        return bytes(changed)


def read_directory(data: bytes) -> Directory | None:
    """The first directory of a TIFF structure; None if there is none."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return None
    try:
        version = struct.unpack_from(f"{order}H", data, 2)[0]
        big = version == 43
        if version not in (42, 43):
            return None
        at = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)[0]
        count = struct.unpack_from(f"{order}Q" if big else f"{order}H", data, at)[0]
        at += 8 if big else 2
        form, width, inline = (f"{order}HHQ", 20, 8) if big else (f"{order}HHI", 12, 4)
        entries: dict[int, tuple[int, int, int]] = {}
        for start in range(at, min(at + count * width, len(data)), width):
            tag, kind, number = struct.unpack_from(form, data, start)
            place = start + width - inline
            if number * struct.calcsize(_LETTERS.get(kind, "B")) > inline:
                place = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, place)[0]
            entries.setdefault(tag, (kind, number, place))
    except (struct.error, OverflowError):
        return None
    return Directory(data, order, entries)


@dataclass(frozen=True)
class TiffPicture:
    """How the pixels of a whole TIFF file are stored.

    Attributes:
        data: the file with an orientation tag of 1.
        bits: of a sample.
        alpha: the file has more samples than colors.
    """

    data: bytes
    bits: int
    alpha: bool


def check_tiff(data: bytes) -> TiffPicture:
    """Check that the first picture of a TIFF file is whole and of a kind that is read.

    Raises:
        PictureError: it is not.
    """
    directory = read_directory(data)
    if directory is None:
        raise PictureError("TIFF is truncated or damaged")
    width, height = directory.value(_WIDTH, 0), directory.value(_HEIGHT, 0)
    check_size(width, height)
    bits = directory.values(_BITS) or (1,)
    photometric = directory.value(_PHOTOMETRIC, -1)
    samples = directory.value(_SAMPLES, 1)
    formats = set(directory.values(_SAMPLE_FORMAT)) or {1}
    if formats != {1} or bits[0] not in (1, 2, 4, 8, 16) or len(set(bits)) > 1:
        kind = "floating-point" if 3 in formats else "signed or mixed"
        if formats == {1} and len(set(bits)) == 1:
            kind = f"{bits[0]}-bit"
        raise PictureError(f"TIFF of {kind} samples", SAVE)
    colors = {_RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}.get(photometric, 1)
    wide = bits[0] == 16 and (
        photometric not in (1, _RGB) or (samples > 1 and directory.value(_PLANAR, 1) != 1)
    )
    if photometric not in (*_GREY, _RGB, _PALETTE, _CMYK, _YCBCR) or samples < colors or wide:
        raise PictureError(f"TIFF of color kind {photometric} in {bits[0]} bits", SAVE)
    _check_blocks(directory, width, height, bits[0], samples)
    return TiffPicture(directory.upright(), bits[0], samples > colors)


def _check_blocks(directory: Directory, width: int, height: int, bits: int, samples: int) -> None:
    """Check every strip or tile: there, and of the length that it must have."""
    tiled = _TILE_OFFSETS in directory.entries
    offsets = directory.values(_TILE_OFFSETS if tiled else _STRIP_OFFSETS)
    counts = directory.values(_TILE_BYTES if tiled else _STRIP_BYTES)
    across, down = width, min(directory.value(_ROWS_PER_STRIP, height), height)
    if tiled:
        across, down = directory.value(_TILE_WIDTH, 0), directory.value(_TILE_HEIGHT, 0)
    if not across or not down:
        raise PictureError("TIFF is truncated or damaged")
    together = directory.value(_PLANAR, 1) == 1
    blocks = math.ceil(width / across) * math.ceil(height / down) * (1 if together else samples)
    if len(offsets) != blocks or len(counts) != blocks:
        raise PictureError("TIFF is truncated or damaged")
    row = math.ceil(across * bits * (samples if together else 1) / 8)
    per_plane = math.ceil(height / down)
    compression = directory.value(_COMPRESSION, _NONE)
    subsampled = directory.value(_PHOTOMETRIC, -1) == _YCBCR
    # The last strip may be as long as the others. Subsampled data come in units of up to 4 x 4
    # pixels, of which each has less than three samples.
    limit = 3 * (across + 3) * (down + 3) * math.ceil(bits / 8) if subsampled else row * down
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        rows = down if tiled else min(down, height - number % per_plane * down)
        length = 0 if subsampled else row * rows
        block = directory.data[offset : offset + count]
        if len(block) != count or not _is_whole(block, compression, length, limit, directory):
            raise PictureError("TIFF is truncated or damaged")
    if compression == _LZW:
        _check_by_pillow(directory.data)


def _is_whole(
    block: bytes, compression: int, length: int, limit: int, directory: Directory
) -> bool:
    """True if a strip or tile decompresses to at least `length` bytes and at most `limit`."""
    if compression == _NONE:
        return len(block) >= length
    if compression in _DEFLATE:
        stream = zlib.decompressobj()
        try:
            # One byte more than there may be, so that the checksum at the end is read.
            return length <= len(stream.decompress(block, limit + 1)) <= limit and stream.eof
        except zlib.error:
            return False
    if compression == _PACKBITS:
        return not length or _unpacked_length(block) == length
    if compression == _JPEG:
        _, count, at = directory.entries.get(_JPEG_TABLES, (7, 0, 0))
        tables = directory.data[at : at + count]
        try:
            jpeg = (tables[:-2] + block[2:]) if tables else block
            rows, columns, *_ = simplejpeg.decode_jpeg_header(jpeg)
            check_size(columns, rows)
            simplejpeg.decode_jpeg(jpeg)
        except ValueError:
            return False
        return True
    if compression == _LZW:  # checked as a whole
        return True
    raise PictureError(f"TIFF of compression {compression}", SAVE)


def _unpacked_length(block: bytes) -> int:
    """Bytes that PackBits data give; 0 if the last run is cut."""
    at = length = 0
    while at < len(block):
        run = block[at]
        if run < 128:
            at, length = at + 2 + run, length + run + 1
        elif run > 128:
            at, length = at + 2, length + 257 - run
        else:
            at += 1
    return length if at == len(block) else 0


def _check_by_pillow(data: bytes) -> None:
    """OpenCV ignores errors of LZW data; Pillow raises them."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
    except Image.DecompressionBombError as error:
        raise PictureError(f"TIFF is too large ({error})", SAVE) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise PictureError("TIFF is truncated or damaged") from error
