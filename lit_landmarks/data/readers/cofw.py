"""Readers for COFW: 29 points with occlusion, pictures and labels in one HDF5 `.mat`; and COFW68.

Both count pixels from 1: the files are MATLAB's, and the owners' own script `VisualizeAnnotations`
of COFW68 draws points and boxes unshifted over `imshow`, whose first pixel is at 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.finding import match_files
from lit_landmarks.data.index import Arguments, FilePattern, missing_image
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
    table,
)
from lit_landmarks.data.readers.hdf5 import Hdf5, own_array, variable
from lit_landmarks.data.readers.listed import FaceRow, ListedFaces
from lit_landmarks.data.readers.mat5 import read_mat5
from lit_landmarks.errors import UserError

#: The first faces of the training file are LFPW's, hardly occluded; the others are COFW's own.
LFPW_FACES = 845
_POINTS, _POINTS68 = 29, 68
#: A picture has at most so many values; more is a damaged header.
_MOST_PIXELS = 100_000_000


@dataclass(frozen=True)
class _Entry:
    """A face in the files: its number from 0, where it stands and its label numbers."""

    number: int
    where: str
    labels: Numbers
    box: Numbers | None


class _PicturesInFile(ListedFaces[_Entry]):
    """Faces whose pictures lie in a COFW `.mat`, found by their number."""

    #: The `.mat` and the name of its variable, `IsTr` or `IsT`; set by `_entries`.
    _pictures: tuple[Path, str]
    _numbers: NDArray[np.int64]

    def _select_numbers(self, numbers: list[int]) -> None:
        self._numbers = np.asarray(numbers, np.int64)

    def load(self, rows: Sequence[int]) -> list[NDArray[np.uint8]]:
        """The pictures of some faces, (H, W, 3) uint8 RGB; grey ones get three equal channels."""
        self.index()
        return _pictures(*self._pictures, [int(self._numbers[row]) for row in rows])

    def content_key(self, rows: Sequence[int]) -> str:
        """A hash of the file's name, size and times and of the pictures' numbers."""
        self.index()
        file = self._pictures[0]
        try:
            stat = file.stat()
        except OSError as error:
            raise missing_image(file) from error
        numbers = self._numbers[np.asarray(rows, np.int64)].tolist()
        key = (str(file), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, numbers)
        return hashlib.sha256(repr(key).encode()).hexdigest()


class Cofw(_PicturesInFile):
    """COFW: 1345 faces to train with (845 of LFPW, 500 of its own), 507 to test; colour version.

    Layout, as its owners ship it: `root/COFW_train_color.mat` and `root/COFW_test_color.mat`, each
    with the pictures (`IsTr`, `IsT`), 29 x, 29 y and 29 occlusion flags per face (`phisTr`,
    `phisT`) and detector boxes x, y, width, height (`bboxesTr`, `bboxesT`).

    Subsets of the training split: `lfpw` and `cofw`. Occluded points are annotated too; `visible`
    is 0 there and 1 elsewhere.

    Args:
        root: folder of the data set.
        split: "train" or "test".
        boxes: "ground_truth" is the tight box of the points, "annotated" the detector's.
        subset: keep only this subset.
        first, last: keep only so many faces from the start or the end.
    """

    scheme: str = "cofw29"
    convention: str = "cofw"
    primary_norm: str = "interocular"
    source: ClassVar[str] = "https://data.caltech.edu/records/20099 (COFW_color.zip)"
    licence: ClassVar[str] = "research; images stay with their owners"
    files: ClassVar[tuple[FilePattern, ...]] = (
        FilePattern(
            ("COFW_*_color.mat", "COFW*/COFW_*_color.mat"),
            splits={
                split: (f"COFW_{split}_color.mat", f"COFW*/COFW_{split}_color.mat")
                for split in SPLITS
            },
        ),
    )
    subset_names: ClassVar[tuple[str, ...]] = ("lfpw", "cofw")

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

    @classmethod
    def recognize(cls, folder: Path, pattern: FilePattern) -> Iterator[tuple[Path, Arguments]]:
        """As of any class, but for copies of COFW68 whose files hold no 29 points."""
        for place, arguments in super().recognize(folder, pattern):
            files = [
                f for mark in pattern.splits[arguments["split"]] for f in match_files(folder, mark)
            ]
            if not all(map(_pictures_only, files)):
                yield place, arguments

    def _entries(self, root: Path) -> Iterator[_Entry]:
        suffix = "Tr" if self.split == "train" else "T"
        file = _cofw_file(root, self.split, self.source)
        labels, boxes = _labels(file, suffix)
        self._pictures = file, f"Is{suffix}"
        for number, row in enumerate(labels):
            yield _Entry(number, f"{file}:{number + 1}", row, boxes[number])

    def _face(self, entry: _Entry) -> FaceRow:
        row, where = entry.labels, entry.where
        shape = check_points(np.stack([row[:29], row[29:58]], 1) - 1, where)
        hidden = flags(row[58:], where)
        annotated = None if entry.box is None else corners(entry.box)
        part = "lfpw" if entry.number < LFPW_FACES else "cofw"
        return FaceRow(
            points=shape,
            box=face_box(self.boxes, annotated, shape, where),
            subsets=(part,) if self.split == "train" else (),
            number=entry.number,
            visible=(~hidden).astype(np.int8),
        )


class Cofw68(_PicturesInFile):
    """COFW68: the 507 test faces of COFW with iBUG's 68 points and their occlusion; test only.

    Layout: `root/COFW_test_color.mat` of COFW for the pictures, and of the owners' benchmark
    `root/COFW68_Data/test_annotations/<number>_points.mat` (`Points` 68 x 2, `Occ` 68 x 1; numbers
    from 1, in the order of the pictures) and `root/COFW68_Data/cofw68_test_bboxes.mat` (`bboxes`
    n x 4: x, y, width, height), which only `boxes: annotated` needs.

    Args:
        root: folder of the data set.
        boxes: "ground_truth" is the tight box of the points, "annotated" the benchmark's.
        first, last: keep only so many faces from the start or the end.
    """

    scheme: str = "ibug68"
    convention: str = "cofw68"
    primary_norm: str = "interocular"
    source: ClassVar[str] = (
        "https://github.com/golnazghiasi/cofw68-benchmark (points) and COFW (pictures)"
    )
    licence: ClassVar[str] = "research; images stay with their owners"
    files: ClassVar[tuple[FilePattern, ...]] = (
        FilePattern(
            (
                "COFW68_Data/test_annotations/*_points.mat",
                "cofw68-benchmark*/COFW68_Data/test_annotations/*_points.mat",
            )
        ),
    )

    def __init__(
        self,
        root: str,
        boxes: BoxSource = "ground_truth",
        first: int | None = None,
        last: int | None = None,
    ) -> None:
        super().__init__(root, None, first, last)
        self.boxes = choice("boxes", boxes, BOXES)

    def _entries(self, root: Path) -> Iterator[_Entry]:
        pictures = _cofw_file(root, "test", self.source)
        n = _count(pictures, "IsT")
        self._pictures = pictures, "IsT"
        layout = "it holds COFW_test_color.mat and COFW68_Data/test_annotations/1_points.mat ..."
        places = [f"{parent}{rest}" for rest in ("COFW68_Data", "") for parent in _PARENT_FOLDERS]
        tests = [f"{place}/test_annotations".lstrip("/") for place in places]
        folder = find(root, tests, layout, self.source)
        annotated = self._benchmark_boxes(folder.parent, n) if self.boxes == "annotated" else None
        for number in range(n):
            file = folder / f"{number + 1}_points.mat"
            box = None if annotated is None else annotated[number]
            yield _Entry(number, str(file), np.empty(0), box)

    def _face(self, entry: _Entry) -> FaceRow:
        shape, hidden = _points68(Path(entry.where))
        box = None if entry.box is None else corners(entry.box)
        return FaceRow(
            points=shape,
            box=face_box(self.boxes, box, shape, entry.where),
            number=entry.number,
            visible=(~hidden).astype(np.int8),
        )

    def _benchmark_boxes(self, folder: Path, n: int) -> Numbers:
        file = folder / "cofw68_test_bboxes.mat"
        if not file.is_file():
            raise UserError(f"no boxes {file}; fetch them or choose boxes: ground_truth")
        return table(read_mat5(file, ["bboxes"])["bboxes"], (n, 4), "bboxes", file)


#: Folders that the archives unpack to.
_PARENT_FOLDERS = ("", "cofw68-benchmark-master/", "cofw68-benchmark/")


def corners(box: Numbers) -> Numbers:
    """x0, y0, x1, y1 counted from 0, of MATLAB's x, y, width, height counted from 1."""
    x, y, width, height = box
    return np.array([x - 1, y - 1, x - 1 + width, y - 1 + height])


