"""A landmark scheme as JSON: how a user declares points of their own.

It stands in the file with the faces (`data/readers/json_faces.py` has an example) and, so that a
run does not depend on that file, in the run's directory.
"""

from __future__ import annotations

from typing import Any

from lit_landmarks.errors import UserError
from lit_landmarks.schemes.base import LandmarkScheme, Polyline, flip_by_names
from lit_landmarks.schemes.registry import get_scheme, is_built_in, register_scheme

_KEYS = ("name", "points", "flip", "polylines", "eye_corners", "pupils", "contour", "pose_points")


def declare_scheme(value: Any, where: str) -> LandmarkScheme:
    """The scheme that a file declares; it is registered.

    Args:
        value: an object with `name`, `points` (names) and any of the others.
        where: file, for the error.

    Raises:
        UserError: a declaration that contradicts itself or a registered scheme.
    """
    scheme = read_scheme(value, where)
    try:
        return register_scheme(scheme)
    except UserError as error:
        raise UserError(f"{error}, {where}; correct the scheme") from error


def read_scheme(value: Any, where: str) -> LandmarkScheme:
    """The scheme that an object declares, without registering it.

    Args:
        value: `name`, `points` (names) and any of the others.
        where: file, for the error.

    Raises:
        UserError: a declaration that contradicts itself.
    """
    if not isinstance(value, dict):
        raise UserError(f"scheme is no name and no object, {where}; write one or the other")
    odd = [key for key in value if key not in _KEYS]
    if odd:
        raise UserError(f"scheme has a key {odd[0]!r}, {where}; known: {', '.join(_KEYS)}")
    name, points = value.get("name"), value.get("points")
    texts = isinstance(points, list) and points and all(isinstance(p, str) for p in points)
    if not isinstance(name, str) or not name or not texts:
        raise UserError(f"scheme needs a name and a list of point names, {where}; add both")
    try:
        return _build_scheme(name, tuple(points or ()), value)
    except UserError as error:
        raise UserError(f"{error}, {where}; correct the scheme") from error


def scheme_json(name: str) -> str | dict[str, Any]:
    """A scheme as JSON: the name of a built-in scheme, or the whole declaration."""
    if is_built_in(name):
        return name
    scheme = get_scheme(name)
    return {
        "name": scheme.name,
        "points": list(scheme.point_names),
        "flip": None if scheme.flip is None else list(scheme.flip),
        "polylines": {
            key: {"points": list(points), "closed": closed}
            for key, (points, closed) in scheme.polylines.items()
        },
        "eye_corners": list(scheme.eye_corners),
        "pupils": [list(group) for group in scheme.pupil_groups],
        "contour": list(scheme.contour),
        "pose_points": list(scheme.pose_points),
    }


def _build_scheme(name: str, points: tuple[str, ...], value: dict[str, Any]) -> LandmarkScheme:
    corners = _numbers(value.get("eye_corners", [0, 0]), points, "eye_corners")
    pupils = value.get("pupils", [[corners[0]], [corners[-1]]] if corners else [])
    if len(corners) != 2 or not isinstance(pupils, list) or len(pupils) != 2:
        raise UserError("eye_corners are two points, pupils two lists of points")
    right, left = (_numbers(group, points, "pupils") for group in pupils)
    lines = value.get("polylines", {})
    if not right or not left or not isinstance(lines, dict):
        raise UserError("pupils are two lists of points, polylines an object")
    contour = _numbers(value.get("contour", []), points, "contour")
    flip = value.get("flip")
    if flip == "names":
        flip = flip_by_names(points)
    elif flip is not None:
        flip = _numbers(flip, points, "flip")
    return LandmarkScheme(
        name=name,
        n_points=len(points),
        point_names=points,
        flip=flip,
        polylines={key: _polyline(line, points) for key, line in lines.items()},
        eye_corners=(corners[0], corners[1]),
        pupil_groups=(right, left),
        contour=contour,
        inner=tuple(i for i in range(len(points)) if i not in contour),
        pose_points=_numbers(value.get("pose_points", []), points, "pose_points"),
        source="declared by the user",
    )


def _polyline(value: Any, names: tuple[str, ...]) -> Polyline:
    """A list of points, or an object that says whether the line is closed."""
    if isinstance(value, dict):
        if set(value) - {"points", "closed"} or not isinstance(value.get("closed", False), bool):
            raise UserError("a polyline is a list of points, or an object of points and closed")
        return _numbers(value.get("points"), names, "polylines"), value.get("closed", False)
    return _numbers(value, names, "polylines"), False


def _numbers(value: Any, names: tuple[str, ...], key: str) -> tuple[int, ...]:
    """Points given by name or by number."""
    if not isinstance(value, list):
        raise UserError(f"{key} is no list of points")
    numbers = [names.index(v) if isinstance(v, str) and v in names else v for v in value]
    odd = [v for v in numbers if type(v) is not int or not 0 <= v < len(names)]
    if odd:
        raise UserError(f"{key}: there is no point {str(odd[0])[:40]!r}")
    return tuple(numbers)
