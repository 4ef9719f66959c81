"""Frames as a detector's boxes cut them: the distribution that is drawn, and that is stated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from lit_landmarks.data.augment import N_UNIFORM, Augmentation, AugmentationParams, sample_params
from lit_landmarks.data.framing import CropPlacement
from lit_landmarks.geometry import affine_scale, transform_points
from lit_landmarks.types import CropSpec

ROOT = Path(__file__).resolve().parents[2]
_FACES = 40_000


def _draw(strength: Augmentation, spec: CropSpec) -> AugmentationParams:
    u = torch.rand(_FACES, N_UNIFORM, generator=torch.Generator().manual_seed(0))
    return sample_params(u, strength, spec.size, 1 / spec.scale)


def _cut(params: AugmentationParams, spec: CropSpec) -> tuple[torch.Tensor, torch.Tensor]:
    """Centers (n, 2) and sides (n,) of crops about a face at (300, 200) of side 80, box sides."""
    box = torch.tensor([[260.0, 160.0, 340.0, 240.0]]).expand(_FACES, -1)
    affine = CropPlacement.of(box, spec, torch.zeros(_FACES, 2), params).crop_to_image
    middle = torch.full((_FACES, 1, 2), (spec.size - 1) / 2)
    center = transform_points(affine, middle)[:, 0] - torch.tensor([300.0, 200.0])
    return center / 80, affine_scale(affine) * spec.size / spec.scale / 80


def test_boxes_scatter_as_stated() -> None:
    """Crop centers and sides are those of boxes with Gaussian centers and log sizes."""
    strength = replace(Augmentation.none(), box_shift=0.045, box_scale=0.065, rotation=15.0)
    for spec in (CropSpec(128, "tight", 1.35), CropSpec(96, "wide", 3.0)):
        center, side = _cut(_draw(strength, spec), spec)
        for values, deviation in (
            (center[:, 0], 0.045),
            (center[:, 1], 0.045),
            (side.log(), 0.065),
        ):
            # Five standard errors of a mean and of a standard deviation.
            assert float(values.mean()) == pytest.approx(0, abs=5 * deviation / _FACES**0.5)
            error = 5 * deviation / (2 * _FACES) ** 0.5
            assert float(values.std()) == pytest.approx(deviation, abs=error)
            # Of a normal distribution 4.55 % lie beyond two deviations and 0.27 % beyond three;
            # of an even one none.
            beyond = (values.abs()[:, None] > deviation * torch.tensor([2.0, 3.0])).float().mean(0)
            assert beyond.tolist() == pytest.approx([0.0455, 0.0027], abs=0.0055)
        together = torch.corrcoef(torch.stack([center[:, 0], center[:, 1], side.log()]))
        assert float((together - torch.eye(3)).abs().max()) < 0.025


def test_it_comes_on_top_and_moves_nothing_else() -> None:
    spec = CropSpec(128, "tight", 1.35)
    plain = _draw(Augmentation(), spec)
    jittered = _draw(replace(Augmentation(), box_shift=0.05, box_scale=0.1), spec)
    for name in AugmentationParams.__dataclass_fields__:
        one, other = getattr(plain, name), getattr(jittered, name)
        same = other is None if one is None else torch.equal(one, other)
        assert same == (name not in ("scale", "shift"))
    ratio = (jittered.scale / plain.scale).log()
    assert float(ratio.std()) == pytest.approx(0.1, rel=0.03)


def test_the_preset_draws_the_scatter_of_the_default_detector() -> None:
    tree = yaml.safe_load((ROOT / "configs/data/detector_jitter.yaml").read_text())
    strength = Augmentation(**tree["data"]["init_args"]["augmentation"])
    center, side = _cut(_draw(strength, spec := CropSpec(128, "tight", 1.35)), spec)
    assert 0.035 < float(center.std(0).mean()) < 0.05
    assert 0.05 < float(side.log().std()) < 0.07
