"""Boxes of a face detector, in a CSV file beside the pictures.

They are boxes by which faces are cut, so those of a detector have been through its
`geometry.boxes.BoxMapping`: `bench detectors --write FILE` writes such a file.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from lit_landmarks.data.finding import locate
from lit_landmarks.data.readers.common import Numbers
from lit_landmarks.data.readers.text import decode_text, number
from lit_landmarks.errors import UserError
from lit_landmarks.geometry.boxes import box_overlap

#: Boxes (4,) by the resolved path of the picture.
DetectedBoxes = dict[str, list[Numbers]]

#: Intersection over union from which a box is that of a face.
_LEAST_OVERLAP = 0.2

COLUMNS = ("x0", "y0", "x1", "y1")


def read_detector_boxes(path: Path, option: str = "detector_csv") -> DetectedBoxes:
    """Boxes of a CSV file by resolved image path.

    Args:
        path: file with the columns image,x0,y0,x1,y1 in 0-based pixels; image paths start at its
            folder.
        option: where the user has named the file, for messages.

    Raises:
        UserError: the file cannot be read, or a row is no box.
    """
    boxes: DetectedBoxes = {}
    try:
        text = decode_text(path.read_bytes())
        # Where the comma is the decimal sign, spreadsheets write semicolons.
        apart = ";" if ";" in text.partition("\n")[0] else ","
        rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=apart, skipinitialspace=True)
        if not {"image", *COLUMNS} <= set(rows.fieldnames or ()):
            raise UserError(f"columns are not image,x0,y0,x1,y1, {path}:1; write that header")
        for row in rows:
            where = f"{path}:{rows.line_num}"
            try:
                box = np.array([number(row[c]) for c in COLUMNS])
            except (TypeError, ValueError):
                raise UserError(f"box is not four numbers, {where}; correct the row") from None
            try:
                image = str(locate(path.parent, row["image"]).resolve())
            except (TypeError, ValueError):
                raise UserError(f"no name of a picture, {where}; correct the row") from None
            if not (np.isfinite(box).all() and (box[2:] > box[:2]).all()):
                raise UserError(f"box has no area, {where}; x0 < x1 and y0 < y1 are needed")
            boxes.setdefault(image, []).append(box)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read the detector boxes, {path}; correct {option}") from error
    return boxes


def best_box(detected: DetectedBoxes, image: Path, box: Numbers) -> Numbers | None:
    """The detected box (4,) of a face: that which overlaps most with its own, if by enough.

    A box that covers another part of the picture is of another face, or of none.

    Args:
        detected: all boxes.
        image: the picture.
        box: (4,) the face's own.
    """
    candidates = detected.get(str(image.resolve()), [])
    best = max(candidates, key=lambda b: float(box_overlap(b, box)), default=None)
    return None if best is None or box_overlap(best, box) < _LEAST_OVERLAP else best
