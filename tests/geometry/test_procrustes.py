"""Procrustes: exact similarities, the least-squares optimum, and the mean of shapes."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.geometry import procrustes, procrustes_mean, similarity, transform_points


def rand(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def random_similarity(count: int, seed: int) -> torch.Tensor:
    unit = rand(6, count, seed=seed)
    return similarity(0.2 + 3 * unit[0], 360 * unit[1], 10 * unit[2:4].mT, 100 * unit[4:6].mT - 50)


@given(st.integers(0, 10_000))
def test_recovers_a_similarity_exactly(seed: int) -> None:
    src, affine = rand(4, 20, 2, seed=seed), random_similarity(4, seed + 1)
    dst = transform_points(affine, src)
    mask = rand(4, 20, seed=seed + 2) < 0.6
    mask[:, :2] = True
    # Points that are not annotated may hold anything.
    dirty = torch.where(mask[..., None], dst, torch.nan)
    assert torch.allclose(procrustes(src, dst), affine, atol=1e-9)
    assert torch.allclose(procrustes(src, dirty, mask), affine, atol=1e-9)
    assert torch.allclose(procrustes(src, dst[0])[0], affine[0], atol=1e-9)


@given(st.integers(0, 10_000))
def test_equals_the_linear_least_squares_solution(seed: int) -> None:
    src, dst = rand(1, 15, 2, seed=seed), rand(1, 15, 2, seed=seed + 1)
    x, y = src[0].unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    rows = torch.cat((torch.stack((x, -y, one, zero), -1), torch.stack((y, x, zero, one), -1)))
    a, b, u, v = torch.linalg.lstsq(rows, dst[0].mT.reshape(-1, 1)).solution[:, 0]
    expected = torch.stack((torch.stack((a, -b, u)), torch.stack((b, a, v))))
    assert torch.allclose(procrustes(src, dst)[0], expected, atol=1e-9)


def test_never_mirrors() -> None:
    src = rand(1, 12, 2, seed=0)
    linear = procrustes(src, src * torch.tensor([-1.0, 1.0]))[..., :2]
    assert float(torch.linalg.det(linear)) >= 0


def test_mean_of_moved_copies_is_the_shape() -> None:
    shape = rand(1, 20, 2, seed=3)
    shapes = transform_points(random_similarity(30, 4), shape.expand(30, -1, -1))
    mean = procrustes_mean(shapes)
    fit = transform_points(procrustes(mean[None], shapes[:1]), mean[None])
    assert torch.allclose(fit, shapes[:1], atol=1e-7)
    assert torch.allclose(mean.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(mean.square().sum(-1).mean(), torch.ones((), dtype=torch.float64))


def test_mean_takes_points_that_the_first_shape_lacks_from_the_others() -> None:
    shape = rand(1, 20, 2, seed=5)
    shapes = transform_points(random_similarity(10, 6), shape.expand(10, -1, -1))
    mask = torch.ones(10, 20, dtype=torch.bool)
    mask[0, 15:] = False
    mask[3:, 7] = False
    mean = procrustes_mean(torch.where(mask[..., None], shapes, torch.nan), mask)
    fit = transform_points(procrustes(mean[None], shapes[1:2]), mean[None])
    assert torch.allclose(fit, shapes[1:2], atol=1e-5)


def test_mean_averages_noise_away() -> None:
    shape = rand(1, 20, 2, seed=8)
    noise = torch.randn(400, 20, 2, generator=torch.Generator().manual_seed(9)).double() * 0.02
    shapes = transform_points(random_similarity(400, 10), shape + noise)
    mean = procrustes_mean(shapes)
    fit = transform_points(procrustes(mean[None], shape), mean[None])
    assert float((fit - shape).abs().max()) < 0.005  # 0.02 / sqrt(400) = 0.001 each
