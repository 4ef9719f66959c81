"""The 3D mean face of a scheme: the neutral head at the scheme's points."""

from __future__ import annotations

from functools import lru_cache

from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template.head import template_head
from lit_landmarks.template.surface_points import blend


@lru_cache(maxsize=32)
def _mean_face(scheme_name: str) -> Tensor:
    head = template_head()
    neutral = head.neutral[None]
    points = blend(neutral, head.points(scheme_name))[0]
    corners = blend(neutral, head.points("ibug68"))[0, [36, 45]]
    # One frame for all schemes: outer eye corners 1 apart, origin at their midpoint.
    distance: Tensor = (corners[1] - corners[0]).norm()
    return ((points - corners.mean(0)) / distance).float()


def mean_face(scheme_name: str) -> Tensor:
    """The neutral head at a scheme's points, with the jaw line fixed to the skull.

    Source: our own head (`TemplateHead`), no data set.

    Args:
        scheme_name: a registered scheme.

    Returns:
        (N, 3) float32 head frame; outer eye corners 1 apart, origin at their midpoint.

    Raises:
        UserError: unknown scheme, or one with points that have no place on the head.
    """
    return _mean_face(scheme_name).clone()


def has_mean_face(scheme_name: str) -> bool:
    """Whether `mean_face` knows the scheme."""
    try:
        get_scheme(scheme_name)
        _mean_face(scheme_name)
    except UserError:
        return False
    return True
