"""The 3D mean face of a scheme, and its query points: the template head at the scheme's points.

Those of the built-in schemes are shipped as a table, `mean_faces.json`, so that pose labels are the
same on every machine and nobody waits for a head to be built. After a change of the head or of a
scheme, write the table anew and commit it:

    python -m lit_landmarks.template.write_mean_faces
"""

from __future__ import annotations

import json
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_scheme, is_built_in
from lit_landmarks.template.head import template_head
from lit_landmarks.template.position_maps import part_lips
from lit_landmarks.template.surface_points import blend

#: "neutral" or "parted" lips -> scheme -> rows x, y, z of its points; built-in schemes without a
#: mean face are missing.
TABLE = Path(__file__).with_name("mean_faces.json")


@cache
def _table() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return content


def mean_face_of_head(scheme_name: str) -> Tensor:
    """The mean face measured on the template head, of which the table is a copy.

    Args:
        scheme_name: a registered scheme.

    Returns:
        (N, 3) float32 as `mean_face`.

    Raises:
        UserError: unknown scheme, or one with points that have no place on the head.
    """
    return _in_head_units(template_head().neutral, scheme_name)


def query_points_of_head(scheme_name: str) -> Tensor:
    """The query points measured on the template head; see `mean_face_of_head`."""
    return _in_head_units(part_lips(), scheme_name)


def fitted_query_points(scheme_name: str) -> Tensor:
    """(N, 3) query points of a scheme where the fits of 300W-LP have iBUG's 68 points.

    Raises:
        UserError: the scheme does not hold the 68 points, or a point has no place.
    """
    return _in_head_units(part_lips(), scheme_name, fitted=True)


def _in_head_units(surface: Tensor, scheme_name: str, fitted: bool = False) -> Tensor:
    """(N, 3) points of a scheme on vertices (V, 3): one frame for all schemes and surfaces.

    Outer eye corners of the neutral face are 1 apart, the origin is at their midpoint.
    """
    head = template_head()
    places = head.fitted_points(scheme_name) if fitted else head.points(scheme_name)
    return to_head_units(blend(surface[None], places)[0])


def to_head_units(points: Tensor) -> Tensor:
    """(N, 3) points of the template's mesh, in its own units, in the head frame."""
    head = template_head()
    corners = blend(head.neutral[None], head.points("ibug68"))[0, [36, 45]]
    distance: Tensor = (corners[1] - corners[0]).norm()
    return ((points - corners.mean(0)) / distance).float()


@lru_cache(maxsize=64)
def _points(scheme_name: str, face: Literal["neutral", "parted"]) -> Tensor:
    if is_built_in(scheme_name) and scheme_name in _table()[face]:
        return torch.tensor(_table()[face][scheme_name], dtype=torch.float32, device="cpu")
    measure = mean_face_of_head if face == "neutral" else query_points_of_head
    return measure(scheme_name)


def mean_face(scheme_name: str) -> Tensor:
    """The neutral head at a scheme's points, with the jaw line fixed to the skull.

    A scheme that data or a program declares is measured on the template head, which takes about
    half a second to build.

    Source: our own head (`TemplateHead`), no data set.

    Args:
        scheme_name: a registered scheme.

    Returns:
        (N, 3) float32 head frame; outer eye corners 1 apart, origin at their midpoint.

    Raises:
        UserError: unknown scheme, or one with points that have no place on the head.

    Example:
        >>> mean_face("ibug68")[45]  # the image's right outer eye corner
        tensor([0.5000, 0.0000, 0.0000])
    """
    return _points(scheme_name, "neutral").clone()


def query_points(scheme_name: str) -> Tensor:
    """Where on the template a scheme's points are asked for: the mean face with its lips parted.

    The lips of the mean face touch, so that points of the upper and of the lower lip have one
    place there; here every point has its own.

    Args:
        scheme_name: a registered scheme.

    Returns:
        (N, 3) float32 head frame, as `mean_face`.

    Raises:
        UserError: unknown scheme, or one with points that have no place on the head.

    Example:
        >>> upper, lower = query_points("ibug68")[[62, 66]]
        >>> round(float(lower[1] - upper[1]), 2)
        0.16
    """
    return _points(scheme_name, "parted").clone()


@lru_cache(maxsize=64)
def _placed_query_points(scheme_name: str) -> Tensor:
    if has_mean_face(scheme_name):
        return query_points(scheme_name)
    points, placed = template_head().placed_points(scheme_name)
    queries = torch.full((len(placed), 3), torch.nan)
    queries[torch.from_numpy(placed)] = to_head_units(blend(part_lips()[None], points)[0])
    return queries


def placed_query_points(scheme_name: str) -> Tensor:
    """(N, 3) query points of a scheme, NaN for those that have no place on the head.

    Raises:
        UserError: unknown scheme.
    """
    return _placed_query_points(scheme_name).clone()


def has_mean_face(scheme_name: str) -> bool:
    """Whether `mean_face` has the scheme."""
    if is_built_in(scheme_name):
        return scheme_name in _table()["neutral"]
    try:
        get_scheme(scheme_name)
        _points(scheme_name, "neutral")
    except UserError:
        return False
    return True
