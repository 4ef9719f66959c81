"""Crops: hand-computed corners, inverses, and resampling that is not half a pixel off."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.geometry import (
    affine_scale,
    box_crop,
    compose_affine,
    flip_affine,
    from_centered,
    from_unit,
    invert_affine,
    points_box,
    sampling_theta,
    similarity,
    to_centered,
    to_unit,
    transform_points,
)


def number(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


@given(
    number(0.1, 20),
    number(-180, 180),
    st.tuples(*[number(-2000, 2000)] * 4),
    st.integers(0, 10_000),
)
def test_round_trip_is_within_a_hundredth_of_a_pixel(
    scale: float, angle: float, centers: tuple[float, ...], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(3, 68, 2, generator=generator) * 256
    affine = similarity(
        torch.full((3,), scale),
        torch.full((3,), angle),
        torch.tensor(centers[:2]).expand(3, 2),
        torch.tensor(centers[2:]).expand(3, 2),
    )
    inverse = invert_affine(affine)
    back = transform_points(inverse, transform_points(affine, points))
    # float32 holds about 1e-3 px at image coordinates of 10^4 px, divided by the scale coming back.
    assert (back - points).abs().max() < 0.01 * max(1.0, 1 / scale)
    twice = transform_points(compose_affine(inverse, affine), points)
    assert (twice - points).abs().max() < 0.01 * max(1.0, 1 / scale)
    assert torch.allclose(affine_scale(affine), torch.full((3,), scale), rtol=1e-4)


def test_similarity_turns_clockwise_in_the_image() -> None:
    # Twice the size, a quarter turn: what lay 1 to the right of (10, 20) lies 2 below (5, 5).
    affine = similarity(
        torch.tensor([2.0]),
        torch.tensor([90.0]),
        torch.tensor([[10.0, 20.0]]),
        torch.tensor([[5.0, 5.0]]),
    )
    moved = transform_points(affine, torch.tensor([[[10.0, 20.0], [11.0, 20.0], [10.0, 21.0]]]))
    assert torch.allclose(moved[0], torch.tensor([[5.0, 5], [5, 7], [3, 5]]), atol=1e-5)


def test_composition_applies_the_second_argument_first() -> None:
    shift = torch.tensor([[[1.0, 0, 10], [0, 1, 0]]])
    double = torch.tensor([[[2.0, 0, 0], [0, 2, 0]]])
    point = torch.tensor([[[1.0, 1.0]]])
    after = transform_points(compose_affine(double, shift), point)
    assert after.tolist() == [[[22.0, 2.0]]]
    assert transform_points(compose_affine(shift, double), point).tolist() == [[[12.0, 2.0]]]


def test_box_crop_by_hand() -> None:
    # A box of 100 x 50 about (150, 125), twice its longer side: a crop of 200 px on 100 pixels.
    affine = box_crop(torch.tensor([[100.0, 100.0, 200.0, 150.0]]), 100, 2.0)
    assert affine.tolist() == [[[2.0, 0.0, 51.0], [0.0, 2.0, 26.0]]]
    # The crop's edge is half a frame pixel outside the first centre: 50 = 150 - 100.
    edge = transform_points(affine, torch.tensor([[[-0.5, -0.5], [99.5, 99.5]]]))
    assert edge.tolist() == [[[50.0, 25.0], [250.0, 225.0]]]


def test_box_crop_of_the_whole_image_is_the_identity() -> None:
    affine = box_crop(torch.tensor([[-0.5, -0.5, 63.5, 63.5]]), 64, 1.0)
    assert torch.equal(affine, torch.tensor([[[1.0, 0, 0], [0, 1, 0]]]))


def test_box_crop_takes_one_scale_per_face() -> None:
    box = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]])
    assert affine_scale(box_crop(box, 10, torch.tensor([1.0, 3.0]))).tolist() == [1.0, 3.0]


def test_points_box_counts_only_annotated_points() -> None:
    points = torch.tensor([[[1.0, 2], [5, 9], [torch.nan, 0]], [[1, 1], [2, 2], [3, 3]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    box = points_box(points, mask)
    assert box[0].tolist() == [1.0, 2.0, 5.0, 9.0]
    assert bool(box[1].isnan().all())
    assert points_box(points[1:]).tolist() == [[1.0, 1.0, 3.0, 3.0]]


def test_unit_coordinates_by_hand() -> None:
    points = torch.tensor([[-0.5, -0.5], [1.5, 0.5], [3.5, 1.5]])
    unit = to_unit(points, (4, 2))
    assert unit.tolist() == [[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]]
    assert torch.equal(from_unit(unit, (4, 2)), points)
    assert torch.equal(to_unit(points, 4), 2 * (points + 0.5) / 4 - 1)


def test_flip_twice_is_the_identity() -> None:
    flip = flip_affine(7, torch.zeros(1))
    assert transform_points(flip[None], torch.tensor([[[0.0, 3.0]]])).tolist() == [[[6.0, 3.0]]]
    assert torch.equal(compose_affine(flip, flip), torch.eye(3)[:2])


def test_theta_samples_the_pixels_that_the_affine_names() -> None:
    # An image whose channels hold x and y: the resampled frame must hold the affine's own values.
    y, x = torch.meshgrid(torch.arange(90.0), torch.arange(120.0), indexing="ij")
    image = torch.stack((x, y))[None]
    affine = similarity(
        torch.tensor([1.7]),
        torch.tensor([20.0]),
        torch.tensor([[11.5, 7.5]]),
        torch.tensor([[60.0, 45.0]]),
    )
    theta = sampling_theta(affine, (120, 90), (24, 16))
    grid = F.affine_grid(theta, [1, 2, 16, 24], align_corners=False)
    frame = F.grid_sample(image, grid, align_corners=False)
    v, u = torch.meshgrid(torch.arange(16.0), torch.arange(24.0), indexing="ij")
    expected = transform_points(affine, torch.stack((u, v), -1).reshape(1, -1, 2))
    got = frame[0].permute(1, 2, 0).reshape(1, -1, 2)
    assert (got - expected).abs().max() < 1e-3


def test_centered_units() -> None:
    corners = torch.tensor([[-0.5, -0.5], [223.5, 223.5], [111.5, 0.0]])
    unit = to_centered(corners, 224)
    assert torch.allclose(unit[0], torch.tensor([-0.5, -0.5]))
    assert torch.allclose(unit[1], torch.tensor([0.5, 0.5]))
    assert torch.allclose(from_centered(unit, 224), corners, atol=1e-4)
