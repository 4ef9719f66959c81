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
_BLOCKS = (3, 6, 12, 24, 64)
_ID_BITS = 20
_EMPTY = torch.iinfo(torch.int64).max
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
        depth: (B, V) depth along the optical axis; triangles that touch depth <= 0 are left out.
        triangles: (T, 3) int64, T < 2**20.
        height: of the image.
        width: of the image.
        cull: leave out triangles whose corners run counter-clockwise in the image (y down).

    Returns:
        (B, height, width) int64 triangle number, -1 where nothing is hit. Of two triangles at
        the same depth the lower number wins.
    """
    batch, count = points.shape[0], triangles.shape[0]
    inverse = torch.where(depth > 0, 1.0 / depth, torch.zeros_like(depth)).float()
    whole = torch.cat([points, inverse[..., None]], -1)
    whole = whole.index_select(1, triangles.flatten()).reshape(-1, 3, 3)
    corner, near = whole[..., :2], whole[..., 2]
    ab, ac = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    first = torch.ceil(corner.amin(1)).clamp_min(0.0)
    last = corner.new_tensor([width - 1.0, height - 1.0])
    extent = torch.minimum(torch.floor(corner.amax(1)), last) - first
    used = (extent.amin(1) >= 0) & (near.amin(1) > 0) & (area > 0 if cull else area != 0)
    chosen = used.nonzero()[:, 0]
    whole = whole.index_select(0, chosen)
    first, reach = first.index_select(0, chosen), extent.index_select(0, chosen)
    setup = _setup(whole[..., :2], whole[..., 2], area.index_select(0, chosen), first)
    largest = reach.amax(1) + 1.0
    face = torch.div(chosen, count, rounding_mode="floor")
    number = chosen - face * count
    corner_pixel = first.long()
    origin = face * (height * width) + corner_pixel[:, 1] * width + corner_pixel[:, 0]
    packed = torch.full((batch * height * width,), _EMPTY, device=points.device)
    smallest = 0
    for block in [b for b in _BLOCKS if b < max(height, width)] + [max(height, width)]:
        members = ((largest > smallest) & (largest <= block)).nonzero()[:, 0]
        smallest = block
        for part in torch.split(members, max(1, _MOST_FRAGMENTS // block**2)):
            if len(part):
                some = [t.index_select(0, part) for t in (setup, reach, number, origin)]
                _splat(packed, some, block, width)
    hit = torch.where(packed == _EMPTY, -1, packed & ((1 << _ID_BITS) - 1))
    return hit.reshape(batch, height, width)


def _setup(corner: Tensor, near: Tensor, area: Tensor, first: Tensor) -> Tensor:
    """(n, 12) per triangle: value at the first pixel, slope along x, slope along y.

    Each for the three edge functions, then for the inverse depth (linear on the screen).
    """
    sign = torch.sign(area)[:, None]
    tail = corner.roll(-1, 1)
    edge = (corner.roll(-2, 1) - tail) * sign[..., None]
    away = first[:, None] - tail
    start = away[..., 1] * edge[..., 0] - away[..., 0] * edge[..., 1]
    slopes = _slopes(corner, near[..., None], area)[..., 0]
    depth = near[:, 0] + ((first - corner[:, 0]) * slopes).sum(1)
    values = torch.cat([start, depth[:, None]], 1)
    along_x = torch.cat([-edge[..., 1], slopes[:, :1]], 1)
    along_y = torch.cat([edge[..., 0], slopes[:, 1:]], 1)
    return torch.cat([values, along_x, along_y], 1)


def _splat(packed: Tensor, triangles: list[Tensor], block: int, width: int) -> None:
    """Enters triangles into the buffer, each over a block of pixels from its first pixel on.

    Args:
        packed: (B * H * W,) the buffer.
        triangles: setup, reach of the bounding box, number and first pixel of n triangles.
        block: side of the blocks.
        width: of the image.
    """
    setup, reach, number, origin = triangles
    step = torch.arange(block, device=setup.device, dtype=torch.float32)
    across = setup[:, 4:7, None] * step
    down = setup[:, 8:11, None] * step + setup[:, 0:3, None]
    # Outside the bounding box a column or row is minus infinity: never covered.
    across = across.masked_fill((step > reach[:, :1])[:, None], -torch.inf)
    down = down.masked_fill((step > reach[:, 1:])[:, None], -torch.inf)
    cover = across[:, 0, None, :] + down[:, 0, :, None]
    for k in (1, 2):
        cover = torch.minimum(cover, across[:, k, None, :] + down[:, k, :, None])
    which, row, column = (cover >= 0).nonzero().unbind(1)
    plane = setup[:, 3::4].contiguous().index_select(0, which)
    depth = plane[:, 0] + plane[:, 1] * column + plane[:, 2] * row
    # The bits of a positive float are ordered like the number: the nearest has the most.
    order = 0x7FFFFFFF - depth.clamp_min(1e-30).view(torch.int32).long()
    target = origin.index_select(0, which) + row * width + column
    value = (order << _ID_BITS) | number.index_select(0, which)
    packed.scatter_reduce_(0, target, value, "amin")


def _slopes(xy: Tensor, values: Tensor, area: Tensor) -> Tensor:
    """(..., 2, K) slopes along x and y of values (..., 3, K) given at triangle corners."""
    ab, ac = xy[..., 1, :] - xy[..., 0, :], xy[..., 2, :] - xy[..., 0, :]
    first, second = values[..., 1, :] - values[..., 0, :], values[..., 2, :] - values[..., 0, :]
    scale = torch.where(area == 0, torch.ones_like(area), 1.0 / area)[..., None]
    along_x = (first * ac[..., 1:] - second * ab[..., 1:]) * scale
    along_y = (second * ab[..., :1] - first * ac[..., :1]) * scale
    return torch.stack([along_x, along_y], -2)


def interpolate(
    values: Tensor, points: Tensor, triangles: Tensor, hit: Tensor, place: Tensor | None = None
) -> Tensor:
    """Vertex values at the pixels of `rasterize`, linear on the screen.

    Inverse depth is linear on the screen; other values are all but linear where triangles are
    small beside their depth.

    Args:
        values: (B, V, K) float32.
        points: (B, V, 2) as given to `rasterize`.
        triangles: (T, 3).
        hit: (B, H, W) triangle numbers.
        place: (N,) numbers of the wanted pixels in the flattened `hit`, all of them covered; None
            for all (pixels without a triangle then get the values of triangle 0).

    Returns:
        (N, K), or (B, H, W, K) without `place`.
    """
    _, height, width = hit.shape
    flat = hit.flatten().clamp_min(0)
    at = torch.arange(len(flat), device=hit.device) if place is None else place
    line = torch.div(at, width, rounding_mode="floor")
    face = torch.div(line, height, rounding_mode="floor")
    count, k = len(triangles), values.shape[-1]
    owner = flat.index_select(0, at) + face * count
    # Slopes only of triangles that are seen.
    seen = torch.zeros(len(hit) * count, dtype=torch.bool, device=hit.device)
    seen[owner] = True
    number = seen.nonzero()[:, 0]
    short = torch.zeros(len(seen), dtype=torch.int64, device=hit.device)
    short[number] = torch.arange(len(number), device=hit.device)
    row = torch.div(number, count, rounding_mode="floor")
    vertex = triangles.index_select(0, number - row * count) + (row * points.shape[1])[:, None]
    both = torch.cat([points, values], -1).flatten(0, 1)
    both = both.index_select(0, vertex.flatten()).reshape(-1, 3, 2 + k)
    corner, value = both[..., :2], both[..., 2:]
    ab, ac = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    slopes = _slopes(corner, value, ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])
    table = torch.cat([corner[:, 0], value[:, 0], slopes.flatten(1)], 1)
    rows = table.index_select(0, short.index_select(0, owner))
    dx = ((at - line * width) - rows[:, 0])[:, None]
    dy = ((line - face * height) - rows[:, 1])[:, None]
    found = rows[:, 2 : 2 + k] + rows[:, 2 + k : 2 + 2 * k] * dx + rows[:, 2 + 2 * k :] * dy
    return found if place is not None else found.reshape(*hit.shape, k)


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
    corner = vertices.index_select(1, triangles.flatten()).reshape(len(vertices), -1, 3, 3)
    a, b, c = corner.unbind(2)
    # With y down and z away, clockwise corners have a cross product that points away from us.
    face = torch.linalg.cross(c - a, b - a)
    face = torch.cat([face, face.new_zeros(len(face), 1, 3)], 1)
    total = face.index_select(1, table.flatten()).reshape(len(face), *table.shape, 3).sum(2)
    length: Tensor = total.norm(dim=-1, keepdim=True)
    return total / length.clamp_min(1e-12)
