"""A z-buffer in plain torch: triangles to pixels, on CPU and GPU, without a loop over triangles.

Triangles are sorted into classes by the size of their bounding box. Each class is laid over a
small block of pixels at once, edge functions (Pineda, SIGGRAPH 1988, Eq. 1) say which of them are
covered, and a scatter-minimum of depth and triangle number, packed in one integer, finds the
nearest. Every step is exact or element-wise, so a face gives the same pixels in any batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Sides of the pixel blocks of the size classes; the last is extended to the image.
_BLOCKS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
_ID_BITS = 20
_DEPTH_STEPS = float(2**40)
#: Vertices are snapped to this part of a pixel, so that rounding noise cannot move an edge.
_SUBPIXEL = 256.0
#: Blocks larger than this many fragments are cut into pieces to bound memory.
_MOST_FRAGMENTS = 1 << 24


def snap(points: Tensor) -> Tensor:
    """Screen positions rounded to 1/256 pixel, as float32: (..., 2)."""
    return (torch.round(points * _SUBPIXEL) / _SUBPIXEL).float()


def rasterize(
    points: Tensor, depth: Tensor, triangles: Tensor, height: int, width: int, cull: bool = True
) -> Tensor:
    """The nearest triangle at each pixel centre.

    Args:
        points: (B, V, 2) float32 pixel positions (pass them through `snap`).
        depth: (B, V) positive depth along the optical axis; triangles that touch depth <= 0 are
            left out.
        triangles: (T, 3) or (B, T, 3) int64.
        height: of the image.
        width: of the image.
        cull: leave out triangles whose corners run counter-clockwise in the image (y down).

    Returns:
        (B, height, width) int64 triangle number, -1 where nothing is hit.
    """
    batch = points.shape[0]
    corner, inverse = _corners(points, depth, triangles)
    ab, ac = corner[..., 1, :] - corner[..., 0, :], corner[..., 2, :] - corner[..., 0, :]
    area = ab[..., 0] * ac[..., 1] - ab[..., 1] * ac[..., 0]
    low = torch.ceil(corner.amin(-2)).clamp_min(0.0)
    last = corner.new_tensor([width - 1.0, height - 1.0])
    high = torch.minimum(torch.floor(corner.amax(-2)), last)
    extent = (high - low).amax(-1) + 1.0
    used = (high >= low).all(-1) & (inverse > 0).all(-1)
    used &= area > 0 if cull else area != 0
    pixels = height * width
    packed = torch.full((batch * pixels,), torch.iinfo(torch.int64).max, device=points.device)
    blocks = [b for b in _BLOCKS if b < max(height, width)] + [max(height, width)]
    smallest = 0
    for block in blocks:
        chosen = (used & (extent > smallest) & (extent <= block)).flatten().nonzero()[:, 0]
        smallest = block
        for part in torch.split(chosen, max(1, _MOST_FRAGMENTS // block**2)):
            if len(part):
                _splat(packed, part, block, corner, inverse, area, low, high, width, pixels)
    hit = packed & ((1 << _ID_BITS) - 1)
    empty = packed == torch.iinfo(torch.int64).max
    return torch.where(empty, -1, hit).reshape(batch, height, width)


def _corners(points: Tensor, depth: Tensor, triangles: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T, 3, 2) corner positions and (B, T, 3) inverse depths (0 behind the camera)."""
    inverse = torch.where(depth > 0, 1.0 / depth, torch.zeros_like(depth)).float()
    if triangles.ndim == 2:
        return points[:, triangles], inverse[:, triangles]
    rows = torch.arange(len(points), device=points.device)[:, None, None]
    return points[rows, triangles], inverse[rows, triangles]


def _splat(
    packed: Tensor,
    part: Tensor,
    block: int,
    corner: Tensor,
    inverse: Tensor,
    area: Tensor,
    low: Tensor,
    high: Tensor,
    width: int,
    pixels: int,
) -> None:
    """Enters the triangles `part` (flat numbers over B x T), each on a block of pixels."""
    count = area.shape[1]
    xy, z = corner.flatten(0, 1)[part], inverse.flatten(0, 1)[part]
    size, first, end = area.flatten()[part], low.flatten(0, 1)[part], high.flatten(0, 1)[part]
    step = torch.arange(block, device=part.device, dtype=torch.float32)
    # Outside the bounding box the column or row term is minus infinity: never covered.
    lost = torch.tensor(-torch.inf, device=part.device)
    right = torch.where(first[:, :1] + step <= end[:, :1], step, lost)
    down = torch.where(first[:, 1:] + step <= end[:, 1:], step, lost)
    sign = torch.sign(size)[:, None]
    cover = None
    weights = []
    for k in range(3):
        a, b = xy[:, (k + 1) % 3], xy[:, (k + 2) % 3]
        slope = (b - a) * sign
        start = (first[:, 1] - a[:, 1]) * slope[:, 0] - (first[:, 0] - a[:, 0]) * slope[:, 1]
        across, along = -slope[:, 1:] * step, slope[:, :1] * step + start[:, None]
        if k == 0:
            across = torch.where(torch.isinf(right), lost, across)
            along = torch.where(torch.isinf(down), lost, along)
        weights.append((across, along))
        edge = across[:, None, :] + along[:, :, None]
        cover = edge if cover is None else torch.minimum(cover, edge)
    assert cover is not None
    which, row, column = (cover >= 0).nonzero().unbind(1)
    # Inverse depth is linear on the screen.
    plane = _depth_plane(xy, z, size)
    dx, dy = first[which, 0] + column - xy[which, 0, 0], first[which, 1] + row - xy[which, 0, 1]
    near = plane[which, 0] + plane[which, 1] * dx + plane[which, 2] * dy
    number = part[which]
    face = torch.div(number, count, rounding_mode="floor")
    x, y = first[which].long().unbind(-1)
    target = face * pixels + (y + row) * width + x + column
    # Nearest first: depth counts downwards from the camera, ties go to the lower number.
    steps = ((1.0 - near.double().clamp(0.0, 1.0)) * _DEPTH_STEPS).long()
    packed.scatter_reduce_(0, target, (steps << _ID_BITS) | (number - face * count), "amin")


