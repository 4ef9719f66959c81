"""Reader for LaPa: 106 points in one text file for each picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from lit_landmarks.data.finding import IMAGE_SUFFIXES, image_files, image_of, match_files
from lit_landmarks.data.index import FilePattern, missing_image
from lit_landmarks.data.readers.common import (
    Numbers,
    choice,
    find,
    tight_box,
)
from lit_landmarks.data.readers.listed import FaceRow, ListedFaces
from lit_landmarks.data.readers.text import number_rows, read_lines
from lit_landmarks.errors import UserError

_POINTS = 106
_SPLITS = ("train", "val", "test")
#: Folders that the archive unpacks to.
_PARENT_FOLDERS = ("", "LaPa/")
_LAYOUT = "it holds train/, val/ and test/, each with images/*.jpg, labels/*.png, landmarks/*.txt"


class LaPa(ListedFaces["tuple[Path, dict[str, list[Path]]]"]):
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
    primary_norm: str = "interocular"
    source: ClassVar[str] = "https://github.com/JDAI-CV/lapa-dataset"
    licence: ClassVar[str] = "non-commercial, by agreement; images stay with their owners"
    files: ClassVar[tuple[FilePattern, ...]] = (
        FilePattern(
            tuple(f"{parent}*/landmarks/*.txt" for parent in _PARENT_FOLDERS),
            splits={
                s: tuple(f"{parent}{s}/landmarks/*.txt" for parent in _PARENT_FOLDERS)
                for s in _SPLITS
            },
        ),
    )

    def __init__(
        self,
        root: str,
        split: Literal["train", "val", "test"] = "train",
        first: int | None = None,
        last: int | None = None,
    ) -> None:
        super().__init__(root, None, first, last)
        self.split = choice("split", split, _SPLITS)

    def _entries(self, root: Path) -> Iterator[tuple[Path, dict[str, list[Path]]]]:
        places = [f"{parent}{self.split}/landmarks" for parent in _PARENT_FOLDERS]
        folder = find(root, places, _LAYOUT, self.source)
        images = folder.parent / "images"
        names = image_files(images) if images.is_dir() else {}
        yield from ((file, names) for file in sorted(match_files(folder, "*.txt")))

    def _face(self, entry: tuple[Path, dict[str, list[Path]]]) -> FaceRow:
        file, images = entry
        shape = _points(file)
        box = tight_box(shape, str(file))
        image = image_of(file, images)
        if image is None:
            raise missing_image(file.parents[1] / "images" / file.name, IMAGE_SUFFIXES)
        return FaceRow(points=shape, box=box, image=image)


def _points(file: Path) -> Numbers:
    lines = read_lines(file)
    if not lines or lines[0].strip() != str(_POINTS):
        text = lines[0].strip()[:40] if lines else ""
        raise UserError(f"the first row is {text!r}, not {_POINTS}, {file}:1; fetch the file again")
    return number_rows(lines[1:], _POINTS, file, first=2)
