"""The leave-one-out shape model: against explicit refits, and on labels that were spoilt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lit_landmarks.data.outliers import _NOISE, FEWEST, _Model, label_outliers

Points = NDArray[np.float32]


def _faces(n: int, k: int = 12, seed: int = 0) -> tuple[Points, Points]:
    """Shapes with five modes, small noise, and a random similarity each; boxes."""
    rng = np.random.default_rng(seed)
    mean, modes = rng.normal(size=(k, 2)), 0.15 * rng.normal(size=(5, k, 2))
    shapes = mean + np.einsum("nm,mkd->nkd", rng.normal(size=(n, 5)), modes)
    shapes += 0.01 * rng.normal(size=shapes.shape)
    angle, scale = rng.uniform(-0.6, 0.6, n), rng.uniform(30, 90, n)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = np.einsum("dcn,nkc->nkd", turn, shapes) * scale[:, None, None] + 200
    points = points.astype(np.float32)
    return points, np.concatenate([points.min(1), points.max(1)], 1)


def test_taking_a_face_out_is_a_refit_without_it() -> None:
    rng = np.random.default_rng(1)
    shapes = torch.from_numpy(rng.normal(size=(40, 6, 2)))
    seen = torch.ones(40, 6, dtype=torch.bool)
    quick, residual = _Model.of(shapes, seen).scores(shapes, seen, inside=True)
    for row in (0, 17, 39):
        others = [i for i in range(40) if i != row]
        model = _Model.of(shapes[others], seen[others])
        # The assumed noise is added per face; without one of them it is that of 39 + 1.
        scatter = torch.linalg.inv(model.inverse)
        scatter.diagonal().add_(_NOISE**2)
        model.inverse = torch.linalg.inv(scatter)
        slow, expected = model.scores(shapes[row : row + 1], seen[:1], inside=False)
        assert torch.allclose(quick[row], slow[0], rtol=1e-9)
        assert torch.allclose(residual[row], expected[0], rtol=1e-9)


def test_residual_is_the_conditional_one() -> None:
    rng = np.random.default_rng(2)
    shapes = torch.from_numpy(rng.normal(size=(60, 4, 2)) @ np.diag([1.0, 0.3]))
    seen = torch.ones(60, 4, dtype=torch.bool)
    model = _Model.of(shapes, seen)
    covariance = torch.linalg.inv(model.inverse) / 60
    one = shapes[7].flatten() - model.mean
    score, residual = model.scores(shapes[7:8], seen[:1], inside=False)
    for point in range(4):
        own = [2 * point, 2 * point + 1]
        rest = [i for i in range(8) if i not in own]
        gain = covariance[own][:, rest] @ torch.linalg.inv(covariance[rest][:, rest])
        expected = one[own] - gain @ one[rest]
        left = covariance[own][:, own] - gain @ covariance[rest][:, own]
        assert torch.allclose(residual[0, point], expected)
        distance = (expected @ torch.linalg.inv(left) @ expected).sqrt()
        assert torch.allclose(score[0, point], distance)


def test_spoilt_labels_come_first() -> None:
    points, box = _faces(400)
    spoilt = {5: 3, 80: 0, 399: 11}
    right = points.copy()
    for row, point in spoilt.items():
        points[row, point] += 0.12 * (box[row, 2:] - box[row, :2]).max()
    points[200] = points[200, ::-1]  # numbered from the other end
    found = label_outliers(points, np.ones(points.shape[:2], bool), box)
    assert found is not None
    assert set(found.worst(4)) == {*spoilt, 200}
    for row, point in spoilt.items():
        assert found.point[row] == point
        side = (box[row, 2:] - box[row, :2]).max()
        assert np.abs(found.expected[row] - right[row, point]).max() < 0.05 * side
        assert found.residual[row] == pytest.approx(12 * 2**0.5, abs=5)


def test_missing_points_are_no_outliers_and_hide_none() -> None:
    points, box = _faces(300)
    mask = np.random.default_rng(3).random(points.shape[:2]) > 0.2
    mask[4] = False
    mask[9, 2] = True
    points[9, 2] += 0.15 * (box[9, 2:] - box[9, :2]).max()
    points[~mask] = 0
    found = label_outliers(points, mask, box)
    assert found is not None
    assert found.worst(1) == [9]
    assert found.point[9] == 2
    assert found.score[4] == 0
    assert mask[np.arange(300), found.point][found.score > 0].all()


def test_too_few_faces_give_no_model() -> None:
    points, box = _faces(FEWEST - 1)
    assert label_outliers(points, np.ones(points.shape[:2], bool), box) is None
