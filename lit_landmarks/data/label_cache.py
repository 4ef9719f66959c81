"""Labels of rendered sets on disk: making those of 20,000 faces takes minutes, reading seconds.

The key hashes the arguments of the set and the source code that labels follow from, so labels of
an older version are never read. A file that cannot be read is made again; a folder that cannot be
written costs nothing but the time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from lit_landmarks import geometry, rendering, schemes, splitmix, template
from lit_landmarks.data.cache import cache_folder
from lit_landmarks.data.columns import read_columns, write_columns
from lit_landmarks.data.index import FaceIndex
from lit_landmarks.errors import UserError

#: Smaller sets are made again: it takes a second or two.
_FEWEST = 200
#: What labels follow from: whole rooms and modules, and the files beside this one that call them
#: (which import this one, so that it cannot import them).
_CODE = (geometry, rendering, schemes, splitmix, template)
_RENDERED_SET_MODULES = ("synthetic.py", "ict.py", "tracks.py")


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
            write_columns(path, index)
    return index


@cache
def code_version() -> str:
    """A hash of the source that labels follow from."""
    digest = hashlib.sha256(np.__version__.encode())
    root = Path(geometry.__file__).parents[1]
    for file in label_code():
        digest.update(os.fsencode(file.relative_to(root).as_posix()) + file.read_bytes())
    return digest.hexdigest()


def label_code() -> list[Path]:
    """The source files that labels follow from."""
    files = [Path(__file__).with_name(name) for name in _RENDERED_SET_MODULES]
    for module in _CODE:
        source = Path(str(module.__file__))
        files += source.parent.rglob("*.py") if source.name == "__init__.py" else [source]
    return sorted(files)


def read_labels(path: Path) -> FaceIndex | None:
    """The labels of a file, or None if there are none that can be read."""
    try:
        index, _ = read_columns(path)
    except (OSError, ValueError):
        return None
    return index
