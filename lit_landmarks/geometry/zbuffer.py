"""A z-buffer in plain torch: triangles to pixels, on CPU and GPU, without a loop over triangles.

Triangles become rows of pixels, rows become pixels, all of them at once. Edge functions (Pineda,
SIGGRAPH 1988, Eq. 1) say where a row begins and ends, and a scatter-minimum of depth and triangle
number, packed in one integer, finds the nearest. Every step is exact or element-wise, so a face
gives the same pixels in any batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_ID_BITS = 20
#: Bits of inverse depth are taken from this number, so that the nearest is the least.
_ORDER = 0x7FFFFFFF
_EMPTY = torch.iinfo(torch.int64).max
#: Vertices are snapped to this part of a pixel, so that rounding noise cannot move an edge.
_SUBPIXEL = 256.0
#: Triangles that meet at a vertex, except at a few.
_USUAL_DEGREE = 8
#: Triangles whose bounding boxes hold more pixels than this are worked in pieces to bound memory.
_MOST_FRAGMENTS = 1 << 24


class Nearest(NamedTuple):
    """The nearest triangle at each pixel centre.

    Attributes:
        triangle: (B, H, W) int64 number, -1 where nothing is hit.
        inverse: (B, H, W) float32 inverse depth there, 0 where nothing is hit.
    """

    triangle: Tensor
    inverse: Tensor


def snap(points: Tensor) -> Tensor:
    """Screen positions rounded to 1/256 pixel, as float32: (..., 2)."""
    return (torch.round(points * _SUBPIXEL) / _SUBPIXEL).float()


def rasterize(
    points: Tensor, depth: Tensor, triangles: Tensor, height: int, width: int, cull: bool = True
) -> Nearest:
    """The nearest triangle at each pixel centre.

    Args:
        points: (B, V, 2) float32 pixel positions (pass them through `snap`).
        depth: (B, V) depth along the optical axis; triangles that touch depth <= 0 are left out.
        triangles: (T, 3) int64, T < 2**20.
        height: of the image.
        width: of the image.
        cull: leave out triangles whose corners run counter-clockwise in the image (y down).

    Returns:
        The triangle at each pixel and its inverse depth. Of two triangles at the same depth the
        lower number wins.
    """
    batch, count = points.shape[0], triangles.shape[0]
    inverse = torch.where(depth > 0, 1.0 / depth, torch.zeros_like(depth)).float()
    whole = torch.cat([points, inverse[..., None]], -1)
    whole = whole.index_select(1, triangles.flatten()).reshape(-1, 3, 3)
    ab, ac = whole[:, 1, :2] - whole[:, 0, :2], whole[:, 2, :2] - whole[:, 0, :2]
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    # Half of all triangles face away: the rest is asked of the others only.
    chosen = (area > 0 if cull else area != 0).nonzero()[:, 0]
    whole, area = whole.index_select(0, chosen), area.index_select(0, chosen)
    a, b, c = whole.unbind(1)
    lowest, highest = torch.minimum(torch.minimum(a, b), c), torch.maximum(torch.maximum(a, b), c)
    first = torch.ceil(lowest[:, :2]).clamp_min(0.0)
    last = whole.new_tensor([width - 1.0, height - 1.0])
    extent = torch.minimum(torch.floor(highest[:, :2]), last) - first
    used = (extent[:, 0] >= 0) & (extent[:, 1] >= 0) & (lowest[:, 2] > 0)
    inside = used.nonzero()[:, 0]
    chosen, whole, area, first, extent = (
        t.index_select(0, inside) for t in (chosen, whole, area, first, extent)
    )
    face = torch.div(chosen, count, rounding_mode="floor")
    packed = torch.full((batch * height * width,), _EMPTY, device=points.device)
    jobs = _Triangles(
        edges=_edges(whole[..., :2], area, first),
        plane=_plane(whole[..., :2], whole[..., 2], area, first),
        reach=extent,
        origin=((face * height + first[:, 1].long()) * width + first[:, 0].long()),
        number=chosen - face * count,
    )
    boxes = (extent[:, 0].double() + 1.0) * (extent[:, 1] + 1.0)
    piece = torch.div(torch.cumsum(boxes, 0), _MOST_FRAGMENTS, rounding_mode="floor").long()
    for size in torch.bincount(piece).tolist() if len(piece) else []:
        some, jobs = jobs.cut(size)
        _enter(packed, some, width)
    empty = packed == _EMPTY
    hit = (packed & ((1 << _ID_BITS) - 1)).masked_fill_(empty, -1)
    bits = (_ORDER - (packed >> _ID_BITS)).masked_fill_(empty, 0).int()
    shape = (batch, height, width)
    return Nearest(hit.reshape(shape), bits.view(torch.float32).reshape(shape))


class _Triangles(NamedTuple):
    """n triangles on the screen, each from its first pixel: the corner of its bounding box.

    Attributes:
        edges: (9, n) float64, see `_edges`.
        plane: (3, n) float32 inverse depth there, its slope along x, its slope along y.
        reach: (n, 2) last column and row of the bounding box, counted from the first pixel.
        origin: (n,) number of the first pixel in the flat buffer.
        number: (n,) of the triangle in the mesh.
    """

    edges: Tensor
    plane: Tensor
    reach: Tensor
    origin: Tensor
    number: Tensor

    def cut(self, size: int) -> tuple[_Triangles, _Triangles]:
        """The first `size` of them, and the others."""
        ends = [(t[..., :size], t[..., size:]) for t in self[:2]]
        ends += [(t[:size], t[size:]) for t in self[2:]]
        return _Triangles(*(e[0] for e in ends)), _Triangles(*(e[1] for e in ends))


def _edges(corner: Tensor, area: Tensor, first: Tensor) -> Tensor:
    """(9, n) three edge functions: values at the first pixel, slopes along x, slopes along y.

    Exact: corners are multiples of 1/256 pixel, whose products fit into float64.
    """
    corner = corner.double()
    sign = torch.sign(area).double()[:, None]
    tail = corner.roll(-1, 1)
    edge = (corner.roll(-2, 1) - tail) * sign[..., None]
    away = first.double()[:, None] - tail
    start = away[..., 1] * edge[..., 0] - away[..., 0] * edge[..., 1]
    return torch.cat([start, -edge[..., 1], edge[..., 0]], 1).T.contiguous()


def _plane(corner: Tensor, near: Tensor, area: Tensor, first: Tensor) -> Tensor:
    """(3, n) inverse depth at the first pixel, slope along x, slope along y."""
    slopes = _slopes(corner, near[..., None], area)[..., 0]
    start = near[:, 0] + ((first - corner[:, 0]) * slopes).sum(1)
    return torch.cat([start[:, None], slopes], 1).T.contiguous()


def _enter(packed: Tensor, some: _Triangles, width: int) -> None:
    """Enters triangles into the buffer (B * H * W,): triangles to rows, rows to pixels."""
    device = packed.device
    rows = some.reach[:, 1].long() + 1
    total = torch.cumsum(rows, 0)
    owner = torch.repeat_interleave(torch.arange(len(rows), device=device), rows)
    row = torch.arange(len(owner), device=device) - (total - rows).index_select(0, owner)
    low = torch.zeros(len(owner), dtype=torch.float64, device=device)
    high = some.reach[:, 0].double().index_select(0, owner)
    edges = some.edges.index_select(1, owner)
    for value, along, down in zip(edges[:3], edges[3:6], edges[6:], strict=True):
        # Where the edge function is zero in this row: covered from there on, or up to there. A
        # horizontal edge bounds no row within the bounding box.
        zero = -(value + down * row) / along
        low = torch.where(along > 0, torch.maximum(low, zero), low)
        high = torch.where(along < 0, torch.minimum(high, zero), high)
    low = torch.ceil(low)
    length = (torch.floor(high) - low + 1.0).clamp_min(0.0).long()
    # Pixel k of all rows is column k plus something that belongs to its row.
    shift = low.long() - (torch.cumsum(length, 0) - length)
    near, along, down = some.plane.index_select(1, owner)
    start = some.origin.index_select(0, owner) + row * width
    line = torch.repeat_interleave(torch.arange(len(owner), device=device), length)
    column = shift.index_select(0, line).add_(torch.arange(len(line), device=device))
    depth = (near + down * row).index_select(0, line) + along.index_select(0, line) * column
    # The bits of a positive float are ordered like the number: the nearest has the most.
    order = _ORDER - depth.clamp_min_(1e-30).view(torch.int32).long()
    number = some.number.index_select(0, owner).index_select(0, line)
    target = start.index_select(0, line).add_(column)
    packed.scatter_reduce_(0, target, (order << _ID_BITS) | number, "amin")


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
        hit: (B, H, W) triangle numbers, from `rasterize`.
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
    # Slopes only of visible triangles.
    visible = torch.zeros(len(hit) * count, dtype=torch.bool, device=hit.device)
    visible[owner] = True
    number = visible.nonzero()[:, 0]
    short = torch.zeros(len(visible), dtype=torch.int64, device=hit.device)
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
    result = rows[:, 2 : 2 + k] + rows[:, 2 + k : 2 + 2 * k] * dx + rows[:, 2 + 2 * k :] * dy
    return result if place is not None else result.reshape(*hit.shape, k)


class Incidence(NamedTuple):
    """Which triangles meet at each vertex, as tables, so that sums have one order.

    Attributes:
        table: (V, 8) triangle numbers, padded with T.
        hubs: (R,) vertices where more than 8 meet.
        more: (R, D) their other triangles, padded with T.
    """

    table: Tensor
    hubs: Tensor
    more: Tensor


def incidence(triangles: Tensor, n_vertices: int) -> Incidence:
    """The tables of a mesh (T, 3)."""
    count = len(triangles)
    vertex = triangles.flatten()
    order = torch.argsort(vertex, stable=True)
    vertex = vertex[order]
    owner = torch.div(order, 3, rounding_mode="floor")
    degree = torch.bincount(vertex, minlength=n_vertices)
    start = torch.cumsum(degree, 0) - degree
    rank = torch.arange(len(vertex), device=triangles.device) - start[vertex]
    width = max(int(degree.max()), _USUAL_DEGREE)
    table = torch.full((n_vertices, width), count, device=triangles.device)
    table[vertex, rank] = owner
    hubs = (degree > _USUAL_DEGREE).nonzero()[:, 0]
    return Incidence(table[:, :_USUAL_DEGREE].contiguous(), hubs, table[hubs, _USUAL_DEGREE:])


def vertex_normals(vertices: Tensor, triangles: Tensor, meeting: Incidence) -> Tensor:
    """Unit normals that point outwards, weighted by area: (B, V, 3).

    Args:
        vertices: (B, V, 3) camera or head frame.
        triangles: (T, 3), clockwise in the image (y down) when seen from outside.
        meeting: from `incidence`.
    """
    corner = vertices.index_select(1, triangles.flatten()).reshape(len(vertices), -1, 3, 3)
    a, b, c = corner.unbind(2)
    # With y down and z away, clockwise corners have a cross product that points away from us.
    face = torch.linalg.cross(c - a, b - a)
    face = torch.cat([face, face.new_zeros(len(face), 1, 3)], 1)
    total = torch.zeros_like(vertices)
    for column in meeting.table.unbind(1):
        total = total + face.index_select(1, column)
    for column in meeting.more.unbind(1):
        total[:, meeting.hubs] += face.index_select(1, column)
    length: Tensor = (total * total).sum(-1, keepdim=True).sqrt()
    return total / length.clamp_min(1e-12)
