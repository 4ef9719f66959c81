"""Our own JSON format, written: `data convert`, and rendered faces."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.index import FaceIndex
from lit_landmarks.data.layouts.base import LabelledFace, Layout, index_faces, write_image
from lit_landmarks.data.readers.json_file import CLOSING, FORMAT, OPENING, VERSION
from lit_landmarks.files import atomic_path
from lit_landmarks.pictures import Grid
from lit_landmarks.schemes import scheme_json

#: Decimals that are kept: far below what anyone can place by hand.
_DECIMALS = 4


@dataclass(frozen=True)
class JsonHeader:
    """What the file says of all faces.

    Attributes:
        scheme: name of their scheme; one that was declared at run time is written out.
        convention: of `schemes.CONVENTIONS`.
        primary_norm: of `metrics.NORMS`; the file's `primary_normaliser`.
        source, licence: free text.
        pixel_grid: of `pictures.GRIDS`; "shown" is not written, as readers take it by themselves.
        units: "pixels" states that the coordinates are meant as they are, None leaves it open.
    """

    scheme: str
    convention: str = "custom"
    primary_norm: str = "interocular"
    source: str = ""
    licence: str = ""
    pixel_grid: Grid = "shown"
    units: str | None = None


class JsonLayout(Layout):
    """`faces.json` and `images/000000.jpg`."""

    name: ClassVar[str] = "json"
    scheme: ClassVar[str] = "ibug68"

    def write(self, root: Path, face: LabelledFace) -> None:
        """Write the picture."""
        write_image(root / _name(face), face.pixels)

    def finish(self, root: Path, faces: Sequence[LabelledFace]) -> None:
        """Write the list."""
        header = JsonHeader(self.scheme, "synthetic_visible")
        index = replace(index_faces(faces), subsets={})
        write_faces(root / "faces.json", index, [_name(face) for face in faces], header)


def write_faces(
    path: Path,
    index: FaceIndex,
    images: Sequence[str],
    header: JsonHeader,
    splits: Sequence[str] | None = None,
) -> None:
    """Write a `faces.json`, one face to a line, whole or not at all.

    Args:
        path: the file.
        index: the faces.
        images: their pictures, relative to the file's folder, below it.
        header: what holds for all of them.
        splits: the split of each, or None.

    Raises:
        UserError: the file cannot be written.
    """
    rows = []
    for row, image in enumerate(images):
        face = {"image": image} | ({} if splits is None else {"split": splits[row]})
        rows.append(json.dumps(face | _face(index, row), allow_nan=False))
    write_rows(path, rows, header)


def write_rows(path: Path, rows: Iterable[str], header: JsonHeader) -> None:
    """Write a `faces.json` of faces that are JSON already, one to a line.

    Args:
        path: the file.
        rows: objects with the keys of a face, see `FACES_JSON.md`.
        header: what holds for all of them.

    Raises:
        UserError: the file cannot be written.
    """
    head = {
        "format": FORMAT,
        "version": VERSION,
        "scheme": scheme_json(header.scheme),
        "convention": header.convention,
        "primary_normaliser": header.primary_norm,
    }
    head |= {k: v for k in ("source", "licence", "units") if (v := getattr(header, k))}
    if header.pixel_grid != "shown":
        head["pixel_grid"] = header.pixel_grid
    opening = json.dumps(head, indent=1, allow_nan=False).removesuffix("\n}")
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(os.fsencode(f"{opening},\n {OPENING}\n"))
        for number, row in enumerate(rows):
            file.write(os.fsencode(f",\n{row}" if number else row))
        file.write(os.fsencode(f"\n{CLOSING}\n"))


def _face(index: FaceIndex, row: int) -> dict[str, Any]:
    """All that an index knows of one face."""
    face: dict[str, Any] = {
        "points": _table(index.points[row], index.mask[row]),
        "box": _rounded(index.box[row]),
    }
    if index.visible is not None:
        face["visible"] = index.visible[row].tolist()
    for name in ("points3d", "head3d"):
        column = getattr(index, name)
        if column is not None and np.isfinite(column[row]).any():
            face[name] = _table(column[row], np.isfinite(column[row]).all(1))
    if index.pose is not None and np.isfinite(index.pose[row]).all():
        face["pose"] = _rounded(index.pose[row])
    if index.focal is not None and np.isfinite(index.focal[row]):
        face["focal"] = round(float(index.focal[row]), _DECIMALS)
    subsets = [name for name, column in index.subsets.items() if column[row]]
    if subsets:
        face["subsets"] = subsets
    for name in ("track", "time"):
        column = getattr(index, name)
        if column is not None:
            face[name] = int(column[row])
    return face


def _table(values: NDArray[Any], mask: NDArray[np.bool_]) -> list[list[float] | None]:
    return [_rounded(v) if k else None for v, k in zip(values, mask, strict=True)]


def _rounded(values: NDArray[Any]) -> list[float]:
    return [round(v, _DECIMALS) for v in values.astype(np.float64).tolist()]


def _name(face: LabelledFace) -> str:
    return f"images/{face.number:06d}.jpg"
