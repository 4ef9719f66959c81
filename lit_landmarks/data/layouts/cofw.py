"""COFW's layouts: pictures and labels of 29 points in one HDF5 `.mat`; COFW68's beside it.

Pictures of single faces wait in a hidden folder until `finish` packs them; a second `finish` of
the same faces takes them out of the packed file again.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.index import read_image
from lit_landmarks.data.layouts.base import LabelledFace, Layout, write_image, write_mat
from lit_landmarks.errors import UserError
from lit_landmarks.files import atomic_path

_WAITING = ".cofw_pictures"
_TEST_EVERY = 4
#: A MATLAB 7.3 file is HDF5 behind a block of this size that begins with its text.
_USER_BLOCK = 512
_TEXT = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created by lit_landmarks HDF5 schema 1.00 ."


class CofwLayout(Layout):
    """`COFW_train_color.mat` and `COFW_test_color.mat`; every fourth face tests."""

    name: ClassVar[str] = "cofw"
    scheme: ClassVar[str] = "cofw29"

    def write(self, root: Path, face: LabelledFace) -> None:
        """Put the picture aside."""
        write_image(_waiting(root, face), face.pixels)

    def finish(self, root: Path, faces: Sequence[LabelledFace]) -> None:
        """Pack pictures and labels."""
        for split, suffix in (("train", "Tr"), ("test", "T")):
            test = split == "test"
            chosen = [f for f in faces if (f.number % _TEST_EVERY == _TEST_EVERY - 1) == test]
            labels = [
                np.concatenate([*(f.points.astype(np.float64) + 1).T, f.visible == 0])
                for f in chosen
            ]
            _pack(root, f"COFW_{split}_color.mat", suffix, chosen, labels)
        shutil.rmtree(root / _WAITING, ignore_errors=True)


class Cofw68Layout(Layout):
    """`COFW_test_color.mat` for the pictures and COFW68's annotations of 68 points."""

    name: ClassVar[str] = "cofw68"
    scheme: ClassVar[str] = "ibug68"

    def write(self, root: Path, face: LabelledFace) -> None:
        """Put the picture aside and write its points."""
        write_image(_waiting(root, face), face.pixels)
        annotation = {
            "Points": face.points.astype(np.float64) + 1,
            "Occ": (face.visible == 0).astype(np.uint8)[:, None],
        }
        folder = root / "COFW68_Data" / "test_annotations"
        write_mat(folder / f"{face.number + 1}_points.mat", annotation)

    def finish(self, root: Path, faces: Sequence[LabelledFace]) -> None:
        """Pack the pictures, without labels of COFW's own 29 points."""
        boxes = np.stack([_matlab_box(face) for face in faces])
        write_mat(root / "COFW68_Data" / "cofw68_test_bboxes.mat", {"bboxes": boxes})
        _pack(root, "COFW_test_color.mat", "T", faces)
        shutil.rmtree(root / _WAITING, ignore_errors=True)


def _waiting(root: Path, face: LabelledFace) -> Path:
    return root / _WAITING / f"{face.number:06d}.png"


def _matlab_box(face: LabelledFace) -> NDArray[np.float64]:
    """x, y, width, height counted from 1."""
    x0, y0, x1, y1 = face.box.astype(np.float64)
    return np.array([x0 + 1, y0 + 1, x1 - x0, y1 - y0])


def _pack(
    root: Path,
    name: str,
    suffix: str,
    faces: Sequence[LabelledFace],
    labels: Sequence[NDArray[np.float64]] | None = None,
) -> None:
    """Write one `.mat`; MATLAB's axes are reversed in HDF5."""
    import h5py

    path = root / name
    if not faces:
        return
    missing = [face for face in faces if not _waiting(root, face).is_file()]
    if missing and path.is_file():
        return  # packed by an earlier run
    if missing:
        raise UserError(f"no picture of face {missing[0].number}, {path}; write all faces again")
    with atomic_path(path) as temporary:
        with h5py.File(temporary, "w", userblock_size=_USER_BLOCK) as file:
            links = np.empty((1, len(faces)), h5py.ref_dtype)
            for k, face in enumerate(faces):
                pixels = read_image(_waiting(root, face)).T
                stored = file.create_dataset(f"#refs#/{k}", data=pixels, compression="gzip")
                stored.attrs["MATLAB_class"] = np.bytes_("uint8")
                links[0, k] = stored.ref
            cells = file.create_dataset(f"Is{suffix}", data=links, dtype=h5py.ref_dtype)
            cells.attrs["MATLAB_class"] = np.bytes_("cell")
            boxes = np.stack([_matlab_box(face) for face in faces])
            tables = {f"bboxes{suffix}": boxes}
            if labels is not None:
                tables[f"phis{suffix}"] = np.stack(labels)
            for key, values in tables.items():
                stored = file.create_dataset(key, data=np.ascontiguousarray(values.T))
                stored.attrs["MATLAB_class"] = np.bytes_("double")
        with temporary.open("r+b") as block:
            block.write(_TEXT.ljust(124) + b"\x00\x02IM")
