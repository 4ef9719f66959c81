"""MATLAB files of version 5 to 7, read in full view of every length that the file claims.

The format is documented by its owner (MathWorks, MAT-File Format, level 5). Numbers, text and cells
are read, which is all that data sets of faces use. A parser of our own, since that of SciPy 1.17
reads outside its buffers on some damaged files and takes the whole process down.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.errors import UserError

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
#: Storage of numbers by type of element.
_STORED = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
#: Numbers by class of matrix; the values may be stored as a smaller type.
_CLASSES = {
    6: "f8",
    7: "f4",
    8: "i1",
    9: "u1",
    10: "i2",
    11: "u2",
    12: "i4",
    13: "u4",
    14: "i8",
    15: "u8",
}
_CELL, _CHAR = 1, 4
_IS_COMPLEX, _IS_LOGICAL = 0x0800, 0x0200
_TEXT = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
#: No label file of faces unpacks to more; a few bytes can claim to.
_MOST_BYTES = 1 << 29
_DEEPEST = 4


class _DamagedError(Exception):
    """The bytes contradict the format."""


def read_mat5(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Variables of a MATLAB file of version 5 to 7 (version 7.3 is HDF5: see `hdf5`).

    Args:
        path: the file.
        names: the variables; others are skipped unread.

    Returns:
        Arrays of real numbers or bool, with MATLAB's shape; text is an array of one string each
        row, a cell array an array of objects that are such arrays.

    Raises:
        UserError: the file is missing or damaged, lacks a variable or holds another kind of it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"no file {path}; restore it or remove its image") from error
    try:
        variables = dict(_variables(data, frozenset(names)))
    except (_DamagedError, struct.error, zlib.error, ValueError, OverflowError) as error:
        raise UserError(f"no readable MATLAB file, {path}; fetch the file again") from error
    lost = [name for name in names if name not in variables]
    if lost:
        raise UserError(f"no variable {lost[0]!r}, {path}; fetch the file again")
    return variables


@dataclass(frozen=True)
class _Element:
    """A typed run of bytes."""

    kind: int
    data: memoryview


def _variables(data: bytes, names: frozenset[str]) -> Iterator[tuple[str, NDArray[Any]]]:
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None or len(data) < _HEADER:
        raise _DamagedError("no header")
    for element in _elements(memoryview(data)[_HEADER:], order):
        if element.kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            inside = unpacker.decompress(element.data, _MOST_BYTES)
            if not unpacker.eof:
                raise _DamagedError("packed data are cut or far too long")
            element = next(_elements(memoryview(inside), order), element)
        if element.kind != _MATRIX:
            raise _DamagedError("no matrix")
        matrix = _Matrix(element.data, order)
        if matrix.name in names:
            yield matrix.name, matrix.values()


def _elements(data: memoryview, order: str) -> Iterator[_Element]:
    """The elements of a run of bytes; each must lie wholly in it."""
    at = 0
    while at < len(data):
        first, size = struct.unpack_from(f"{order}II", data, at)
        if first >> 16:  # a small element: its length, its type and up to four bytes
            size, kind, start, end = first >> 16, first & 0xFFFF, at + 4, at + 8
            if size > 4:
                raise _DamagedError("a small element is too long")
        else:
            kind, start = first, at + 8
            # Packed data alone are not filled up to eight bytes.
            end = start + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if start + size > len(data):
            raise _DamagedError("an element is longer than the file")
        yield _Element(kind, data[start : start + size])
        at = end


class _Matrix:
    """One array: its head is read at once, its values when asked for."""

    def __init__(self, data: memoryview, order: str, depth: int = 0) -> None:
        self._order, self._depth = order, depth
        self._rest = _elements(data, order)
        (flags,) = struct.unpack_from(f"{order}I", self._next(6).data)
        self._class, self._flags = flags & 0xFF, flags
        shape = np.frombuffer(self._next(5).data, f"{order}i4")
        if len(shape) < 2 or (shape < 0).any():
            raise _DamagedError("no shape")
        self._shape = tuple(int(n) for n in shape)
        self.name = bytes(self._next(1).data).decode("ascii", "replace")

    def values(self) -> NDArray[Any]:
        """The array."""
        if self._class == _CELL:
            return self._cells()
        if self._class == _CHAR:
            return self._text()
        if self._class not in _CLASSES or self._flags & _IS_COMPLEX:
            raise _DamagedError("neither real numbers nor text")
        stored = self._next()
        if stored.kind not in _STORED:
            raise _DamagedError("no storage of numbers")
        values = np.frombuffer(stored.data, self._order + _STORED[stored.kind])
        if len(values) != self._count():
            raise _DamagedError("another number of values than the shape says")
        if not np.can_cast(values.dtype, _CLASSES[self._class], "same_kind"):
            raise _DamagedError("fractions stored for whole numbers")
        values = values.astype(_CLASSES[self._class]).reshape(self._shape, order="F")
        return values != 0 if self._flags & _IS_LOGICAL else values

    def _text(self) -> NDArray[Any]:
        stored = self._next()
        coding = _TEXT.get(stored.kind)
        if coding is None:
            raise _DamagedError("no text")
        if coding in ("utf-16", "utf-32"):
            coding += {"<": "-le", ">": "-be"}[self._order]
        letters = bytes(stored.data).decode(coding)
        rows, columns = self._shape[0], self._shape[-1]
        if len(self._shape) != 2 or len(letters) != rows * columns:
            raise _DamagedError("another number of letters than the shape says")
        # Letters run down the columns.
        return np.array(["".join(letters[row::rows]) for row in range(rows)], dtype=str)

    def _cells(self) -> NDArray[Any]:
        if self._depth >= _DEEPEST:
            raise _DamagedError("cells in cells in cells")
        parts = list(self._rest)
        if len(parts) != self._count() or any(part.kind != _MATRIX for part in parts):
            raise _DamagedError("another number of cells than the shape says")
        cells = np.empty(len(parts), object)
        for k, part in enumerate(parts):
            cells[k] = _Matrix(part.data, self._order, self._depth + 1).values()
        return cells.reshape(self._shape, order="F")

    def _count(self) -> int:
        count = 1
        for n in self._shape:
            count *= n
        if count > sys.maxsize:
            raise _DamagedError("no such shape")
        return count

    def _next(self, kind: int | None = None) -> _Element:
        element = next(self._rest, None)
        if element is None or kind not in (None, element.kind):
            raise _DamagedError("a part is missing")
        return element
