"""A data set on disk, written again in another published layout, through `synthesize`'s machinery.

Points go from one scheme to another where `schemes.get_map` knows how; a face of which the layout
would miss a point is left out, because published layouts have no way to say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.index import DATASETS, FaceDataset, FaceIndex, Report
from lit_landmarks.data.layouts import Layout
from lit_landmarks.data.synthesize import synthesize
from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_map


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
        self.convention, self.told = inner.convention, repr(inner)
        self._source = get_map(inner.scheme, scheme).source_index.numpy()
        self._rows: NDArray[np.int64] = np.zeros(0, np.int64)

    def _read(self, report: Report) -> FaceIndex:
        index, order = self.inner.index(), self._source
        complete = (index.mask[:, order.clip(0)] & (order >= 0)).all(1)
        if not complete.any():
            raise UserError(
                f"no face of {self.told} has all points of scheme {self.scheme!r}, so there is"
                " nothing to write; choose a layout of another scheme"
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


DATASETS.pop(_Mapped.__name__)  # no data set of its own
