"""Reader for LaPa: 106 points in one text file for each picture."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from lit_landmarks.data.index import FaceDataset, FaceIndex, Report, missing_image
from lit_landmarks.data.readers.common import (
    Numbers,
    choice,
    find,
    make_index,
    narrowed,
    tight_box,
)
from lit_landmarks.data.readers.ibug import IMAGE_SUFFIXES, image_files
from lit_landmarks.data.readers.text import number_rows, read_lines
from lit_landmarks.errors import UserError

_POINTS = 106
_SPLITS = ("train", "val", "test")
_TOLD = "it holds train/, val/ and test/, each with images/*.jpg, labels/*.png, landmarks/*.txt"


class LaPa(FaceDataset):
    """LaPa: 18,168 faces to train with, 2000 to validate, 2000 to test.

    Layout: `root/{train,val,test}/images/<name>.jpg` and `.../landmarks/<name>.txt` (the folder
    `LaPa` of the archive may be left out; `labels/<name>.png`, the parsing masks, are not read). A
    text file says 106 in its first row; the others are `x y`, whole pixels written with decimals.
    The owners do not say from what they count; they are read as counting from 0, as the loaders
    published for it do.

    Args:
        root: folder of the data set.
        split: "train", "val" or "test".
        first, last: keep only so many faces from the start or the end of the list sorted by name.
    """

    scheme: str = "lapa106"
    convention: str = "lapa"
    primary_normaliser: str = "interocular"
    source: ClassVar[str] = "https://github.com/JDAI-CV/lapa-dataset"
    licence: ClassVar[str] = "non-commercial, by agreement; images stay with their owners"

    def __init__(
        self,
        root: str,
        split: Literal["train", "val", "test"] = "train",
        first: int | None = None,
        last: int | None = None,
    ) -> None:
        choice("split", split, _SPLITS)
        self.root, self.split, self.first, self.last = root, split, first, last

    def _read(self, report: Report) -> FaceIndex:
        root = self.resolve(self.root)
        places = [f"{above}{self.split}/landmarks" for above in ("", "LaPa/")]
        folder = find(root, places, _TOLD, self.source)
        images = folder.parent / "images"
        names = image_files(images) if images.is_dir() else {}
        points, boxes, paths = [], [], []
        for file in sorted(folder.glob("*.txt")):
            try:
                shape = _points(file)
                box = tight_box(shape, str(file))
                if file.stem not in names:
                    raise missing_image(images / file.name, IMAGE_SUFFIXES)
            except UserError as error:
                report(error)
                continue
            points.append(shape)
            boxes.append(box)
            paths.append(str(names[file.stem]))
        index = make_index(points, boxes, _POINTS, paths=tuple(paths))
        return narrowed(index, None, self.first, self.last, f"{root} ({self.split})")[0]


def _points(file: Path) -> Numbers:
    lines = read_lines(file)
    if not lines or lines[0].strip() != str(_POINTS):
        told = lines[0].strip()[:40] if lines else ""
        raise UserError(f"the first row is {told!r}, not {_POINTS}, {file}:1; fetch the file again")
    return number_rows(lines[1:], _POINTS, file, first=2)
