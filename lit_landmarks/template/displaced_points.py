"""A made-up convention: iBUG's points moved over the template by a smooth, known displacement."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from lit_landmarks.schemes import get_scheme
from lit_landmarks.template.mean_face import query_points
from lit_landmarks.template.mesh import scheme_triangles
from lit_landmarks.template.surface_points import SurfacePoints, blend
from lit_landmarks.template.surface_search import find_nearest

#: Name of the convention in `schemes.CONVENTIONS`.
DISPLACED = "synthetic_displaced"
#: Largest displacement to the side and down, in distances of the outer eye corners, and its waves.
_REACH = 0.12, 0.10
_WAVES = 2.2, 2.0


@cache
def displaced_points() -> SurfacePoints:
    """IBUG's 68 points of the made-up convention as blends of three points of dense520.

    Each lies where the surface between the 520 points is nearest to the point's own place, moved
    away from the middle of the face and up or down by its height.
    """
    points, dense = query_points("ibug68").double(), query_points("dense520").double()
    x, y, _ = points.unbind(1)
    across, down = _REACH[0] * torch.sin(_WAVES[0] * x), _REACH[1] * torch.cos(_WAVES[1] * y)
    moved = points + torch.stack([across, down, torch.zeros_like(x)], 1)
    vertices, weights = find_nearest(moved.numpy(), dense.numpy(), scheme_triangles("dense520"))
    # One half mirrors the other, also where two triangles are equally near.
    flip, mirror = (np.array(get_scheme(name).flip) for name in ("ibug68", "dense520"))
    for number, other in enumerate(flip):
        if number < other:
            vertices[other], weights[other] = mirror[vertices[number]], weights[number]
    return SurfacePoints(vertices, weights)


def displaced_query_points() -> Tensor:
    """(68, 3) places on the template of iBUG's points in the made-up convention."""
    return blend(query_points("dense520")[None], displaced_points())[0]
