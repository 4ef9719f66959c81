"""`decode_image`: the bytes of a picture file to 8-bit RGB."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from lit_landmarks.errors import UserError, first_line
from lit_landmarks.pictures.containers import (
    JPEG,
    PNG,
    check_bmp,
    check_jpeg,
    check_png,
    check_webp,
)
from lit_landmarks.pictures.orientation import Grid, orientation_tag, turn
from lit_landmarks.pictures.problems import SAVE, PictureError, check_size
from lit_landmarks.pictures.tiff import check_tiff

# What cannot be decoded is told by us, in one line; OpenCV would add its own on stderr.
if hasattr(cv2, "setLogLevel"):  # OpenCV 4
    cv2.setLogLevel(0)
else:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

Pixels = NDArray[np.uint8]

_COLOR = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
#: Ranges of the sensors behind 16-bit files.
_RANGES = (8, 10, 12, 14, 16)
_PNM = re.compile(rb"P([1-7Ff])(?=[\s#])")
_PNM_BLANK = re.compile(rb"(?:\s|#[^\n]*\n)+")
#: How files of formats that are not read begin, from which place.
_OTHERS = (
    ("GIF", 0, b"GIF8"),
    ("JPEG 2000", 4, b"jP  \r\n"),
    ("JPEG 2000", 0, b"\xff\x4f\xff\x51"),
    ("JPEG XL", 0, b"\xff\x0a"),
    ("JPEG XL", 4, b"JXL "),
    ("AVIF", 4, b"ftypavi"),
    ("HEIC", 4, b"ftyp"),
    ("OpenEXR", 0, b"\x76\x2f\x31\x01"),
    ("Radiance HDR", 0, b"#?"),
    ("Sun raster", 0, b"\x59\xa6\x6a\x95"),
    ("Photoshop", 0, b"8BPS"),
    ("PDF", 0, b"%PDF"),
)


def decode_image(data: bytes, path: str | Path, grid: Grid = "stored") -> Pixels:
    """Decode a picture file to (H, W, 3) uint8 RGB; the package says how, and what is refused.

    Args:
        data: the file.
        path: its name, for the error.
        grid: "stored" pixels as they stand in the file, or "shown" as its orientation tag turns
            them.

    Raises:
        UserError: the file is damaged, no picture, or one of a kind that is not read.
    """
    try:
        image = _decoder(data)(data)
        tag = orientation_tag(data) if grid == "shown" else 1
    except PictureError as error:
        raise UserError(f"{error.problem}, {path}; {error.cure}") from error
    except MemoryError as error:
        raise UserError(f"too large for the memory, {path}; scale it down") from error
    return image if tag == 1 else turn(image, tag)


def _decoder(data: bytes) -> Callable[[bytes], Pixels]:
    if data.startswith(JPEG):
        return _decode_jpeg
    if data.startswith(PNG):
        return _decode_png
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _decode_webp
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _decode_tiff
    if data[:2] == b"BM":
        return _decode_bmp
    if _PNM.match(data):
        return _decode_pnm
    for name, at, start in _OTHERS:
        if data.startswith(start, at):
            raise PictureError(f"{name} is not read", SAVE)
    raise PictureError("cannot decode the image" if data.strip(b"\0") else "the file is empty")


def _decode_jpeg(data: bytes) -> Pixels:
    header = check_jpeg(data)
    try:
        image = simplejpeg.decode_jpeg(data, "CMYK" if header.components == 4 else "RGB")
    except ValueError as error:
        raise PictureError(f"JPEG is truncated or damaged ({first_line(error)})") from error
    return _by_opencv(data, _COLOR) if header.components == 4 else np.asarray(image, np.uint8)


def _decode_png(data: bytes) -> Pixels:
    if check_png(data) < 16:
        return _by_opencv(data, _COLOR)
    return _to_8_bits(_by_opencv(data, _COLOR | cv2.IMREAD_ANYDEPTH))


def _decode_webp(data: bytes) -> Pixels:
    check_webp(data)
    return _by_opencv(data, _COLOR)


def _decode_bmp(data: bytes) -> Pixels:
    check_bmp(data)
    return _by_opencv(data, _COLOR)


def _decode_tiff(data: bytes) -> Pixels:
    picture = check_tiff(data)
    if picture.bits < 16 and not picture.alpha:
        return _by_opencv(picture.data, _COLOR)
    # Only unchanged are 16 bits of color kept, and alpha told.
    image = _by_opencv(picture.data, cv2.IMREAD_UNCHANGED)
    if image.ndim == 2 or image.shape[2] < 3:
        grey = image if image.ndim == 2 else image[..., 0]
        return _to_8_bits(np.repeat(grey[..., None], 3, 2))
    if picture.alpha and (image[..., 3:] != np.iinfo(image.dtype).max).any():
        raise PictureError("TIFF with transparent pixels", "save it without transparency")
    return _to_8_bits(np.ascontiguousarray(image[..., 2::-1]))


def _decode_pnm(data: bytes) -> Pixels:
    kind, at = data[1:2], 2
    if kind not in b"456":
        raise PictureError(f"PNM of kind P{kind.decode()} is not read", SAVE)
    numbers = []
    for _ in range(2 if kind == b"4" else 3):
        blank = _PNM_BLANK.match(data, at)
        number = re.compile(rb"\d{1,9}").match(data, blank.end() if blank else at)
        if number is None:
            raise PictureError("PNM is truncated or damaged")
        numbers.append(int(number[0]))
        at = number.end()
    width, height, largest = (*numbers, 1)[:3]
    check_size(width, height)
    body = np.frombuffer(data, np.uint8, offset=min(at + 1, len(data)))
    if kind == b"4":
        row = (width + 7) // 8
        if len(body) < row * height:
            raise PictureError("PNM is truncated or damaged")
        bits = np.unpackbits(body[: row * height].reshape(height, row), axis=1)[:, :width]
        return np.repeat((255 * (1 - bits))[..., None].astype(np.uint8), 3, 2)
    channels, wide = (3 if kind == b"6" else 1), largest > 255
    size = width * height * channels * (1 + wide)
    if not 0 < largest < 1 << 16 or len(body) < size:
        raise PictureError("PNM is truncated or damaged")
    values = body[:size].view(">u2" if wide else np.uint8).reshape(height, width, channels)
    if values.max() > largest:
        raise PictureError(f"PNM holds {values.max()}, more than its {largest}")
    image = np.repeat(values, 3, 2) if channels == 1 else values
    if largest == 255:
        return np.ascontiguousarray(image)
    if largest == (1 << 16) - 1:
        return _to_8_bits(image.astype(np.uint16))
    return np.asarray((image.astype(np.uint32) * 255 + largest // 2) // largest, np.uint8)


def _by_opencv(data: bytes, flags: int) -> NDArray[np.uint8]:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise PictureError("cannot decode the image")
    return np.asarray(image)


def _to_8_bits(image: NDArray[np.uint8] | NDArray[np.uint16]) -> Pixels:
    """The 8 highest bits of the smallest usual range that holds all values."""
    if image.dtype == np.uint8:
        return np.asarray(image, np.uint8)
    bits = next(bits for bits in _RANGES if int(image.max()) < 1 << bits)
    return (image >> (bits - 8)).astype(np.uint8)
