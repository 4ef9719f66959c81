"""Cross-fitting: every face is reported by thresholds that were chosen without it.

Thresholds chosen on the faces that report them make those look better than fresh ones. So the faces
are split into folds (by photo or video track), the thresholds for each fold are chosen on the other
folds, and its figures come from these. The thresholds that a method takes along are chosen on all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.analysis.records import Array, FaceRecords
from lit_landmarks.analysis.thresholds import Thresholds
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
    thresholds: tuple[float, ...], by_fold: Sequence[tuple[float, ...]], fold: NDArray[np.int64]
) -> Array:
    """(T - 1, F) thresholds of each face: those of its fold, or `thresholds` without one."""
    table = np.array([*by_fold, thresholds], np.float64)
    return table[fold].T


@dataclass(frozen=True)
class CrossFit:
    """Exit thresholds and a limit of the predicted error, and those chosen without each fold.

    Attributes:
        thresholds: chosen on all faces; empty without an early exit.
        limit: predicted NME in percent above which a face counts as failed, chosen on all faces.
        by_fold: thresholds chosen without each fold; empty where all faces have the same.
        limits: limit chosen without each fold; empty where all faces have the same.

    Example:
        >>> fit = CrossFit((4.0,), 10.0, by_fold=[(3.0,), (5.0,)], limits=[9.0, 11.0])
        >>> fold = np.array([1, -1, 0])
        >>> fit.thresholds_of(fold).tolist(), fit.limits_of(fold).tolist()
        ([[5.0, 4.0, 3.0]], [11.0, 10.0, 9.0])
    """

    thresholds: tuple[float, ...]
    limit: float
    by_fold: Sequence[tuple[float, ...]] = ()
    limits: Sequence[float] = ()

    def thresholds_of(self, fold: NDArray[np.int64]) -> Thresholds:
        """Thresholds of faces by their (F,) folds: those of its fold, or of all without one."""
        if not self.by_fold or not (fold >= 0).any():
            return self.thresholds
        return spread_thresholds(self.thresholds, self.by_fold, fold)

    def limits_of(self, fold: NDArray[np.int64]) -> Array | float:
        """Limits of faces by their (F,) folds, as `thresholds_of`."""
        if not self.limits:
            return self.limit
        limits: Array = np.array([*self.limits, self.limit], np.float64)[fold]
        return limits


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
