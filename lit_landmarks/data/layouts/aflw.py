"""AFLW-19's layout: AFLW's pictures and one MATLAB file of all labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from lit_landmarks.data.layouts.base import LabelledFace, Layout, write_image, write_mat


class Aflw19Layout(Layout):
    """`data/flickr/0/image00000.jpg` and `AFLWinfo_release.mat`, faces in their own order."""

    name: ClassVar[str] = "aflw19"
    scheme: ClassVar[str] = "aflw19"

    def write(self, root: Path, face: LabelledFace) -> None:
        """Write the picture."""
        write_image(root / "data" / "flickr" / _name(face), face.pixels)

    def finish(self, root: Path, faces: Sequence[LabelledFace]) -> None:
        """Write the labels; `visible` of 1 or unknown is seen."""
        points = np.stack([face.points for face in faces]).astype(np.float64)
        box = np.stack([face.box for face in faces]).astype(np.float64)
        visible = np.stack([np.isin(face.visible, (1, -1)) for face in faces])
        names = np.empty((len(faces), 1), object)
        for k, face in enumerate(faces):
            names[k, 0] = _name(face)
        write_mat(
            root / "AFLWinfo_release.mat",
            {
                "bbox": box[:, [0, 2, 1, 3]],
                "data": points.transpose(0, 2, 1).reshape(len(faces), -1),
                "mask_new": visible.astype(np.uint8),
                "nameList": names,
                "ra": np.arange(1.0, len(faces) + 1)[None],
            },
            compress=True,
        )


def _name(face: LabelledFace) -> str:
    return f"0/image{face.number:05d}.jpg"
