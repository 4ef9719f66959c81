"""Reader for WFLW: 98 points, a face box and six attributes for each face, in two list files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from lit_landmarks.data.index import FilePattern
from lit_landmarks.data.readers.common import (
    BOXES,
    SPLITS,
    BoxSource,
    Numbers,
    check_points,
    choice,
    face_box,
    find,
    flags,
    inside,
    tight_box,
)
from lit_landmarks.data.readers.listed import FaceRow, ListedFaces
from lit_landmarks.data.readers.text import decode_text, numbers
from lit_landmarks.errors import UserError

#: The six attributes in the order of the list files; their test subsets hold 326, 314, 698, 206,
#: 736 and 773 of the 2500 test faces.
WFLW_SUBSETS = ("pose", "expression", "illumination", "makeup", "occlusion", "blur")
_POINTS = 98
_LISTS = "WFLW_annotations/list_98pt_rect_attr_train_test"
_CELLS = 2 * _POINTS + 4 + len(WFLW_SUBSETS) + 1
_LAYOUT = (
    "it holds WFLW_images/ and"
    " WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_{train,test}.txt"
)


class Wflw(ListedFaces["tuple[str, str, Path]"]):
    """WFLW: 7500 faces to train with, 2500 to test.

    Layout, as its owners ship it::

        root/WFLW_images/<event>/<image>.jpg
        root/WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_{train,test}.txt

    A row holds 98 x, y pairs, the box x0 y0 x1 y1, six flags and the image, apart by blanks. The
    owners do not say from what pixels count; they are read as counting from 0 with centres at
    integers, as the loaders published for it do. Its box is the tight box of the points cut to
    whole pixels (measured on a few faces).

    Args:
        root: folder of the data set.
        split: "train" or "test".
        boxes: "ground_truth" is the tight box of the points, "annotated" that of the list.
        subset: keep only faces with this flag: pose, expression, illumination, makeup, occlusion,
            blur.
        first, last: keep only so many faces from the start or the end of the list.
    """

    scheme: str = "wflw98"
    convention: str = "wflw"
    primary_norm: str = "interocular"
    source: ClassVar[str] = "https://wywu.github.io/projects/LAB/WFLW.html"
    licence: ClassVar[str] = "research only; images are those of WIDER FACE"
    files: ClassVar[tuple[FilePattern, ...]] = (
        FilePattern(
            (f"{_LISTS}/list_98pt_rect_attr_*.txt",),
            splits={split: (f"{_LISTS}/list_98pt_rect_attr_{split}.txt",) for split in SPLITS},
        ),
    )
    subset_names: ClassVar[tuple[str, ...]] = WFLW_SUBSETS

    def __init__(
        self,
        root: str,
        split: Literal["train", "test"] = "train",
        boxes: BoxSource = "ground_truth",
        subset: str | None = None,
        first: int | None = None,
        last: int | None = None,
    ) -> None:
        super().__init__(root, subset, first, last)
        self.split = choice("split", split, SPLITS)
        self.boxes = choice("boxes", boxes, BOXES)

    def _entries(self, root: Path) -> Iterator[tuple[str, str, Path]]:
        name = f"list_98pt_rect_attr_{self.split}.txt"
        file = find(root, [f"{_LISTS}/{name}"], _LAYOUT, self.source)
        images = find(root, ["WFLW_images"], _LAYOUT, self.source).resolve()
        try:
            lines = decode_text(file.read_bytes()).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"no readable text, {file}; fetch the file again") from error
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield line, f"{file}:{number}", images

    def _face(self, entry: tuple[str, str, Path]) -> FaceRow:
        line, where, images = entry
        values, name = _row(line, where)
        shape = check_points(values[: 2 * _POINTS].reshape(-1, 2), where)
        # Always looked at: where columns slipped, the box no longer meets the points.
        listed = face_box("annotated", values[196:200], shape, where)
        attributes = flags(values[200:], where)
        return FaceRow(
            points=shape,
            box=listed if self.boxes == "annotated" else tight_box(shape, where),
            image=inside(images, name, where),
            subsets=[key for key, flag in zip(WFLW_SUBSETS, attributes, strict=True) if flag],
        )


def _row(line: str, where: str) -> tuple[Numbers, str]:
    """206 numbers and the image name of a row."""
    cells = line.split()
    if len(cells) != _CELLS:
        raise UserError(
            f"{len(cells)} columns, not {_CELLS} (98 points, box, 6 flags, image), {where};"
            " fetch the file again"
        )
    try:
        return np.array(numbers(cells[:-1])), cells[-1]
    except ValueError as error:
        raise UserError(f"a column is no number, {where}; correct the row") from error
