"""A clone of ICT-FaceKit to a head file.

The clone's folder `FaceXModel` holds `generic_neutral_mesh.obj`, `identity000.obj` and on, one
`.obj` per expression (`jawOpen.obj`, ...), and `vertex_indices.json` with the 68 points. Every
.obj has the same vertices in the same order; an expression or identity is stored as its difference
from the neutral mesh.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.rendering.ict.model import VERTICES

SOURCE = "https://github.com/ICT-VGL/ICT-FaceKit"
_NEUTRAL, _POINTS = "generic_neutral_mesh.obj", "vertex_indices.json"
#: The published file without an index of the 68 points names them under one of these.
_KEYS_68 = ("ibug68", "idx_to_landmark_verts", "landmarks68", "ibug_68")


def convert_facekit(source: Path, target: Path) -> None:
    """Write the head file of a clone.

    Args:
        source: the clone, or its folder `FaceXModel`.
        target: .npz to write.

    Raises:
        UserError: a file is missing or broken; says which and where to get it.
    """
    folder = source / "FaceXModel" if (source / "FaceXModel").is_dir() else source
    if not (folder / _NEUTRAL).is_file():
        raise UserError(f"no {_NEUTRAL} in {folder}; clone {SOURCE} and name its folder")
    mean, uv, quads = _read_mesh(folder / _NEUTRAL)
    if len(mean) < VERTICES:
        raise UserError(
            f"{len(mean)} vertices, not {VERTICES}, {folder / _NEUTRAL}; clone {SOURCE} anew"
        )
    # The full model goes on with lashes and tear lines, which are left out.
    names = sorted(path.stem for path in folder.glob("*.obj") if path.name != _NEUTRAL)
    modes = [name for name in names if re.fullmatch(r"identity\d+", name)]
    muscles = [name for name in names if not name.startswith("identity")]
    if not modes or not muscles:
        raise UserError(f"no identity*.obj or no expressions in {folder}; clone {SOURCE} anew")
    # Before the long files: a clone without its points is refused at once.
    landmarks = _read_landmark_vertices(folder / _POINTS)
    keep = (quads < VERTICES).all(1)
    data: dict[str, NDArray[Any]] = {
        "mean": mean[:VERTICES].astype(np.float32),
        "uv": uv[:VERTICES].astype(np.float16),
        "quads": quads[keep].astype(np.int32),
        "identity": _read_offsets(folder, modes, mean),
        "expression": _read_offsets(folder, muscles, mean),
        "expression_names": np.array(muscles),
        "ibug68": landmarks,
    }
    stream = io.BytesIO()
    np.savez_compressed(stream, **data)  # type: ignore[arg-type]  # numpy's stub takes bool too
    write_atomic(target, stream.getvalue())


def _read_rows(path: Path) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}; clone {SOURCE} anew") from error
    return [line.split() for line in text.splitlines()]


def _parse_numbers(
    path: Path, kind: str, lines: list[list[str]], count: int
) -> NDArray[np.float64]:
    """(N, count) numbers of the rows that start with `kind`."""
    rows = [(n, line) for n, line in enumerate(lines, 1) if line and line[0] == kind]
    try:
        values = np.array([[float(x) for x in line[1 : 1 + count]] for _, line in rows])
        values = values.reshape(-1, count)
    except ValueError as error:
        bad = next((n for n, line in rows if not _has_numbers(line, count)), 0)
        raise UserError(f"no {count} numbers, {path}:{bad}; clone {SOURCE} anew") from error
    if not np.isfinite(values).all():
        bad = rows[int(np.flatnonzero(~np.isfinite(values).all(1))[0])][0]
        raise UserError(f"a number is not finite, {path}:{bad}; clone {SOURCE} anew")
    return values


def _has_numbers(line: list[str], count: int) -> bool:
    try:
        return len([float(x) for x in line[1 : 1 + count]]) == count
    except ValueError:
        return False


def _read_mesh(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Vertices (V, 3), one texture coordinate each (V, 2), quads (Q, 4) that count from 0."""
    lines = _read_rows(path)
    mean = _parse_numbers(path, "v", lines, 3)
    texture = _parse_numbers(path, "vt", lines, 2)
    quads, uv = [], np.zeros((len(mean), 2))
    for n, line in enumerate(lines, 1):
        if not line or line[0] != "f":
            continue
        try:
            corners = [[int(x) if x else 0 for x in part.split("/")] for part in line[1:]]
        except ValueError as error:
            raise UserError(f"bad face, {path}:{n}; clone {SOURCE} anew") from error
        vertices = [c[0] - 1 for c in corners]
        if len(vertices) not in (3, 4) or not all(0 <= v < len(mean) for v in vertices):
            raise UserError(f"bad face, {path}:{n}; clone {SOURCE} anew")
        quads.append(vertices if len(vertices) == 4 else [*vertices, vertices[2]])
        for c in corners:
            if len(c) > 1 and 0 < c[1] <= len(texture):
                uv[c[0] - 1] = texture[c[1] - 1]
    if not quads:
        raise UserError(f"no faces, {path}; clone {SOURCE} anew")
    return mean, uv, np.array(quads, dtype=np.int64)


def _read_offsets(folder: Path, names: list[str], mean: NDArray[np.float64]) -> NDArray[np.float16]:
    """(K, V, 3) differences from the neutral mesh."""
    offsets = np.zeros((len(names), VERTICES, 3), np.float16)
    for k, name in enumerate(names):
        path = folder / f"{name}.obj"
        vertices = _parse_numbers(path, "v", _read_rows(path), 3)
        if len(vertices) != len(mean):
            raise UserError(
                f"{len(vertices)} vertices, not {len(mean)}, {path}; clone {SOURCE} anew"
            )
        offsets[k] = (vertices - mean)[:VERTICES]
    return offsets


def _read_landmark_vertices(path: Path) -> NDArray[np.int64]:
    """The 68 vertex numbers, wherever the file keeps them."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot read {path}; clone {SOURCE} anew") from error
    content = content if isinstance(content, dict) else {}
    for key in (*_KEYS_68, *content):
        value = content.get(key)
        if isinstance(value, dict):
            value = value.get("indices", list(value.values()))
        if not isinstance(value, list) or len(value) != 68:
            continue
        if all(isinstance(v, int) and 0 <= v < VERTICES for v in value):
            return np.array(value, dtype=np.int64)
    raise UserError(f"no 68 vertex numbers in {path}; clone {SOURCE} anew")
