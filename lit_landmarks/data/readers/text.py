"""Points in plain text, one `x y` to a row, read with care."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lit_landmarks.data.readers.common import Numbers, check_points
from lit_landmarks.errors import UserError

#: Marks of the encoding with which editors begin a file.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode_text(data: bytes) -> str:
    """Text in UTF-8, or in the encoding that a mark at its start (BOM) names, without the mark.

    Raises:
        UnicodeDecodeError: it is not.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding)
    return data.decode("utf-8")


def read_ascii(path: Path) -> str:
    """The ASCII text of a file that holds numbers, in any encoding that `decode_text` reads.

    Raises:
        OSError: the file cannot be read.
        ValueError: there are other characters, which Python could take for digits.
    """
    text = decode_text(path.read_bytes())
    if not text.isascii():
        raise ValueError("no ASCII")
    return text


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without the blank ones at its end.

    Raises:
        UserError: the file is missing, is no ASCII text or was cut within its last number.
    """
    try:
        text = read_ascii(path)
    except OSError as error:
        raise UserError(f"no file {path}; restore it or remove its image") from error
    except ValueError as error:
        raise UserError(f"no readable text, {path}; fetch the file again") from error
    lines = text.splitlines()
    if lines and cut_short(text):
        raise UserError(f"the last number is cut, {path}:{len(lines)}; fetch the file again")
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def cut_short(text: str) -> bool:
    """True if the text ends without a line break in a number with fewer decimals than the rest.

    The files that are read so have a fixed count of decimals, and a cut number is still a number:
    without this test it would be a wrong label.
    """
    if text.endswith(("\n", "\r")):
        return False
    cells = text.replace(",", " ").split()[-2:]
    decimals = [len(cell.partition(".")[2]) for cell in cells]
    return len(cells) == 2 and decimals[1] < decimals[0]


def number_rows(lines: list[str], n_points: int, path: Path, first: int = 1) -> Numbers:
    """Points (n_points, 2) from as many lines `x y`.

    Args:
        lines: the rows.
        n_points: how many there must be.
        path: of the file, for the error.
        first: number of the first row in its file.

    Raises:
        UserError: another number of rows, text, NaN or a place beyond any image.
    """
    if len(lines) != n_points:
        raise UserError(
            f"{len(lines)} points, not {n_points}, {path}:{first + len(lines)};"
            f" annotate all {n_points} points or remove the file"
        )
    points = np.empty((n_points, 2))
    for k, line in enumerate(lines):
        try:
            x, y = map(number, line.split())
        except ValueError:
            raise UserError(
                f"{line.strip()[:40]!r} is no point x y, {path}:{first + k}; correct the row"
            ) from None
        points[k] = x, y
    return check_points(points, str(path))


def numbers(cells: Sequence[str]) -> list[float]:
    """`number` of each cell, as fast as `float`.

    Raises:
        ValueError: a cell is no number.
    """
    exact = number if any("_" in cell for cell in cells) else float
    return list(map(exact, cells))


def number(cell: str) -> float:
    """A decimal number as data files write it.

    Raises:
        ValueError: anything else, also what Python alone takes for a number (`1_0`).
    """
    if "_" in cell:
        raise ValueError(cell)
    return float(cell)
