"""`ListedFaces`: the base of readers whose labels are read one face at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.index import FaceDataset, FaceIndex, Report, missing_image
from lit_landmarks.data.readers.common import make_index, select_faces
from lit_landmarks.errors import UserError
from lit_landmarks.labels import LABEL_TABLE
from lit_landmarks.schemes import get_scheme

Entry = TypeVar("Entry")

#: Columns of `FaceRow` that become optional columns of `FaceIndex` as they stand.
_OPTIONAL = tuple(
    label.name
    for label in LABEL_TABLE
    if label.index_shape is not None and label.name not in ("points", "mask", "box", "visible")
)


@dataclass(slots=True)
class FaceRow:
    """The labels of one face, as a reader makes them.

    Numbers are kept in single precision and apart from the arrays of their file: there can be
    122,000 of them.

    Attributes:
        points: (N, 2) image pixels.
        box: (4,) face box in image pixels.
        image: file of the image, or None where `load` finds it otherwise.
        mask: (N,) which points are annotated; None for all.
        subsets: names of the subsets to which the face belongs.
        number: of the face in its file, for readers that load images by number.
        visible, points3d, head3d, pose, focal, track, time: as in `FaceIndex`; either all faces
            of a set have one, or none.
    """

    points: NDArray[Any]
    box: NDArray[Any]
    image: Path | None = None
    mask: NDArray[np.bool_] | None = None
    subsets: Sequence[str] = ()
    number: int = 0
    visible: NDArray[np.int8] | None = None
    points3d: NDArray[Any] | None = None
    head3d: NDArray[Any] | None = None
    pose: NDArray[Any] | None = None
    focal: float | None = None
    track: int | None = None
    time: int | None = None

    def __post_init__(self) -> None:
        """Copy into single precision."""
        self.points = np.array(self.points, np.float32)
        self.box = np.array(self.box, np.float32)
        for name in ("points3d", "head3d", "pose"):
            if (values := getattr(self, name)) is not None:
                setattr(self, name, np.array(values, np.float32))


class ListedFaces(FaceDataset, Generic[Entry]):
    """A data set that is a list of faces on disk; an entry is a file, a row or what else there is.

    A reader says where the entries are (`_entries`) and what stands in one (`_face`); bad faces
    are reported and left out, and `subset`, `first` and `last` choose among the good ones.

    Args:
        root: folder of the data set.
        subset: keep only this subset.
        first, last: keep only so many faces from the start or the end of the list.
    """

    #: Every subset that the faces can belong to, in the order in which they are listed.
    subset_names: ClassVar[tuple[str, ...]] = ()
    #: True if `_entries` applies `subset`, `first` and `last` itself, before a face is read.
    selects_entries: ClassVar[bool] = False

    def __init__(
        self,
        root: str,
        subset: str | None = None,
        first: int | None = None,
        last: int | None = None,
    ) -> None:
        self.root, self.subset, self.first, self.last = root, subset, first, last

    @abstractmethod
    def _entries(self, root: Path) -> Iterable[Entry]:
        """Every face to read, in order.

        Args:
            root: the folder of the data set, from the working folder.

        Raises:
            UserError: the folder is missing or holds nothing to read.
        """

    @abstractmethod
    def _face(self, entry: Entry) -> FaceRow:
        """The labels of one face.

        Raises:
            UserError: they are bad; names file and row, and the cure.
        """

    def _read(self, report: Report) -> FaceIndex:
        rows: list[FaceRow] = []
        root = self.resolve(self.root)
        for entry in self._entries(root):
            try:
                row = self._face(entry)
                if row.image is not None and not row.image.is_file():
                    raise missing_image(row.image)
            except UserError as error:
                report(error)
                continue
            rows.append(row)
        index = self._columns(rows)
        if self.selects_entries:
            return select_faces(index, None, None, None, str(root))[0]
        split = getattr(self, "split", None)
        place = str(root) if split is None else f"{root} ({split})"
        index, chosen = select_faces(index, self.subset, self.first, self.last, place)
        self._select_numbers([rows[i].number for i in chosen])
        return index

    def _select_numbers(self, numbers: list[int]) -> None:
        """Take note of `FaceRow.number` of the faces of the index, in its order."""

    def _columns(self, rows: Sequence[FaceRow]) -> FaceIndex:
        n_points, n = get_scheme(self.scheme).n_points, len(rows)

        def column(name: str) -> list[Any] | None:
            values = [getattr(row, name) for row in rows]
            return None if n and values[0] is None else values

        extra = {}
        for label in LABEL_TABLE:
            if label.name in _OPTIONAL and n and (values := column(label.name)) is not None:
                dtype = np.dtype(str(label.dtype).removeprefix("torch."))
                extra[label.name] = np.asarray(values, dtype)
        subsets = {
            name: np.array([name in row.subsets for row in rows], np.bool_)
            for name in self.subset_names
        }
        return make_index(
            [row.points for row in rows],
            [row.box for row in rows],
            n_points,
            column("visible") if n else None,
            column("mask") if n else None,
            paths=tuple(str(row.image) for row in rows if row.image is not None),
            subsets=subsets,
            **extra,
        )
