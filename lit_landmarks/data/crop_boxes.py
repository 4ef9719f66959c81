"""Source crops: the square about a face box, and cutting it from an image without aliasing."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.index import FaceDataset
from lit_landmarks.errors import UserError

Pixels = NDArray[np.uint8]

#: A box this many times larger than its image is a typing error, not a face.
_LARGEST_BOX = 8.0
#: Sides of twice this are even, of four times this multiples of four, and so on.
_HALVED = 128
#: Variance of the triangle of bilinear interpolation, and of a box of width 1, in pixels squared.
_BILINEAR, _BOX = 1 / 6, 1 / 12
#: A filter of less variance changes a pixel by less than two hundredths of its neighbours.
_NEGLIGIBLE = 0.02


def source_squares(box: NDArray[np.float32], scale: float) -> NDArray[np.int64]:
    """The square that each source crop covers, on whole pixels.

    Args:
        box: (n, 4) face boxes x0, y0, x1, y1 in image pixels.
        scale: side of the square in units of the longer side of the box.

    Returns:
        (n, 3) int64: column and row of the first pixel inside, side in pixels.
    """
    low, high = box[:, :2].astype(np.float64), box[:, 2:].astype(np.float64)
    side = np.ceil(scale * (high - low).max(1)).clip(2)
    # Large sides are made to halve without rest, which is what `cut_square` does fast.
    whole = 2.0 ** np.floor(np.log2(side / _HALVED)).clip(0)
    side = np.ceil(side / whole) * whole
    first = np.rint((low + high) / 2 - (side[:, None] - 1) / 2)
    return np.concatenate([first, side[:, None]], axis=1).astype(np.int64)


def source_affines(squares: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    """(n, 2, 3) affines from pixels of source crops of side `size` to image pixels.

    Args:
        squares: (n, 3) as `source_squares` gives them.
        size: side of a source crop in pixels.
    """
    corner, ratio = squares[:, :2].astype(np.float64), squares[:, 2:] / size
    affines = np.zeros((len(squares), 2, 3), np.float32)
    affines[:, 0, 0] = affines[:, 1, 1] = ratio[:, 0]
    # Source pixel u covers the image from corner - 0.5 + u * ratio on.
    affines[:, :, 2] = corner + ratio / 2 - 0.5
    return affines


def cut_square(image: Pixels, square: NDArray[np.int64], size: int) -> Pixels:
    """Cut a square from an image and resize it; what would alias is averaged first.

    A square of `source_squares` may be many times larger than the image: only what the image covers
    of it is held before it has been halved.

    Args:
        image: (H, W, 3).
        square: (3,) first column, first row, side; may reach over the edge (filled with 0).
        size: side of the result.

    Returns:
        (size, size, 3).
    """
    x, y, side = (int(v) for v in square)
    height, width = image.shape[:2]
    block = 1
    while side % (2 * block) == 0 and side >= 2 * block * size:
        block *= 2
    # Rows and columns of the square, in whole blocks, beyond which there is nothing of the image.
    top, bottom = _covered(y, side, height, block)
    left, right = _covered(x, side, width, block)
    if top >= bottom or left >= right:
        return np.zeros((size, size, 3), np.uint8)
    inside = image[max(y + top, 0) : y + bottom, max(x + left, 0) : x + right]
    pixels = _framed(
        inside,
        max(-y - top, 0),
        max(y + bottom - height, 0),
        max(-x - left, 0),
        max(x + right - width, 0),
    )
    for _ in range(block.bit_length() - 1):
        pixels = _halved(pixels)
    edges = (v // block for v in (top, side - bottom, left, side - right))
    return _resized(_framed(pixels, *edges), size)


def _covered(first: int, side: int, length: int, block: int) -> tuple[int, int]:
    """First and end of the blocks of a square that an image covers, along one axis."""
    low, high = max(-first, 0), min(length - first, side)
    return low // block * block, -(-high // block) * block


def _framed(pixels: Pixels, top: int, bottom: int, left: int, right: int) -> Pixels:
    """Pixels with so many rows and columns of 0 about them."""
    if not (top or bottom or left or right):
        return pixels
    edges = (top, bottom, left, right)
    framed = cv2.copyMakeBorder(pixels, *edges, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    return np.asarray(framed, np.uint8)


def _halved(pixels: Pixels) -> Pixels:
    """The means of 2 x 2 pixels; both sides are even."""
    half = (pixels.shape[1] // 2, pixels.shape[0] // 2)
    return np.asarray(cv2.resize(pixels, half, interpolation=cv2.INTER_AREA), np.uint8)


def _resized(pixels: Pixels, size: int) -> Pixels:
    """A square resized to `size`; about as sharp as area averaging, which costs four times more.

    Exact halves while the step is two pixels or more; then bilinear interpolation, after the
    Gaussian that makes it as wide (in variance) as an area average. Below a step of sqrt(2) it is
    that wide by itself.
    """
    whole, step, exact = (size, size), len(pixels) / size, True
    while step >= 2:
        if len(pixels) % 2:  # one more row and column, beyond the extent
            edged = cv2.copyMakeBorder(pixels, 0, 1, 0, 1, cv2.BORDER_REPLICATE)
            pixels, exact = np.asarray(edged, dtype=np.uint8), False
        pixels, step = _halved(pixels), step / 2
    variance = _BOX * step**2 - _BILINEAR
    if variance > _NEGLIGIBLE:
        # Three taps v/2, 1 - v, v/2 have the variance v; as a Gaussian they are computed fast.
        sigma = math.sqrt(-0.5 / math.log(variance / (2 - 2 * variance)))
        pixels = np.asarray(cv2.GaussianBlur(pixels, (3, 3), sigma), np.uint8)
    if exact:
        return np.asarray(cv2.resize(pixels, whole, interpolation=cv2.INTER_LINEAR), np.uint8)
    first = step / 2 - 0.5  # where the centre of the first new pixel lies
    affine = np.array([[step, 0, first], [0, step, first]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(pixels, affine, whole, flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.uint8)


def check_box(box: NDArray[np.float32], image: Pixels, where: str) -> None:
    """Refuse a face box that is no part of its image.

    Args:
        box: (4,) x0 y0 x1 y1 in image pixels.
        image: (H, W, 3).
        where: file and row, for the error.

    Raises:
        UserError: the box lies wholly outside the image or is far larger than it. Points and
            boxes a little over the edge are normal.
    """
    x0, y0, x1, y1 = (float(v) for v in box)
    height, width = image.shape[:2]
    name = f"box ({x0:.0f}, {y0:.0f}, {x1:.0f}, {y1:.0f})"
    if x1 <= -0.5 or y1 <= -0.5 or x0 >= width - 0.5 or y0 >= height - 0.5:
        raise UserError(
            f"{name} lies wholly outside the {width} x {height} image, {where};"
            " correct the points or the box"
        )
    if max(x1 - x0, y1 - y0) > _LARGEST_BOX * max(width, height):
        raise UserError(
            f"{name} is far larger than the {width} x {height} image, {where};"
            " correct the points or the box"
        )


def check_row(dataset: FaceDataset, row: int, image: Pixels) -> None:
    """`check_box` of one face of a data set."""
    index = dataset.index()
    where = index.paths[row] if index.paths else f"{type(dataset).__name__}:{row}"
    check_box(index.box[row], image, where)
