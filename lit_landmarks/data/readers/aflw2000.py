"""Reader for AFLW2000-3D: 68 points in 3D and the pose of a fitted morphable model."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from lit_landmarks.data.finding import locate, match_files
from lit_landmarks.data.index import FilePattern
from lit_landmarks.data.readers.common import (
    check_points,
    table,
    tight_box,
)
from lit_landmarks.data.readers.large_pose import (
    YAW_BINS,
    check_depth,
    pose_numbers,
    to_our_pose,
    yaw_subsets,
)
from lit_landmarks.data.readers.listed import FaceRow, ListedFaces
from lit_landmarks.data.readers.mat5 import read_mat5
from lit_landmarks.errors import UserError

_POINTS = 68
_LAYOUT = "it holds image00002.jpg, image00002.mat and so on"


class Aflw2000(ListedFaces[Path]):
    """AFLW2000-3D: 2000 faces of 450 x 450 pixels, up to profile, to test with.

    Layout: `root/imageNNNNN.{jpg,mat}` (also `root/AFLW2000/`). Read are `pt3d_68` (3 x 68: image
    pixels and, in the same unit, depth towards the camera) and `Pose_Para` (see `large_pose`).
    `points3d` counts depth away from the camera, from the mean. Subsets: `yaw_0_30`, `yaw_30_60`,
    `yaw_60_90`, by |yaw| as it stands in the file; the published figure is the unweighted mean of
    the three.

    What pixels count from is not stated, and published results take them as they stand, that is
    from 0; so does this reader. But the files are MATLAB's, and their other points (`pt2d`) lie,
    in 15 of 16 files, on whole source pixels only if the first one has the number 1. Who draws
    finer conclusions sets `first_pixel` to 1.

    Args:
        root: folder of the data set.
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
        FilePattern(("image[0-9]*.mat", "AFLW2000/image[0-9]*.mat")),
    )
    subset_names: ClassVar[tuple[str, ...]] = tuple(YAW_BINS)

    def __init__(
        self,
        root: str,
        subset: str | None = None,
        first: int | None = None,
        last: int | None = None,
        first_pixel: Literal[0, 1] = 0,
    ) -> None:
        super().__init__(root, subset, first, last)
        self.first_pixel = first_pixel

    def _entries(self, root: Path) -> list[Path]:
        layout = f"{_LAYOUT}; given out by its owners: {self.source}"
        if not root.is_dir():
            raise UserError(f"no folder {root}; correct root, or fetch the data set: {layout}")
        files = sorted(match_files(root, "image*.mat"))
        files = files or sorted(match_files(root, "AFLW2000/image*.mat"))
        if not files:
            raise UserError(f"no image*.mat in {root}; {layout}")
        return files

    def _face(self, entry: Path) -> FaceRow:
        file = read_mat5(entry, ("pt3d_68", "Pose_Para"))
        shape = table(file["pt3d_68"], (3, _POINTS), "pt3d_68", entry).T
        check_points(shape[:, :2], str(entry))
        check_depth(shape[:, 2], str(entry))
        x, y, depth = (shape - [self.first_pixel, self.first_pixel, 0]).T
        shape = np.stack([x, y, depth.mean() - depth], 1)
        angles = pose_numbers(file["Pose_Para"], entry)[None, :3]
        return FaceRow(
            points=shape[:, :2],
            box=tight_box(shape[:, :2], str(entry)),
            image=locate(entry.parent, f"{entry.stem}.jpg"),
            subsets=yaw_subsets(angles[0]),
            points3d=shape,
            pose=to_our_pose(angles)[0],
        )
