"""Heights above a triangle mesh, with gradients."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Patches(NamedTuple):
    """A surface as small flat pieces.

    Attributes:
        middles: (P, 3) of the pieces.
        normals: (P, 3) of length 1.
    """

    middles: Tensor
    normals: Tensor

    def to(self, other: Tensor) -> Patches:
        """On the device and of the type of another tensor."""
        return Patches(self.middles.to(other), self.normals.to(other))


def triangle_patches(vertices: Tensor, triangles: Tensor) -> Patches:
    """The triangles of a mesh as patches.

    Args:
        vertices: (V, 3).
        triangles: (T, 3) int64, clockwise seen from outside, whither normals point.

    Example:
        >>> triangle_patches(torch.eye(3), torch.tensor([[0, 1, 2]])).middles
        tensor([[0.3333, 0.3333, 0.3333]])
    """
    a, b, c = vertices[triangles].unbind(1)
    normals = torch.nn.functional.normalize(torch.linalg.cross(c - a, b - a), dim=-1)
    return Patches((a + b + c) / 3.0, normals)


def heights_above(points: Tensor, patches: Patches) -> Tensor:
    """(...) signed distances of points (..., 3) from the plane of the nearest patch.

    Example:
        >>> floor = Patches(torch.zeros(1, 3), torch.tensor([[0.0, 0.0, 1.0]]))
        >>> heights_above(torch.tensor([[3.0, 4.0, 2.0]]), floor)
        tensor([2.])
    """
    with torch.no_grad():
        away = torch.cdist(points.detach().reshape(-1, 3), patches.middles)
        nearest = away.argmin(1).view(points.shape[:-1])
    return ((points - patches.middles[nearest]) * patches.normals[nearest]).sum(-1)