def _depth_plane(xy: Tensor, z: Tensor, area: Tensor) -> Tensor:
    """(n, 3) inverse depth at corner 0 and its slopes along x and y."""
    return torch.stack([z[:, 0], *_slopes(xy, z[..., None], area)[..., 0].unbind(1)], -1)


def _slopes(xy: Tensor, values: Tensor, area: Tensor) -> Tensor:
    """(..., 2, K) slopes along x and y of values (..., 3, K) given at triangle corners."""
    ab, ac = xy[..., 1, :] - xy[..., 0, :], xy[..., 2, :] - xy[..., 0, :]
    first, second = values[..., 1, :] - values[..., 0, :], values[..., 2, :] - values[..., 0, :]
    scale = torch.where(area == 0, torch.ones_like(area), 1.0 / area)[..., None]
    along_x = (first * ac[..., 1:] - second * ab[..., 1:]) * scale
    along_y = (second * ab[..., :1] - first * ac[..., :1]) * scale
    return torch.stack([along_x, along_y], -2)


def interpolate(
    values: Tensor, points: Tensor, triangles: Tensor, hit: Tensor, depth: Tensor | None = None
) -> Tensor:
    """Vertex values at the pixels of `rasterize`.

    Args:
        values: (B, V, K) or (V, K) float32.
        points: (B, V, 2) as given to `rasterize`.
        triangles: (T, 3).
        hit: (B, H, W) triangle numbers; pixels without one get the values of triangle 0.
        depth: (B, V); with it the result is perspective-correct, without it linear on the screen
            (equal for triangles that are small beside their depth).

    Returns:
        (B, H, W, K).
    """
    if depth is not None:
        inverse = (1.0 / depth).float()[..., None]
        whole = torch.cat([values.expand(len(points), -1, -1) * inverse, inverse], -1)
        flat = interpolate(whole, points, triangles, hit)
        return flat[..., :-1] / flat[..., -1:]
    corner = points[:, triangles]
    at = (
        values[:, triangles]
        if values.ndim == 3
        else values[triangles].expand(len(points), -1, -1, -1)
    )
    ab, ac = corner[..., 1, :] - corner[..., 0, :], corner[..., 2, :] - corner[..., 0, :]
    area = ab[..., 0] * ac[..., 1] - ab[..., 1] * ac[..., 0]
    slopes = _slopes(corner, at, area)
    table = torch.cat([corner[..., 0, :], at[..., 0, :], slopes.flatten(-2)], -1)
    batch, height, width = hit.shape
    count = triangles.shape[0]
    offset = torch.arange(batch, device=hit.device).reshape(-1, 1, 1) * count
    rows = table.flatten(0, 1).index_select(0, (hit.clamp_min(0) + offset).flatten())
    rows = rows.reshape(batch, height, width, -1)
    k = at.shape[-1]
    x = torch.arange(width, device=hit.device, dtype=torch.float32)
    y = torch.arange(height, device=hit.device, dtype=torch.float32)[:, None]
    dx, dy = (x - rows[..., 0])[..., None], (y - rows[..., 1])[..., None]
    return rows[..., 2 : 2 + k] + rows[..., 2 + k : 2 + 2 * k] * dx + rows[..., 2 + 2 * k :] * dy


def incidence(triangles: Tensor, n_vertices: int) -> Tensor:
    """(V, D) triangle numbers at each vertex, padded with T, so that sums have one order."""
    count = len(triangles)
    vertex = triangles.flatten()
    order = torch.argsort(vertex, stable=True)
    vertex = vertex[order]
    owner = torch.div(order, 3, rounding_mode="floor")
    degree = torch.bincount(vertex, minlength=n_vertices)
    start = torch.cumsum(degree, 0) - degree
    rank = torch.arange(len(vertex), device=triangles.device) - start[vertex]
    table = torch.full((n_vertices, int(degree.max())), count, device=triangles.device)
    table[vertex, rank] = owner
    return table


def vertex_normals(vertices: Tensor, triangles: Tensor, table: Tensor) -> Tensor:
    """Unit normals that point outwards, weighted by area: (B, V, 3).

    Args:
        vertices: (B, V, 3) camera or head frame.
        triangles: (T, 3), clockwise in the image (y down) when seen from outside.
        table: from `incidence`.
    """
    a, b, c = (vertices[:, triangles[:, k]] for k in range(3))
    # With y down and z away, clockwise corners have a cross product that points away from us.
    face = torch.linalg.cross(c - a, b - a)
    face = torch.cat([face, face.new_zeros(len(face), 1, 3)], 1)
    total = face[:, table].sum(2)
    length: Tensor = total.norm(dim=-1, keepdim=True)
    return total / length.clamp_min(1e-12)
