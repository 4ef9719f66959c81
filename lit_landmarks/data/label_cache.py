"""Labels of rendered sets on disk: making those of 20,000 faces takes minutes, reading seconds.

The key hashes the arguments of the set and the source code that labels follow from, so labels of
an older version are never read. A file that cannot be read is made again; a folder that cannot be
written costs nothing but the time.
"""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import lit_landmarks
from lit_landmarks.data.cache import cache_folder
from lit_landmarks.data.index import FaceIndex
from lit_landmarks.errors import UserError
from lit_landmarks.files import replacing

#: Smaller sets are made again: it takes a second or two.
_FEWEST = 200
#: What labels follow from, below the package.
_CODE = ("heads", "geometry", "schemes", "splitmix.py", "data/synthetic.py", "data/ict.py")
_SUBSET = "subset/"


def cached(
    name: str, content: object, n: int, make: Callable[[], FaceIndex], folder: str | Path | None
) -> FaceIndex:
    """The labels that `make` gives, from the cache if it holds them.

    Args:
        name: of the data set, for the file's name.
        content: all that the labels depend on beside the package's code; its `repr` is hashed.
        n: number of faces.
        make: makes the labels.
        folder: cache folder; see `cache_folder`.
    """
    if n < _FEWEST:
        return make()
    key = hashlib.sha256(repr((content, n, code_version())).encode()).hexdigest()[:32]
    path = cache_folder(folder) / f"{name.lower()}-{key}.npz"
    index = read_labels(path)
    if index is None or len(index) != n:
        index = make()
        with contextlib.suppress(UserError):
            write_labels(path, index)
    return index


@cache
def code_version() -> str:
    """A hash of the source that labels follow from."""
    digest = hashlib.sha256(np.__version__.encode())
    root = Path(lit_landmarks.__file__).parent
    for part in _CODE:
        found = root / part
        for file in sorted(found.rglob("*.py")) if found.is_dir() else [found]:
            if file.is_file():
                digest.update(file.relative_to(root).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def write_labels(path: Path, index: FaceIndex) -> None:
    """Write labels to an `.npz` file, atomically.

    Raises:
        UserError: the file cannot be written.
    """
    columns: dict[str, Any] = {k: v for k, v in vars(index).items() if isinstance(v, np.ndarray)}
    columns |= {_SUBSET + name: column for name, column in index.subsets.items()}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **columns)


def read_labels(path: Path) -> FaceIndex | None:
    """The labels, or None if there are none that can be read."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            columns: dict[str, Any] = {name: file[name] for name in file.files}
        subsets = {
            name.removeprefix(_SUBSET): columns.pop(name)
            for name in list(columns)
            if name.startswith(_SUBSET)
        }
        return FaceIndex(**columns, subsets=subsets)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
