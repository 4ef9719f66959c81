"""What several readers need: safe paths, boxes, tables and selection."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.finding import locate
from lit_landmarks.data.index import FaceIndex
from lit_landmarks.data.plausibility import box_form
from lit_landmarks.errors import UserError

BoxSource = Literal["ground_truth", "annotated"]
Numbers = NDArray[np.float64]

Choice = TypeVar("Choice", bound=str)

BOXES = ("ground_truth", "annotated")
SPLITS = ("train", "test")

_NAME = re.compile(r"[\w.-]{1,64}")
#: No camera makes an image of more pixels along a side; larger coordinates are typing errors.
LARGEST = 1e6
#: Side in pixels below which nothing can be seen of a face; relative coordinates span less.
SMALLEST = 3.0


def choice(name: str, value: Choice, allowed: Sequence[Choice]) -> Choice:
    """The value itself, if it is one of `allowed`; a YAML file is checked before, a program here.

    Raises:
        UserError: it is not.
    """
    if value not in allowed:
        raise UserError(f"{name}: {value!r} is unknown; take {' or '.join(allowed)}")
    return value


def check_name(kind: str, name: str, where: str) -> str:
    """The name itself, if it can be part of a metric's name, whose parts `/` separates.

    Raises:
        UserError: it is empty or long, or has other characters.
    """
    if not isinstance(name, str):  # YAML reads `300:`, `on:` and `2024-01-01:` as what they are
        raise UserError(f"{kind} {name} is no text, {where}; write the name in quotes: '{name}'")
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{kind} {name[:40]!r} is no name, {where}; take up to 64 letters, digits, _, - or ."
        )
    return name


def find(root: Path, places: Sequence[str], layout: str, source: str) -> Path:
    """The first of some files or folders that is below `root`.

    Args:
        root: folder of the data set.
        places: where it may lie, relative to `root`, the usual one first.
        layout: how the folder must look, in one line.
        source: where the data set is given out.

    Raises:
        UserError: `root` is no folder, or none of the places is there.
    """
    if not root.is_dir():
        raise UserError(
            f"no folder {root}; correct root, or fetch the data set: {source}; {layout}"
        )
    for place in places:
        if (root / place).exists():
            return root / place
    raise UserError(f"no {places[0]} in {root}; {layout}; given out by its owner: {source}")


def inside(folder: Path, name: str, where: str) -> Path:
    """The path of a file that a data file names, if it stays in `folder`.

    Args:
        folder: a resolved folder, so that a link to the whole folder is fine.
        name: relative path as it stands in the data file.
        where: file and row, for the error.

    Raises:
        UserError: the name is absolute or leads out of the folder, also by a link.
    """
    try:
        path = locate(folder, name).resolve()
        path.exists()  # raises if the name is too long
        if path != folder and path.is_relative_to(folder):
            return locate(folder, name)
    except (OSError, ValueError, RuntimeError):  # also for a zero byte and a loop of links
        pass
    raise UserError(
        f"path {name[:80]!r} is not below {folder}, {where}; correct the row"
        " (a link that leads out of the folder counts as outside: link the whole folder)"
    )


def check_points(points: Numbers, where: str) -> Numbers:
    """The points (N, 2) themselves, if all are possible pixels.

    Raises:
        UserError: a point is not finite or beyond any image.
    """
    bad = ~(np.abs(points) < LARGEST).all(1)
    if bad.any():
        k = int(bad.argmax())
        x, y = points[k]
        raise UserError(f"point {k} ({x}, {y}) is no pixel, {where}; correct it")
    return points


def tight_box(points: Numbers, where: str) -> Numbers:
    """The smallest box (4,) around points (N, 2).

    Raises:
        UserError: fewer than two points, all on one line, or so near each other that the numbers
            are no pixels.
    """
    box = np.concatenate([points.min(0), points.max(0)]) if len(points) > 1 else np.zeros(4)
    if not (box[2:] > box[:2]).all():
        raise UserError(f"all points lie on one line, {where}; annotate it again")
    if (side := float((box[2:] - box[:2]).max())) < SMALLEST:
        raise UserError(
            f"all points lie within {side:.2g} pixels, {where}; relative coordinates (0 to 1) must"
            " be multiplied by the sides of the picture, or named: units: relative"
        )
    return box


def face_box(source: str, annotated: Numbers | None, points: Numbers, where: str) -> Numbers:
    """The face box (4,) that the argument `boxes` of a reader asks for.

    Args:
        source: "annotated" or "ground_truth".
        annotated: x0, y0, x1, y1 from the file; None if it has none.
        points: (N, 2) annotated points.
        where: file and row, for the error.

    Raises:
        UserError: the points have no box; or the annotated one is asked for and has no area, is no
            pixels or does not meet the points.
    """
    tight = tight_box(points, where)
    if annotated is None or source == "ground_truth":
        return tight
    numbers = ", ".join(f"{v:g}" for v in annotated)
    form = box_form(annotated, tight)
    cure = "correct it or take ground_truth"
    if form is not None:
        cure = f"it looks like {form}: write x0, y0, x1, y1, or take ground_truth"
    if not (np.abs(annotated) < LARGEST).all() or not (annotated[2:] > annotated[:2]).all():
        raise UserError(f"box ({numbers}) has no area, {where}; {cure}")
    if not (np.minimum(annotated[2:], tight[2:]) > np.maximum(annotated[:2], tight[:2])).all():
        raise UserError(f"box ({numbers}) does not meet the points, {where}; {cure}")
    return annotated


def select_faces(
    index: FaceIndex, subset: str | None, first: int | None, last: int | None, place: str
) -> tuple[FaceIndex, NDArray[np.int64]]:
    """The faces of a subset, and of these the first or last few.

    Args:
        index: all faces that were read.
        subset: its name, or None for all.
        first: how many to keep from the start.
        last: how many to keep from the end.
        place: the data set, for the error.

    Returns:
        The faces kept, with the subsets that have members, and their rows in `index`.

    Raises:
        UserError: no such subset, or it has fewer faces.
    """
    rows = np.arange(len(index))
    if subset is not None:
        if subset not in index.subsets:
            there = ", ".join(index.subsets) or "none"
            raise UserError(f"no subset {subset!r} in {place}; there is: {there}")
        rows = rows[index.subsets[subset]]
    for name, count in (("first", first), ("last", last)):
        if count is not None and not 0 < count <= len(rows):
            raise UserError(
                f"{name}: {count} faces of {place}, which has {len(rows)}; choose fewer"
            )
    rows = rows[:first]
    rows = rows[-last:] if last is not None else rows
    chosen = index if len(rows) == len(index) else index.select(rows)
    members = {name: column for name, column in chosen.subsets.items() if column.any()}
    return replace(chosen, subsets=members), rows


def make_index(
    points: list[Numbers],
    boxes: list[Numbers],
    n_points: int,
    visible: list[NDArray[np.int8]] | None = None,
    mask: list[NDArray[np.bool_]] | None = None,
    **columns: Any,
) -> FaceIndex:
    """Columns from lists of rows; every point is annotated unless `mask` says otherwise.

    Args:
        points: n of (N, 2); what is not annotated becomes 0.
        boxes: n of (4,).
        n_points: N, for a set without rows.
        visible: n of (N,).
        mask: n of (N,).
        **columns: further columns of `FaceIndex`.
    """
    n = len(points)
    place = np.asarray(points, np.float32).reshape(n, n_points, 2)
    annotated = np.ones((n, n_points), np.bool_)
    if mask is not None:
        annotated = np.asarray(mask, np.bool_).reshape(n, n_points)
        place = np.where(annotated[..., None], place, np.float32(0))
    states = None if visible is None else np.asarray(visible, np.int8).reshape(n, n_points)
    box = np.asarray(boxes, np.float32).reshape(n, 4)
    return FaceIndex(points=place, mask=annotated, box=box, visible=states, **columns)


def table(values: Any, shape: tuple[int, ...], name: str, path: Path) -> Numbers:
    """An array of real numbers of a given shape as float64.

    Args:
        values: what stands in the file.
        shape: expected; -1 for any length.
        name: of the variable, for the error.
        path: of the file, for the error.

    Raises:
        UserError: other kinds of values or another shape.
    """
    array = np.asarray(values)
    fits = array.ndim == len(shape) and all(
        want in (-1, got) for want, got in zip(shape, array.shape, strict=True)
    )
    if array.dtype.kind not in "biuf" or not fits:
        want = " x ".join("n" if k < 0 else str(k) for k in shape)
        raise UserError(
            f"{name} is {array.dtype} {array.shape}, not numbers {want}, {path}; fetch it again"
        )
    return array.astype(np.float64)


def load_array(file: Path, shape: tuple[int, ...] | None, part: Any = ...) -> Numbers:
    """Part of an `.npy` file of real numbers as float64.

    Args:
        file: written by NumPy, without pickled objects.
        shape: that the whole array must have; None for any.
        part: index of what is wanted.

    Raises:
        UserError: the file is missing, damaged or holds another kind or shape.
    """
    if not file.is_file():
        raise UserError(f"no file {file}; restore it or correct its name")
    try:
        array: Any = np.load(file, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # its header is parsed as Python: a damaged one can raise anything
        raise UserError(f"no readable .npy array, {file}; write the file again") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"an archive, no .npy array, {file}; write the file again")
    if shape is not None and array.shape != shape:
        raise UserError(f"the array is {array.shape}, not {shape}, {file}; write the file again")
    values = np.asarray(array[part])
    return table(values, values.shape, "the array", file)


def flags(values: Numbers, where: str) -> NDArray[np.bool_]:
    """Zeros and ones as bool.

    Raises:
        UserError: another value.
    """
    if not np.isin(values, (0.0, 1.0)).all():
        odd = next(float(v) for v in values.flat if not (math.isfinite(v) and v in (0.0, 1.0)))
        raise UserError(f"flag {odd} is neither 0 nor 1, {where}; correct it")
    return np.asarray(values == 1.0, np.bool_)
