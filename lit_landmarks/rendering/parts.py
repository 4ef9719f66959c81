"""Everything of the head that is not skin: lid rims, mouth interior, teeth, tongue, eyeballs, ears.

A part is a `Block` of vertices with its own material. `source` names, for each vertex, where on the
template its deformation is read: a rim follows the lid margin that it starts from. A change that
alters a picture must raise `renderer.RENDER_VERSION`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from lit_landmarks.template.loft import Array
from lit_landmarks.template.outlines import EYE_CENTER, EYE_RADIUS, seam
from lit_landmarks.template.topology import Indices, Skin


class Material(IntEnum):
    """What a triangle is made of; the renderer chooses its shading by it."""

    SKIN = 0
    EYE = 1
    MOUTH = 2
    TEETH = 3
    TONGUE = 4
    EAR = 5
    HAIR = 6
    CLOTH = 7
    RIM = 8
    GLASSES = 9
    HAT = 10
    HAND = 11
    PROP = 12


#: What may stand before a face: points behind it are occluded, not self-occluded.
WORN = (Material.HAIR, Material.GLASSES, Material.HAT, Material.HAND, Material.PROP)


@dataclass(frozen=True)
class Block:
    """A part of the head.

    Attributes:
        points: (V, 3) neutral positions in the head frame.
        triangles: (T, 3) of this block's own vertices.
        material: of all triangles.
        texture: (V, 2) coordinates whose meaning depends on the material.
        source: (V, 3) template position at which deformations are read.
        lower: (V,) bool, moves with the lower jaw where the template is ambiguous.
    """

    points: Array
    triangles: Indices
    material: Material
    texture: Array
    source: Array
    lower: Indices


def grid_triangles(rows: int, columns: int, closed: bool = False, flip: bool = False) -> Indices:
    """(T, 3) triangles of a rows x columns vertex grid; `closed` joins last and first column."""
    i, j = np.meshgrid(
        np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij"
    )
    k = (j + 1) % columns
    a, b, c, d = (
        (i * columns + j),
        (i * columns + k),
        ((i + 1) * columns + j),
        ((i + 1) * columns + k),
    )
    triangles = np.stack([np.stack([a, b, c], -1), np.stack([b, d, c], -1)], 2).reshape(-1, 3)
    return triangles[:, ::-1] if flip else triangles


def lid_rims(skin: Skin, points: Array) -> list[Block]:
    """The thickness of the lids: from each margin a strip that runs back to the eyeball."""
    blocks = []
    for side, loop in enumerate(skin.eye_loops):
        margin = points[loop]
        back = margin + np.array([0.0, 0.0, 0.05])
        center = EYE_CENTER * np.array([-1.0 if side == 0 else 1.0, 1.0, 1.0])
        back[:, :2] += 0.06 * (center - margin)[:, :2]
        n = len(loop)
        both = np.concatenate([margin, back])
        # First texture coordinate: 1 on the upper lid, where the lashes grow.
        upper = np.zeros(n)
        upper[1 : n // 2] = 1.0
        texture = np.stack([np.tile(upper, 2), np.repeat([0.0, 1.0], n)], -1)
        triangles = grid_triangles(2, n, closed=True, flip=side == 0)
        source = np.concatenate([margin, margin])
        lower = np.zeros(2 * n, dtype=np.int64)
        blocks.append(Block(both, triangles, Material.RIM, texture, source, lower))
    return blocks


def mouth_cavity(skin: Skin, points: Array) -> list[Block]:
    """Inner side of both lips, continued to a dark bag."""
    blocks = []
    for side, line in zip((-1, 1), skin.lips, strict=True):
        edge = points[line]
        n = len(line)
        narrow = 1.0 - 0.55 * np.abs(edge[:, 0]) / 0.284
        rows = [edge]
        for up, back, squeeze in ((0.012, 0.045, 0.99), (0.13, 0.075, 0.97), (0.10, 0.50, 0.80)):
            row = edge.copy()
            row[:, 0] *= squeeze
            row[:, 1] += side * up * narrow
            row[:, 2] += back
            rows.append(row)
        block = np.concatenate(rows)
        depth = np.repeat(np.linspace(0.0, 1.0, 4), n)
        texture = np.stack([np.tile(edge[:, 0], 4), depth], -1)
        triangles = grid_triangles(4, n, flip=side > 0)
        source = np.tile(edge, (4, 1))
        lower = np.full(4 * n, side)
        blocks.append(Block(block, triangles, Material.MOUTH, texture, source, lower))
    return blocks


def teeth() -> list[Block]:
    """An upper and a lower row, hidden while the lips are closed."""
    blocks = []
    u = np.linspace(-1.0, 1.0, 17)
    for side in (-1, 1):
        x = 0.205 * u * (1.0 if side < 0 else 0.92)
        edge = seam(np.zeros(1))[0] + (0.022 if side < 0 else 0.030)
        rows = []
        for share in (0.0, 0.5, 1.0):
            y = edge + side * 0.115 * (1.0 - share) - side * 0.004 * u**2
            z = -0.222 + 2.9 * x**2 + 0.016 * (side > 0) + 0.014 * (1.0 - share)
            rows.append(np.stack([x, np.full_like(x, 0.0) + y, z], -1))
        points = np.concatenate(rows)
        texture = np.stack([np.tile(u, 3), np.repeat([0.0, 0.5, 1.0], len(u))], -1)
        triangles = grid_triangles(3, len(u), flip=side > 0)
        lower = np.full(len(points), side)
        anchor = np.tile([0.0, 0.768, -0.30], (len(points), 1))
        blocks.append(Block(points, triangles, Material.TEETH, texture, anchor, lower))
    return blocks


def tongue() -> Block:
    """A low mound on the floor of the mouth."""
    u, v = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(0, 1, 6))
    x = 0.15 * u * (1.0 - 0.25 * v)
    y = 0.880 - 0.05 * (1 - u**2) * np.sin(np.pi * (0.15 + 0.6 * (1 - v)))
    z = -0.17 + 0.40 * (1.0 - v) + 0.05 * u**2
    points = np.stack([x, y, z], -1).reshape(-1, 3)
    anchor = np.tile([0.0, 0.80, -0.30], (len(points), 1))
    texture = np.stack([u, v], -1).reshape(-1, 2)
    lower = np.ones(len(points), dtype=np.int64)
    return Block(points, grid_triangles(6, 9), Material.TONGUE, texture, anchor, lower)


def eyeballs() -> list[Block]:
    """Front caps of two spheres; texture coordinates are directions from the centre."""
    blocks = []
    theta = np.radians(np.array([0.0, 14, 28, 42, 56, 72, 90]))
    phi = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    t, p = np.meshgrid(theta, phi, indexing="ij")
    way = np.stack([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), -np.cos(t)], -1).reshape(-1, 3)
    for side in (-1.0, 1.0):
        center = EYE_CENTER * np.array([side, 1.0, 1.0])
        points = center + EYE_RADIUS * way
        triangles = grid_triangles(len(theta), len(phi), closed=True, flip=True)
        source = np.tile(center - np.array([0, 0, EYE_RADIUS]), (len(points), 1))
        lower = np.zeros(len(points), dtype=np.int64)
        blocks.append(Block(points, triangles, Material.EYE, way[:, :2], source, lower))
    return blocks


def _ear_relief(radius: Array, p: Array, q: Array) -> Array:
    """Height of helix, antihelix, tragus and concha over the plane of the ear."""
    helix = 0.050 * np.exp(-(((radius - 0.86) / 0.10) ** 2)) * (q < 0.62)
    antihelix = 0.040 * np.exp(-(((np.hypot(p - 0.10, q + 0.02) - 0.46) / 0.11) ** 2)) * (p > -0.25)
    concha = -0.060 * np.exp(-(((p + 0.18) / 0.34) ** 2) - ((q - 0.10) / 0.30) ** 2)
    tragus = 0.050 * np.exp(-(((p + 0.78) / 0.16) ** 2) - ((q - 0.12) / 0.16) ** 2)
    lobe = 0.018 * np.exp(-(((p + 0.15) / 0.3) ** 2) - ((q - 0.78) / 0.2) ** 2)
    return np.asarray(helix + antihelix + concha + tragus + lobe, dtype=np.float64)


def ears() -> list[Block]:
    """Two shells that stand out from the head, with a skirt that closes them behind."""
    radius = np.array([0.0, 0.18, 0.34, 0.48, 0.62, 0.74, 0.86, 0.96, 1.0])
    phi = np.linspace(0, 2 * np.pi, 26, endpoint=False)
    r, f = np.meshgrid(radius, phi, indexing="ij")
    p, q = r * np.cos(f), r * np.sin(f)
    narrow = np.where(q > 0, 1.0 - 0.42 * q**2, 1.0)
    out = _ear_relief(r, p, q)
    along, down = 0.165 * p * narrow, 0.325 * q
    tilt = np.radians(14.0)
    z = 0.955 + np.cos(tilt) * along - np.sin(tilt) * down
    y = 0.115 + np.sin(tilt) * along + np.cos(tilt) * down
    x = 0.905 + 0.50 * along + 0.86 * out - 0.02 * q
    skirt = np.stack([x[-1] - 0.16, y[-1] * 0.9 + 0.01, z[-1] - 0.06], -1)
    points = np.concatenate([np.stack([x, y, z], -1).reshape(-1, 3), skirt])
    texture = np.concatenate([np.stack([p, q], -1).reshape(-1, 2), np.stack([p[-1], q[-1]], -1)])
    rows, lower = len(radius) + 1, np.zeros(len(points), dtype=np.int64)
    triangles = grid_triangles(rows, len(phi), closed=True, flip=True)
    blocks = []
    for side in (-1.0, 1.0):
        mirrored = points * np.array([side, 1.0, 1.0])
        turned = triangles[:, ::-1] if side < 0 else triangles
        blocks.append(Block(mirrored, turned, Material.EAR, texture, mirrored, lower))
    return blocks
