"""Boxes of one face in a video: given for some frames, each holds until the next."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lit_landmarks.analysis.records import Array
from lit_landmarks.data.readers.text import decode_text, number
from lit_landmarks.errors import UserError

_COLUMNS = ("frame", "x0", "y0", "x1", "y1")


class FaceBoxes:
    """Boxes of a face in some frames of a video; each holds until the next.

    Args:
        boxes: frame from 0 -> (4,) x0 y0 x1 y1 in pixels, tight about the landmarks.

    Raises:
        UserError: there is none, or one has no area.

    Example:
        >>> boxes = FaceBoxes({4: (0, 0, 9, 9), 8: (1, 1, 9, 9)})
        >>> boxes.first, boxes.at(7).tolist()
        (4, [0.0, 0.0, 9.0, 9.0])
    """

    def __init__(self, boxes: Mapping[int, Sequence[float]]) -> None:
        self._boxes = {frame: np.array(boxes[frame], np.float64) for frame in sorted(boxes)}
        if not self._boxes:
            raise UserError("no box of a face; give one for the first frame")
        for frame, box in self._boxes.items():
            if not (np.isfinite(box).all() and (box[2:] > box[:2]).all()):
                raise UserError(
                    f"box {box.tolist()} of frame {frame} has no area; give x0 < x1 and y0 < y1"
                )

    @classmethod
    def read(cls, path: Path) -> FaceBoxes:
        """Boxes of a CSV file with the columns frame,x0,y0,x1,y1; frames count from 0.

        Raises:
            UserError: the file cannot be read, or a row is no box.
        """
        boxes: dict[int, Sequence[float]] = {}
        try:
            rows = csv.DictReader(io.StringIO(decode_text(path.read_bytes()), newline=""))
            if not {*_COLUMNS} <= {*(rows.fieldnames or ())}:
                header = ",".join(_COLUMNS)
                raise UserError(f"columns are not {header}, {path}:1; write that header")
            for row in rows:
                frame, box = _read_row(row, f"{path}:{rows.line_num}")
                boxes[frame] = box
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"cannot read the boxes, {path}; correct --boxes") from error
        if not boxes:
            raise UserError(f"no box, {path}:2; add a row for the first frame")
        return cls(boxes)

    @property
    def first(self) -> int:
        """The first frame that has a box."""
        return next(iter(self._boxes))

    def at(self, frame: int) -> Array:
        """The box (4,) that holds in a frame."""
        return self._boxes[max(start for start in self._boxes if start <= frame)]


def _read_row(row: Mapping[str, str | None], where: str) -> tuple[int, list[float]]:
    """Frame and box of a row.

    Raises:
        UserError: it is none.
    """
    try:
        frame, *box = (number(row[column] or "") for column in _COLUMNS)
    except ValueError:
        raise UserError(f"not a frame and four numbers, {where}; correct the row") from None
    if frame < 0 or frame % 1:
        raise UserError(f"frame {frame:g} is no whole number from 0, {where}; correct the row")
    if not (np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3]):
        raise UserError(f"box has no area, {where}; x0 < x1 and y0 < y1 are needed")
    return int(frame), box
