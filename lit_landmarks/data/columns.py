"""Labels of a data set as the columns of one `.npz` file, a column for each label."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.index import FaceIndex
from lit_landmarks.files import atomic_path

Columns = dict[str, NDArray[Any]]

_SUBSET = "subset/"
_LABELS = frozenset(field.name for field in fields(FaceIndex)) - {"paths", "subsets"}


def write_columns(path: Path, index: FaceIndex, more: Mapping[str, Any] | None = None) -> None:
    """Write labels to an `.npz` file, atomically.

    Args:
        path: the file.
        index: the labels; its paths are not written.
        more: further arrays by name.

    Raises:
        UserError: the file cannot be written.
    """
    columns: dict[str, Any] = {k: v for k, v in vars(index).items() if isinstance(v, np.ndarray)}
    solid = columns.get("points3d")
    if solid is not None and np.array_equal(solid[..., :2], columns["points"]):
        del columns["points"]
    columns |= {_SUBSET + name: column for name, column in index.subsets.items()}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **columns, **(more or {}))


def read_columns(path: Path) -> tuple[FaceIndex, Columns]:
    """The labels of a file that `write_columns` wrote, and its other arrays.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, holds pickled objects, or columns of other shapes or types.
    """
    more = read_arrays(path)
    columns: dict[str, Any] = {name: more.pop(name) for name in _LABELS & more.keys()}
    members = [name for name in more if name.startswith(_SUBSET)]
    subsets = {name.removeprefix(_SUBSET): more.pop(name) for name in members}
    try:
        if "points" not in columns and (solid := columns.get("points3d")) is not None:
            columns["points"] = solid[..., :2]  # a view: with 520 points half of the memory
        return FaceIndex(**columns, subsets=subsets), more
    except (TypeError, AttributeError, IndexError) as error:
        raise ValueError(str(error)) from error


def read_arrays(path: Path, names: Collection[str] | None = None) -> Columns:
    """Arrays of an `.npz` file by name.

    Args:
        path: the file.
        names: those that are read, if they are there; None for all.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or holds pickled objects.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files if names is None or name in names}
    except OSError:
        raise
    except Exception as error:  # zip, zlib and the parser of headers can raise anything
        raise ValueError(f"{type(error).__name__}: {error}") from error
