"""Dense520: published size and loss values, what photos teach, and the pose of the points."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lit_landmarks.compute import count_mma
from lit_landmarks.data import Aflw2000, LandmarkDataModule, SyntheticFaces
from lit_landmarks.data.layouts import LAYOUTS
from lit_landmarks.data.synthesize import synthesize
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import euler_to_matrix
from lit_landmarks.methods.dense520 import Dense520, DenseLossOptions
from lit_landmarks.methods.dense520.loss import faithful_loss, measure_distance
from lit_landmarks.metrics import FaceMetrics
from lit_landmarks.schemes import convention_index
from lit_landmarks.template import mean_face
from lit_landmarks.types import FaceBatch, FaceInputs


def test_size_and_cost_are_the_published_ones() -> None:
    method = Dense520(scheme="dense520", frame_size=256)
    cost = count_mma(method, method.example())
    assert cost.parameters == 4_222_232
    assert cost.mma == pytest.approx(393.173, abs=0.01)  # and 5 thousandths for the pose
    small = Dense520(scheme="dense520", frame_size=128)
    assert count_mma(small, small.example()).mma < 100.0


@pytest.mark.parametrize(("off", "wing", "squared"), [(0.05, 0.370, 0.00125), (0.01, 0.0748, 5e-5)])
def test_the_published_recipe_gives_the_published_values(
    off: float, wing: float, squared: float
) -> None:
    target = torch.rand(2, 520, 3) - 0.5
    value = float(faithful_loss(target + off, target, torch.arange(68)))
    assert value == pytest.approx(wing + squared, rel=2e-3)
    rest = target + off
    rest[:, :68] = target[:, :68]
    assert float(faithful_loss(rest, target, torch.arange(68))) == pytest.approx(
        wing * 452 / 520, rel=2e-3
    )


def test_wing_bends_at_ten_pixels_of_a_crop_of_256() -> None:
    pixels = torch.tensor([0.0, 2.0, 9.999, 10.001, 60.0])
    values = measure_distance(pixels / 256, torch.zeros(5), "wing")
    assert values[:2].tolist() == pytest.approx([0.0, 10 * math.log(2)], abs=1e-4)
    assert float(values[3] - values[2]) < 0.01
    assert float(values[4]) == pytest.approx(60 - 10 + 10 * math.log(6), rel=1e-5)
    assert measure_distance(pixels / 256, torch.zeros(5), "l1").tolist() == pytest.approx(
        pixels.tolist(), abs=1e-4
    )


def batch_of(conventions: list[str], solid: list[bool]) -> FaceBatch:
    count = len(conventions)
    points = torch.rand(count, 520, 2) * 64
    depth = torch.where(torch.tensor(solid)[:, None, None], torch.rand(count, 520, 1), torch.nan)
    points[~torch.tensor(solid), 68:] = torch.nan
    return FaceBatch.of(
        torch.rand(count, 3, 64, 64),
        points,
        points3d=torch.cat((points, depth), -1),
        convention_id=torch.tensor([convention_index(name) for name in conventions]),
        pose=torch.tensor([[5.0, 0, 0, 0, 0, 1], [40.0, 0, 0, 0, 0, 1], [5.0, 0, 0, 0, 0, 1]])[
            :count
        ],
    )


@pytest.mark.parametrize(
    ("rule", "counts"),
    [("ignore", [51, 51, 68]), ("frontal", [68, 51, 68]), ("as_labeled", [68, 68, 68])],
)
def test_photos_teach_the_68_and_the_jaw_by_its_rule(rule: str, counts: list[int]) -> None:
    loss = DenseLossOptions(contour=rule)  # type: ignore[arg-type]
    method = Dense520.tiny(scheme="dense520", loss=loss)
    photos = batch_of(["300w", "300w", "300w_lp"], [False] * 3)
    assert method.photo_mask(photos).sum(1).tolist() == counts
    losses = method.losses(method(photos.inputs), photos)
    assert losses["dense"].item() == losses["sparse"].item() == 0.0
    assert losses["photos"].item() > 0.0
    heads = batch_of(["synthetic_3d"] * 2, [True] * 2)
    losses = method.losses(method(heads.inputs), heads)
    assert losses["photos"].item() == 0.0
    assert losses["dense"].item() > 0.0


def test_it_starts_at_the_mean_face_and_its_pose_is_that_of_its_points() -> None:
    method = Dense520.tiny(scheme="dense520").eval()
    with torch.no_grad():
        method.network.landmarks.weight.zero_()
    prediction = method(FaceInputs(torch.rand(1, 3, 64, 64)))
    sparse = prediction.points[0, :68]
    size = sparse.amax(0) - sparse.amin(0)
    assert float(size.max()) == pytest.approx(64 / 1.35, rel=1e-4)
    assert prediction.pose is not None
    assert prediction.pose[0, :3].abs().max() < 0.1
    angles = torch.tensor([[35.0, -10.0, 15.0]])
    turned = mean_face("dense520") @ euler_to_matrix(angles)[0].mT * 0.3
    with torch.no_grad():
        method.network.landmarks.bias.copy_(turned.flatten())
    pose = method(FaceInputs(torch.rand(1, 3, 64, 64))).pose
    assert pose is not None
    assert pose[0, :3].tolist() == pytest.approx(angles[0].tolist(), abs=0.05)


def test_bad_choices_are_refused() -> None:
    with pytest.raises(UserError, match=r"loss\.distance is 'huber'"):
        DenseLossOptions(distance="huber")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="loss weights are"):
        DenseLossOptions(dense_weight=-1.0)
    with pytest.raises(UserError, match=r"set data\.init_args\.scheme dense520"):
        Dense520(scheme=None)


def test_the_68_among_the_520_score_alike_in_both_schemes(tmp_path: Path) -> None:
    """A set of 68 points, mapped to the 520 or left as it is: the same error of the same points."""
    source = SyntheticFaces(
        n=6, image_size=96, convention="300w_lp", max_yaw=85, visibility=False, seed=3
    )
    synthesize(source, LAYOUTS["aflw2000"](), tmp_path / "aflw", 6, workers=1)
    method = Dense520.tiny(scheme="dense520").eval()
    figures = []
    for scheme in ("dense520", "ibug68"):
        data = LandmarkDataModule(
            train={}, test={"aflw": Aflw2000(str(tmp_path / "aflw"))}, scheme=scheme,
            frame_size=64, cache_dir=str(tmp_path / "cache"),
        )  # fmt: skip
        metrics = FaceMetrics(data.spec, "test")
        for batch in data.batches("test"):
            with torch.no_grad():
                prediction = method(batch.inputs)
            if scheme == "ibug68":
                assert prediction.points3d is not None
                solid = prediction.points3d[:, :68]
                prediction = replace(prediction, points=prediction.points[:, :68], points3d=solid)
            metrics.update(prediction, batch)
        figures.append(metrics.compute())
    dense, sparse = figures
    shared = [key for key in sparse if key in dense and "nme" in key]
    assert {"test/aflw/nme_box", "test/aflw/nme_box_yaw_bins", "test/aflw/nme3d_box"} <= set(shared)
    for key in shared:
        assert float(dense[key]) == pytest.approx(float(sparse[key]), rel=1e-5), key
