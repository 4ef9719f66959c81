"""Cross-fitting: every face is reported by thresholds that were chosen without it.

Thresholds chosen on the faces that report them make those look better than fresh ones. So the faces
are split into folds (by photo or video track), the thresholds for each fold are chosen on the other
folds, and its figures come from these. The thresholds that a method takes along are chosen on all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.analysis.records import Array, FaceRecords
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.data.face_keys import face_keys, group_keys, match_faces, split_into_folds
from lit_landmarks.types import Role

T = TypeVar("T")

#: Folds; each choice is made on four fifths of the faces.
FOLDS = 5


@dataclass(frozen=True)
class Folds:
    """The faces on which thresholds are chosen, and the fold of each.

    Attributes:
        faces: (n, 2) keys of the faces (`data.face_keys`).
        fold: (n,) fold from 0.
    """

    faces: NDArray[np.int64]
    fold: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of folds."""
        return int(self.fold.max(initial=-1)) + 1

    def find(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """(m,) fold of faces by their (m, 2) keys; -1 for faces that take no part."""
        rows = match_faces(keys, self.faces)
        return np.where(rows < 0, -1, self.fold[rows] if len(self.fold) else -1)


def make_folds(data: LandmarkDataModule, role: Role = "val") -> Folds:
    """Folds over all faces of a role; a photo that two of its sets hold is in one fold."""
    sets = list(data.sets[role].values())
    keys = np.concatenate([np.empty((0, 2), np.int64), *(face_keys(s) for s in sets)])
    groups = np.concatenate([np.empty(0, np.int64), *(group_keys(s) for s in sets)])
    return Folds(keys, split_into_folds(groups, FOLDS))


def find_folds(
    folds: Folds, data: LandmarkDataModule, role: str, records: FaceRecords
) -> NDArray[np.int64]:
    """(F,) fold of recorded faces of a role; -1 for faces that take no part."""
    return spread_folds(look_up_folds(folds, data, role), records)


def look_up_folds(
    folds: Folds, data: LandmarkDataModule, role: str
) -> dict[int, NDArray[np.int64]]:
    """Folds of all faces of each data set of a role, by its number in the data's spec.

    Every picture's file is looked at, so whoever records the same faces again keeps it.
    """
    return {
        number: folds.find(face_keys(data.sets[spec.role][spec.name]))
        for number, spec in enumerate(data.spec.datasets)
        if spec.role == role
    }


def spread_folds(
    by_set: Mapping[int, NDArray[np.int64]], records: FaceRecords
) -> NDArray[np.int64]:
    """(F,) fold of recorded faces, from those of `look_up_folds`; -1 for faces without one."""
    fold = np.full(len(records), -1, np.int64)
    for number, column in by_set.items():
        rows = records.dataset == number
        fold[rows] = column[records.row[rows]]
    return fold


def choose_by_fold(
    records: FaceRecords, fold: NDArray[np.int64], choose: Callable[[FaceRecords], T]
) -> list[T]:
    """What `choose` makes of all faces but those of each fold in turn; of all if there is one.

    Args:
        records: faces.
        fold: (F,) their folds.
        choose: the choice.
    """
    count = int(fold.max(initial=0)) + 1
    parts = [records.select(fold != k) if count > 1 else records for k in range(count)]
    return [choose(part) for part in parts]


def spread_thresholds(
    thresholds: tuple[float, ...], by_fold: list[tuple[float, ...]], fold: NDArray[np.int64]
) -> Array:
    """(T - 1, F) thresholds of each face: those of its fold, or `thresholds` without one."""
    table = np.array([*by_fold, thresholds], np.float64)
    return table[fold].T


def spread_limits(limit: float, by_fold: list[float], fold: NDArray[np.int64]) -> Array:
    """(F,) limit of each face: that of its fold, or `limit` without one."""
    return np.array([*by_fold, limit], np.float64)[fold]


def split_folds_by_set(
    roles: Mapping[str, FaceRecords], folds: Mapping[str, NDArray[np.int64]]
) -> dict[str, NDArray[np.int64]]:
    """Folds of the faces of each data set, by `role/name` as `records.split_by_set` names them."""
    return {
        f"{role}/{name}": folds[role][records.dataset == number]
        for role, records in roles.items()
        for number, name in enumerate(records.sets)
        if (records.dataset == number).any()
    }
