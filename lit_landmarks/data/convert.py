"""A data set on disk, written again: in our own JSON, as COCO keypoints, or in a published layout.

JSON keeps all: image files as they are, missing points, every label and subset. COCO keeps image
files, points, boxes and which points are occluded. Into another layout
it goes through `synthesize`'s machinery: points go from one scheme to another where
`schemes.get_map` knows how, and a face of which the layout would miss a point is left out, because
published layouts have no way to say so.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from lit_landmarks.data.index import FaceDataset, FaceIndex, Report, missing_image
from lit_landmarks.data.layouts import Layout, write_bytes, write_image, write_text
from lit_landmarks.data.layouts.coco import coco_text
from lit_landmarks.data.layouts.json_faces import JsonHeader, write_faces
from lit_landmarks.data.synthesize import claim, synthesize
from lit_landmarks.errors import UserError
from lit_landmarks.pictures import orientation_tag
from lit_landmarks.schemes import get_map, get_scheme

_BLOCK = 64


def convert_to_json(dataset: FaceDataset, target: Path) -> int:
    """Write `faces.json` and the pictures beside it; pictures that are there are not written again.

    Args:
        dataset: what to write, in any scheme.
        target: folder, new or begun before.

    Returns:
        Number of faces.

    Raises:
        UserError: as `synthesize`.
    """
    index = dataset.index()
    claim(target, dataset, "json")
    names = [f"images/{row:06d}{_suffix(index, row)}" for row in range(len(index))]
    _write_pictures(dataset, target, dict(zip(names, range(len(index)), strict=True)))
    origin = (dataset.primary_norm, type(dataset).source, type(dataset).licence)
    header = JsonHeader(dataset.scheme, dataset.convention, *origin)
    if index.paths:  # pictures are copied with their tags
        header = replace(header, pixel_grid=dataset.grid)
    write_faces(target / "faces.json", index, names, header)
    return len(index)


def convert_to_coco(dataset: FaceDataset, target: Path) -> int:
    """Write COCO keypoints, `annotations.json`, and each picture once beside it.

    Args:
        dataset: what to write, in any scheme; points that are not annotated get visibility 0.
        target: folder, new or begun before.

    Returns:
        Number of faces.

    Raises:
        UserError: as `synthesize`.
    """
    index = dataset.index()
    claim(target, dataset, "coco")
    first: dict[str, int] = {}
    for row in range(len(index)):
        first.setdefault(index.paths[row] if index.paths else str(row), row)
    # Other programs turn pictures by their tag, so those whose points ignore it are written anew.
    anew = {key for key in first if index.paths and dataset.grid == "stored" and _has_tag(key)}
    names = {
        key: f"images/{row:06d}{'.png' if key in anew else _suffix(index, row)}"
        for key, row in first.items()
    }
    rows = {names[key]: row for key, row in first.items()}
    _write_pictures(dataset, target, rows, {names[key] for key in anew})
    sizes = {name: dataset.load([row])[0].shape[1::-1] for name, row in rows.items()}
    images = [names[index.paths[row] if index.paths else str(row)] for row in range(len(index))]
    scheme = get_scheme(dataset.scheme)
    write_text(target / "annotations.json", coco_text(index, images, sizes, scheme))
    return len(index)


def _has_tag(path: str) -> bool:
    return orientation_tag(_file(path)) != 1


def _write_pictures(
    dataset: FaceDataset, target: Path, names: dict[str, int], anew: Collection[str] = ()
) -> None:
    """Write the pictures that are missing: name below `target` -> a row of the data set.

    Those in `anew` are written from their pixels, the others as their files are.
    """
    index, missing = dataset.index(), [n for n in names if not (target / n).is_file()]
    blocks = [missing[i : i + _BLOCK] for i in range(0, len(missing), _BLOCK)]
    steps = track(
        blocks,
        description="writing images",
        console=Console(stderr=True),
        transient=True,
        disable=len(blocks) < 8,
    )
    for block in steps:
        copied = [name for name in block if index.paths and name not in anew]
        for name in copied:
            write_bytes(target / name, _file(index.paths[names[name]]))
        made = [name for name in block if name not in copied]
        for name, image in zip(made, dataset.load([names[n] for n in made]), strict=True):
            write_image(target / name, image)


def _suffix(index: FaceIndex, row: int) -> str:
    return Path(index.paths[row]).suffix.lower() if index.paths else ".png"


def _file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise missing_image(path) from error


def convert(
    dataset: FaceDataset, layout: Layout, target: Path, workers: int | None = None
) -> tuple[int, int]:
    """Write a data set in another layout; goes on where it was stopped.

    Args:
        dataset: what to write.
        layout: how.
        target: folder, new or begun before.
        workers: processes; None takes one for each core.

    Returns:
        Numbers of faces that were written and that were left out.

    Raises:
        UserError: no map between the schemes, no complete face, or as `synthesize`.
    """
    mapped = _Mapped(dataset, layout.scheme or dataset.scheme)
    n = len(mapped.index())
    synthesize(mapped, layout, target, n, workers)
    return n, len(dataset.index()) - n


class _Mapped(FaceDataset):
    """The complete faces of another data set, in another scheme."""

    def __init__(self, inner: FaceDataset, scheme: str) -> None:
        self.inner, self.scheme = inner, scheme
        self.convention, self.description = inner.convention, repr(inner)
        self._source = get_map(inner.scheme, scheme).source_index.numpy()
        self._rows: NDArray[np.int64] = np.zeros(0, np.int64)

    def _read(self, report: Report) -> FaceIndex:
        index, order = self.inner.index(), self._source
        complete = (index.mask[:, order.clip(0)] & (order >= 0)).all(1)
        if not complete.any():
            raise UserError(
                f"no face of {self.description} has all points of scheme {self.scheme!r}, so there"
                " is nothing to write; choose a layout of another scheme"
            )
        self._rows = np.flatnonzero(complete)
        some = index.select(self._rows)

        def moved(name: str) -> Any:
            column = getattr(some, name)
            return None if column is None else column[:, order]

        return replace(
            some,
            points=moved("points"),
            mask=moved("mask"),
            visible=moved("visible"),
            points3d=moved("points3d"),
            head3d=moved("head3d"),
        )

    def load(self, rows: Sequence[int]) -> list[NDArray[np.uint8]]:
        self.index()
        return self.inner.load([int(self._rows[row]) for row in rows])

    def content_key(self, rows: Sequence[int]) -> str:
        self.index()
        return self.inner.content_key([int(self._rows[row]) for row in rows])
