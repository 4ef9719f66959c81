"""Faces as triangle meshes, in files that 3D programs open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lit_landmarks.data.columns import read_arrays
from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template.mesh import fitting_triangles, scheme_triangles

#: Kinds of files, by the endings of their names.
MESH_FORMATS = ("ply", "obj")
#: From pixels, y down and z away from the camera, to the axes of 3D programs, y up and z to it.
_AXES = np.array([1.0, -1.0, -1.0])


def write_mesh(path: str | Path, points3d: Any, scheme: str, convention: str | None = None) -> None:
    """Write a face as a mesh of its landmarks, with normals.

    Args:
        path: ends in .ply or .obj.
        points3d: (N, 3) x, y in pixels, z in the same unit, away from the camera.
        scheme: of the points.
        convention: in which they lie; None if that is not known: then the triangles are those of
            which fewer are folded.

    The file has x to the picture's right, y up and z towards the camera, in the same unit.

    Raises:
        UserError: another kind of file, points of another scheme or not finite, a scheme without
            places on the template head, or a file that cannot be written.

    Example:
        >>> import tempfile
        >>> from lit_landmarks.template import mean_face
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_mesh(folder / "mean.ply", mean_face("dense520"), "dense520")
        >>> (folder / "mean.ply").stat().st_size > 10_000
        True
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in MESH_FORMATS:
        raise UserError(f"no mesh format {path.suffix!r}, {path}; end the name in .ply or .obj")
    solid = np.asarray(points3d, np.float64)
    if solid.shape != (get_scheme(scheme).n_points, 3) or not np.isfinite(solid).all():
        raise UserError(
            f"points of shape {solid.shape} are no finite points of {scheme}, {path}; give"
            f" ({get_scheme(scheme).n_points}, 3), as `Face.points3d`"
        )
    import trimesh

    # Clockwise with y down is counterclockwise with y up, which 3D programs take for the outside.
    if convention is None:
        triangles = fitting_triangles(solid, scheme)
    else:
        triangles = scheme_triangles(scheme, convention)
    mesh = trimesh.Trimesh(solid * _AXES, triangles[:, ::-1], process=False)
    if kind == "ply":
        content = mesh.export(file_type=kind, vertex_normal=True)
    else:
        content = mesh.export(file_type=kind, include_normals=True)
    assert not isinstance(content, dict)  # that is another of its formats
    write_atomic(path, content)


def write_predicted_meshes(
    predictions: Path, folder: Path, kind: str = "ply", rows: Sequence[int] | None = None
) -> list[Path]:
    """Write faces of a file of predictions as meshes, `000000.ply` and so on.

    Args:
        predictions: `predictions.npz` of `predict`.
        folder: where the meshes go.
        kind: of `MESH_FORMATS`.
        rows: faces to write, by their rows in the file; None for all.

    Returns:
        The files.

    Raises:
        UserError: a file that holds no 3D points, or as `write_mesh`.
    """
    names = ("points3d", "scheme", "conventions", "dataset_id")
    try:
        arrays = read_arrays(predictions, names)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no readable predictions, {predictions}; write them with predict"
        ) from error
    if missing := [name for name in names if name not in arrays]:
        raise UserError(
            f"no {missing[0]} in {predictions}; predict with a method that gives points in 3D"
        )
    solid, numbers, conventions = (arrays[k] for k in ("points3d", "dataset_id", "conventions"))
    fits = solid.ndim == 3 and solid.dtype.kind == "f" and numbers.shape == solid.shape[:1]
    if not fits or numbers.dtype.kind not in "iu" or not (numbers < conventions.size).all():
        raise UserError(f"no file of predictions, {predictions}; write it with predict")
    chosen = range(len(solid)) if rows is None else rows
    if wrong := [row for row in chosen if not 0 <= row < len(solid)]:
        last = len(solid) - 1
        raise UserError(f"no face {wrong[0]} in {predictions}; choose rows from 0 to {last}")
    if broken := [row for row in chosen if not np.isfinite(solid[row]).all()]:
        raise UserError(
            f"face {broken[0]} has points that are not finite, {predictions}; choose other --rows"
        )
    paths = [folder / f"{row:06d}.{kind}" for row in chosen]
    for row, path in zip(chosen, paths, strict=True):
        convention = str(conventions.reshape(-1)[numbers[row]]) or None
        write_mesh(path, solid[row], str(arrays["scheme"]), convention)
    return paths
