"""Dense520: published size and loss values, what photos teach, and the pose of the points."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_landmarks.compute import count_mma
from lit_landmarks.data import Aflw2000, LandmarkDataModule, SyntheticFaces
from lit_landmarks.data.layouts import LAYOUTS
from lit_landmarks.data.synthesize import synthesize
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import euler_to_matrix
from lit_landmarks.methods.dense520 import Dense520, DenseLossOptions
from lit_landmarks.methods.dense520.loss import faithful_loss, measure_distance
from lit_landmarks.methods.dense520.network import SpatialSoftmaxFeatures
from lit_landmarks.metrics import FaceMetrics
from lit_landmarks.schemes import convention_index
from lit_landmarks.template import mean_face
from lit_landmarks.types import FaceBatch, FaceInputs, Prediction


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
    [
        ("ignore", [51, 51, 68]),
        ("frontal", [68, 51, 68]),
        ("near", [68, 60, 68]),
        ("as_labeled", [68, 68, 68]),
    ],
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


@pytest.mark.parametrize("distance", ["wing", "adaptive_wing", "l1", "wing_unit", "faithful"])
def test_a_prediction_that_is_no_number_is_no_finite_loss(distance: str) -> None:
    """Or a training that has diverged would go on."""
    loss = DenseLossOptions(distance=distance)  # type: ignore[arg-type]
    method = Dense520.tiny(scheme="dense520", loss=loss)
    for convention, solid, names in (
        ("300w_lp", True, set(method.loss_weights()) - {"photos"}),
        ("300w", False, {"photos"}),
    ):
        batch = batch_of([convention], [solid])
        prediction = method.eval()(batch.inputs)
        assert prediction.points3d is not None
        broken = replace(
            prediction,
            points=torch.full_like(prediction.points, torch.nan),
            points3d=torch.full_like(prediction.points3d, torch.nan),
        )
        losses = method.losses(broken, batch)
        assert {name for name, value in losses.items() if value.isnan()} == names


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
    for frontal in (-5.0, math.nan):
        with pytest.raises(UserError, match=r"loss\.frontal is .*; give degrees from 0"):
            DenseLossOptions(frontal=frontal)
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


def test_faces_with_3d_labels_at_few_points_have_no_loss_where_all_is_right() -> None:
    """Their depth counts from the mean of fewer points than that of a prediction."""
    faces = SyntheticFaces(n=4, scheme="dense520", convention="300w_lp", max_yaw=80)
    labels = faces.labels(range(4))
    few = labels.points3d.clone()
    few[:, 68:] = torch.nan
    few[..., 2] -= few[:, :68, 2].mean(1, keepdim=True)
    mask = torch.arange(520).expand(4, -1) < 68
    for distance in ("wing", "l1", "adaptive_wing", "faithful"):
        loss = DenseLossOptions(distance=distance)  # type: ignore[arg-type]
        method = Dense520.tiny(scheme="dense520", loss=loss)
        prediction = Prediction(points=labels.points, points3d=labels.points3d)
        for points3d, labeled in ((few, mask), (labels.points3d, mask | True)):
            batch = FaceBatch.of(
                torch.zeros(4, 3, 64, 64), points3d[..., :2], mask=labeled, points3d=points3d
            )
            batch.has_points3d[:] = True
            losses = method.losses(prediction, batch)
            assert losses["photos"].item() == 0.0
            assert losses["dense"].item() == pytest.approx(0.0, abs=1e-3), distance
            moved = replace(prediction, points3d=labels.points3d + torch.tensor([0.0, 0.0, 5.0]))
            assert method.losses(moved, batch)["dense"].item() == pytest.approx(0.0, abs=1e-3)
            wrong = replace(prediction, points=labels.points + 2.0)
            assert method.losses(wrong, batch)["dense"].item() > 0.01


def test_the_pose_of_half_precision_is_that_of_single() -> None:
    method = Dense520.tiny(scheme="dense520").eval()
    turned = mean_face("dense520") @ euler_to_matrix(torch.tensor([[35.0, -10.0, 15.0]]))[0].mT
    with torch.no_grad():
        method.network.landmarks.weight.zero_()
        method.network.landmarks.bias.copy_(0.3 * turned.flatten())
        with torch.autocast("cpu", torch.bfloat16):
            pose = method(FaceInputs(torch.rand(1, 3, 64, 64))).pose
    assert pose is not None
    assert pose[0, :3].tolist() == pytest.approx([35.0, -10.0, 15.0], abs=0.05)


def test_the_spatial_softmax_says_where_a_map_responds() -> None:
    features = SpatialSoftmaxFeatures("mobilenetv3_small_050").eval()
    with torch.no_grad():
        features.maps.weight.zero_()
        features.maps.weight[0, 0] = 100.0

    class Trunk(torch.nn.Module):
        num_features = 3

        def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
            fused = torch.zeros(1, 64, 8, 8)
            fused[0, 0, 2, 5] = 1.0
            return fused, torch.ones(1, self.num_features)

    features.trunk = Trunk()  # type: ignore[assignment]
    vector = features(torch.rand(1, 3, 64, 64))[0]
    assert (vector[:2] / 4.0).tolist() == pytest.approx([5.5 / 8 - 0.5, 2.5 / 8 - 0.5], abs=1e-5)
    assert vector[2:4].tolist() == pytest.approx([0.0, 0.0], abs=1e-5)  # a map without peak
    assert vector[256:].tolist() == [1.0, 1.0, 1.0]


def test_places_stay_in_single_precision() -> None:
    method = Dense520.tiny(scheme="dense520", pooling="spatial_softmax").eval()
    with torch.autocast("cpu", torch.bfloat16):
        prediction = method(FaceInputs(torch.rand(2, 3, 64, 64)))
    assert prediction.points.shape == (2, 520, 2)
    assert prediction.features is not None
    assert prediction.features.shape == (2, method.network.num_features)
    assert prediction.features.dtype == torch.float32
    with pytest.raises(UserError, match="pooling is 'grid'"):
        Dense520.tiny(scheme="dense520", pooling="grid")


def test_the_build_with_a_spatial_softmax_is_under_100_mma() -> None:
    method = Dense520(scheme="dense520", frame_size=128, pooling="spatial_softmax")
    assert count_mma(method, method.example()).mma < 100.0


def test_the_authors_weights_are_part_of_their_recipe() -> None:
    with pytest.raises(UserError, match="faithful has the authors' weights"):
        DenseLossOptions(distance="faithful", dense_weight=2.0)
    with pytest.raises(UserError, match="loss weights are"):
        DenseLossOptions(photo_weight=float("nan"))


def test_the_near_half_of_the_jaw_is_where_both_conventions_agree() -> None:
    """Points that the rule keeps, on faces that are labelled in both conventions."""
    more: dict[str, Any] = {"n": 60, "seed": 2, "max_yaw": 60, "max_pitch": 5, "max_roll": 5}
    seen, fixed = (
        SyntheticFaces(convention=name, visibility=False, **more).labels(range(60))
        for name in ("visible", "3d")
    )
    off = (seen.points - fixed.points).norm(dim=-1)[:, :17]
    points = torch.full((60, 520, 2), torch.nan)
    points[:, :68] = seen.points
    photos = FaceBatch.of(
        torch.zeros(60, 3, 64, 64), points, pose=torch.cat((seen.pose, torch.zeros(60, 3)), 1),
        convention_id=torch.full((60,), convention_index("300w")),
    )  # fmt: skip
    near = Dense520.tiny(scheme="dense520", loss=DenseLossOptions(contour="near"))
    mask = near.photo_mask(photos)[:, :17]
    assert mask.sum(1).unique().tolist() == [9, 17]
    assert float(off[mask].max()) < 1.5
    assert float(off[~mask].max()) > 10.0
    photos.has_pose[:] = False
    assert not near.photo_mask(photos)[:, :17].any()
