"""Reader for keypoints of YouTube Faces frames: one CSV for each split, beside its pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from lit_landmarks.data.index import FaceDataset, FaceIndex, Report, missing_image
from lit_landmarks.data.readers.common import (
    Numbers,
    check_points,
    choice,
    find,
    inside,
    make_index,
    narrowed,
    tight_box,
)
from lit_landmarks.data.readers.text import numbers, read_lines
from lit_landmarks.errors import UserError

_POINTS = 68
#: Names of the folder and the CSV of each split; the second are those of the first release.
_NAMES = {"train": ("train", "training"), "val": ("val",), "test": ("test",)}
_TOLD = "it holds train/*.jpg and train_frames_keypoints.csv (or training, val, test)"
#: A frame's name: the person, one digit for the video, one for the frame of it.
_FRAME = re.compile(r"(.*_\d)(\d)\.[A-Za-z]+")


class YouTubeFaces(FaceDataset):
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
    primary_normaliser: str = "interocular"
    source: ClassVar[str] = (
        "https://www.cs.tau.ac.il/~wolf/ytfaces/ (videos), frames with keypoints:"
        " https://github.com/udacity/P1_Facial_Keypoints"
    )
    licence: ClassVar[str] = "research only; videos stay with their owners"

    def __init__(
        self,
        root: str,
        split: Literal["train", "val", "test"] = "train",
        first: int | None = None,
        last: int | None = None,
    ) -> None:
        choice("split", split, tuple(_NAMES))
        self.root, self.split, self.first, self.last = root, split, first, last

    def _read(self, report: Report) -> FaceIndex:
        root = self.resolve(self.root)
        names = _NAMES[self.split]
        lists = [f"{name}_frames_keypoints.csv" for name in names]
        file = find(root, lists, _TOLD, self.source)
        folder = find(root, names, _TOLD, self.source).resolve()
        points, boxes, paths, videos, frames = [], [], [], [], []
        for row, (line, cells) in sorted(_last_rows(file).items()):
            where = f"{file}:{line}"
            try:
                shape = _shape(cells, where)
                box = tight_box(shape, where)
                image = inside(folder, row, where)
                if not image.is_file():
                    raise missing_image(image)
            except UserError as error:
                report(error)
                continue
            points.append(shape)
            boxes.append(box)
            paths.append(str(image))
            frame = _FRAME.fullmatch(row)
            videos.append(frame[1] if frame else row)
            frames.append(int(frame[2]) if frame else 0)
        numbers = {name: k for k, name in enumerate(dict.fromkeys(videos))}
        index = make_index(
            points,
            boxes,
            _POINTS,
            paths=tuple(paths),
            track=np.array([numbers[name] for name in videos], np.int64),
            time=np.array(frames, np.int64),
        )
        return narrowed(index, None, self.first, self.last, str(file))[0]


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
