"""WFLW's layout: pictures in event folders, all labels in two lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from lit_landmarks.data.layouts.base import LabelledFace, Layout, write_image, write_text

#: Every fourth face tests, as of WFLW's 10000.
_TEST_EVERY = 4
#: Degrees of yaw, pitch or roll from which a face counts as one of large pose.
_LARGE_POSE = 45.0


class WflwLayout(Layout):
    """`WFLW_images/0--Synthetic/` and the train and test list.

    A row's flag for pose is set from 45 degrees on and that for occlusion where a point is hidden
    by something worn or held; the other four are 0.
    """

    name: ClassVar[str] = "wflw"
    scheme: ClassVar[str] = "wflw98"

    def write(self, root: Path, face: LabelledFace) -> None:
        """Write the picture."""
        write_image(root / "WFLW_images" / _name(face), face.pixels)

    def finish(self, root: Path, faces: Sequence[LabelledFace]) -> None:
        """Write the lists."""
        folder = root / "WFLW_annotations" / "list_98pt_rect_attr_train_test"
        for split in ("train", "test"):
            test = split == "test"
            rows = [
                _row(face)
                for face in faces
                if (face.number % _TEST_EVERY == _TEST_EVERY - 1) == test
            ]
            write_text(folder / f"list_98pt_rect_attr_{split}.txt", "".join(rows))


def _name(face: LabelledFace) -> str:
    return f"0--Synthetic/0_Synthetic_{face.number:06d}.jpg"


def _row(face: LabelledFace) -> str:
    posed = face.pose is not None and bool((np.abs(face.pose) >= _LARGE_POSE).any())
    flags = (posed, 0, 0, 0, bool((face.visible == 0).any()), 0)
    cells = [f"{v:.6f}" for v in face.points.reshape(-1)]
    cells += [f"{v:.2f}" for v in face.box]
    return " ".join([*cells, *(str(int(f)) for f in flags), _name(face)]) + "\n"