def _cofw_file(root: Path, split: str, source: str) -> Path:
    name = f"COFW_{split}_color.mat"
    layout = "it holds COFW_train_color.mat and COFW_test_color.mat"
    return find(root, [name, f"COFW_color/{name}", f"COFW/{name}"], layout, source)


def _points68(file: Path) -> tuple[Numbers, NDArray[np.bool_]]:
    """Points (68, 2) from 0 and whether each is occluded (68,)."""
    labels = read_mat5(file, ["Points", "Occ"])
    points = check_points(table(labels["Points"], (_POINTS68, 2), "Points", file) - 1, str(file))
    occluded = labels["Occ"]
    if occluded.size != _POINTS68 or max(occluded.shape) != _POINTS68:
        raise UserError(f"Occ is {occluded.shape}, not 68 x 1, {file}; fetch the file again")
    return points, flags(table(occluded.reshape(-1), (_POINTS68,), "Occ", file), str(file))


def _pictures_only(file: Path) -> bool:
    """True for a COFW file without its own 29 points, as a copy of COFW68 may have."""
    try:
        with Hdf5(file) as opened:
            return not any(name.startswith("phis") for name in opened)
    except UserError:
        return False


def _count(path: Path, cells: str) -> int:
    with Hdf5(path) as file:
        return int(variable(file, cells, (1, -1), path).shape[1])


