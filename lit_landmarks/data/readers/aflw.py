"""Reader for AFLW-19: AFLW's pictures with the 19 points of its 2016 revision."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.finding import locate
from lit_landmarks.data.index import FilePattern, missing_image
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
    table,
)
from lit_landmarks.data.readers.listed import FaceRow, ListedFaces
from lit_landmarks.data.readers.mat5 import read_mat5
from lit_landmarks.errors import UserError

_POINTS = 19
_VARIABLES = ("bbox", "data", "mask_new", "nameList", "ra")
#: Faces of the official order that train; the 4386 others test.
TRAIN_FACES = 20000
_FOLDERS = ("data/flickr", "flickr", "aflw/data/flickr", "images", "aflw/flickr")
_SUFFIXES = (".jpg", ".png", ".jpeg")
_LAYOUT = "it holds AFLWinfo_release.mat and AFLW's pictures in data/flickr/{0,2,3}/"


class Aflw19(ListedFaces["tuple[_Release, Path, int]"]):
    """AFLW-19: 20000 faces to train with, 4386 to test.

    Layout: `root/AFLWinfo_release.mat` of the revision and `root/data/flickr/{0,2,3}/*.jpg` of
    AFLW (also `root/flickr` or `root/images`). Of the n faces the file holds `nameList` (n cells),
    `data` (n x 38: 19 x, 19 y), `mask_new` (n x 19, 1 where a point is seen), `bbox` (n x 4: left,
    right, top, bottom) and the official order `ra` (from 1).

    The revision places hidden points too, so all 19 count (full protocol); `visible` is 0 there,
    and a hidden point at (0, 0) is one that has no place. The subset `frontal` is the faces whose
    19 points are all seen. What pixels count from is not stated; they are read as counting from 0,
    which on AFLW's faces of some 200 px is at most half a percent of the box off.

    Args:
        root: folder of the data set.
        split: "train" or "test".
        boxes: "ground_truth" is the tight box of the points, "annotated" that of the file.
        subset: "frontal", or null for the full protocol.
        first, last: keep only so many faces from the start or the end, in the official order.
        train_faces: how many faces of the official order train; fewer only for a part of the set.
    """

    scheme: str = "aflw19"
    convention: str = "aflw"
    primary_norm: str = "box"
    source: ClassVar[str] = (
        "https://www.tugraz.at/institute/icg/research/team-bischof/lrs/downloads/aflw/ (pictures),"
        " http://mmlab.ie.cuhk.edu.hk/projects/compositional.html (AFLWinfo_release.mat)"
    )
    licence: ClassVar[str] = "research only, on request; images stay with their owners"
    files: ClassVar[tuple[FilePattern, ...]] = (FilePattern(("AFLWinfo_release.mat",)),)
    subset_names: ClassVar[tuple[str, ...]] = ("frontal",)

    def __init__(
        self,
        root: str,
        split: Literal["train", "test"] = "train",
        boxes: BoxSource = "ground_truth",
        subset: str | None = None,
        first: int | None = None,
        last: int | None = None,
        train_faces: int = TRAIN_FACES,
    ) -> None:
        super().__init__(root, subset, first, last)
        self.split = choice("split", split, SPLITS)
        self.boxes = choice("boxes", boxes, BOXES)
        self.train_faces = train_faces

    def _entries(self, root: Path) -> Iterator[tuple[_Release, Path, int]]:
        file = find(root, ["AFLWinfo_release.mat"], _LAYOUT, self.source)
        images = find(root, _FOLDERS, _LAYOUT, self.source).resolve()
        data = _Release(file)
        train, test = data.order[: self.train_faces], data.order[self.train_faces :]
        for row in train if self.split == "train" else test:
            yield data, images, int(row)

    def _face(self, entry: tuple[_Release, Path, int]) -> FaceRow:
        data, images, row = entry
        where = f"{data.path}:{row + 1}"
        shape, visible, mask = data.face(row)
        return FaceRow(
            points=shape,
            box=face_box(self.boxes, data.boxes[row], shape[mask], where),
            image=_picture(images, data.name(row), where),
            mask=mask,
            subsets=("frontal",) if visible.all() else (),
            visible=visible.astype(np.int8),
        )


class _Release:
    """The tables of AFLWinfo_release.mat."""

    def __init__(self, path: Path) -> None:
        variables = read_mat5(path, _VARIABLES)
        n = len(variables["data"])
        self.path = path
        self.points = table(variables["data"], (n, 2 * _POINTS), "data", path)
        self.visible = table(variables["mask_new"], (n, _POINTS), "mask_new", path)
        sides = table(variables["bbox"], (n, 4), "bbox", path)
        self.boxes = sides[:, [0, 2, 1, 3]]
        order = variables["ra"].reshape(-1)
        order = table(order, (n,), "ra", path) - 1
        if not np.array_equal(np.sort(order), np.arange(n)):
            raise UserError(f"ra is no order of 1 to {n}, {path}; fetch the file again")
        self.order: NDArray[np.int64] = order.astype(np.int64)
        self.names: NDArray[Any] = variables["nameList"].reshape(-1)
        if len(self.names) != n:
            raise UserError(f"{len(self.names)} names for {n} faces, {path}; fetch the file again")

    def face(self, row: int) -> tuple[Numbers, NDArray[np.bool_], NDArray[np.bool_]]:
        """Points (19, 2), whether each is visible and whether it has a place at all."""
        where = f"{self.path}:{row + 1}"
        shape = check_points(self.points[row].reshape(2, _POINTS).T, where)
        visible = flags(self.visible[row], where)
        return shape, visible, visible | shape.any(1)

    def name(self, row: int) -> str:
        """Picture of a face, below the folder of pictures."""
        cell = self.names[row]
        while isinstance(cell, np.ndarray) and cell.size == 1:
            cell = cell.reshape(-1)[0]
        if not isinstance(cell, str):
            raise UserError(f"nameList holds no name, {self.path}:{row + 1}; fetch the file again")
        return cell.strip()


def _picture(images: Path, name: str, where: str) -> Path:
    """The file of a name; AFLW holds a few pictures with another suffix than the list says."""
    path = inside(images, name, where)
    for suffix in (path.suffix, *_SUFFIXES):
        file = locate(path.parent, path.with_suffix(suffix).name)
        if file.is_file():
            return file
    raise missing_image(path)
