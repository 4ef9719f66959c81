"""ced.npz: cumulative error distributions of a run's final evaluation, one for each data set.

    names        (G,)    `role/data set`, and `role/data set/subset` for its subsets
    normalisers  (G,)    of NME in each curve: the primary one of its data set
    edges        (T,)    NME in percent
    fractions    (G, T)  share of the faces with an NME of at most that

The abscissae are fixed, so curves of different runs can be drawn together, and a file takes some
kilobytes whatever the number of faces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.errors import UserError
from lit_landmarks.files import atomic_path
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.types import Role

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ErrorCurve:
    """A cumulative error distribution.

    Attributes:
        norm: of NME.
        edges: (T,) NME in percent, ascending.
        fraction: (T,) share of the faces with an NME of at most that.
    """

    norm: str
    edges: Array
    fraction: Array


def collect_curves(method: LandmarkModule, roles: Iterable[Role]) -> dict[str, ErrorCurve]:
    """Cumulative error curves of the faces that a method was evaluated on.

    Args:
        method: the evaluated method, whose metrics hold the faces; with several processes, call
            this in each of them.
        roles: val, test or both.

    Returns:
        `role/data set[/subset]` -> curve; sets of which no face was counted are left out.
    """
    curves: dict[str, ErrorCurve] = {}
    for role in roles:
        suite = method.face_metrics(role)
        for group in suite.faces.groups:
            edges, fraction = suite.ced(group.dataset, group.subset)
            if not bool(fraction.isnan().any()):
                name = "/".join(filter(None, (role, group.dataset, group.subset)))
                curves[name] = ErrorCurve(group.primary, edges.numpy(), fraction.numpy())
    return curves


def save_curves(path: Path, curves: Mapping[str, ErrorCurve]) -> None:
    """Adds curves to the file: those of the same role are replaced, other roles stay.

    Raises:
        UserError: the file cannot be written, or what is there cannot be read.
    """
    roles = {name.split("/")[0] for name in curves}
    others = {n: c for n, c in read_curves(path).items() if n.split("/")[0] not in roles}
    every = {**others, **curves}
    if not every:
        return
    columns = {
        "names": np.array(list(every)),
        "normalisers": np.array([curve.norm for curve in every.values()]),
        "edges": next(iter(every.values())).edges,
        "fractions": np.stack([curve.fraction for curve in every.values()]),
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **columns)


def read_curves(path: Path) -> dict[str, ErrorCurve]:
    """Read the curves of a file; empty if there is no such file.

    Raises:
        UserError: the file is broken.
    """
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as columns:
            edges = columns["edges"].astype(np.float64)
            return {
                str(name): ErrorCurve(str(norm), edges, fraction.astype(np.float64))
                for name, norm, fraction in zip(
                    columns["names"], columns["normalisers"], columns["fractions"], strict=True
                )
            }
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UserError(
            f"{path} cannot be read; delete it and write it anew: "
            f"python -m lit_landmarks validate --run {path.parent} --ced"
        ) from error