def _labels(path: Path, suffix: str) -> tuple[Numbers, Numbers]:
    """Labels (n, 87) and boxes (n, 4) as they stand in the file."""
    with Hdf5(path) as file:
        n = int(variable(file, f"Is{suffix}", (1, -1), path).shape[1])
        both = []
        for name, columns in ((f"phis{suffix}", 3 * _POINTS), (f"bboxes{suffix}", 4)):
            values = variable(file, name, (columns, n), path)[()]
            both.append(table(values, (columns, n), name, path).T)
        return both[0], both[1]


def _pictures(path: Path, cells: str, numbers: list[int]) -> list[NDArray[np.uint8]]:
    """Pictures by their number in the file; MATLAB stores them with the axes reversed."""
    images = []
    with Hdf5(path) as file:
        links = variable(file, cells, (1, -1), path)
        for number in numbers:
            where = f"{path}:{number + 1}"
            picture = own_array(file[links[0, number]], path, f"picture {number + 1}")
            grey, color = picture.ndim == 2, picture.ndim == 3 and picture.shape[0] == 3
            if not (grey or color) or picture.dtype != np.uint8:
                raise UserError(f"the picture is no uint8 image, {where}; fetch the file again")
            if not 0 < picture.size <= _MOST_PIXELS:
                raise UserError(f"the picture is {picture.shape}, {where}; fetch the file again")
            pixels = np.asarray(picture[()], np.uint8).T
            pixels = np.repeat(pixels[..., None], 3, 2) if grey else pixels
            images.append(np.ascontiguousarray(pixels))
    return images
