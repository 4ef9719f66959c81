"""The z-buffer against a slow loop over triangles and pixels."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.geometry import zbuffer

H, W = 14, 17


def _slow(points: Tensor, depth: Tensor, triangles: Tensor) -> tuple[NDArray[np.int64], ...]:
    """Nearest triangle per pixel, and the gap in inverse depth to the runner-up."""
    best = np.full((H, W), -1)
    near, second = np.zeros((H, W)), np.zeros((H, W))
    edge_gap = np.full((H, W), np.inf)
    p, z = points.double().numpy(), depth.double().numpy()
    for t, (i, j, k) in enumerate(triangles.tolist()):
        (ax, ay), (bx, by), (cx, cy) = p[i], p[j], p[k]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area <= 0:
            continue
        for y in range(H):
            for x in range(W):
                u = (cx - bx) * (y - by) - (cy - by) * (x - bx)
                v = (ax - cx) * (y - cy) - (ay - cy) * (x - cx)
                w = area - u - v
                edge_gap[y, x] = min(edge_gap[y, x], abs(min(u, v, w)))
                if min(u, v, w) < 0:
                    continue
                inverse = (u / z[i] + v / z[j] + w / z[k]) / area
                if inverse > near[y, x]:
                    best[y, x], second[y, x], near[y, x] = t, near[y, x], inverse
                else:
                    second[y, x] = max(second[y, x], inverse)
    sure = (edge_gap > 1e-3) & ((near - second > 1e-4) | (best < 0))
    return best, sure


def _mesh(seed: int, n: int) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    points = torch.rand(3 * n, 2, generator=g) * torch.tensor([W + 8.0, H + 8.0]) - 4.0
    depth = 1.0 + 4.0 * torch.rand(3 * n, generator=g, dtype=torch.float64)
    return zbuffer.snap(points), depth, torch.arange(3 * n).reshape(n, 3)


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_nearest_triangle_is_that_of_a_slow_loop(seed: int, n: int) -> None:
    points, depth, triangles = _mesh(seed, n)
    hit = zbuffer.rasterize(points[None], depth[None], triangles, H, W).triangle[0].numpy()
    best, sure = _slow(points, depth, triangles)
    np.testing.assert_array_equal(hit[sure], best[sure])


def test_a_face_is_the_same_alone_and_in_a_batch() -> None:
    faces = [_mesh(seed, 30) for seed in range(4)]
    triangles = faces[0][2]
    points, depth = torch.stack([f[0] for f in faces]), torch.stack([f[1] for f in faces])
    together = zbuffer.rasterize(points, depth, triangles, H, W).triangle
    for row in range(4):
        alone = zbuffer.rasterize(
            points[row : row + 1], depth[row : row + 1], triangles, H, W
        ).triangle
        assert torch.equal(alone[0], together[row])


def test_two_halves_of_a_square_leave_no_gap_and_agree_with_hand_counting() -> None:
    points = torch.tensor([[[2.0, 3.0], [9.0, 3.0], [9.0, 10.0], [2.0, 10.0]]])
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3]])
    hit = zbuffer.rasterize(points, torch.ones(1, 4), triangles, H, W).triangle[0]
    inside = torch.zeros(H, W, dtype=torch.bool)
    inside[3:11, 2:10] = True
    assert torch.equal(hit >= 0, inside)
    # On the common diagonal both cover at the same depth: the lower number wins.
    assert hit[5, 4] == 0
    assert hit[3, 9] == 0
    assert hit[10, 2] == 1


def test_triangles_turned_away_or_behind_the_camera_are_left_out() -> None:
    points = torch.tensor([[[1.0, 1.0], [10.0, 1.0], [1.0, 10.0]]])
    away = torch.tensor([[0, 2, 1]])
    assert (zbuffer.rasterize(points, torch.ones(1, 3), away, H, W).triangle < 0).all()
    assert (zbuffer.rasterize(points, torch.ones(1, 3), away, H, W, cull=False).triangle == 0).any()
    behind = torch.tensor([[1.0, -1.0, 1.0]])
    assert (zbuffer.rasterize(points, behind, torch.tensor([[0, 1, 2]]), H, W).triangle < 0).all()


@given(st.integers(0, 10_000))
def test_values_that_are_linear_on_the_screen_come_back(seed: int) -> None:
    points, depth, triangles = _mesh(seed, 6)
    values = torch.stack([points[:, 0], 3.0 - 2.0 * points[:, 1]], -1)[None]
    hit, inverse = zbuffer.rasterize(points[None], depth[None], triangles, H, W)
    area = torch.linalg.det(points[triangles][:, 1:] - points[triangles][:, :1]).abs()
    # Slivers amplify float32 noise; a pixel in the others is exact to 1e-3.
    good = (hit >= 0) & (area[hit.clamp_min(0)] > 1.0)
    whole = zbuffer.interpolate(values, points[None], triangles, hit)
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    wanted = torch.stack([x, 3 - 2 * y], -1).float()[None]
    assert torch.allclose(whole[good], wanted[good], atol=2e-3)
    place = good.flatten().nonzero()[:, 0]
    listed = zbuffer.interpolate(values, points[None], triangles, hit, place)
    assert torch.equal(listed, whole.reshape(-1, 2)[place])
    deep = zbuffer.interpolate((1 / depth).float()[None, :, None], points[None], triangles, hit)
    assert torch.allclose(inverse[good], deep[good][:, 0], atol=2e-3)
    assert (inverse[hit < 0] == 0).all()


def test_normals_of_a_sphere_point_outwards() -> None:
    u, v = torch.meshgrid(torch.linspace(0.3, 2.8, 14), torch.linspace(0, 6.1, 30), indexing="ij")
    ball = torch.stack([u.sin() * v.cos(), u.cos(), u.sin() * v.sin()], -1).reshape(1, -1, 3)
    grid = torch.arange(14 * 30).reshape(14, 30)
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]
    triangles = torch.cat([torch.stack([a, c, b], -1), torch.stack([b, c, d], -1)]).reshape(-1, 3)
    seen = ball[0][triangles].double()
    # Orientation: clockwise in the image for the side that faces the camera (z < 0).
    front = seen[..., 2].mean(1) < -0.5
    ab, ac = seen[:, 1, :2] - seen[:, 0, :2], seen[:, 2, :2] - seen[:, 0, :2]
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    if (area[front] < 0).all():
        triangles = triangles.flip(1)
    table = zbuffer.incidence(triangles, ball.shape[1])
    normals = zbuffer.vertex_normals(ball, triangles, table)
    inner = grid[1:-1, 1:-1].flatten()
    assert ((normals * ball).sum(-1)[0, inner] > 0.98).all()
