"""Spread of landmarks in crops, of a normalizer that undoes all and of one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lit_landmarks.analysis.framing import Placements, measure_spread
from lit_landmarks.data import LandmarkDataModule, SyntheticFaces
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import procrustes
from lit_landmarks.methods import METHODS
from lit_landmarks.nets.normalizer import NormalizedCrop, SpatialNormalizer
from lit_landmarks.types import FaceInputs
from tests.support.toys import OneView


class ByLandmarks(SpatialNormalizer):
    """Lays a fixed shape on the landmarks of the faces, which the test hands over as `points`."""

    points: Tensor
    shape: Tensor

    def locate(self, image: Tensor) -> Tensor:
        shape = self.shape * self.crop_size * 0.3 + (self.crop_size - 1) / 2
        return procrustes(shape.expand_as(self.points), self.points)

    def forward(self, inputs: FaceInputs) -> NormalizedCrop:
        return NormalizedCrop(inputs, self.locate(inputs.image))


@pytest.fixture
def data(tmp_path: Path) -> LandmarkDataModule:
    faces = SyntheticFaces(n=6, seed=5, max_yaw=10.0, visibility=False, image_size=64)
    return LandmarkDataModule(
        train={}, val={"synthetic": faces}, frame="wide", frame_size=64, cache_dir=str(tmp_path)
    )


def test_crop_that_is_always_the_same_undoes_nothing(data: LandmarkDataModule) -> None:
    method = METHODS["Dense520"].tiny(scheme="ibug68", normalizer=OneView(crop_size=32, zoom=0.7))
    spread = measure_spread(method, data, "val", Placements())["synthetic"]
    assert spread.faces == 6
    assert spread.ratio == pytest.approx(1.0, abs=1e-3)
    shifted = Placements(shift=0.2, zoom=1.0, roll=0.0, count=40)
    spread = measure_spread(method, data, "val", shifted)["synthetic"]
    # Uniform on both sides: a variance of (2 * 0.2)^2 / 12 sides, in squares of the radius.
    batch = next(data.batches("val"))
    away = batch.points - batch.points.mean(1, keepdim=True)
    radius = away.square().sum(-1).mean(1).sqrt() / 64
    expected = (0.4**2 / 12 / radius.square()).mean().item()
    assert spread.inputs == pytest.approx(expected, rel=0.15)


def test_crop_by_the_landmarks_undoes_shift_zoom_and_roll(
    data: LandmarkDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalizer = ByLandmarks(crop_size=32)
    normalizer.shape = torch.randn(1, 68, 2, generator=torch.Generator().manual_seed(0))
    method = METHODS["Dense520"].tiny(scheme="ibug68", normalizer=normalizer)
    transform = data.transform.__class__.__call__

    def handing(self: object, *args: object, **more: object) -> object:
        batch = transform(self, *args, **more)  # type: ignore[arg-type]
        normalizer.points = batch.points
        return batch

    monkeypatch.setattr(data.transform.__class__, "__call__", handing)
    spread = measure_spread(method, data, "val", Placements())["synthetic"]
    assert spread.ratio > 1e4


def test_method_without_a_normalizer_is_refused(data: LandmarkDataModule) -> None:
    with pytest.raises(UserError, match="has no normalizer"):
        measure_spread(METHODS["Dense520"].tiny(scheme="ibug68"), data, "val", Placements())


@pytest.mark.parametrize("value", [{"shift": 0.9}, {"zoom": 0.5}, {"roll": -1.0}, {"count": 1}])
def test_placements_out_of_range_are_refused(value: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"--{next(iter(value))}"):
        Placements(**value)
