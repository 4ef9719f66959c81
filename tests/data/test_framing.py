"""`cut_faces`: a photo with its face boxes gives the pixels that evaluation sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lit_landmarks.data import FaceDataset, FaceIndex, LandmarkDataModule
from lit_landmarks.data.framing import CropPlacement, cut_faces
from lit_landmarks.data.index import Report
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import transform_points
from lit_landmarks.types import CropSpec, FaceBatch

SPEC = CropSpec(96, "tight", 1.5)


class _Photos(FaceDataset):
    """Noise photos, each with one face box of its own side, near or over an edge."""

    rendered = True
    convention = "custom"

    def __init__(self, sides: Sequence[float], offset: float = 0.3) -> None:
        self.sides, self.offset = list(sides), offset

    def _read(self, report: Report) -> FaceIndex:
        rng = np.random.default_rng(0)
        side = np.array(self.sides)[:, None]
        low = np.stack([side[:, 0] * 0.2, 40 + side[:, 0] * 0.1], 1) + self.offset
        points = low[:, None] + rng.random((len(low), 68, 2)) * side[:, None]
        box = np.concatenate([low, low + side * [1.0, 0.9]], 1).astype(np.float32)
        return FaceIndex(points.astype(np.float32), np.ones((len(low), 68), bool), box)

    def load(self, rows: Sequence[int]) -> list[NDArray[np.uint8]]:
        return [
            np.random.default_rng(row).integers(0, 256, (330, 300, 3), np.uint8) for row in rows
        ]

    def content_key(self, rows: Sequence[int]) -> str:
        return f"{self.sides} {self.offset} {list(rows)}"


def _evaluated(dataset: FaceDataset, cache: Path, spec: CropSpec = SPEC) -> FaceBatch:
    module = LandmarkDataModule(
        train={},
        val={"photos": dataset},
        frame_size=spec.size,
        frame=spec.kind,
        frame_scale=spec.scale,
        cache_dir=str(cache),
    )
    assert module.crop == spec
    return next(module.batches("val"))


@pytest.mark.parametrize("spec", [SPEC, CropSpec(64, "wide", 3.0)])
def test_a_photo_gives_the_very_pixels_of_evaluation(tmp_path: Path, spec: CropSpec) -> None:
    # The first side makes a source crop of as many pixels as it is stored with, the others are
    # reduced or enlarged; the filter is the same code, so all agree to the bit.
    exact = spec.source_size / spec.source_scale
    dataset = _Photos([exact, 37.0, 150.0, 211.5])
    batch = _evaluated(dataset, tmp_path, spec)
    boxes = dataset.index().box
    for row, image in enumerate(dataset.load(range(4))):
        forms: list[Any] = [image, torch.from_numpy(image).permute(2, 0, 1)]
        forms += [forms[1].float() / 255, forms[1][None]]
        for form in forms:
            crops, crop_to_image = cut_faces(form, boxes[row : row + 1], spec)
            assert torch.equal(crops[0], batch.image[row])
            assert torch.equal(crop_to_image[0], batch.frame_to_image[row])


def test_many_boxes_in_one_image_and_in_many(tmp_path: Path) -> None:
    dataset = _Photos([60.0, 100.0, 140.0])
    boxes = torch.from_numpy(dataset.index().box)
    images = torch.stack([torch.from_numpy(i).permute(2, 0, 1) for i in dataset.load(range(3))])
    together, affines = cut_faces(images[0], boxes, SPEC)
    for k in range(3):
        one, affine = cut_faces(images[0], boxes[k : k + 1], SPEC)
        torch.testing.assert_close(together[k], one[0], rtol=0, atol=1 / 255 + 1e-6)
        torch.testing.assert_close(affines[k], affine[0], rtol=0, atol=1e-4)
    batch = _evaluated(dataset, tmp_path)
    assert torch.equal(cut_faces(images, boxes, SPEC)[0], batch.image)
    order = torch.tensor([2, 0, 2, 1])
    chosen, _ = cut_faces(images, boxes[order], SPEC, image_of=order)
    torch.testing.assert_close(chosen, batch.image[order], rtol=0, atol=1 / 255 + 1e-6)
    nothing, none = cut_faces(images[0], boxes[:0], SPEC)
    assert nothing.shape == (0, 3, 96, 96)
    assert none.shape == (0, 2, 3)


def test_a_pixel_is_where_the_affine_says() -> None:
    image = np.zeros((200, 240, 3), np.uint8)
    image[90:93, 120:123] = 255
    spec = CropSpec(48, "tight", 1.0)
    crops, to_image = cut_faces(image, np.array([[96.5, 66.5, 144.5, 114.5]]), spec)
    assert to_image[0].tolist() == [[1, 0, 97], [0, 1, 67]], "a box of 48 px about (120.5, 90.5)"
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    weight = crops[0, 0] / crops[0, 0].sum()
    center = torch.stack([(weight * x).sum(), (weight * y).sum()])
    place = transform_points(to_image, center.view(1, 1, 2))[0, 0]
    torch.testing.assert_close(place, torch.tensor([121.0, 91.0]), rtol=0, atol=0.02)


def test_far_from_the_origin_nothing_is_lost() -> None:
    """At column 3800 single precision has steps of 2e-4; a crop is placed to 1e-5 of its pixels."""
    box = torch.tensor([[3800.25, 2900.5, 3900.75, 3010.125]])
    points = torch.rand(1, 68, 2) * 100 + box[:, None, :2]
    origin = torch.tensor([[3700.0, 2800.0]])
    single = CropPlacement.of(box, SPEC, origin).to_crop(points)
    double = CropPlacement.of(box.double(), SPEC, origin.double())
    assert float((single - double.to_crop(points.double())).abs().max()) < 2e-5


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([10, 10, 10, 30], r"box \[10.0, 10.0, 10.0, 30.0\] has no area, box 0; give x0 < x1"),
        ([0, 0, float("nan"), 9], "has no area, box 0"),
        ([-50, -50, -10, -10], "lies wholly outside the 80 x 60 image, box 0"),
        ([-900, -900, 900, 900], "is far larger than the 80 x 60 image, box 0"),
    ],
)
def test_impossible_boxes_are_refused(box: list[float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cut_faces(np.zeros((60, 80, 3), np.uint8), np.array([box]), SPEC)


def test_impossible_images_are_refused() -> None:
    box = np.array([[10, 10, 40, 40]])
    for image in (np.zeros((60, 80), np.uint8), np.zeros((60, 80, 3)), torch.zeros(60, 80, 3)):
        with pytest.raises(UserError, match=r"is neither \(H, W, 3\) uint8 nor a tensor"):
            cut_faces(image, box, SPEC)
    with pytest.raises(UserError, match="1 boxes for 2 images"):
        cut_faces(torch.zeros(2, 3, 60, 80), box, SPEC)
    with pytest.raises(UserError, match="1 boxes for 1 images"):
        cut_faces(torch.zeros(3, 60, 80), box, SPEC, image_of=torch.tensor([1]))


def test_source_crops_follow_from_the_crop() -> None:
    spec = CropSpec(128, "tight", 1.35)
    assert spec.source_size == 224
    assert spec.source_scale == pytest.approx(2.0925)
    assert replace(spec, kind="wide", scale=3.0).source_size == 224
