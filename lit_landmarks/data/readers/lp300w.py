"""Reader for 300W-LP: faces of 300W turned up to profile, with the pose of a fitted model."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from lit_landmarks.data.finding import locate, match_files
from lit_landmarks.data.index import FaceIndex, FilePattern
from lit_landmarks.data.readers.common import (
    check_points,
    choice,
    find,
    table,
    tight_box,
)
from lit_landmarks.data.readers.large_pose import (
    YAW_BINS,
    pose_numbers,
    to_our_pose,
    yaw_subsets,
)
from lit_landmarks.data.readers.listed import FaceRow, ListedFaces
from lit_landmarks.data.readers.mat5 import read_mat5
from lit_landmarks.errors import UserError

_POINTS = 68
_FOLDERS = ("AFW", "HELEN", "IBUG", "LFPW")
#: One photo in so many validates.
_VALIDATES = 20
_LAYOUT = (
    "it holds AFW/, HELEN/, IBUG/, LFPW/ with .jpg beside .mat, and landmarks/<the same>/*_pts.mat"
)


class Lp300W(ListedFaces[Path]):
    """300W-LP: 61,225 faces of 450 x 450 pixels, and as many mirrored ones.

    Layout: `root/{AFW,HELEN,IBUG,LFPW}[_Flip]/<photo>_<k>.{jpg,mat}` and
    `root/landmarks/<folder>/<photo>_<k>_pts.mat` (also below `root/300W_LP/`). Read are `Pose_Para`
    (see `large_pose`) from the first and, by the argument `points`, `pts_3d` (68 x 2: points fixed
    to the skull, in the image) or `pts_2d` (68 x 2: the annotations of 300W, carried along) from
    the second. `pt2d` beside `Pose_Para` is not read: in every turned copy it is said to hold the
    points of the photo before it was turned.

    Subsets: `afw`, `helen`, `ibug`, `lfpw`; `original` (k = 0: the photo's own pose); `yaw_0_30`,
    `yaw_30_60`, `yaw_60_90` by |yaw| as it stands in the file. There is no official split. IBUG is
    a test set of 300W: leave it out to be compared there.

    Pixels: as said at `Aflw2000`, which has the same makers.

    Args:
        root: folder of the data set.
        points: "3d" or "2d".
        flips: read the mirrored copies too; this package mirrors faces itself, so they add nothing.
        part: "train" and "validation" part the photos, so that no photo is in both in two poses;
            "all" is both.
        subset: keep only this subset.
        first, last: keep only so many faces from the start or the end of the list sorted by name.
        first_pixel: number of the first pixel in the files, 0 or 1.
    """

    scheme: str = "ibug68"
    convention: str = "300w_lp"
    primary_norm: str = "box"
    source: ClassVar[str] = "http://www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm"
    licence: ClassVar[str] = "research only; images stay with their owners"
    files: ClassVar[tuple[FilePattern, ...]] = (
        FilePattern(tuple(f"{a}{f}/{f}_*.mat" for a in ("", "300W_LP/") for f in _FOLDERS)),
    )
    subset_names: ClassVar[tuple[str, ...]] = (
        *(folder.lower() for folder in _FOLDERS),
        "original",
        *YAW_BINS,
    )

    def __init__(
        self,
        root: str,
        points: Literal["3d", "2d"] = "3d",
        flips: bool = False,
        part: Literal["all", "train", "validation"] = "all",
        subset: str | None = None,
        first: int | None = None,
        last: int | None = None,
        first_pixel: Literal[0, 1] = 0,
    ) -> None:
        choice("points", points, ("3d", "2d"))
        choice("part", part, ("all", "train", "validation"))
        super().__init__(root, subset, first, last)
        self.points, self.flips, self.part = points, flips, part
        self.first_pixel = first_pixel
        self.convention = "300w_lp" if points == "3d" else "300w"

    def _entries(self, root: Path) -> list[Path]:
        above = find(root, [*_FOLDERS, *(f"300W_LP/{f}" for f in _FOLDERS)], _LAYOUT, self.source)
        return self._files(above.parent)

    def _columns(self, rows: Sequence[FaceRow]) -> FaceIndex:
        index = super()._columns(rows)
        if index.pose is None:
            return index
        # All at once: rows hold the angles of the files, and there can be 122,000.
        return replace(index, pose=to_our_pose(index.pose).astype(np.float32))

    def photo_names(self) -> list[str]:
        """The photo of 300W from which each face was turned, as `Ibug300W` names it."""
        names = []
        for path in map(Path, self.index().paths):
            folder = path.parent.name.removesuffix("_Flip")
            photo = path.stem.rsplit("_", 1)[0].removeprefix(f"{folder}_").removesuffix("_Flip")
            names.append(f"{folder.lower()}/{photo}")
        return names

    def _files(self, root: Path) -> list[Path]:
        names = [f + end for f in _FOLDERS for end in ("", "_Flip")[: 1 + self.flips]]
        present = [f for f in names if (root / f).is_dir()]
        if absent := [f for f in present if not _labels(root, f).is_dir()]:
            cure = (
                "leave flips: false (faces are mirrored when they are drawn)"
                if absent[0].endswith("_Flip")
                else "fetch that folder too: pt2d in the files beside the images belongs to the"
                " photo before it was turned"
            )
            raise UserError(f"no landmarks/{absent[0]} in {root}; {cure}")
        files = [f for name in names for f in sorted(match_files(root / name, "*.mat"))]
        if self.part != "all":
            wanted = self.part == "validation"
            files = [f for f in files if _validates(f) == wanted]
        return files

    def _face(self, entry: Path) -> FaceRow:
        path = _labels(entry.parents[1], entry.parent.name) / f"{entry.stem}_pts.mat"
        name = f"pts_{self.points}"
        shape = table(read_mat5(path, (name,))[name], (_POINTS, 2), name, path)
        shape = check_points(shape, str(path)) - self.first_pixel
        pose = read_mat5(entry, ("Pose_Para",))["Pose_Para"]
        angles = pose_numbers(pose, entry)[:3].astype(np.float32)
        folder = entry.parent.name.removesuffix("_Flip").lower()
        original = ("original",) if entry.stem.endswith("_0") else ()
        return FaceRow(
            points=shape,
            box=tight_box(shape, str(entry)),
            image=locate(entry.parent, f"{entry.stem}.jpg"),
            subsets=(
                folder,
                *original,
                *yaw_subsets(angles),
            ),
            pose=angles,
        )


def _labels(root: Path, folder: str) -> Path:
    return root / "landmarks" / folder


def _validates(file: Path) -> bool:
    """By the photo: what stands before the last `_` is the same in all its poses."""
    photo = file.stem.rsplit("_", 1)[0]
    return zlib.crc32(os.fsencode(photo)) % _VALIDATES == 0
