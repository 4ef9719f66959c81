"""Reader for AFLW2000-3D: 68 points in 3D and the pose of a fitted morphable model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from lit_landmarks.data.finding import locate, match_files
from lit_landmarks.data.index import FilePattern
from lit_landmarks.data.readers.common import (
    Numbers,
    check_points,
    choice,
    load_array,
    table,
    tight_box,
)
from lit_landmarks.data.readers.detector_boxes import DetectedBoxes, best_box, read_detector_boxes
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
#: Half of the yaws of a file in radians are below this, a quarter turn; in degrees hardly ever. The
#: largest says nothing: the published files hold a few up to 351 degrees, which are 6 radians.
_MEDIAN = 1.6


class _Entry(NamedTuple):
    """A picture's `.mat` file, and what other files say of it.

    Attributes:
        file: the `.mat` file.
        labels: (2 or 3, 68) of another file, or None.
        yaw: of another file in degrees, or None.
        detected: all detector boxes by image.
    """

    file: Path
    labels: Numbers | None
    yaw: float | None
    detected: DetectedBoxes | None


_LAYOUT = "it holds image00002.jpg, image00002.mat and so on"


class Aflw2000(ListedFaces[_Entry]):
    """AFLW2000-3D: 2000 faces of 450 x 450 pixels, up to profile, to test with.

    Layout: `root/imageNNNNN.{jpg,mat}` (also `root/AFLW2000/`). Read are `pt3d_68` (3 x 68: image
    pixels and, in the same unit, depth towards the camera) and `Pose_Para` (see `large_pose`).
    `points3d` counts depth away from the camera, from the mean. Subsets: `yaw_0_30`, `yaw_30_60`,
    `yaw_60_90`, by |yaw| as it stands in the file; the published figure is the unweighted mean of
    the three (`nme_box_yaw_bins`).

    Published results differ in two files, which 3DDFA gives out and which this reader takes:

    - labels: those of the data set (`AFLW2000-3D.pts68.npy` is a copy of `pt3d_68`), or the
      re-annotated ones of LS3D-W (`AFLW2000-3D-Reannotated.pts68.npy`, 2D), which lie 2.8, 3.2 and
      4.1 % away in the three bins;
    - yaw: `AFLW2000-3D.pose.npy`, a copy of `Pose_Para` (1312, 383 and 305 faces), or
      `AFLW2000-3D-new.pose.npy` (1306, 462 and 232).

    Their rows follow the sorted names of all 2000 pictures.

    What pixels count from is not stated, and published results take them as they stand, that is
    from 0; so does this reader. But the files are MATLAB's, and their other points (`pt2d`) lie,
    in 15 of 16 files, on whole source pixels only if the first one has the number 1. Who draws
    finer conclusions sets `first_pixel` to 1.

    Args:
        root: folder of the data set.
        subset: keep only this subset.
        first, last: keep only so many faces from the start or the end of the list sorted by name.
        first_pixel: number of the first pixel in the files, 0 or 1.
        folders: folders below `root` that are read together as one set; null reads `root`.
        labels: an `.npy` file of labels (n, 2 or 3, 68); null takes `pt3d_68`.
        yaws: an `.npy` file of yaws (n,) in degrees, for the subsets; null takes `Pose_Para`.
        boxes: "ground_truth" is the tight box of the points; "detector" reads `detector_csv`.
            A face that the detector has not found keeps its tight box and is in the subset
            `undetected`, the others in `detected`: a figure of those alone hides the failures.
        detector_csv: CSV with the columns image,x0,y0,x1,y1, 0-based pixels; its image paths start
            at the folder in which the CSV lies.
    """

    scheme: str = "ibug68"
    convention: str = "300w_lp"
    primary_norm: str = "box"
    source: ClassVar[str] = "http://www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm"
    licence: ClassVar[str] = "research only; images stay with their owners"
    files: ClassVar[tuple[FilePattern, ...]] = (
        FilePattern(("image[0-9]*.mat", "AFLW2000/image[0-9]*.mat")),
    )
    subset_names: ClassVar[tuple[str, ...]] = (*YAW_BINS, "detected", "undetected")

    def __init__(
        self,
        root: str,
        subset: str | None = None,
        first: int | None = None,
        last: int | None = None,
        first_pixel: Literal[0, 1] = 0,
        folders: list[str] | None = None,
        labels: str | None = None,
        yaws: str | None = None,
        boxes: Literal["ground_truth", "detector"] = "ground_truth",
        detector_csv: str | None = None,
    ) -> None:
        super().__init__(root, subset, first, last)
        choice("boxes", boxes, ("ground_truth", "detector"))
        if first_pixel not in (0, 1):
            raise UserError(f"first_pixel: {first_pixel}; the files count from 0 or 1")
        if folders is not None and len(set(folders)) < len(folders):
            raise UserError(f"folders names one twice: {folders}; name each once")
        if (boxes == "detector") != (detector_csv is not None):
            raise UserError("boxes: detector and detector_csv go together; give both or neither")
        self.first_pixel, self.folders, self.labels, self.yaws = first_pixel, folders, labels, yaws
        self.boxes, self.detector_csv = boxes, detector_csv

    def _entries(self, root: Path) -> Iterator[_Entry]:
        folders = [root] if self.folders is None else [root / name for name in self.folders]
        files = [file for folder in folders for file in self._files(folder)]
        if self.labels is not None or self.yaws is not None:
            files.sort(key=lambda file: file.name)
        n = len(files)
        labels = self._rows(self.labels, ((n, 2, _POINTS), (n, 3, _POINTS)))
        yaws = self._rows(self.yaws, ((n,),))
        detected = None
        if self.detector_csv is not None:
            detected = read_detector_boxes(self.resolve(self.detector_csv))
            if not any(str(_picture_of(file).resolve()) in detected for file in files):
                raise UserError(
                    f"no box of any picture of {root} in {self.resolve(self.detector_csv)}; its"
                    " image column starts at the folder of the CSV"
                )
        if yaws is not None and not (np.isfinite(yaws).all() and np.median(np.abs(yaws)) > _MEDIAN):
            raise UserError(
                f"no yaws in degrees, {self.resolve(str(self.yaws))}; all must be finite, and not"
                " in radians"
            )
        for row, file in enumerate(files):
            yield _Entry(
                file,
                None if labels is None else labels[row],
                None if yaws is None else float(yaws[row]),
                detected,
            )

    def _files(self, folder: Path) -> list[Path]:
        layout = f"{_LAYOUT}; given out by its owners: {self.source}"
        if not folder.is_dir():
            raise UserError(f"no folder {folder}; correct root, or fetch the data set: {layout}")
        files = sorted(match_files(folder, "image*.mat"))
        files = files or sorted(match_files(folder, "AFLW2000/image*.mat"))
        if not files:
            raise UserError(f"no image*.mat in {folder}; {layout}")
        return files

    def _rows(self, name: str | None, shapes: Sequence[tuple[int, ...]]) -> Numbers | None:
        """An `.npy` file with a row for each picture."""
        if name is None:
            return None
        path = self.resolve(name)
        rows = load_array(path, None)
        if rows.shape not in shapes:
            wanted = " or ".join(map(str, shapes))
            raise UserError(
                f"the array is {rows.shape}, not {wanted}, {path}; its rows follow the names of all"
                f" pictures of the set, so that {shapes[0][0]} pictures need as many rows"
            )
        return rows

    def _face(self, entry: _Entry) -> FaceRow:
        path = entry.file
        file = read_mat5(path, ("pt3d_68", "Pose_Para"))
        shape = table(file["pt3d_68"], (3, _POINTS), "pt3d_68", path)
        if entry.labels is not None:
            shape, path = entry.labels, self.resolve(str(self.labels))
        where = f"{path}" if entry.labels is None else f"{path} ({entry.file.stem})"
        points = check_points(shape[:2].T, where) - self.first_pixel
        points3d = None
        if len(shape) == 3:
            check_depth(shape[2], where)
            points3d = np.concatenate([points, (shape[2].mean() - shape[2])[:, None]], 1)
        angles = pose_numbers(file["Pose_Para"], entry.file)[None, :3]
        box, subsets = tight_box(points, where), yaw_subsets(angles[0])
        if entry.yaw is not None:
            subsets = yaw_subsets(np.deg2rad([0.0, entry.yaw]))
        image = _picture_of(entry.file)
        if entry.detected is not None:
            detected = best_box(entry.detected, image, box)
            subsets = (*subsets, "undetected" if detected is None else "detected")
            box = box if detected is None else detected
        return FaceRow(
            points=points,
            box=box,
            image=image,
            subsets=subsets,
            points3d=points3d,
            pose=to_our_pose(angles)[0],
        )


def _picture_of(file: Path) -> Path:
    return locate(file.parent, f"{file.stem}.jpg")
