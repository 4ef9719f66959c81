"""Layout of the template head's position maps: points of a scheme stand at fixed pixels.

    >>> face_layout().pixels[:68].shape                 # where the 68 of iBUG stand
    torch.Size([68, 2])

Another head with texture coordinates is laid out by `lay_out`.

The texture plane is the unrolled skin between hair line, ears and throat. Eye openings and the slit
of the mouth are closed by strips between the lids and between the lips, so that the map has no
holes, as in the maps of PRNet (Feng et al., ECCV 2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from lit_landmarks.geometry.position_map import UvTable, uv_to_pixels
from lit_landmarks.template import loft
from lit_landmarks.template.head import template_head
from lit_landmarks.template.loft import Array
from lit_landmarks.template.surface_points import SurfacePoints
from lit_landmarks.template.topology import Indices, Skin

#: What the map shows of the unrolled skin: radians from the midline, rows of the loft.
_ANGLE, _ROWS = 1.40, (2.8, 15.0)
#: The lips are parted in the texture plane by so much, fading over so much (plane units), so that
#: inner points of the upper and the lower lip stand at different pixels.
_PARTED, _FADE = 0.035, 0.10
#: Gap between parted lips on the head, in distances of the outer eye corners.
_GAP = 0.16


@dataclass(frozen=True)
class FaceLayout:
    """A texture plane of a head with the points of a scheme in it.

    Attributes:
        table: of the maps.
        pixels: (N, 2) int64 column, row of each point of the scheme.
    """

    table: UvTable
    pixels: Tensor


@lru_cache(maxsize=8)
def face_layout(scheme: str = "dense520", size: int = 256) -> FaceLayout:
    """The layout of the template head, and of heads whose mesh begins with its skin.

    Args:
        scheme: points to find again in the maps.
        size: side of the maps in pixels.

    Raises:
        UserError: the scheme has a point without a place on the head.
        ValueError: the map is too small to keep two points of the scheme apart.
    """
    head = template_head()
    skin = head.skin
    triangles = np.concatenate(
        [skin.triangles, *_triangulate_eyes(skin), _triangulate_strip(*skin.lips)]
    )
    with torch.device("cpu"):
        return lay_out(texture_coordinates(skin), triangles, head.points(scheme), size)


def lay_out(uv: Array, triangles: Indices, points: SurfacePoints, size: int = 256) -> FaceLayout:
    """The layout of any head that has texture coordinates.

    Args:
        uv: (V, 2) in [0, 1] on the face, v upwards; the vertices that `triangles` name come first.
        triangles: (T, 3) skin of the face; those outside the unit square are left out.
        points: to find again in the maps, at places of the surface that `uv` knows.
        size: side of the maps in pixels.

    Raises:
        ValueError: the map is too small to keep two points apart.
    """
    plane, corners = torch.from_numpy(uv), torch.from_numpy(triangles)
    inside = (plane[corners] >= -0.1).all((1, 2)) & (plane[corners] <= 1.1).all((1, 2))
    pixels = uv_to_pixels(plane, size)
    table = UvTable.of(pixels, corners[inside], size)
    vertices, weights = torch.from_numpy(points.vertices), torch.from_numpy(points.weights)
    place = (pixels[vertices] * weights[..., None]).sum(1).round().long()
    return FaceLayout(table.with_anchors(place, vertices, weights), place)


def texture_coordinates(skin: Skin, parted: float = _PARTED, fade: float = _FADE) -> Array:
    """(V, 2) texture coordinates u, v in [0, 1] on the face, v upwards.

    Args:
        skin: of the template head.
        parted: how far the lips are parted, in units of the plane.
        fade: over how much that fades.
    """
    plane = loft.unroll(skin.angle, skin.row)
    plane[:, 1] += parted * _lip_shift(skin, fade)
    top, bottom = loft.unroll(np.zeros(2), np.array(_ROWS))[:, 1]
    wide = loft.ANGLE_SCALE * _ANGLE
    u = (plane[:, 0] + wide) / (2 * wide)
    v = (bottom - plane[:, 1]) / (bottom - top)
    return np.stack([u, v], -1)


def part_lips(gap: float = _GAP) -> Tensor:
    """(S + 2, 3) float64 the neutral template head with its lips apart, then the pupils.

    Args:
        gap: between the middles of the lips, in distances of the outer eye corners.
    """
    head = template_head()
    parted = head.neutral.clone()
    parted[: len(head.skin.angle), 1] += torch.from_numpy(gap / 2 * _lip_shift(head.skin, _FADE))
    return parted


def _lip_shift(skin: Skin, fade: float) -> Array:
    """(V,) how far skin moves down as the mouth opens: the middles of the lips by -1 and 1.

    Args:
        skin: of the template head.
        fade: over how much of the unrolled plane that fades.
    """
    plane = loft.unroll(skin.angle, skin.row)
    line = loft.unroll(skin.angle[skin.lips[0]], skin.row[skin.lips[0]])
    away = plane[:, 1] - np.interp(plane[:, 0], line[:, 0], line[:, 1])
    # On the slit itself both lips have one place; the vertex says to which of them it belongs.
    side = np.where(skin.lip != 0, skin.lip, np.sign(away))
    share = np.clip(1.0 - (plane[:, 0] / line[-1, 0]) ** 2, 0.0, None)
    return np.asarray(side * share * np.exp(-((away / fade) ** 2)))


def _triangulate_strip(one: Indices, other: Indices) -> Indices:
    """Triangles (T, 3) between two lines of vertices that start and end alike."""
    a, b, c, d = one[:-1], one[1:], other[:-1], other[1:]
    return np.concatenate([np.stack([a, b, d], -1), np.stack([a, d, c], -1)])


def _triangulate_eyes(skin: Skin) -> list[Indices]:
    """Triangles that close the eye openings."""
    strips = []
    for loop in skin.eye_loops:
        half = len(loop) // 2
        lower = np.concatenate([loop[:1], loop[: half - 1 : -1]])
        strips.append(_triangulate_strip(loop[: half + 1], lower))
    return strips
