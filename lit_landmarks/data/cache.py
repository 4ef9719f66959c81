"""Source crops on disk: one uint8 file per data set, memory-mapped, keyed by content.

A *source crop* is a square around the face, larger than any frame cut from it, resized once with
area averaging. Its corners lie on whole image pixels, so that cutting it is a slice and its affine
is exact. Pixels outside the image are 0.

The key hashes everything the pixels depend on (files, boxes, size, scale), so a stale file is
never read: it is simply not found. A build writes to a temporary name and renames it; of two
processes that build at once, both write a complete file and the last rename wins.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from lit_landmarks.data.index import FaceDataset
from lit_landmarks.errors import UserError

Pixels = NDArray[np.uint8]

#: Raise when the pixels of a crop change for the same inputs.
_VERSION = 1
_BLOCK = 128
#: Temporary files of builds that were killed are removed after a day.
_STALE_SECONDS = 86400.0
#: A box this many times larger than its image is a typing error, not a face.
_LARGEST_BOX = 8.0


def cache_folder(folder: str | Path | None = None) -> Path:
    """The folder given, else `$LIT_LANDMARKS_CACHE`, else `~/.cache/lit_landmarks`."""
    chosen = folder or os.environ.get("LIT_LANDMARKS_CACHE") or "~/.cache/lit_landmarks"
    return Path(chosen).expanduser()


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
    first = np.rint((low + high) / 2 - (side[:, None] - 1) / 2)
    return np.concatenate([first, side[:, None]], axis=1).astype(np.int64)


def cut_square(image: Pixels, square: NDArray[np.int64], size: int) -> Pixels:
    """Cut a square from an image and resize it; area averaging when it shrinks.

    Args:
        image: (H, W, 3).
        square: (3,) first column, first row, side; may reach over the edge (filled with 0).
        size: side of the result.

    Returns:
        (size, size, 3).
    """
    x, y, side = (int(v) for v in square)
    height, width = image.shape[:2]
    inside = image[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)]
    top, left = max(-y, 0), max(-x, 0)
    bottom, right = max(y + side - height, 0), max(x + side - width, 0)
    if top or left or bottom or right:
        edges = (min(top, side), min(bottom, side), min(left, side), min(right, side))
        framed = cv2.copyMakeBorder(inside, *edges, cv2.BORDER_CONSTANT, value=(0, 0, 0))
        inside = np.asarray(framed, dtype=np.uint8)
    how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(inside, (size, size), interpolation=how), dtype=np.uint8)


def source_crops(
    dataset: FaceDataset, size: int, scale: float, folder: str | Path | None = None
) -> Pixels:
    """The source crops of a data set, built on first use.

    Args:
        dataset: the faces.
        size: side of a crop in pixels.
        scale: side of a crop in units of the face box.
        folder: cache folder; see `cache_folder`.

    Returns:
        (n, size, size, 3) uint8 RGB, a read-only memory map.

    Raises:
        UserError: an image is bad, a box lies wholly outside its image, or the disk is full.
    """
    index = dataset.index()
    shape = (len(index), size, size, 3)
    digest = hashlib.sha256(dataset.content_key(range(len(index))).encode())
    digest.update(index.box.tobytes())
    digest.update(repr((type(dataset).__name__, _VERSION, shape, scale)).encode())
    path = cache_folder(folder) / f"{type(dataset).__name__.lower()}-{digest.hexdigest()[:32]}.npy"
    if not path.exists():
        _build(dataset, path, shape, scale)
    crops: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    if crops.shape != shape or crops.dtype != np.uint8:
        raise UserError(f"no source crops of ours, {path}; remove the file")
    return crops


def _build(dataset: FaceDataset, path: Path, shape: tuple[int, ...], scale: float) -> None:
    """Write the crops to a temporary file beside `path`, then rename it."""
    need = int(np.prod(shape))
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        if shutil.disk_usage(path.parent).free < need:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with temporary.open("wb") as file:
            _write(file, dataset, shape, scale)
        temporary.replace(path)
    except OSError as error:
        where = f"{path.parent} (needs {need / 2**20:.0f} MiB)"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"disk is full while caching {shape[0]} faces, {where};"
                " free space or set LIT_LANDMARKS_CACHE to a folder on another disk"
            ) from error
        raise UserError(
            f"cannot write the cache ({error.strerror}), {where};"
            " set LIT_LANDMARKS_CACHE to a folder that you may write"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # not there, or its folder is none
            temporary.unlink()


def _write(file: BinaryIO, dataset: FaceDataset, shape: tuple[int, ...], scale: float) -> None:
    # Written through a file, not a map: a full disk is then an error and no bus fault.
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    squares = source_squares(dataset.index().box, scale)
    console = Console(stderr=True)
    quiet = shape[0] < 2 * _BLOCK
    with Progress(console=console, transient=True, disable=quiet) as progress:
        task = progress.add_task(f"caching {type(dataset).__name__}", total=shape[0])
        for block in _blocks(dataset, squares, shape[1]):
            file.write(np.ascontiguousarray(block).data)
            progress.advance(task, len(block))
    file.flush()
    os.fsync(file.fileno())


def _blocks(dataset: FaceDataset, squares: NDArray[np.int64], size: int) -> Iterator[Pixels]:
    """Crops in order, a block at a time; files are decoded on all cores."""

    def crops(rows: range) -> list[Pixels]:
        images = dataset.load(rows)
        return [
            cut_square(check_box(dataset, row, image), squares[row], size)
            for row, image in zip(rows, images, strict=True)
        ]

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for start in range(0, len(squares), _BLOCK):
            rows = range(start, min(start + _BLOCK, len(squares)))
            if dataset.rendered:
                yield np.stack(crops(rows))
            else:
                single = [range(row, row + 1) for row in rows]
                yield np.stack([crop for part in pool.map(crops, single) for crop in part])


def check_box(dataset: FaceDataset, row: int, image: Pixels) -> Pixels:
    """The image itself, if the face box of `row` meets it.

    Raises:
        UserError: the box lies wholly outside the image or is far larger than it. Points and
            boxes a little over the edge are normal.
    """
    index = dataset.index()
    x0, y0, x1, y1 = (float(v) for v in index.box[row])
    height, width = image.shape[:2]
    where = index.paths[row] if index.paths else f"{type(dataset).__name__}:{row}"
    told = f"box ({x0:.0f}, {y0:.0f}, {x1:.0f}, {y1:.0f})"
    if x1 <= -0.5 or y1 <= -0.5 or x0 >= width - 0.5 or y0 >= height - 0.5:
        raise UserError(
            f"{told} lies wholly outside the {width} x {height} image, {where};"
            " correct the points or the box"
        )
    if max(x1 - x0, y1 - y0) > _LARGEST_BOX * max(width, height):
        raise UserError(
            f"{told} is far larger than the {width} x {height} image, {where};"
            " correct the points or the box"
        )
    return image


def _sweep(folder: Path) -> None:
    """Remove what killed builds left behind."""
    for file in folder.glob(".*.tmp"):
        try:
            if time.time() - file.stat().st_mtime > _STALE_SECONDS:
                file.unlink()
        except FileNotFoundError:
            continue  # another process swept it
