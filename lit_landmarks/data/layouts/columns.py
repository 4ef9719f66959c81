"""The layout of large rendered sets, in any scheme: pictures, and all labels in one `.npz` file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

from lit_landmarks.data.columns import write_columns
from lit_landmarks.data.index import FaceDataset
from lit_landmarks.data.layouts.base import LabelledFace, Layout, index_faces, write_image
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

    def write(self, root: Path, face: LabelledFace) -> None:
        """Write the picture."""
        write_image(root / self.picture_name(face.number), face.pixels)

    def picture_name(self, number: int) -> str:
        """See `Layout`."""
        return f"images/{number // 1000:03d}/{number:06d}.jpg"

    def finish(self, root: Path, faces: Sequence[LabelledFace]) -> None:
        """Write the columns; without visibility if nothing is known of it."""
        index = index_faces(faces)
        if index.visible is not None and (index.visible < 0).all():
            index = replace(index, visible=None)
        more = {"header": self.header, "image": [self.picture_name(face.number) for face in faces]}
        write_columns(root / "faces.npz", index, more)
