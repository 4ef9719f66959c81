"""`IctModel`: the arrays of a morphable head file, checked and brought into the head frame.

The file is what `convert` makes of a clone of ICT FaceKit (MIT licence, USC Institute for Creative
Technologies; Li et al., "Learning Formation of Physically-Based Face Attributes", CVPR 2020). Its
topology is fixed, so ranges of vertex numbers say what a vertex belongs to.

A change that alters a picture must raise `ict.renderer.ICT_VERSION`.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.errors import UserError

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

#: First vertex after each region of the mesh, in its fixed order.
SKIN_END, MOUTH_END, SOCKET_END, GUM_END, TEETH_END = 11248, 13294, 14062, 17039, 21451
#: Sclera of the subject's left and right eye.
SCLERAS = ((21451, 22221), (23021, 23791))
VERTICES = 24591
_CURE = "make it with `data convert ict-facekit` from a clone of ICT-FaceKit"
_SHAPES: dict[str, tuple[int | None, ...]] = {
    "mean": (VERTICES, 3),
    "quads": (None, 4),
    "identity": (None, VERTICES, 3),
    "expression": (None, VERTICES, 3),
    "expression_names": (None,),
    "ibug68": (68,),
}


@dataclass(frozen=True)
class IctModel:
    """A morphable head in the head frame (outer eye corners of the mean 1 apart).

    Attributes:
        mean: (V, 3) float64.
        identity, expression: (K, V, 3), (E, V, 3) float32 offsets.
        expression_names: E names, as FaceKit has them (`jawOpen`, `mouthSmile_L`, ...).
        triangles: (T, 3) int64, clockwise in the image when seen from outside.
        ibug68: (68,) vertex numbers.
        unit: centimetres per head unit.
    """

    mean: Array
    identity: NDArray[np.float32]
    expression: NDArray[np.float32]
    expression_names: tuple[str, ...]
    triangles: Indices
    ibug68: Indices
    unit: float


def load_model(path: str | Path, modes: int = 40) -> IctModel:
    """Read a head file.

    Args:
        path: .npz of `convert`.
        modes: identity modes to keep, the strongest first; later ones are noise of the scans.

    Raises:
        UserError: the file is missing, cut, or no such head.
    """
    data = _read_arrays(Path(path))
    for name, shape in _SHAPES.items():
        if name not in data:
            raise UserError(f"head file without {name!r}, {path}; {_CURE}")
        actual = data[name].shape
        fits = len(actual) == len(shape)
        if not fits or any(w not in (None, f) for f, w in zip(actual, shape, strict=True)):
            raise UserError(f"{name} of the head has shape {actual}, not {shape}, {path}; {_CURE}")
        kind = "U" if name == "expression_names" else "iu" if name in ("quads", "ibug68") else "f"
        if data[name].dtype.kind not in kind:
            raise UserError(f"{name} of the head is {data[name].dtype}, {path}; {_CURE}")
    for name in ("mean", "identity", "expression"):
        if not np.isfinite(data[name]).all() or np.abs(data[name]).max(initial=0) > 1e3:
            raise UserError(f"{name} of the head holds NaN or huge numbers, {path}; {_CURE}")
    for name in ("quads", "ibug68"):
        if data[name].min(initial=0) < 0 or data[name].max(initial=0) >= VERTICES:
            raise UserError(
                f"{name} of the head names vertices that are not there, {path}; {_CURE}"
            )
    names = tuple(str(name) for name in data["expression_names"])
    if len(names) != len(data["expression"]) or len(set(names)) != len(names):
        raise UserError(f"expression names do not fit the expressions, {path}; {_CURE}")
    return _to_head_frame(data, names, modes, Path(path))


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in _SHAPES if name in file}
    except FileNotFoundError as error:
        raise UserError(f"no head file, {path}; {_CURE}") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise UserError(f"cannot read the head file, {path}; {_CURE}") from error
    except (NotImplementedError, RuntimeError, MemoryError, SyntaxError) as error:
        raise UserError(f"cannot read the head file, {path}; {_CURE}") from error


def _to_head_frame(
    data: dict[str, NDArray[Any]], names: tuple[str, ...], modes: int, path: Path
) -> IctModel:
    mean = data["mean"].astype(np.float64)
    ibug = data["ibug68"].astype(np.int64)
    corners = mean[ibug[[36, 45]]]
    unit = float(np.linalg.norm(corners[1] - corners[0]))
    if not unit > 1e-3 or corners[1, 0] <= corners[0, 0]:
        raise UserError(f"the eye corners of the head are in the wrong place, {path}; {_CURE}")
    # FaceKit has y up and z towards us: half a turn about x.
    turn = np.array([1.0, -1.0, -1.0]) / unit
    quads = data["quads"].astype(np.int64)
    both = np.concatenate([quads[:, [0, 2, 1]], quads[:, [0, 3, 2]]])
    # A triangle is a quad that names a corner twice.
    whole = (both[:, 0] != both[:, 1]) & (both[:, 1] != both[:, 2]) & (both[:, 2] != both[:, 0])
    offsets = [
        (data[name][: modes if name == "identity" else None] * turn.astype(np.float32))
        for name in ("identity", "expression")
    ]
    return IctModel(
        mean=(mean - corners.mean(0)) * turn,
        identity=offsets[0].astype(np.float32),
        expression=offsets[1].astype(np.float32),
        expression_names=names,
        triangles=both[whole],
        ibug68=ibug,
        unit=unit,
    )
