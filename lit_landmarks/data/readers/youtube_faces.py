"""Reader for keypoints of YouTube Faces frames: one CSV for each split, beside its pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from lit_landmarks.data.index import FaceIndex, FilePattern
from lit_landmarks.data.readers.common import (
    Numbers,
    check_points,
    choice,
    find,
    inside,
    tight_box,
)
from lit_landmarks.data.readers.listed import FaceRow, ListedFaces
from lit_landmarks.data.readers.text import numbers, read_lines
from lit_landmarks.errors import UserError

_POINTS = 68
#: Names of the folder and the CSV of each split; the second are those of the first release.
_NAMES = {"train": ("train", "training"), "val": ("val",), "test": ("test",)}
_LAYOUT = "it holds train/*.jpg and train_frames_keypoints.csv (or training, val, test)"
#: A frame's name: the person, one digit for the video, one for the frame of it.
_FRAME = re.compile(r"(.*_\d)(\d)\.[A-Za-z]+")


class YouTubeFaces(ListedFaces["_Frame"]):
    """Frames of YouTube Faces with 68 automatic points, rounded to whole pixels.

    Layout: `root/<split>/<person>_<video digit><frame digit>.jpg` beside
    `root/<split>_frames_keypoints.csv`: a header row, then the picture's name and 136 numbers
    x0, y0, x1, ... They count from 0 (README of the release). `track` is the video, `time` the
    frame's digit.

    Some names stand in a list twice: two frames were given one name, and the picture of the second
    has overwritten the first. The last row belongs to the picture that is there (looked at 20
    of them), so the earlier ones are left out: of 4232 rows 3462 are read.

    Args:
        root: folder of the data set.
        split: "train", "val" or "test".
        first, last: keep only so many faces from the start or the end of the list sorted by name.
    """

    scheme: str = "ibug68"
    convention: str = "youtube_faces"
    primary_norm: str = "interocular"
    source: ClassVar[str] = (
        "https://www.cs.tau.ac.il/~wolf/ytfaces/ (videos), frames with keypoints:"
        " https://github.com/udacity/P1_Facial_Keypoints"
    )
    licence: ClassVar[str] = "research only; videos stay with their owners"
    files: ClassVar[tuple[FilePattern, ...]] = (
        FilePattern(
            ("*_frames_keypoints.csv",),
            splits={
                split: tuple(f"{name}_frames_keypoints.csv" for name in names)
                for split, names in _NAMES.items()
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
        self.split = choice("split", split, tuple(_NAMES))

    def _entries(self, root: Path) -> Iterator[_Frame]:
        names = _NAMES[self.split]
        lists = [f"{name}_frames_keypoints.csv" for name in names]
        file = find(root, lists, _LAYOUT, self.source)
        folder = find(root, names, _LAYOUT, self.source).resolve()
        for name, (line, cells) in sorted(_last_rows(file).items()):
            yield _Frame(name, folder, f"{file}:{line}", cells)

    def _face(self, entry: _Frame) -> FaceRow:
        shape = _shape(entry.cells, entry.where)
        box = tight_box(shape, entry.where)
        frame = _FRAME.fullmatch(entry.name)
        return FaceRow(
            points=shape,
            box=box,
            image=inside(entry.folder, entry.name, entry.where),
            time=int(frame[2]) if frame else 0,
        )

    def person_names(self) -> list[str]:
        """The person by the name of the picture, without the digits of video and frame."""
        frames = [_FRAME.fullmatch(Path(path).name) for path in self.index().paths]
        return [frame[1][:-2] if frame else "" for frame in frames]

    def _columns(self, rows: Sequence[FaceRow]) -> FaceIndex:
        names = [row.image.name for row in rows if row.image is not None]
        videos = [frame[1] if (frame := _FRAME.fullmatch(name)) else name for name in names]
        numbers = {video: k for k, video in enumerate(dict.fromkeys(videos))}
        track = np.array([numbers[video] for video in videos], np.int64)
        return replace(super()._columns(rows), track=track)


class _Frame(NamedTuple):
    """A row of a list: the picture's name, its folder, file and line, and the numbers as text."""

    name: str
    folder: Path
    where: str
    cells: list[str]


def _last_rows(file: Path) -> dict[str, tuple[int, list[str]]]:
    """Picture -> line number and cells of the last row that names it.

    Chosen before anything is checked: if the last row is bad, an earlier one is still not right.
    """
    lines = read_lines(file)
    if not lines or len(lines[0].split(",")) != 1 + 2 * _POINTS:
        raise UserError(
            f"the header is not a blank and 0,1,...,{2 * _POINTS - 1}, {file}:1; fetch it again"
        )
    rows: dict[str, tuple[int, list[str]]] = {}
    for line, text in enumerate(lines[1:], start=2):
        if text.strip():
            name, *cells = text.split(",")
            rows[name] = line, cells
    return rows


def _shape(cells: list[str], where: str) -> Numbers:
    if len(cells) != 2 * _POINTS:
        raise UserError(f"{len(cells)} numbers, not {2 * _POINTS}, {where}; fetch the file again")
    try:
        values = np.array(numbers(cells))
    except ValueError as error:
        raise UserError(f"a column is no number, {where}; correct the row") from error
    return check_points(values.reshape(-1, 2), where)
