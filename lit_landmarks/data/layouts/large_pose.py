"""Layouts of 300W-LP and AFLW2000-3D: pictures beside `.mat` files of a model fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.layouts.base import Contour, LabelledFace, Layout, write_image, write_mat
from lit_landmarks.data.readers.large_pose import to_file_angles

_FOLDERS = ("AFW", "HELEN", "IBUG", "LFPW")
#: Faces that are told as poses of one photo.
_POSES = 3


class Lp300WLayout(Layout):
    """`{AFW,HELEN,IBUG,LFPW}/<photo>_<k>.{jpg,mat}` and `landmarks/.../<photo>_<k>_pts.mat`."""

    name: ClassVar[str] = "300w_lp"
    scheme: ClassVar[str] = "ibug68"
    contour: ClassVar[Contour] = "300w_lp"

    def write(self, root: Path, face: LabelledFace) -> None:
        """Write the picture, its fit and its points."""
        photo, pose = divmod(face.number, _POSES)
        folder = _FOLDERS[photo % len(_FOLDERS)]
        name = f"{folder}_image_{photo:05d}_{pose}"
        write_image(root / folder / f"{name}.jpg", face.pixels)
        points = face.points.astype(np.float64)
        write_mat(root / folder / f"{name}.mat", _fit(face) | {"pt2d": points.T})
        both = {"pts_2d": points, "pts_3d": points}
        write_mat(root / "landmarks" / folder / f"{name}_pts.mat", both)


class Aflw2000Layout(Layout):
    """`image00000.{jpg,mat}` in one folder."""

    name: ClassVar[str] = "aflw2000"
    scheme: ClassVar[str] = "ibug68"
    contour: ClassVar[Contour] = "300w_lp"

    def write(self, root: Path, face: LabelledFace) -> None:
        """Write the picture and its fit; a face without depth is flat."""
        stem = root / f"image{face.number:05d}"
        write_image(stem.with_suffix(".jpg"), face.pixels)
        depth = np.zeros(len(face.points)) if face.points3d is None else face.points3d[:, 2]
        solid = np.stack([*face.points.T, -depth]).astype(np.float32)
        # The 21 points of AFLW are not ours to make: -1 is "not annotated".
        write_mat(
            stem.with_suffix(".mat"),
            _fit(face) | {"pt2d": np.full((2, 21), -1.0), "pt3d_68": solid},
        )


def _fit(face: LabelledFace) -> dict[str, NDArray[Any]]:
    """The variables of a model fit; shape and colour are left 0."""
    pose = np.zeros(3) if face.pose is None else face.pose
    angles = to_file_angles(pose[None])[0]
    middle = face.points.mean(0)
    sizes = {
        "Shape_Para": (199, 1),
        "Exp_Para": (29, 1),
        "Tex_Para": (199, 1),
        "Illum_Para": (1, 10),
        "Color_Para": (1, 7),
    }
    return {
        "Pose_Para": np.array([[*angles, *middle, 0.0, 1e-3]], np.float32),
        "roi": np.array([[1, 1, *face.pixels.shape[1::-1]]], np.int16),
        **{name: np.zeros(shape) for name, shape in sizes.items()},
    }
