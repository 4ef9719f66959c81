"""The layout of large rendered sets, in any scheme: pictures, and all labels in one `.npz` file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from lit_landmarks.data.columns import write_columns
from lit_landmarks.data.index import FaceDataset, FaceIndex
from lit_landmarks.data.layouts.base import Face, Layout, write_image
from lit_landmarks.data.readers.json_file import FORMAT, VERSION
from lit_landmarks.schemes import scheme_json


@dataclass(frozen=True)
class ColumnsLayout(Layout):
    """`images/000/000000.jpg`, a thousand to a folder, and `faces.npz`.

    Attributes:
        header: what the file says of all faces, as in `faces.json`.
    """

    name: ClassVar[str] = "columns"
    scheme: ClassVar[str | None] = None
    contour: ClassVar[None] = None

    header: str = ""

    @classmethod
    def of(cls, dataset: FaceDataset) -> Self:
        """Scheme, convention and norm are those of the faces."""
        header = {
            "format": FORMAT,
            "version": VERSION,
            "scheme": scheme_json(dataset.scheme),
            "convention": dataset.convention,
            "primary_normaliser": dataset.primary_norm,
            "pixel_grid": "stored",
        }
        return cls(json.dumps(header))

    def write(self, root: Path, face: Face) -> None:
        """Write the picture."""
        write_image(root / _name(face.number), face.pixels)

    def finish(self, root: Path, faces: Sequence[Face]) -> None:
        """Write the columns; a label is there if every face has it."""

        def column(name: str, dtype: type = np.float32) -> Any:
            values = [getattr(face, name) for face in faces]
            return None if any(v is None for v in values) else np.asarray(values, dtype)

        points, visible = column("points"), column("visible", np.int8)
        names = dict.fromkeys(name for face in faces for name in face.subsets)
        index = FaceIndex(
            points=points,
            mask=np.ones(points.shape[:2], np.bool_),
            box=column("box"),
            visible=visible if (visible >= 0).any() else None,
            points3d=column("points3d"),
            pose=column("pose"),
            focal=column("focal"),
            subsets={name: np.array([name in f.subsets for f in faces]) for name in names},
        )
        more = {"header": self.header, "image": [_name(face.number) for face in faces]}
        write_columns(root / "faces.npz", index, more)


def _name(number: int) -> str:
    return f"images/{number // 1000:03d}/{number:06d}.jpg"
