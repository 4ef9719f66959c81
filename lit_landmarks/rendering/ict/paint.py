"""Columns of the skin's texture per vertex: where lips, brows, lids, beard and scalp are.

The mesh is about as fine as the pixels of a 256 px face, so properties are columns of vertices and
are interpolated with them. Columns say where things are; colours and shapes belong to a face.

A change that alters a picture must raise `ict.renderer.ICT_VERSION`.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from lit_landmarks.geometry import zbuffer
from lit_landmarks.rendering.ict.model import SKIN_END, SOCKET_END, Array, IctModel, Indices
from lit_landmarks.rendering.ict.sites import CENTER
from lit_landmarks.template.features import bump, smoothstep

#: Directions from which light is gathered, and the side of the picture that says what it reaches.
_DIRECTIONS, _SIDE = 64, 320


class Column(IntEnum):
    """Columns of the texture of an ICT head after its first two, u and v."""

    OPEN = 2  # share of the sky that reaches the place
    LIP = 3  # distance inside the border of the lips, head units
    BROW_V = 4  # across the brow: -1 upper edge, 1 lower edge
    BROW_U = 5  # along it: 0 inner, 1 outer end
    LID = 6  # distance from the margin of the lids
    BEARD = 7
    MOUSTACHE = 8
    RED = 9
    ROW = 10  # row number of the scalp, as in `hair.LINE_ANGLES`
    ANGLE = 11  # angle on the scalp
    FOLD = 12  # where skin folds with age
    UPPER = 13  # 1 on the upper lid, 0 on the lower one


#: Columns of the texture.
COLUMNS = 2 + len(Column)


def sky_visibility(points: Array, triangles: Indices) -> Array:
    """(V,) ambient visibility: the share of a vertex's half space that the mesh does not hide.

    The mesh is drawn from directions all round (Fibonacci sphere); a vertex collects the cosine of
    those that see it.
    """
    n = np.arange(_DIRECTIONS) + 0.5
    up, turn = 1.0 - 2.0 * n / _DIRECTIONS, n * np.pi * (3.0 - np.sqrt(5.0))
    flat = np.sqrt(1.0 - up**2)
    ways = np.stack([flat * np.cos(turn), up, flat * np.sin(turn)], -1)
    mesh = torch.from_numpy(triangles)
    place = torch.from_numpy(points)
    normal = zbuffer.vertex_normals(
        place[None].float(), mesh, zbuffer.incidence(mesh, len(points))
    )[0].double()
    visible, most = torch.zeros(len(points)).double(), torch.zeros(len(points)).double()
    scale = (_SIDE - 8) / float(np.ptp(points, axis=0).max() * 1.3)
    middle = place.mean(0)
    for way in ways:
        z = -torch.from_numpy(way)
        helper = torch.tensor([0.0, 1.0, 0.0] if abs(way[1]) < 0.9 else [1.0, 0.0, 0.0]).double()
        x = torch.linalg.cross(helper, z)
        x = x / x.norm()
        y = torch.linalg.cross(z, x)
        turned = (place - middle) @ torch.stack([x, y, z], 1)
        screen = zbuffer.snap(turned[None, :, :2] * scale + _SIDE / 2)
        deep = turned[None, :, 2] + 10.0
        _, inverse = zbuffer.rasterize(screen, deep, mesh, _SIDE, _SIDE)
        at = screen[0].round().long().clamp(0, _SIDE - 1)
        nearest = 1.0 / inverse[0, at[:, 1], at[:, 0]].clamp_min(1e-6)
        weight = (normal @ torch.from_numpy(way)).clamp_min(0.0)
        most += weight
        visible += weight * (deep[0] <= nearest + 0.035)
    return np.asarray((visible / most.clamp_min(1e-9)).clamp(0, 1).numpy(), dtype=np.float64)


def _catmull_rom(points: Array, closed: bool, step: int = 16) -> Array:
    """(K * step, 3) points of the Catmull-Rom spline through (K, 3) points."""
    if closed:
        before, after = np.roll(points, 1, 0), np.roll(points, -1, 0)
        later, start, end = np.roll(points, -2, 0), points, after
    else:
        wide = np.concatenate(
            [2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]]
        )
        before, start, end, later = wide[:-3], wide[1:-2], wide[2:-1], wide[3:]
    f = (np.arange(step) / step)[:, None, None]
    line = start + 0.5 * f * (
        end
        - before
        + f * (2 * before - 5 * start + 4 * end - later + f * (3 * (start - end) + later - before))
    )
    return np.asarray(line.transpose(1, 0, 2).reshape(-1, points.shape[1]), dtype=np.float64)


def _signed_distance(places: Array, polygon: Array) -> Array:
    """(N,) signed distance to a planar polygon, positive inside."""
    a, b = polygon, np.roll(polygon, -1, 0)
    edge, away = b - a, places[:, None] - a
    share = np.clip((away * edge).sum(-1) / np.maximum((edge**2).sum(-1), 1e-12), 0, 1)
    far = np.linalg.norm(away - share[..., None] * edge, axis=-1).min(1)
    y = places[:, None, 1]
    slope = edge[:, 0] / np.where(edge[:, 1] == 0, 1.0, edge[:, 1])
    left = places[:, None, 0] < a[:, 0] + (y - a[:, 1]) * slope
    crosses = ((a[:, 1] <= y) != (b[:, 1] <= y)) & left
    return np.asarray(np.where(crosses.sum(1) % 2 == 1, far, -far), dtype=np.float64)


def _brow_coordinates(mean: Array, line: Array) -> tuple[Array, Array]:
    """Coordinates across and along one brow: (V,), (V,)."""
    fine = _catmull_rom(line, closed=False, step=24)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=-1))])
    u = length / length[-1]
    near = cKDTree(fine).query(mean)[1]
    way = np.gradient(fine[:, :2], axis=0)
    way /= np.linalg.norm(way, axis=-1, keepdims=True)
    away = mean - fine[near]
    along = (away[:, :2] * way[near]).sum(-1)
    down = away[:, 1] * np.abs(way[near, 0]) - away[:, 0] * way[near, 1] * np.sign(way[near, 0])
    at = u[near] + np.where((near == 0) | (near == len(u) - 1), along / length[-1], 0.0)
    # The published points run near the upper edge; hair grows mostly below them.
    half = 0.058 * np.interp(at, [0.0, 0.25, 0.6, 1.0], [0.85, 1.0, 0.85, 0.35])
    v = (down - 0.4 * half - 0.012) / half
    far = np.linalg.norm(away, axis=-1) > 0.35
    return np.where(far, 6.0, np.clip(v, -6, 6)), np.clip(at, -1.0, 2.0)


def _lid_distance(model: IctModel) -> tuple[Array, Array]:
    """(V,) distance from the nearest lid margin; (V,) 1 on the upper lid, 0 on the lower."""
    edges = np.concatenate(
        [model.triangles[:, [0, 1]], model.triangles[:, [1, 2]], model.triangles[:, [2, 0]]]
    )
    rim = (edges < SKIN_END).any(1) & ((edges >= SOCKET_END - 768) & (edges < SOCKET_END)).any(1)
    margin = np.unique(edges[rim][edges[rim] < SKIN_END])
    points = model.mean[margin]
    far, near = cKDTree(points).query(model.mean)
    corners = model.mean[model.ibug68[[36, 39, 42, 45]]]
    left = points[near, 0] < 0
    inner = np.where(left[:, None], corners[1], corners[2])
    outer = np.where(left[:, None], corners[0], corners[3])
    share = np.clip((points[near, 0] - inner[:, 0]) / (outer[:, 0] - inner[:, 0]), 0, 1)
    chord = inner[:, 1] + share * (outer[:, 1] - inner[:, 1])
    return far, smoothstep(0.004, -0.004, points[near, 1] - chord)


def skin_columns(model: IctModel, scalp: Array, rows: Array, angles: Array) -> Tensor:
    """(V, COLUMNS) texture of the model's vertices, float64.

    Args:
        model: the head.
        scalp: (S, 3) sites of the scalp lattice.
        rows: (S,) row number of each.
        angles: (S,) angle of each.
    """
    mean, ibug = model.mean, model.mean[model.ibug68]
    away = mean - CENTER
    turn = np.arctan2(away[:, 0], -away[:, 2])
    table = np.zeros((len(mean), COLUMNS))
    # Noise is looked up on a cylinder.
    table[:, 0], table[:, 1] = turn * 0.85, mean[:, 1]
    solid = model.triangles[(model.triangles < SOCKET_END).all(1)]
    table[:, Column.OPEN] = sky_visibility(mean, solid)
    x, y, z = mean.T
    front = (z < 0.6) & (np.arange(len(mean)) < SKIN_END)
    table[:, Column.LIP] = -1.0
    near = front & (np.abs(x) < 0.45) & (y > 0.5) & (y < 1.1) & (z < 0.1)
    border = _catmull_rom(ibug[48:60, :2], closed=True)
    table[near, Column.LIP] = _signed_distance(mean[near, :2], border)
    table[:, Column.BROW_V] = 6.0
    for side, line in ((-1, ibug[17:22][::-1]), (1, ibug[22:27])):
        rows_of = front & (x * side > 0)
        v, u = _brow_coordinates(mean[rows_of], line)
        table[rows_of, Column.BROW_V], table[rows_of, Column.BROW_U] = v, u
    far, upper = _lid_distance(model)
    table[:, Column.LID], table[:, Column.UPPER] = np.where(front, far, 1.0), upper
    _fill_beard_columns(table, mean, ibug, front)
    red = 0.8 * bump(x, y, 0.47, 0.32, 0.20, 0.17) + 0.8 * bump(x, y, 0.0, 0.36, 0.13, 0.12)
    red += 0.35 * bump(x, y, 0.0, 1.12, 0.16, 0.10) + 0.4 * bump(x, y, 0.34, 0.06, 0.16, 0.06)
    ear = smoothstep(0.86, 0.93, np.abs(x)) * smoothstep(0.55, 0.4, y)
    table[:, Column.RED] = np.clip(red * front + 0.7 * ear, 0, 1)
    near_scalp = cKDTree(scalp).query(mean)[1]
    table[:, Column.ROW] = np.where(y < 1.2, rows[near_scalp], 20.0)
    table[:, Column.ANGLE] = np.where(np.abs(turn) > 3.0, np.pi, turn)
    cheek = np.exp(-(((np.abs(x) - 0.22 - 0.42 * (y - 0.45)) / 0.03) ** 2))
    cheek = cheek * smoothstep(0.40, 0.50, y) * smoothstep(0.85, 0.68, y)
    brow = 0.5 * np.sin(y * 34.0) ** 2 * smoothstep(-0.42, -0.48, y) * smoothstep(-0.85, -0.70, y)
    brow = brow * smoothstep(0.55, 0.35, np.abs(x))
    bag = 0.7 * np.exp(-(((np.hypot(np.abs(x) - 0.33, 0.9 * y + 0.02) - 0.165) / 0.014) ** 2))
    bag = bag * (y > 0.06)
    table[:, Column.FOLD] = np.clip(cheek + 0.6 * brow + bag, 0, 1) * front
    return torch.from_numpy(table)


def _fill_beard_columns(table: Array, mean: Array, ibug: Array, front: Array) -> None:
    """Fill the columns of beard and moustache."""
    x, y, z = mean.T
    jaw = ibug[0:17]
    side = np.interp(y, jaw[8:][::-1, 1], jaw[8:][::-1, 0])
    mouth = (ibug[48, 1] + ibug[54, 1]) / 2
    low = smoothstep(0.60, 0.84, y + 0.34 * smoothstep(0.42, 0.72, np.abs(x)))
    around = 1.0 - np.exp(-((x / 0.30) ** 4) - (((y - mouth) / 0.115) ** 4))
    sides = smoothstep(0.05, 0.35, y) * smoothstep(0.80, 0.93, np.abs(x) / np.maximum(side, 0.3))
    throat = smoothstep(1.55, 1.28, y + 0.25 * np.clip(z - 0.2, 0, 1))
    behind = smoothstep(0.80, 0.55, z)
    beard = np.clip(low * around + sides * (y < 1.1), 0, 1) * throat * behind
    lip = table[:, Column.LIP]
    table[:, Column.BEARD] = beard * smoothstep(0.01, -0.02, lip)
    nose, top = ibug[33, 1], ibug[51, 1]
    table[:, Column.MOUSTACHE] = (
        smoothstep(nose + 0.01, nose + 0.05, y)
        * smoothstep(mouth + 0.03, top, y)
        * smoothstep(0.34, 0.25, np.abs(x))
        * smoothstep(0.008, -0.012, lip)
        * front
    )
