"""A data set on disk, written again: in our own JSON, or in another published layout.

JSON keeps all: image files as they are, missing points, every label and subset. Into another layout
it goes through `synthesize`'s machinery: points go from one scheme to another where
`schemes.get_map` knows how, and a face of which the layout would miss a point is left out, because
published layouts have no way to say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from lit_landmarks.data.index import FaceDataset, FaceIndex, Report, missing_image
from lit_landmarks.data.layouts import Layout, write_bytes, write_image
from lit_landmarks.data.layouts.json_faces import JsonHeader, write_faces
from lit_landmarks.data.synthesize import claim, synthesize
from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_map

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

    def write(rows: range) -> None:
        missing = [row for row in rows if not (target / names[row]).is_file()]
        if index.paths:
            for row in missing:
                write_bytes(target / names[row], _file(index.paths[row]))
        elif missing:
            for row, image in zip(missing, dataset.load(missing), strict=True):
                write_image(target / names[row], image)

    blocks = [range(i, min(i + _BLOCK, len(index))) for i in range(0, len(index), _BLOCK)]
    steps = track(
        blocks,
        description="writing images",
        console=Console(stderr=True),
        transient=True,
        disable=len(blocks) < 8,
    )
    for rows in steps:
        write(rows)
    origin = (dataset.primary_norm, type(dataset).source, type(dataset).licence)
    header = JsonHeader(dataset.scheme, dataset.convention, *origin)
    if index.paths:  # pictures are copied with their tags
        header = replace(header, pixel_grid=dataset.grid)
    write_faces(target / "faces.json", index, names, header)
    return len(index)


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
    mapped = _Mapped(dataset, layout.scheme)
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
