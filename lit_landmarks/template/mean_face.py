"""The 3D mean face of a scheme: the neutral template head at the scheme's points.

Those of the built-in schemes are shipped as a table, `mean_faces.json`, so that pose labels are the
same on every machine and nobody waits for a head to be built. After a change of the head or of a
scheme, write the table anew and commit it:

    python -m lit_landmarks.template.write_mean_faces
"""

from __future__ import annotations

import json
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_scheme, is_built_in
from lit_landmarks.template.head import template_head
from lit_landmarks.template.surface_points import blend

#: Scheme -> rows x, y, z of its points; built-in schemes without a mean face are missing.
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
    head = template_head()
    neutral = head.neutral[None]
    points = blend(neutral, head.points(scheme_name))[0]
    corners = blend(neutral, head.points("ibug68"))[0, [36, 45]]
    # One frame for all schemes: outer eye corners 1 apart, origin at their midpoint.
    distance: Tensor = (corners[1] - corners[0]).norm()
    return ((points - corners.mean(0)) / distance).float()


@lru_cache(maxsize=32)
def _mean_face(scheme_name: str) -> Tensor:
    if is_built_in(scheme_name) and scheme_name in _table():
        return torch.tensor(_table()[scheme_name], dtype=torch.float32, device="cpu")
    return mean_face_of_head(scheme_name)


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
    return _mean_face(scheme_name).clone()


def has_mean_face(scheme_name: str) -> bool:
    """Whether `mean_face` has the scheme."""
    if is_built_in(scheme_name):
        return scheme_name in _table()
    try:
        get_scheme(scheme_name)
        _mean_face(scheme_name)
    except UserError:
        return False
    return True
