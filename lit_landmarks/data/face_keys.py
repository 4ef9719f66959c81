"""Keys by which a face is recognized in another data set: by its photo, and by its labels.

A test set that holds the faces on which a checkpoint was chosen may have another name, other boxes
or other folders. Its photos and its points are the same.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.index import FaceDataset

#: Suffixes of files that hold one picture; other files hold many faces.
_PICTURES = frozenset([".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"])

Keys = NDArray[np.int64]


def face_keys(dataset: FaceDataset) -> Keys:
    """(n, 2) keys of the faces of a data set: of the photo and of the labelled points.

    A photo's key is that of its file name and size; where a set has no photos of its own (rendered
    faces, frames in one archive), that of the points stands for it. Pixels are not read.
    """
    index = dataset.index()
    points = np.where(index.mask[..., None], index.points, np.nan).round(1)
    keys = np.empty((len(index), 2), np.int64)
    sizes: dict[str, int] = {}
    for row, values in enumerate(np.ascontiguousarray(points)):
        keys[row] = _hash(values.tobytes())
        path = Path(index.paths[row]) if index.paths else Path()
        if path.suffix.lower() in _PICTURES:
            if index.paths[row] not in sizes:
                sizes[index.paths[row]] = path.stat().st_size if path.is_file() else -1
            keys[row, 0] = _hash(os.fsencode(f"{path.name} {sizes[index.paths[row]]}"))
    return keys


def match_faces(keys: Keys, others: Keys) -> NDArray[np.int64]:
    """(n,) row in `others` of a face with the same photo or the same points; -1 where none is.

    The same points count before the same photo, which may hold several faces.

    Args:
        keys: (n, 2) from `face_keys`.
        others: (m, 2) of other faces.

    Example:
        >>> match_faces(np.array([[1, 5], [2, 6], [3, 7]]), np.array([[9, 6], [1, 8]])).tolist()
        [1, 0, -1]
    """
    photos = {int(key): row for row, key in reversed([*enumerate(others[:, 0])])}
    points = {int(key): row for row, key in reversed([*enumerate(others[:, 1])])}
    rows = [points.get(int(q), photos.get(int(p), -1)) for p, q in keys]
    return np.array(rows, np.int64)


def group_keys(dataset: FaceDataset) -> Keys:
    """(n,) keys of groups of faces that are not independent: of one video track or one photo."""
    index, keys = dataset.index(), face_keys(dataset)[:, 0]
    if index.track is not None:
        source = f"{type(dataset).__name__} {sorted({Path(p).parent.name for p in index.paths})}"
        for row in np.flatnonzero(index.track >= 0):
            keys[row] = _hash(os.fsencode(f"{source} {index.track[row]}"))
    return keys


def split_into_folds(groups: Keys, folds: int) -> NDArray[np.int64]:
    """(n,) fold of each face: groups stay together, and folds hold about as many groups.

    Groups are put in the order of their keys, which are hashes: the folds are as random as these,
    and the same on every machine.

    Args:
        groups: (n,) key of each face's group.
        folds: the most folds; fewer groups make as many folds as there are groups.

    Example:
        >>> split_into_folds(np.array([7, 3, 7, 5]), 2).tolist()
        [0, 0, 0, 1]
    """
    _, place = np.unique(groups, return_inverse=True)
    count = int(place.max(initial=-1)) + 1
    return np.asarray(place, np.int64) % max(min(folds, count), 1)


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)
