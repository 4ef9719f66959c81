"""Source crops on disk: one uint8 file per data set, memory-mapped, keyed by content.

A *source crop* is a square around the face, larger than any frame cut from it, resized once
without aliasing. Its corners lie on whole image pixels, so that cutting it is a slice and its
affine is exact. Pixels outside the image are 0.

The key hashes everything the pixels depend on (files, boxes, size, scale), so a stale file is
never read: it is simply not found. `cache_writer` writes the file.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from lit_landmarks.data.cache_writer import build
from lit_landmarks.data.crop_boxes import Pixels
from lit_landmarks.data.index import FaceDataset
from lit_landmarks.errors import UserError

#: Raise when the pixels of a crop change for the same inputs.
_VERSION = 2


def cache_folder(folder: str | Path | None = None) -> Path:
    """The folder given, else `$LIT_LANDMARKS_CACHE`, else `~/.cache/lit_landmarks`."""
    chosen = folder or os.environ.get("LIT_LANDMARKS_CACHE") or "~/.cache/lit_landmarks"
    return Path(chosen).expanduser()


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
    content = dataset.content_key(range(len(index)))
    digest = hashlib.sha256(content.encode())
    digest.update(index.box.tobytes())
    digest.update(repr((type(dataset).__name__, _VERSION, shape, scale)).encode())
    path = cache_folder(folder) / f"{type(dataset).__name__.lower()}-{digest.hexdigest()[:32]}.npy"
    if not path.exists():
        build(dataset, path, shape, scale, content)
    crops: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    if crops.shape != shape or crops.dtype != np.uint8:
        raise UserError(f"no source crops of ours, {path}; remove the file")
    return crops
