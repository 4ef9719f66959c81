"""The PCA shape model against NumPy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.errors import UserError
from lit_landmarks.geometry import ShapeModel, pca
from lit_landmarks.types import ShapeStatistics


def random_shapes(count: int, n_points: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    modes = torch.randn(2 * n_points, 2 * n_points, generator=generator)
    weights = torch.randn(count, 2 * n_points, generator=generator)
    falling = 0.3 * 0.7 ** torch.arange(2 * n_points)
    return 0.1 + (weights * falling) @ modes


def fitted(shapes: torch.Tensor) -> ShapeModel:
    model = ShapeModel(shapes.shape[1] // 2)
    model.set_statistics(pca(shapes))
    return model


def two_mode_model() -> ShapeModel:
    """Mean (1, 2); modes along x (standard deviation 2) and y (standard deviation 1)."""
    model = ShapeModel(1)
    model.set_statistics(
        ShapeStatistics(torch.tensor([1.0, 2.0]), torch.eye(2), torch.tensor([4.0, 1.0]), 10)
    )
    return model


def test_pca_equals_numpy_svd() -> None:
    shapes = random_shapes(200, 5)
    statistics = pca(shapes)
    data = shapes.double().numpy()
    _, singular, vt = np.linalg.svd(data - data.mean(0), full_matrices=False)
    assert np.allclose(statistics.mean, data.mean(0), atol=1e-6)
    assert np.allclose(statistics.variances, singular**2 / 199, rtol=1e-4, atol=1e-7)
    assert np.allclose((statistics.components.double().numpy() * vt).sum(1) ** 2, 1, atol=1e-4)
    assert statistics.count == 200
    largest = statistics.components.gather(1, statistics.components.abs().argmax(1, keepdim=True))
    assert bool((largest > 0).all())


def test_pca_of_fewer_shapes_than_coordinates_is_complete() -> None:
    statistics = pca(random_shapes(4, 10))
    assert statistics.components.shape == (20, 20)
    square = statistics.components @ statistics.components.mT
    assert torch.allclose(square, torch.eye(20), atol=1e-5)
    assert bool((statistics.variances[3:] < 1e-6 * statistics.variances[0]).all())


@given(st.integers(0, 1000), st.floats(0.3, 0.999))
def test_number_of_modes_follows_the_share(seed: int, share: float) -> None:
    model = fitted(random_shapes(50, 4, seed))
    ratio = np.cumsum(model.variances.double().numpy()) / model.variances.double().sum().item()
    # scikit-learn: searchsorted(cumulative ratio, share, side="right") + 1.
    expected = int(np.searchsorted(ratio, share, side="right")) + 1
    assert model.count_modes(share) == expected
    assert model.count_modes(1.0) == 8


def test_smooth_by_hand() -> None:
    model = two_mode_model()
    assert model.count_modes(0.7) == 1  # x explains 4 / 5
    assert model.count_modes(0.9) == 2
    # x is 9 from the mean, clamped to 3 * 2; y is 2 from it, within 3 * 1.
    x = torch.tensor([[10.0, 4.0], [-10.0, -4.0]])
    assert model.smooth(x, 0.9).tolist() == [[7.0, 4.0], [-5.0, -1.0]]
    assert model.smooth(x, 0.7).tolist() == [[7.0, 2.0], [-5.0, 2.0]]
    assert model.smooth(x, 0.9, clamp=1.0).tolist() == [[3.0, 3.0], [-1.0, 1.0]]


@given(st.integers(0, 1000), st.sampled_from([0.8, 0.9, 0.97, 1.0]))
def test_smooth_is_the_formula_and_a_projection(seed: int, share: float) -> None:
    shapes = random_shapes(60, 6, seed)
    model = fitted(shapes).double()
    x = random_shapes(9, 6, seed + 1).double() * 2
    kept = model.components[: model.count_modes(share)]
    limit = 3 * model.variances[: len(kept)].sqrt()
    weights = ((x - model.mean) @ kept.mT).clamp(-limit, limit)
    smooth = model.smooth(x, share)
    assert torch.allclose(smooth, model.mean + weights @ kept, atol=1e-9)
    assert torch.allclose(model.smooth(smooth, share), smooth, atol=1e-5)


def test_all_modes_without_limit_change_nothing() -> None:
    shapes = random_shapes(60, 6)
    assert torch.allclose(fitted(shapes).smooth(shapes, 1.0, math.inf), shapes, atol=1e-4)


def test_checkpoint_reloads_strictly_into_an_empty_model() -> None:
    filled, empty = fitted(random_shapes(30, 5)), ShapeModel(5)
    assert not empty.ready
    with pytest.raises(UserError, match="no statistics"):
        empty.smooth(torch.zeros(1, 10))
    empty.load_state_dict(filled.state_dict(), strict=True)
    x = random_shapes(3, 5, seed=7)
    assert int(empty.count) == 30
    assert torch.equal(empty.smooth(x), filled.smooth(x))


def test_bad_input_is_told_in_one_line() -> None:
    with pytest.raises(UserError, match="at least 2 shapes"):
        pca(torch.zeros(1, 10))
    with pytest.raises(UserError, match="finite"):
        pca(torch.full((3, 10), torch.nan))
    with pytest.raises(UserError, match="5 points do not fit a model of 4"):
        ShapeModel(4).set_statistics(pca(random_shapes(30, 5)))
    with pytest.raises(UserError, match="share of variance is 90"):
        two_mode_model().smooth(torch.zeros(1, 2), 90.0)
