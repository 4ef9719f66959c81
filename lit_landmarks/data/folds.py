"""k-fold cross-validation: training sets of which one fold validates and the others train.

Faces that are not independent stay in one fold: of one person, one photo or a copy of it, one
video. Persons are those that a data set or its file names tell (`FaceDataset.person_names`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.face_keys import face_keys, group_keys, split_into_folds
from lit_landmarks.data.index import FaceDataset, FaceIndex, Report
from lit_landmarks.data.shared_faces import person_names
from lit_landmarks.errors import UserError
from lit_landmarks.pictures import Grid

Rows = NDArray[np.int64]
Sets = dict[str, FaceDataset]


def parse_fold(text: str) -> tuple[int, int]:
    """Number of a fold, from 1, and number of folds.

    Raises:
        UserError: another form, or numbers that do not fit.

    Example:
        >>> parse_fold("2/5")
        (2, 5)
    """
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", str(text))
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if count < 2 or not 1 <= number <= count:
        raise UserError(
            f"data.init_args.fold is {text!r}; write which fold of how many validates, such as 2/5"
        )
    return number, count


def split_sets(train: Sets, val: Sets, fold: str) -> tuple[Sets, Sets]:
    """Training and validation sets of one fold.

    Rendered sets stay whole in the training, since their faces have no end, unless there are no
    others.

    Args:
        train: name -> data set; the faces that are divided.
        val: must be empty.
        fold: as `parse_fold` reads it.

    Raises:
        UserError: there are validation sets, or `fold` has another form.
    """
    number, count = parse_fold(fold)
    if val:
        raise UserError(
            "data.init_args.fold makes the validation sets of the training faces, and there are"
            f" others too ({', '.join(val)}); set data.init_args.val to {{}}"
        )
    divided = {name: faces for name, faces in train.items() if not faces.rendered} or train
    folds = Folds(divided, count)
    parts = [
        {
            name: _FoldFaces(faces, folds, name, number - 1, inside)
            for name, faces in divided.items()
        }
        for inside in (False, True)
    ]
    return {name: parts[0].get(name, faces) for name, faces in train.items()}, {**parts[1]}


class Folds:
    """Division of the faces of several data sets into folds, made when it is first asked for.

    Args:
        sets: name -> data set.
        count: number of folds.
    """

    def __init__(self, sets: Mapping[str, FaceDataset], count: int) -> None:
        self.sets, self.count = dict(sets), count
        self._folds: dict[str, Rows] | None = None

    def fold_of(self, name: str) -> Rows:
        """(n,) fold of each face of a data set, from 0.

        Raises:
            UserError: there are fewer independent groups of faces than folds.
        """
        if self._folds is None:
            groups = link_faces([face_links(faces) for faces in self.sets.values()])
            number = len(np.unique(groups))
            if number < self.count:
                raise UserError(
                    f"{number} persons, videos or photos cannot be divided into {self.count} folds;"
                    " give fewer folds, or more photos"
                )
            folds = split_into_folds(groups, self.count)
            ends = np.cumsum([len(faces.index()) for faces in self.sets.values()])
            self._folds = dict(zip(self.sets, np.split(folds, ends[:-1]), strict=True))
        return self._folds[name]

    def forget(self) -> None:
        """Divide anew when asked next: the data sets start from another folder."""
        self._folds = None


def face_links(faces: FaceDataset) -> list[list[str]]:
    """What links each face with others: keys of photo, labels, video, and names of the person."""
    keys, groups = face_keys(faces), group_keys(faces)
    names = zip(faces.photo_names(), person_names(faces), strict=True)
    return [
        [
            *(f"photo {key[0]}", f"points {key[1]}", f"group {group}"),
            *([f"name {photo}"] if photo else []),
            *([f"person {person}"] if person else []),
        ]
        for key, group, (photo, person) in zip(keys, groups, names, strict=True)
    ]


def link_faces(sets: Sequence[Sequence[Sequence[str]]]) -> Rows:
    """(n,) group of each face of all sets: faces that share a link, directly or through others.

    Groups are numbered by hashes of their links, so that their order is as random as these and
    the same everywhere.

    Example:
        >>> a, b, c, d = ["x"], ["y"], ["x", "z"], ["z"]
        >>> groups = link_faces([[a, b], [c, d]])
        >>> groups[0] == groups[2] == groups[3] != groups[1]
        np.True_
    """
    faces = [links for links_of_set in sets for links in links_of_set]
    parent = list(range(len(faces)))

    def find(face: int) -> int:
        while parent[face] != face:
            parent[face] = parent[parent[face]]
            face = parent[face]
        return face

    first: dict[str, int] = {}
    for face, links in enumerate(faces):
        for link in links:
            parent[find(face)] = find(first.setdefault(link, face))
    least: dict[int, str] = {}
    for face, links in enumerate(faces):
        root = find(face)
        least[root] = min([*links, *([least[root]] if root in least else [])])
    order = {root: place for place, root in enumerate(sorted(least, key=lambda r: least[r]))}
    return np.array([order[find(face)] for face in range(len(faces))], np.int64)


class _FoldFaces(FaceDataset):
    """The faces of a data set that are in one fold, or those that are not."""

    def __init__(
        self, faces: FaceDataset, folds: Folds, name: str, fold: int, inside: bool
    ) -> None:
        self._faces, self._folds, self._name = faces, folds, name
        self._fold, self._inside = fold, inside
        # Of the class in other data sets, of the divided one here.
        self.licence = faces.licence  # type: ignore[misc]
        self.source = faces.source  # type: ignore[misc]
        self.rendered = faces.rendered  # type: ignore[misc]
        self.boxes = getattr(faces, "boxes", "ground_truth")

    @property
    def scheme(self) -> str:  # type: ignore[override]
        """That of the divided set."""
        return self._faces.scheme

    @property
    def convention(self) -> str:  # type: ignore[override]
        """That of the divided set."""
        return self._faces.convention

    @property
    def primary_norm(self) -> str:  # type: ignore[override]
        """That of the divided set."""
        return self._faces.primary_norm

    @property
    def grid(self) -> Grid:
        """That of the divided set."""
        return self._faces.grid

    @property
    def cache_dir(self) -> str | None:
        """That of the divided set."""
        return self._faces.cache_dir

    @cache_dir.setter
    def cache_dir(self, folder: str | None) -> None:
        self._faces.cache_dir = folder

    def start_from(self, base: str | Path) -> None:
        """Let the divided set start at `base`."""
        self._faces.start_from(base)
        if Path(base) != self.base:
            self.base, self._index = Path(base), None
            self._folds.forget()

    def show_whole(self, frame_scale: float) -> None:
        """Refused: training and validation share the divided set.

        Raises:
            UserError: always.
        """
        raise UserError("data.init_args.whole and fold do not go together; remove one of them")

    def _rows(self) -> Rows:
        inside = self._folds.fold_of(self._name) == self._fold
        return np.flatnonzero(inside if self._inside else ~inside).astype(np.int64)

    def _read(self, report: Report) -> FaceIndex:
        return self._faces.index().select(self._rows())

    def load(self, rows: Sequence[int]) -> list[NDArray[np.uint8]]:
        """The images of some of these faces."""
        return self._faces.load(self._rows()[list(rows)].tolist())

    def content_key(self, rows: Sequence[int]) -> str:
        """That of the same faces of the divided set."""
        return self._faces.content_key(self._rows()[list(rows)].tolist())

    def person_names(self) -> list[str]:
        """Those of these faces."""
        return self._select(self._faces.person_names())

    def photo_names(self) -> list[str]:
        """Those of these faces."""
        return self._select(self._faces.photo_names())

    def _select(self, values: Sequence[Any]) -> list[Any]:
        return [values[row] for row in self._rows()]
