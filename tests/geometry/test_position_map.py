"""Position maps: what is laid out is read back, and crops treat depth as geometry does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lit_landmarks.geometry import euler_to_matrix, similarity, transform_points
from lit_landmarks.geometry.position_map import (
    UvTable,
    away_from_camera,
    jitter_crop,
    read_map,
    toward_camera,
    uv_to_pixels,
    vertex_pixels,
    warp_positions,
)
from lit_landmarks.schemes.dense520 import published_order


def _sheet(size: int) -> tuple[Tensor, Tensor]:
    """A grid of 5 x 5 vertices over a part of the map: places in pixels, triangles."""
    line = torch.linspace(0.1, 0.8, 5) * (size - 1)
    y, x = torch.meshgrid(line, line, indexing="ij")
    a = (torch.arange(4)[:, None] * 5 + torch.arange(4)).flatten()
    triangles = torch.cat(
        [torch.stack([a, a + 1, a + 5], -1), torch.stack([a + 1, a + 6, a + 5], -1)]
    )
    return torch.stack([x, y], -1).reshape(-1, 2), triangles


def test_a_linear_surface_comes_back_linear_at_every_pixel() -> None:
    uv, triangles = _sheet(64)
    table = UvTable.of(uv, triangles, 64)
    turn = torch.tensor([[2.0, 0.5, 0.1], [-0.3, 1.5, 0.7]], dtype=torch.float64)
    # The layout snaps its corners to 1/256 pixel.
    points = (torch.round(uv.double() * 256) / 256) @ turn + torch.tensor([3.0, -4.0, 9.0])
    maps = table.render(points[None])[0]
    row, column = table.mask.nonzero(as_tuple=True)
    expected = torch.stack([column, row], -1).double() @ turn + torch.tensor([3.0, -4.0, 9.0])
    assert torch.allclose(maps[row, column], expected, atol=1e-9)
    assert bool((maps[~table.mask] == 0).all())
    side = 0.7 * 63
    assert int(table.mask.sum()) == pytest.approx(side * side, rel=0.05)
    assert torch.allclose(table.weights.sum(1), torch.ones(len(table.pixels)).double())
    assert float(table.weights.min()) >= -1e-9


def test_either_winding_fills_the_map() -> None:
    uv, triangles = _sheet(32)
    turned = UvTable.of(uv, triangles.flip(1), 32)
    assert torch.equal(turned.mask, UvTable.of(uv, triangles, 32).mask)


def test_anchored_points_are_read_without_error_and_others_stay() -> None:
    uv, triangles = _sheet(64)
    table = UvTable.of(uv, triangles, 64)
    vertices, weights = triangles[[3, 17, 30]], torch.tensor([[0.2, 0.3, 0.5]]).repeat(3, 1)
    pixels = (uv[vertices] * weights[..., None]).sum(1).round().long()
    points = torch.randn(2, 25, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    named = (points[:, vertices] * weights[..., None]).sum(-2)
    anchored = table.with_anchors(pixels, vertices, weights)
    maps = anchored.render(points)
    assert torch.allclose(read_map(maps, pixels), named, atol=1e-6)
    assert float((read_map(table.render(points), pixels) - named).abs().max()) > 1e-3
    others = (maps != table.render(points)).any(-1).sum((1, 2))
    assert others.tolist() == [3, 3]
    outside = torch.tensor([[0, 0]])
    assert (
        int(table.with_anchors(outside, vertices[:1], weights[:1]).mask.sum())
        == len(table.pixels) + 1
    )


def test_two_points_on_one_pixel_are_refused() -> None:
    uv, triangles = _sheet(16)
    table = UvTable.of(uv, triangles, 16)
    with pytest.raises(ValueError, match="share a pixel of a 16 px map"):
        table.with_anchors(torch.tensor([[3, 3], [3, 3]]), triangles[:2], torch.ones(2, 3) / 3)


def test_published_texture_rule() -> None:
    corners = uv_to_pixels(torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.5, 0.25]]))
    assert corners.tolist() == [[0.0, 255.0], [255.0, 0.0], [127.5, 191.25]]


def test_vertices_of_the_list_stand_at_their_pixels() -> None:
    face_ind = torch.tensor([5, 256, 700])
    assert vertex_pixels(face_ind, torch.tensor([2, 0])).tolist() == [[188, 2], [5, 0]]
    for face, chosen in (([5], [1]), ([5], [-1]), ([70000], [0]), ([-2], [0])):
        with pytest.raises(ValueError, match="outside"):
            vertex_pixels(torch.tensor(face), torch.tensor(chosen))


@given(
    angle=st.floats(-180, 180), scale=st.floats(0.2, 5), shift=st.floats(-200, 200),
    yaw=st.floats(-90, 90),
)  # fmt: skip
def test_a_warped_head_keeps_its_proportions(
    angle: float, scale: float, shift: float, yaw: float
) -> None:
    """Under a similarity of the image all 3D distances grow by its scale, whatever its angle."""
    head = torch.randn(1, 12, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    head = head @ euler_to_matrix(torch.tensor([[yaw, 10.0, 5.0]], dtype=torch.float64)).mT * 40
    one = torch.ones(1, dtype=torch.float64)
    affine = similarity(one * scale, one * angle, torch.zeros(1, 2).double(),
                        torch.full((1, 2), shift).double())  # fmt: skip
    moved = warp_positions(affine, head)
    assert torch.allclose(moved[..., :2], transform_points(affine, head[..., :2]))
    assert torch.allclose(torch.cdist(moved, moved), scale * torch.cdist(head, head), atol=1e-6)


def test_warped_maps_keep_their_empty_pixels_and_agree_with_points() -> None:
    uv, triangles = _sheet(48)
    table = UvTable.of(uv, triangles, 48)
    points = torch.rand(1, 25, 3, dtype=torch.float64) * 100 + 1
    affine = similarity(torch.tensor([1.5]), torch.tensor([30.0]), torch.tensor([[50.0, 50.0]]),
                        torch.tensor([[127.5, 127.5]])).double()  # fmt: skip
    first = warp_positions(affine, table.render(points))
    assert torch.allclose(first, table.render(warp_positions(affine, points)), atol=1e-9)
    assert bool((first[0][~table.mask] == 0).all())


def test_crop_of_the_generator_without_and_with_jitter() -> None:
    """By hand: box 100 x 60 about (150, 80), so base 80, side 120."""
    points = torch.tensor([[[100.0, 50.0], [200.0, 110.0]]])
    still = jitter_crop(points)
    corners = torch.tensor([[[90.0, 20.0], [210.0, 140.0], [90.0, 140.0]]])
    expected = torch.tensor([[[0.0, 0.0], [255.0, 255.0], [0.0, 255.0]]])
    assert torch.allclose(transform_points(still, corners), expected, atol=1e-4)
    # Zoom 1.1: side 132; shift +0.1 and -0.1 of 80.
    wide = jitter_crop(points, uniform=torch.tensor([[1.0, 1.0, 0.0]]))
    corners = torch.tensor([[[92.0, 6.0], [224.0, 138.0]]])
    assert torch.allclose(transform_points(wide, corners), expected[:, :2], atol=1e-4)


def test_depth_conventions_are_inverse_up_to_the_mean() -> None:
    points = torch.randn(3, 20, 3)
    there = toward_camera(points)
    assert torch.equal(there[..., :2], points[..., :2])
    assert torch.allclose(there[..., 2].amin(1), torch.zeros(3))
    assert torch.equal(there[..., 2].argmax(1), points[..., 2].argmin(1))
    back = away_from_camera(there)
    assert torch.allclose(
        back[..., 2], points[..., 2] - points[..., 2].mean(1, keepdim=True), atol=1e-6
    )
    assert bool((toward_camera(points[:, :5], points)[..., 2] >= -1e-6).all())


@pytest.mark.real
def test_the_published_520_hold_the_published_68(real_data: Path) -> None:
    folder = real_data / "position_maps"
    face, dense, sparse, place = (
        torch.from_numpy(np.loadtxt(folder / f"{name}.txt")).long()
        for name in (
            "face_ind",
            "vertices_520_sel_from_blender",
            "uv_kpt_ind",
            "vertices_68_fil_520",
        )
    )
    vertices = torch.from_numpy(np.load(folder / "canonical_vertices.npy", allow_pickle=False))
    maps = torch.zeros(1, 256 * 256, 3, dtype=torch.float64)
    maps[0, face] = vertices
    maps = maps.reshape(1, 256, 256, 3)
    order = torch.tensor(published_order(place.tolist()))
    pixels = vertex_pixels(face, dense[order])
    points = read_map(maps, pixels)[0]
    assert torch.equal(points, vertices[dense[order]])
    # 64 of the 68 are the pixels of `uv_kpt_ind` themselves, the others lie beside them.
    apart = (pixels[:68] - sparse.T).double().norm(dim=1)
    assert int((apart == 0).sum()) == 64
    assert float(apart.max()) < 1.5
    ours = away_from_camera(toward_camera(away_from_camera(points[None])))
    assert int(ours[0, :68, 2].argmin()) == 30  # the tip of the nose is nearest
