"""Windows around points: a slow loop and one another as second opinions, values and gradients."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lit_landmarks.geometry.crops import to_unit
from lit_landmarks.nets.windows import Padding, Sampling, Windows, sample_windows


def window_by_loop(image: Tensor, x: float, y: float, side: int) -> Tensor:
    """(C, side, side) pixel by pixel, whose middle is the nearest to (x, y)."""
    window = torch.zeros(len(image), side, side)
    left, top = (int(torch.floor(torch.tensor(v) - side / 2 + 1)) for v in (x, y))
    for i in range(side):
        for j in range(side):
            if 0 <= top + i < image.shape[1] and 0 <= left + j < image.shape[2]:
                window[:, i, j] = image[:, top + i, left + j]
    return window


def pixel_by_hand(image: Tensor, x: float, y: float) -> Tensor:
    """(C,) the weighted mean of the four pixels around (x, y); zero outside."""
    value = torch.zeros(len(image))
    column, row = int(torch.floor(torch.tensor(x))), int(torch.floor(torch.tensor(y)))
    for i in (row, row + 1):
        for j in (column, column + 1):
            if 0 <= i < image.shape[1] and 0 <= j < image.shape[2]:
                value += (1 - abs(y - i)) * (1 - abs(x - j)) * image[:, i, j]
    return value


def images_and_centers(channels: int, count: int) -> tuple[Tensor, Tensor]:
    """Two images of 31 x 23 pixels and points inside and around them."""
    generator = torch.Generator().manual_seed(channels)
    images = torch.rand(2, channels, 31, 23, generator=generator)
    return images, torch.rand(2, count, 2, generator=generator) * 60 - 20


@pytest.mark.parametrize("side", [7, 14])
def test_windows_of_whole_pixels_are_those_of_a_slow_loop(side: int) -> None:
    images, centers = images_and_centers(3, 9)
    windows = Windows(images, side).extract(centers)
    for b in range(2):
        for k in range(9):
            x, y = centers[b, k].tolist()
            assert torch.equal(windows[b, k], window_by_loop(images[b], x, y, side))
    few = Windows(images, side).extract(centers[1:], torch.tensor([1]))
    assert torch.equal(few, windows[1:])


def test_outside_is_zero() -> None:
    images = torch.ones(2, 3, 31, 23)
    centers = torch.tensor([[[1e6, -1e6]], [[-500.0, 3.0]]])
    for sampling in get_args(Sampling):
        assert (Windows(images, 14).extract(centers, None, sampling) == 0).all()
    assert (sample_windows(images, centers, 7, 2.5) == 0).all()


def test_bilinear_windows_agree_at_pixels_and_move_smoothly() -> None:
    image = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(1))
    # A middle between two pixels needs no interpolation.
    centers = torch.tensor([[[12.5, 17.5], [20.5, 9.5]]])
    windows = Windows(image, 14)
    same = windows.extract(centers)
    torch.testing.assert_close(windows.extract(centers, None, "bilinear"), same, atol=1e-5, rtol=0)
    half = windows.extract(centers + torch.tensor([0.5, 0.0]), None, "bilinear")
    right = windows.extract(centers + torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(half, (same + right) / 2, atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", [7, 14])
def test_bilinear_windows_are_those_of_grid_sample(side: int) -> None:
    images, centers = images_and_centers(3, 50)
    places = torch.arange(side) - (side - 1) / 2
    offsets = torch.stack(torch.meshgrid(places, places, indexing="xy"), -1).flatten(0, 1)
    grid = to_unit(centers[:, :, None] + offsets, (23, 31))
    wanted = F.grid_sample(images, grid, align_corners=False).unflatten(3, (side, side))
    windows = Windows(images, side).extract(centers, None, "bilinear")
    torch.testing.assert_close(windows, wanted.transpose(1, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(sample_windows(images, centers, side), windows, atol=1e-5, rtol=0)


@pytest.mark.parametrize("step", [1.0, 2.0, 3.3, 0.75])
def test_samples_a_step_apart_are_those_worked_by_hand(step: float) -> None:
    maps, centers = images_and_centers(5, 4)
    windows = sample_windows(maps, centers, 7, step)
    assert windows.shape == (2, 4, 5, 7, 7)
    for b, k, i, j in [(0, 0, 0, 0), (0, 1, 6, 2), (1, 2, 3, 3), (1, 3, 5, 6)]:
        x, y = centers[b, k].tolist()
        wanted = pixel_by_hand(maps[b], x + (j - 3) * step, y + (i - 3) * step)
        torch.testing.assert_close(windows[b, k, :, i, j], wanted, atol=2e-5, rtol=0)


def test_samples_pass_gradients_to_maps_and_points() -> None:
    maps = torch.arange(36.0).view(1, 1, 6, 6).requires_grad_()
    centers = torch.tensor([[[2.25, 3.5]]], requires_grad=True)
    sample_windows(maps, centers, 1).sum().backward()
    assert maps.grad is not None
    assert centers.grad is not None
    # The value grows by 1 to the right and by 6 downwards; four pixels share it.
    torch.testing.assert_close(centers.grad, torch.tensor([[[1.0, 6.0]]]), atol=1e-4, rtol=0)
    shares = torch.tensor([[0.375, 0.125], [0.375, 0.125]])
    torch.testing.assert_close(maps.grad[0, 0, 3:5, 2:4], shares, atol=1e-5, rtol=0)
    assert maps.grad.sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("padding", get_args(Padding))
def test_exported_samples_take_any_batch(padding: Padding) -> None:
    """The graph gathers pixels; some windows reach over the border, some lie outside."""

    class Reader(torch.nn.Module):
        def forward(self, maps: Tensor, centers: Tensor) -> Tensor:
            return sample_windows(maps, centers, 7, 1.5, padding)

    batch = torch.export.Dim("batch")
    program = torch.export.export(
        Reader(), images_and_centers(4, 6), dynamic_shapes=({0: batch}, {0: batch})
    )
    for count in (1, 3, 7):
        maps, centers = torch.rand(count, 4, 31, 23), torch.rand(count, 6, 2) * 60 - 15
        expected = sample_windows(maps, centers, 7, 1.5, padding)
        samples = program.module()(maps, centers)
        torch.testing.assert_close(samples, expected, atol=1e-5, rtol=0)
    assert "grid_sampler" not in str(program.graph)


@pytest.mark.parametrize("sampling", get_args(Sampling))
def test_exported_windows_are_the_same_for_any_batch(sampling: Sampling) -> None:
    """Whole pixels are picked without copies of the images: runs of a row would need them."""

    class Reader(torch.nn.Module):
        def forward(self, images: Tensor, centers: Tensor) -> Tensor:
            return Windows(images, 6).extract(centers, None, sampling)

    batch = torch.export.Dim("batch")
    program = torch.export.export(
        Reader(), images_and_centers(3, 5), dynamic_shapes=({0: batch}, {0: batch})
    )
    for count in (1, 4):
        images, centers = torch.rand(count, 3, 31, 23), torch.rand(count, 5, 2) * 60 - 15
        expected = Windows(images, 6).extract(centers, None, sampling)
        assert torch.equal(program.module()(images, centers), expected)
    assert "unfold" not in str(program.graph)
