"""One face of the JSON format (`json_faces`): checked in full, then put into columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.index import FaceIndex
from lit_landmarks.data.readers.common import LARGEST, Numbers, check_name, face_box, make_index
from lit_landmarks.errors import UserError

_KEYS = (
    "image",
    "points",
    "box",
    "visible",
    "points3d",
    "head3d",
    "pose",
    "focal",
    "subsets",
    "split",
    "track",
    "time",
    "prediction",
)
#: Of a face that a method has labelled: read by people, not by training.
_PREDICTION_KEYS = ("confidence", "error", "visibility", "mma")
Units = Literal["pixels", "relative", "percent"]
UNITS: tuple[Units, ...] = ("pixels", "relative", "percent")
#: Cure for coordinates that look like another unit.
ASK_UNITS = "say which: units: percent, relative or, if they are right, pixels"
_STATES = (-1, 0, 1, 2)
_LARGEST_WHOLE = 2**62
#: Largest angle in degrees that someone may have meant.
_TURN = 360
#: x, y of `points3d` may be rounded otherwise than `points`: by pixels, or a share of the face.
_PLACE_PIXELS, _PLACE_SHARE = 2.0, 0.01


@dataclass(slots=True)
class Row:
    """A face as `FaceIndex` wants it; None where the file says nothing."""

    image: str
    points: NDArray[np.float32]
    mask: NDArray[np.bool_]
    box: NDArray[np.float32]
    visible: NDArray[np.int8] | None
    points3d: Numbers | None
    head3d: Numbers | None
    pose: Numbers | None
    focal: float | None
    track: int | None
    time: int | None
    split: str | None = None
    subsets: list[str] = field(default_factory=list)
    where: str = ""


def read_row(value: Any, n_points: int, annotated: bool, where: str) -> Row:
    """Check one face.

    Args:
        value: as it stands in the file.
        n_points: of the scheme.
        annotated: take the face's own box where there is one.
        where: file and number of the face.

    Raises:
        UserError: a key is unknown or missing, or a value is of another kind, size or range.
    """
    if not isinstance(value, dict) or not {"image", "points"} <= set(value):
        raise UserError(f"a face needs image and points, {where}; add them")
    odd = [key for key in value if key not in _KEYS]
    if odd:
        raise UserError(f"unknown key {odd[0][:40]!r}, {where}; known: {', '.join(_KEYS)}")
    image, subsets, split = value["image"], value.get("subsets", []), value.get("split")
    texts = isinstance(subsets, list) and all(isinstance(s, str) and s for s in subsets)
    if not isinstance(image, str) or not texts or not isinstance(split, str | None):
        raise UserError(f"image and split are text, subsets a list of text, {where}; correct them")
    for name in subsets:
        check_name("subset", name, where)
    prediction = value.get("prediction", {})
    if not isinstance(prediction, dict) or not {*prediction} <= {*_PREDICTION_KEYS}:
        names = ", ".join(_PREDICTION_KEYS)
        raise UserError(f"prediction is no object with some of {names}, {where}; correct it")
    points = _table(value["points"], n_points, 2, "points", where)
    mask = ~np.isnan(points[:, 0])
    own = _list(value.get("box"), 4, "box", where) if annotated else None
    focal = _list([value["focal"]], 1, "focal", where) if value.get("focal") is not None else None
    if focal is not None and not focal[0] > 0:
        raise UserError(f"focal is {focal[0]:g}, {where}; give pixels above 0 or leave it out")
    depth = _optional(value.get("points3d"), n_points, "points3d", where)
    if depth is not None:
        _check_same_place(points, depth, where)
    return Row(
        image=image,
        points=np.nan_to_num(points).astype(np.float32),
        mask=mask,
        box=face_box("annotated", own, points[mask], where).astype(np.float32),
        visible=_states(value.get("visible"), n_points, where),
        points3d=depth,
        head3d=_optional(value.get("head3d"), n_points, "head3d", where),
        pose=_angles(value.get("pose"), where),
        focal=None if focal is None else float(focal[0]),
        track=_whole(value.get("track"), "track", where),
        time=_whole(value.get("time"), "time", where),
        split=split,
        subsets=subsets,
        where=where,
    )


def to_pixels(value: Any, size: tuple[int, int], units: str) -> Any:
    """A face whose points and box are given in another unit, in pixels; what is no number stays.

    Args:
        value: as it stands in the file.
        size: width and height of its picture.
        units: "relative", 0 to 1 across the picture, or "percent".
    """
    whole = 1 if units == "relative" else 100

    def scale(numbers: Any) -> Any:
        if not isinstance(numbers, list) or len(numbers) not in (2, 4):
            return numbers
        plain = all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers)
        sides = (*size, *size)
        return [v * s / whole for v, s in zip(numbers, sides, strict=False)] if plain else numbers

    changed = dict(value)
    if isinstance(value.get("points"), list):
        changed["points"] = [scale(point) for point in value["points"]]
    if "box" in value:
        changed["box"] = scale(value["box"])
    return changed


def columns(rows: Sequence[Row], n_points: int) -> FaceIndex:
    """The faces in columns; a column that no face has is None."""

    def filled(name: str, shape: tuple[int, ...], dtype: Any, absent: float) -> Any:
        values = [getattr(row, name) for row in rows]
        if all(value is None for value in values):
            return None
        full = [np.full(shape, absent) if value is None else value for value in values]
        return np.asarray(full, dtype).reshape(len(rows), *shape)

    points: list[Any] = [row.points for row in rows]
    boxes: list[Any] = [row.box for row in rows]
    names = list(dict.fromkeys(name for row in rows for name in row.subsets))
    return make_index(
        points,
        boxes,
        n_points,
        filled("visible", (n_points,), np.int8, -1),
        [row.mask for row in rows],
        paths=tuple(row.image for row in rows),
        points3d=filled("points3d", (n_points, 3), np.float32, np.nan),
        head3d=filled("head3d", (n_points, 3), np.float32, np.nan),
        pose=filled("pose", (3,), np.float32, np.nan),
        focal=filled("focal", (), np.float32, np.nan),
        track=filled("track", (), np.int64, -1),
        time=filled("time", (), np.int64, 0),
        subsets={name: np.array([name in row.subsets for row in rows], np.bool_) for name in names},
    )


def _list(value: Any, count: int, name: str, where: str) -> Numbers | None:
    """So many numbers, or None."""
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != count:
        raise UserError(f"{name} is not {count} numbers, {where}; correct it")
    return np.array([_number(v, name, where) for v in value])


def _table(value: Any, n_points: int, width: int, name: str, where: str) -> Numbers:
    """(n_points, width) numbers; NaN in the rows that are null."""
    if not isinstance(value, list) or len(value) != n_points:
        count = len(value) if isinstance(value, list) else "no list of"
        raise UserError(f"{count} {name}, not {n_points}, {where}; null stands for a missing one")
    full = np.full((n_points, width), np.nan)
    for k, row in enumerate(value):
        if row is not None:
            full[k] = _list(row, width, f"{name}[{k}]", where)
    return full


def _optional(value: Any, n_points: int, name: str, where: str) -> Numbers | None:
    return None if value is None else _table(value, n_points, 3, name, where)


def _check_same_place(points: Numbers, depth: Numbers, where: str) -> None:
    """Raises where x, y of a point in `points3d` are not those in `points`."""
    away = np.abs(depth[:, :2] - points).max(1)  # NaN where one is missing
    annotated = points[~np.isnan(points[:, 0])]
    side = np.ptp(annotated, axis=0).max() if len(annotated) else 0.0
    if (odd := away > max(_PLACE_PIXELS, _PLACE_SHARE * side)).any():
        k = int(odd.argmax())
        raise UserError(
            f"points3d[{k}] lies {away[k]:.1f} pixels from points[{k}], {where}; x, y must be the"
            " same in both"
        )


def _angles(value: Any, where: str) -> Numbers | None:
    """Yaw, pitch and roll."""
    angles = _list(value, 3, "pose", where)
    if angles is not None and (np.abs(angles) > _TURN).any():
        odd = angles[np.abs(angles) > _TURN][0]
        raise UserError(f"pose has an angle of {odd:g} degrees, {where}; give -{_TURN} to {_TURN}")
    return angles


def _number(value: Any, name: str, where: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST:
        return float(value)
    text = str(value)[:40] if isinstance(value, float) and not math.isfinite(value) else "a value"
    raise UserError(f"{name}: {text} is no number below {LARGEST:g}, {where}; correct it")


def _states(value: Any, n_points: int, where: str) -> NDArray[np.int8] | None:
    if value is None:
        return None
    good = isinstance(value, list) and len(value) == n_points
    if not good or any(type(v) is not int or v not in _STATES for v in value):
        raise UserError(f"visible is not {n_points} of -1, 0, 1 and 2, {where}; correct it")
    return np.array(value, np.int8)


def _whole(value: Any, name: str, where: str) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not -1 <= value < _LARGEST_WHOLE:
        raise UserError(f"{name} is no whole number from 0, {where}; correct it")
    return value
