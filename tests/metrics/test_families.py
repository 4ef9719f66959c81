"""Metric families: one declaration gives keys, direction and documentation; the newer families."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.metrics import (
    FAMILIES,
    FaceMetrics,
    GroupedMean,
    MetricFamily,
    families,
    higher_is_better,
    key_table,
    norm_values,
    possible_keys,
)
from lit_landmarks.metrics.classes import GroupedMetric
from lit_landmarks.metrics.direction import metric_name
from lit_landmarks.metrics.family import EvaluatedBatch
from lit_landmarks.types import LABELS, DatasetSpec, DataSpec, FaceBatch, Prediction
from tests.support.faces import face_batch

NAN = math.nan
YAWS = ("yaw_0_30", "yaw_30_60", "yaw_60_90")


def make_spec(**more: object) -> DataSpec:
    """One validation set of 68 points that carries every label."""
    data = DatasetSpec("set", "val", "ibug68", "300w", "box", 8, frozenset(LABELS), **more)  # type: ignore[arg-type]
    return DataSpec("ibug68", 68, 128, "tight", (data,))


def make_points(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 68, 2, generator=torch.Generator().manual_seed(seed)) * 100


def evaluate(spec: DataSpec, prediction: Prediction, batch: FaceBatch) -> dict[str, float]:
    metrics = FaceMetrics(spec, "val")
    metrics.update(prediction, batch)
    return metrics.compute()


# ---- one declaration ---------------------------------------------------------------------------


def shape_width(points: Tensor) -> Tensor:
    """The kernel of a metric by the recipe: width (B,) of shapes (B, N, 2)."""
    return points[..., 0].amax(dim=1) - points[..., 0].amin(dim=1)


class MeanWidth(GroupedMean):
    """Mean width of predicted shapes."""

    higher_is_better = True


class WidthFamily(MetricFamily):
    """The width of the predicted shape."""

    name = "width"
    metric = MeanWidth
    patterns = ("width_pixels",)
    meaning = "width of the predicted shape, crop pixels"

    def update(self, metric: GroupedMetric, evaluated: EvaluatedBatch) -> None:
        """Add a batch."""
        metric.update(shape_width(evaluated.prediction.points), evaluated.members)


def test_a_metric_is_added_by_the_recipe(monkeypatch: pytest.MonkeyPatch, repo_root: Path) -> None:
    """A kernel (functional.py), a family and its entry (families.py), and nothing else."""
    recipe = (repo_root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "**A metric: 2 files**" in recipe
    with pytest.raises(UserError, match="no better direction"):
        higher_is_better("val/set/width_pixels")
    monkeypatch.setattr(families, "FAMILIES", (*FAMILIES, WidthFamily()))

    points = make_points(5)
    spec = make_spec(subsets=("wild",))
    wild = torch.tensor([[True], [False], [True], [False], [False]])
    metrics = FaceMetrics(spec, "val")
    for rows in (slice(0, 2), slice(2, 5)):
        metrics.update(
            Prediction(points=points[rows]), face_batch(points[rows], subsets=wild[rows])
        )
    values = metrics.compute()
    width = points[:, :, 0].max(dim=1).values - points[:, :, 0].min(dim=1).values
    assert values["val/set/width_pixels"] == pytest.approx(float(width.mean()))
    assert values["val/set/width_pixels/wild"] == pytest.approx(float(width[wild[:, 0]].mean()))
    assert "val/set/width_pixels/wild" in possible_keys(spec, "val", Prediction(points=points))
    assert higher_is_better("val/set/width_pixels/wild")
    assert "| `width_pixels` | width of the predicted shape, crop pixels |  | higher |" in (
        key_table().splitlines()
    )


def everything(count: int = 8) -> tuple[Prediction, FaceBatch]:
    """A prediction and labels that every family can measure."""
    g = torch.Generator().manual_seed(0)
    points = make_points(count)
    solid = torch.rand(count, 68, 3, generator=g)
    mask = torch.ones(count, 68, dtype=torch.bool)
    mask[::2, 5] = False
    batch = face_batch(
        points,
        mask=mask,
        visible=torch.randint(-1, 3, (count, 68), generator=g, dtype=torch.int8),
        points3d=100 * solid,
        head3d=solid,
        pose=torch.randn(count, 6, generator=g) * 30,
        pose_kind=torch.arange(count) // 3 % 2,
        focal=torch.ones(count),
        subsets=torch.nn.functional.one_hot(torch.arange(count) % 3, 3).bool(),
        track=torch.zeros(count, dtype=torch.int64),
        time=torch.arange(count) // 2 * 2 + torch.arange(count) % 2,
    )
    batch.norms[0, :2] = NAN
    prediction = Prediction(
        points=points + torch.randn(points.shape, generator=g),
        stages=torch.stack([points + 2, points + 1]),
        mma=torch.rand(count, generator=g),
        visibility=torch.rand(count, 68, generator=g),
        points3d=batch.points3d + torch.randn(solid.shape, generator=g),
        head3d=solid + 0.1 * torch.randn(solid.shape, generator=g),
        pose=batch.pose + 3,
    )
    return prediction, batch


def test_every_family_logs_what_was_foreseen_and_has_one_direction() -> None:
    spec = make_spec(subsets=YAWS)
    prediction, batch = everything()
    values = evaluate(spec, prediction, batch)
    names = {metric_name(key) for key in values}
    for family in FAMILIES:
        directed = any(family.direction_of(n) is not None for n in names)
        assert directed or family.name in ("count", "label_shift")
    undirected = {"faces", "skipped_box", "skipped_interocular", "skipped_interpupil"}
    for name in names - undirected - {"label_shift"}:
        assert len([f for f in FAMILIES if f.direction_of(name) is not None]) == 1
    foreseen = possible_keys(spec, "val", prediction)
    counts = {k for k in values if metric_name(k).startswith(("faces", "skipped_", "label_shift"))}
    assert set(values) - counts <= foreseen
    # subsets have no bins of their own, and their frames no neighbors
    missing = {metric_name(key) for key in foreseen - set(values) if key.count("/") == 2}
    assert missing == set()


def test_what_a_prediction_or_data_set_lacks_is_not_foreseen() -> None:
    prediction, _ = everything()
    plain = Prediction(points=prediction.points)
    names = {metric_name(k) for k in possible_keys(make_spec(), "val", plain)}
    assert {n for n in names if not re.match("nme|fr|auc|p9", n)} == {
        "flicker_box", "acceleration_box", "nmf",
    }  # fmt: skip  # one row
    assert "mma" in {metric_name(k) for k in possible_keys(make_spec(), "val", plain, True)}
    bare = DatasetSpec("set", "val", "ibug68", "300w", "box", 8)
    spec = DataSpec("ibug68", 68, 128, "tight", (bare,))
    names = {metric_name(k) for k in possible_keys(spec, "val", prediction)}
    assert "pose_mae_posit" in names  # POSIT may have made the label
    assert "pose_mae" not in names
    assert not {n for n in names if re.match("occlusion|visibility|nme3d|head3d", n)}


@pytest.mark.parametrize("given", [[0, 3], [1, 2, 4, 5]])
def test_errors_against_given_poses_and_those_by_posit_stand_apart(given: list[int]) -> None:
    points, pose = make_points(6), torch.arange(36.0).reshape(6, 6)
    made = torch.tensor([row not in given for row in range(6)])
    off = torch.tensor([1.0, 2.0, 6.0, 0.0, 0.0, 0.0]) * torch.arange(1.0, 7.0)[:, None]
    batch = face_batch(points, pose=pose, pose_kind=made.long())
    values = evaluate(make_spec(), Prediction(points, pose=pose + off), batch)
    for name, rows in (("pose_mae", ~made), ("pose_mae_posit", made)):
        factor = float(torch.arange(1.0, 7.0)[rows].mean())
        angles = {"_yaw": 1.0, "_pitch": 2.0, "_roll": 6.0, "": 3.0}
        for tail, degrees in angles.items():
            assert values[f"val/set/{name}{tail}"] == pytest.approx(degrees * factor, rel=1e-5)
    everywhere = face_batch(points, pose=pose, pose_kind=torch.zeros(6).long())
    names = {
        metric_name(k) for k in evaluate(make_spec(), Prediction(points, pose=pose), everywhere)
    }
    assert not {name for name in names if "posit" in name}


def test_still_images_and_points_log_what_they_always_did() -> None:
    points = make_points(4)
    pose = torch.randn(4, 6)
    batch = face_batch(points, pose=pose)
    names = {
        metric_name(k) for k in evaluate(make_spec(), Prediction(points + 1, pose=pose), batch)
    }
    norms = ("interocular", "interpupil", "box", "height", "diagonal")
    assert names == {
        "nme", *(f"nme_{norm}" for norm in norms), "nme_box_inner", "nme_box_contour",
        *(f"{kind}{t}_{eyes}" for kind in ("fr", "auc") for t in (8, 10) for eyes in norms[:2]),
        *(f"{kind}7_{norm}" for kind in ("fr", "auc") for norm in ("box", "diagonal")),
        "fr4_height", "auc4_height",
        "p90_box", "p95_box", "p99_box", "label_shift",
        "pose_mae", "pose_mae_yaw", "pose_mae_pitch", "pose_mae_roll", "faces", "skipped_box",
    }  # fmt: skip  # a row for each family


@pytest.mark.parametrize(
    ("scheme", "points", "norm", "lacking"),
    [("ibug68", 68, "box", 17), ("wflw98", 98, "height", 49)],
)
def test_errors_over_the_scheme_by_hand(scheme: str, points: int, norm: str, lacking: int) -> None:
    data = DatasetSpec("set", "val", scheme, "300w", norm, 2)
    spec = DataSpec(scheme, points, 128, "tight", (data,))
    truth = torch.rand(2, points, 2, generator=torch.Generator().manual_seed(1)) * 50
    truth[:, -1], truth[:, -2] = torch.tensor([0.0, 0.0]), torch.tensor([60.0, 60.0])
    mask = torch.ones(2, points, dtype=torch.bool)
    mask[0, :lacking] = False
    shift = torch.tensor([[[3.0, 0.0]], [[0.0, 6.0]]])  # 5 and 10 % of box and height
    batch = face_batch(truth, scheme, mask=mask)
    values = evaluate(spec, Prediction(truth + shift), batch)
    assert values[f"val/set/nme_{norm}"] == pytest.approx(7.5)
    first = 5 * (1 - lacking / points)
    assert values[f"val/set/nme_{norm}_over_scheme"] == pytest.approx((first + 10) / 2)
    level = 7 if norm == "box" else 4
    area = max(0.0, 100 * (1 - first / level))
    assert values[f"val/set/auc{level}_{norm}_over_scheme"] == pytest.approx(area / 2)
    assert values[f"val/set/fr{level}_{norm}_over_scheme"] == 50.0
    whole = evaluate(spec, Prediction(truth + shift), face_batch(truth, scheme))
    assert not [key for key in whole if key.endswith("_over_scheme")]


def test_the_readme_shows_the_table(repo_root: Path) -> None:
    text = (repo_root / "lit_landmarks/metrics/README.md").read_text(encoding="utf-8")
    assert key_table() in text
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_fields_and_labels_of_families_exist() -> None:
    predicted = {field.name for field in fields(Prediction)}
    assert {family.field for family in FAMILIES} - {None} <= predicted
    assert {family.label for family in FAMILIES} - {None} <= set(LABELS)


# ---- the newer families in the suite -----------------------------------------------------------


def test_motion_is_measured_in_image_pixels() -> None:
    """A crop that jumps and zooms with the frame does not count as motion of the points."""
    g = torch.Generator().manual_seed(3)
    truth = make_points(1).expand(4, 68, 2) + 2.0 * torch.arange(4).view(4, 1, 1)
    error = torch.zeros(4, 68, 2)
    error[2, :, 0] = 5.0
    scale, shift = 1 + torch.rand(4, 1, 1, generator=g), torch.rand(4, 2, 1, generator=g) * 30
    to_image = torch.cat([torch.eye(2) * scale, shift], dim=2)
    to_crop = [(points - shift.mT) / scale for points in (truth, truth + error)]
    batch = face_batch(
        to_crop[0], frame_to_image=to_image, track=torch.zeros(4).long(), time=torch.arange(4)
    )
    values = evaluate(make_spec(), Prediction(points=to_crop[1]), batch)
    box = float(norm_values(truth[:1], None, None)[0, 2])
    # pairs 0, 5 and 5 off; second differences 5 and 10
    assert values["val/set/flicker_box"] == pytest.approx(100 * (10 / 3) / box, rel=1e-4)
    assert values["val/set/acceleration_box"] == pytest.approx(100 * 7.5 / box, rel=1e-4)
    assert values["val/set/nmf"] == pytest.approx(25600 * (50 / 3) ** 0.5 / box, rel=1e-4)


def test_a_video_without_labels_has_acceleration_under_its_own_norm() -> None:
    predicted = make_points(1).expand(3, 68, 2).clone()
    predicted[1] += torch.tensor([3.0, 4.0])
    batch = face_batch(
        torch.full((3, 68, 2), NAN), track=torch.zeros(3).long(), time=torch.arange(3)
    )
    with pytest.warns(UserWarning, match="no face has the primary norm 'box'"):
        values = evaluate(make_spec(), Prediction(points=predicted), batch)
    box = float(norm_values(predicted[:1], None, None)[0, 2])
    assert values["val/set/acceleration_box"] == pytest.approx(100 * 10 / box, rel=1e-4)
    assert "val/set/flicker_box" not in values


@pytest.mark.parametrize("by_pose", [False, True])
def test_mean_over_bins_of_yaw(by_pose: bool) -> None:
    points = make_points(6)
    yaw = torch.tensor([-10.0, 30.0, 5.0, -45.0, 70.0, 120.0])
    off = torch.tensor([1.0, 2.0, 3.0, 6.0, 9.0, 11.0]).view(6, 1, 1) * torch.tensor([1.0, 0])
    norms = torch.full((6, 5), 100.0)
    if by_pose:
        pose = torch.nn.functional.pad(yaw.unsqueeze(1), (0, 5))
        spec, batch = make_spec(yaw_bins=(0, 30, 60, 90)), face_batch(points, pose=pose)
    else:
        place = torch.tensor([0, 0, 0, 1, 2, 2])
        spec = make_spec(subsets=YAWS)
        batch = face_batch(points, subsets=torch.nn.functional.one_hot(place, 3).bool())
    batch.norms = norms
    values = evaluate(spec, Prediction(points=points + off), batch)
    means = [values[f"val/set/nme_box/{name}"] for name in YAWS]
    assert means == pytest.approx([2.0, 6.0, 10.0], rel=1e-5)
    assert values["val/set/nme_box_yaw_bins"] == pytest.approx(6.0, rel=1e-5)
    assert values["val/set/nme_box"] == pytest.approx(32 / 6, rel=1e-5)  # of faces
    assert sum("yaw_bins" in key for key in values) == 1
    few = evaluate(spec, Prediction(points=(points + off)[:4]), batch.select(torch.arange(4)))
    assert "val/set/nme_box_yaw_bins" not in few  # a mean of two bins would be another figure
    assert few["val/set/faces/yaw_0_30"] == 3


def test_bins_that_make_no_sense_are_refused() -> None:
    for bins, message in (
        ((0, 30, 30), "rising whole degrees"),
        ((-10, 10), "rising whole degrees"),
        ((0.5, 10), "rising whole degrees"),
    ):
        with pytest.raises(UserError, match=message):
            FaceMetrics(make_spec(yaw_bins=bins), "val")
    with pytest.raises(UserError, match="leave yaw_bins out"):
        FaceMetrics(make_spec(yaw_bins=(0, 30, 60), subsets=YAWS), "val")


def test_aligned_3d_errors_by_hand() -> None:
    head = torch.randn(2, 68, 3, generator=torch.Generator().manual_seed(1))
    eyes = (head[:, 36] - head[:, 45]).norm(dim=-1)
    half = head[..., [1, 2, 0]] / 2 + 4  # turned, half as large, elsewhere
    spread = (head - head.mean(dim=1, keepdim=True)).norm(dim=-1).mean(dim=1)
    batch = face_batch(make_points(2), head3d=head, points3d=50 * head)
    prediction = Prediction(points=make_points(2), head3d=half, points3d=50 * half)
    values = evaluate(make_spec(), prediction, batch)
    rigid = float((100 * 0.5 * spread / eyes).mean())
    for prefix in ("head3d", "nme3d"):
        assert values[f"val/set/{prefix}_outer_eyes_similarity"] == pytest.approx(0, abs=1e-3)
        assert values[f"val/set/{prefix}_outer_eyes_rigid"] == pytest.approx(rigid, rel=1e-4)


def test_visibility_auroc_leaves_unlabeled_sets_out() -> None:
    points, visible = make_points(2), torch.full((2, 68), -1, dtype=torch.int8)
    visible[:, :4] = torch.tensor([1, 1, 0, 2], dtype=torch.int8)
    chance = torch.zeros(2, 68)
    chance[:, :4] = torch.tensor([0.9, 0.4, 0.4, 0.6])
    prediction = Prediction(points=points, visibility=chance)
    values = evaluate(make_spec(), prediction, face_batch(points, visible=visible))
    # within and across the two faces alike: 2 of 4 pairs won, a tie, a loss
    assert values["val/set/visibility_auroc"] == pytest.approx(62.5)
    absent = face_batch(points, visible=visible, has_visible=torch.zeros(2, dtype=torch.bool))
    assert "val/set/visibility_auroc" not in evaluate(make_spec(), prediction, absent)


def test_shards_of_everything_equal_one() -> None:
    spec = make_spec(subsets=YAWS)
    prediction, batch = everything(24)
    whole = evaluate(spec, prediction, batch)
    shards = [FaceMetrics(spec, "val") for _ in range(3)]
    order = torch.randperm(24, generator=torch.Generator().manual_seed(5))
    for place, rows in enumerate(order.split(5)):
        part = {
            field.name: getattr(prediction, field.name)[rows]
            for field in fields(Prediction)
            if isinstance(getattr(prediction, field.name), Tensor) and field.name != "stages"
        }
        assert prediction.stages is not None
        shards[place % 3].update(
            Prediction(**part, stages=prediction.stages[:, rows]), batch.select(rows)
        )
    for other in shards[1:]:
        shards[0].merge(other)
    assert shards[0].compute() == pytest.approx(whole, rel=1e-5)


def test_mixed_precision_leaves_the_figures_alone() -> None:
    spec = make_spec(subsets=YAWS)
    prediction, batch = everything()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = evaluate(spec, prediction, batch)
    assert mixed == evaluate(spec, prediction, batch)
