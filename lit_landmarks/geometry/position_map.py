"""UV position maps: images over the surface of a face that hold its 3D positions.

A map is (size, size, 3): column and row follow the texture coordinates of a mesh, the value at a
pixel is the place (x, y, z) of that bit of surface; 0 where there is no surface (Feng et al.,
PRNet, ECCV 2018, Sec. 3.1). Every map of a mesh has the same texture coordinates, so a point of the
face always stands at the same pixel, and points are read off by an index.

    UvTable.of(uv, triangles)   which vertices, with which weights, fill which pixel: once per mesh
    table.render(vertices)      maps of many posed meshes, one gather
    read_map(maps, pixels)      points at chosen pixels
    warp_positions, jitter_crop      the crop drawn anew each time instead of frozen on disk

Published maps count z towards the camera, from the deepest vertex; this package counts it away from
the camera, from the mean: `toward_camera` and `away_from_camera`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lit_landmarks.geometry.crops import affine_scale, points_box, similarity, transform_points
from lit_landmarks.geometry.zbuffer import rasterize, snap

#: Crop of the published maps (Feng et al.'s generator, used by Basak et al., arXiv 2308.15170):
#: side in sides of the box of the 68 points, its random factor, and the random shift in box sides.
CROP_SIDE, CROP_ZOOM, CROP_SHIFT = 1.5, 0.1, 0.1


@dataclass(frozen=True)
class UvTable:
    """Which surface point fills each pixel of a map.

    Attributes:
        size: side of the maps in pixels.
        pixels: (P,) int64 filled pixels, row * size + column, ascending.
        vertices: (P, 3) int64 vertices that are blended there.
        weights: (P, 3) float64 their weights, rows sum to 1.
    """

    size: int
    pixels: Tensor
    vertices: Tensor
    weights: Tensor

    @classmethod
    def of(cls, uv: Tensor, triangles: Tensor, size: int = 256) -> UvTable:
        """Rasterize the texture coordinates of a mesh to a table.

        Args:
            uv: (V, 2) texture coordinates in pixels of the map (see `uv_to_pixels`).
            triangles: (T, 3) int64; of two that overlap the first wins.
            size: side of the maps.
        """
        uv = snap(uv)
        depth = torch.ones(1, len(uv))
        hit = rasterize(uv[None], depth, triangles, size, size, cull=False).triangle[0]
        row, column = (hit >= 0).nonzero(as_tuple=True)
        vertices = triangles[hit[row, column]]
        place = torch.stack([column, row], -1).double()
        weights = barycentric(place, uv.double()[vertices])
        return cls(size, row * size + column, vertices, weights)

    def with_anchors(self, pixels: Tensor, vertices: Tensor, weights: Tensor) -> UvTable:
        """The table with named surface points put exactly at given pixels.

        A map samples the surface at pixel centres, which miss a named point by up to 0.7 pixel.
        Anchored pixels hold the named point itself, so that it is read off without error.

        Args:
            pixels: (N, 2) int64 column, row of each point, all different.
            vertices: (N, 3) int64.
            weights: (N, 3) float64.

        Raises:
            ValueError: two points fall on one pixel; a larger map keeps them apart.
        """
        flat = pixels[:, 1] * self.size + pixels[:, 0]
        if len(set(flat.tolist())) != len(flat):
            raise ValueError(f"two points share a pixel of a {self.size} px map; make it larger")
        others = ~torch.isin(self.pixels, flat)
        every = torch.cat([self.pixels[others], flat])
        order = torch.argsort(every)
        return replace(
            self,
            pixels=every[order],
            vertices=torch.cat([self.vertices[others], vertices])[order],
            weights=torch.cat([self.weights[others], weights.double()])[order],
        )

    def render(self, points: Tensor) -> Tensor:
        """Position maps of meshes.

        Args:
            points: (B, V, 3) vertices, for example pixels of an image and depth in pixels.

        Returns:
            (B, size, size, 3) with the dtype of `points`.
        """
        return self.scatter(self.gather(points))

    def gather(self, points: Tensor) -> Tensor:
        """The surface at the filled pixels: (B, V, 3) vertices to (B, P, 3)."""
        total = points.new_zeros(len(points), len(self.pixels), 3)
        columns = zip(self.vertices.unbind(1), self.weights.to(points).unbind(1), strict=True)
        for vertex, weight in columns:
            total += points.index_select(1, vertex.to(points.device)) * weight[:, None]
        return total

    def scatter(self, values: Tensor) -> Tensor:
        """Maps (B, size, size, 3) of values (B, P, 3) at the filled pixels, 0 elsewhere."""
        maps = values.new_zeros(len(values), self.size * self.size, 3)
        maps[:, self.pixels.to(values.device)] = values
        return maps.reshape(len(values), self.size, self.size, 3)

    @property
    def mask(self) -> Tensor:
        """(size, size) bool, True where there is surface."""
        flat = torch.zeros(self.size * self.size, dtype=torch.bool)
        flat[self.pixels] = True
        return flat.reshape(self.size, self.size)


def barycentric(place: Tensor, corners: Tensor) -> Tensor:
    """Weights of places in plane triangles: (P, 2), (P, 3, 2) -> (P, 3), rows sum to 1."""
    a, b, c = corners.unbind(1)
    ab, ac, ap = b - a, c - a, place - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    v = (ap[:, 0] * ac[:, 1] - ap[:, 1] * ac[:, 0]) / area
    w = (ab[:, 0] * ap[:, 1] - ab[:, 1] * ap[:, 0]) / area
    return torch.stack([1 - v - w, v, w], -1)


def uv_to_pixels(uv: Tensor, size: int = 256) -> Tensor:
    """Texture coordinates in [0, 1], v upwards, to map pixels: u (size-1), (1-v) (size-1)."""
    return torch.stack([uv[..., 0], 1 - uv[..., 1]], -1) * (size - 1)


def vertex_pixels(face_ind: Tensor, chosen: Tensor, size: int = 256) -> Tensor:
    """Where some entries of a published vertex list stand in the map.

    Args:
        face_ind: (V,) int64 flat pixel (row * size + column) of each vertex of the list.
        chosen: (N,) int64 entries of that list, for example the published 520.
        size: side of the maps.

    Returns:
        (N, 2) int64 column, row.

    Raises:
        ValueError: an entry or a pixel that does not exist.
    """
    if len(chosen) and not (int(chosen.min()) >= 0 and int(chosen.max()) < len(face_ind)):
        raise ValueError(f"a chosen vertex lies outside 0..{len(face_ind) - 1}")
    flat = face_ind[chosen]
    if len(flat) and not (int(flat.min()) >= 0 and int(flat.max()) < size * size):
        raise ValueError(f"a vertex lies outside a map of {size} x {size} pixels")
    return torch.stack([flat % size, torch.div(flat, size, rounding_mode="floor")], -1)


def read_map(maps: Tensor, pixels: Tensor) -> Tensor:
    """Points at pixels of position maps.

    Args:
        maps: (B, H, W, 3).
        pixels: (N, 2) int64 column, row.

    Returns:
        (B, N, 3).
    """
    column, row = pixels.to(maps.device).unbind(-1)
    return maps[:, row, column]


def warp_positions(affine: Tensor, positions: Tensor) -> Tensor:
    """Positions after their image was warped: x, y by the affine, z by its length scale.

    The depth of a head does not depend on how the image is turned: z is multiplied by the scale s,
    not divided by the matrix element s cos(angle), as the published code of the dense-520 paper
    does, which makes heads up to 1.41 times too deep at 45 degrees.

    Args:
        affine: (B, 2, 3) similarity, image -> crop.
        positions: (B, N, 3) or maps (B, H, W, 3), whose empty pixels (0, 0, 0) stay empty.

    Returns:
        As `positions`.
    """
    flat = positions.reshape(len(positions), -1, 3)
    xy = transform_points(affine, flat[..., :2])
    z = flat[..., 2:] * affine_scale(affine)[:, None, None]
    moved = torch.cat([xy, z], -1)
    if positions.ndim == 4:
        moved = torch.where((flat != 0).any(-1, keepdim=True), moved, torch.zeros_like(moved))
    return moved.reshape(positions.shape)


def jitter_crop(points: Tensor, size: int = 256, uniform: Tensor | None = None) -> Tensor:
    """The crop of the published position maps; drawn on the fly, so every epoch sees another one.

    The square has the side int(1.5 (w + h) / 2) U(0.9, 1.1) about the middle of the points' box,
    moved by U(-0.1, 0.1) (w + h) / 2 along each axis; its corners fall on the centres of the corner
    pixels of the crop.

    Args:
        points: (B, 68, 2) image pixels.
        size: side of the crop.
        uniform: (B, 3) numbers in [0, 1) for zoom and shift; None for the crop without jitter.

    Returns:
        (B, 2, 3) affines, image -> crop.
    """
    box = points_box(points)
    low, high = box[:, :2], box[:, 2:]
    base = (high - low).mean(-1)
    draw = torch.full((len(points), 3), 0.5).to(base) if uniform is None else uniform.to(base)
    draw = draw * 2 - 1
    side = torch.floor(CROP_SIDE * base) * (1 + CROP_ZOOM * draw[:, 0])
    center = (low + high) / 2 + CROP_SHIFT * draw[:, 1:] * base[:, None]
    middle = torch.full_like(center, (size - 1) / 2)
    return similarity((size - 1) / side, torch.zeros_like(side), center, middle)


def toward_camera(points: Tensor, vertices: Tensor | None = None) -> Tensor:
    """Our depth to that of published maps: larger is nearer, the deepest vertex is at 0.

    Args:
        points: (B, N, 3) z away from the camera.
        vertices: (B, V, 3) the whole mesh, whose deepest vertex counts; `points` if None.
    """
    whole = points if vertices is None else vertices
    deepest = whole[..., 2].amax(-1, keepdim=True)
    return torch.cat([points[..., :2], (deepest - points[..., 2])[..., None]], -1)


def away_from_camera(points: Tensor) -> Tensor:
    """Published depth (larger is nearer) to ours: away from the camera, mean 0; (B, N, 3)."""
    z = points[..., 2:]
    return torch.cat([points[..., :2], z.mean(-2, keepdim=True) - z], -1)
