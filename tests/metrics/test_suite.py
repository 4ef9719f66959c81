"""`FaceMetrics`: keys, groups of faces, shards, and an independent reference for the figures."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.errors import UserError
from lit_landmarks.metrics import NORMS, FaceMetrics, higher_is_better, norm_values
from lit_landmarks.schemes import get_scheme
from lit_landmarks.types import DatasetSpec, DataSpec, FaceBatch, Prediction
from tests.support.faces import face_batch

NAN, INF = math.nan, math.inf
SPEC = DataSpec(
    scheme="ibug68",
    n_points=68,
    frame_size=128,
    frame="tight",
    datasets=(
        DatasetSpec("helen", "train", "ibug68", "300w", "interocular", 100),
        DatasetSpec("helen", "val", "ibug68", "300w", "interocular", 10),
        DatasetSpec("merl", "val", "ibug68", "merl_rav", "box", 10, subsets=("profile", "frontal")),
        DatasetSpec("afw", "test", "ibug68", "300w", "interocular", 10, subsets=("wild",)),
    ),
)


def make_batch(seed: int, faces: int = 12) -> tuple[Prediction, FaceBatch]:
    """Random faces of the two validation sets, every row of merl in exactly one subset."""
    g = torch.Generator().manual_seed(seed)
    points = torch.rand(faces, 68, 2, generator=g) * 100 + 10
    mask = torch.rand(faces, 68, generator=g) > 0.02
    merl = torch.rand(faces, generator=g) > 0.5
    profile = merl & (torch.rand(faces, generator=g) > 0.5)
    columns = {"frontal": merl & ~profile, "profile": profile, "wild": torch.zeros_like(merl)}
    pose = torch.randn(faces, 6, generator=g) * 60
    batch = face_batch(
        torch.where(mask.unsqueeze(-1), points, NAN),
        visible=torch.randint(-1, 3, (faces, 68), generator=g, dtype=torch.int8),
        points3d=torch.rand(faces, 68, 3, generator=g) * 100,
        pose=pose,
        focal=1.0,
        has_visible=merl,
        has_points3d=merl,
        has_pose=torch.rand(faces, generator=g) > 0.3,
        has_focal=merl,
        norms=norm_values(points, mask, "ibug68"),
        dataset_id=1 + merl.long(),
        subsets=torch.stack([columns[s] for s in SPEC.subsets], dim=1),
    )
    noise = torch.randn(faces, 68, 2, generator=g) * 4
    prediction = Prediction(
        points=points + noise,
        stages=torch.stack([points + 3 * noise, points + noise]),
        visibility=torch.rand(faces, 68, generator=g),
        points3d=batch.points3d + torch.randn(faces, 68, 3, generator=g),
        pose=pose + torch.randn(faces, 6, generator=g) * 200,
        mma=torch.rand(faces, generator=g) * 100,
    )
    return prediction, batch


def measured(seed: int = 0, faces: int = 40) -> tuple[dict[str, float], Prediction, FaceBatch]:
    prediction, batch = make_batch(seed, faces)
    metrics = FaceMetrics(SPEC, "val")
    metrics.update(prediction, batch)
    return metrics.compute(), prediction, batch


def face_errors(prediction: Prediction, batch: FaceBatch, indices: range) -> np.ndarray:
    """NumPy, one face at a time: mean distance in pixels over annotated points among `indices`."""
    p, g, m = prediction.points.numpy(), batch.points.numpy(), batch.mask.numpy()
    result = []
    for i in range(len(p)):
        distances = [float(np.hypot(*(p[i, j] - g[i, j]))) for j in indices if m[i, j]]
        result.append(np.mean(distances) if distances else NAN)
    return np.array(result)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_figures_against_a_plain_reference(seed: int) -> None:
    values, prediction, batch = measured(seed)
    merl = batch.dataset_id.numpy() == 2
    profile = batch.subsets[:, SPEC.subsets.index("profile")].numpy()
    norms = batch.norms.double().numpy()
    for rows, tail in ((merl, ""), (profile, "/profile")):
        for column, name in enumerate(NORMS):
            x = 100 * face_errors(prediction, batch, range(68))[rows] / norms[rows, column]
            assert values[f"val/merl/nme_{name}{tail}"] == pytest.approx(np.nanmean(x), rel=1e-5)
            counted = x[~np.isnan(x)]
            t = {"height": 4, "box": 7, "diagonal": 7}.get(name, 8)
            fr, auc = 100 * np.mean(counted > t), 100 * np.maximum(0, t - counted).mean() / t
            assert values[f"val/merl/fr{t}_{name}{tail}"] == pytest.approx(fr, rel=1e-5)
            assert values[f"val/merl/auc{t}_{name}{tail}"] == pytest.approx(auc, rel=1e-4, abs=1e-6)
        x = 100 * face_errors(prediction, batch, range(17))[rows] / norms[rows, 2]
        assert values[f"val/merl/nme_box_contour{tail}"] == pytest.approx(np.nanmean(x), rel=1e-5)
        x = 100 * face_errors(prediction, batch, range(17, 68))[rows] / norms[rows, 2]
        assert values[f"val/merl/nme_box_inner{tail}"] == pytest.approx(np.nanmean(x), rel=1e-5)


def test_the_watched_figure_is_the_mean_over_data_sets() -> None:
    values, *_ = measured()
    mean = (values["val/helen/nme_interocular"] + values["val/merl/nme_box"]) / 2
    assert values["val/nme"] == pytest.approx(mean)
    assert not any(key.startswith(("val/afw", "train", "test")) for key in values)


def test_stages_pose_visibility_depth_and_cost() -> None:
    values, prediction, batch = measured()
    assert values["val/helen/nme_interocular_stage2"] == pytest.approx(
        values["val/helen/nme_interocular"]
    )
    assert values["val/merl/nme_box_stage1"] == pytest.approx(3 * values["val/merl/nme_box"])
    assert "val/merl/nme_box_stage3" not in values
    rows = (batch.dataset_id == 1) & batch.has_pose
    assert prediction.pose is not None
    turn = torch.deg2rad(prediction.pose[rows, :3] - batch.pose[rows, :3])
    short = torch.rad2deg(torch.atan2(turn.sin(), turn.cos())).abs().mean(dim=0)
    for angle, value in zip(("yaw", "pitch", "roll"), short, strict=True):
        assert values[f"val/helen/pose_mae_{angle}"] == pytest.approx(float(value), rel=1e-4)
    assert values["val/helen/pose_mae"] == pytest.approx(float(short.mean()), rel=1e-4)
    assert "val/merl/occlusion_f1" in values
    assert "val/helen/occlusion_f1" not in values  # its rows carry no visibility
    assert "val/merl/nme3d_box" in values
    assert "val/helen/nme3d_interocular" not in values
    assert prediction.mma is not None
    assert values["val/helen/mma"] == pytest.approx(
        float(prediction.mma[batch.dataset_id == 1].mean())
    )


def test_faces_without_a_norm_are_counted_as_left_out() -> None:
    prediction, batch = make_batch(3)
    batch.dataset_id[:] = 1
    batch.norms[:5, 0] = NAN
    batch.mask[4] = False
    metrics = FaceMetrics(SPEC, "val")
    metrics.update(prediction, batch)
    values = metrics.compute()
    left_out = int((batch.norms[:, 0].isnan() | ~batch.mask.any(dim=1)).sum())
    assert left_out >= 5
    assert values["val/helen/faces"] == 12
    assert values["val/helen/skipped_interocular"] == left_out


def test_a_network_that_diverged_is_infinitely_wrong() -> None:
    prediction, batch = make_batch(4)
    batch.dataset_id[:] = 1
    prediction.points[0] = NAN
    metrics = FaceMetrics(SPEC, "val")
    metrics.update(prediction, batch)
    values = metrics.compute()
    assert values["val/nme"] == INF
    assert values["val/helen/fr8_interocular"] >= 100 / 12


def test_an_unmeasurable_set_is_said_and_left_out() -> None:
    prediction, batch = make_batch(5)
    batch.dataset_id[:6], batch.dataset_id[6:] = 1, 2
    batch.norms[:6, 0] = NAN
    metrics = FaceMetrics(SPEC, "val")
    metrics.update(prediction, batch)
    with pytest.warns(UserWarning, match="val/helen: no face has the primary norm"):
        values = metrics.compute()
    assert values["val/nme"] == values["val/merl/nme_box"]


@given(st.integers(0, 100))
def test_three_shards_and_many_batches_equal_one(seed: int) -> None:
    parts = [make_batch(3 * seed + i, faces=5 + i) for i in range(3)]
    shards = [FaceMetrics(SPEC, "val") for _ in parts]
    batches = FaceMetrics(SPEC, "val")
    for shard, (prediction, batch) in zip(shards, parts, strict=True):
        shard.update(prediction, batch)
        batches.update(prediction, batch)
    for shard in shards[1:]:
        shards[0].merge(shard)
    merged = shards[0].compute()
    assert merged == pytest.approx(batches.compute(), nan_ok=True)
    # a subset split is complete, so the parts weigh up to the whole
    weights = {s: merged.get(f"val/merl/faces/{s}", 0.0) for s in ("profile", "frontal")}
    total = sum(w * merged.get(f"val/merl/nme_box/{s}", 0.0) for s, w in weights.items())
    assert total == pytest.approx(merged.get("val/merl/nme_box", 0.0) * sum(weights.values()))


def test_reset_forgets() -> None:
    prediction, batch = make_batch(0)
    metrics = FaceMetrics(SPEC, "val")
    metrics.update(prediction, batch)
    metrics.reset()
    values = metrics.compute()
    assert list(values) == ["val/nme"]
    assert math.isnan(values["val/nme"])


def test_ced_is_the_share_of_faces() -> None:
    prediction, batch = make_batch(0, 50)
    metrics = FaceMetrics(SPEC, "val")
    metrics.update(prediction, batch)
    values = metrics.compute()
    edges, fraction = metrics.ced("helen")
    at_8 = int((edges - 8.0).abs().argmin())
    assert 100 * (1 - float(fraction[at_8])) == pytest.approx(values["val/helen/fr8_interocular"])
    assert (fraction.diff() >= 0).all()
    assert values["val/helen/p90_interocular"] >= values["val/helen/nme_interocular"] / 2
    with pytest.raises(UserError, match="no val data set 'afw'; there are helen, merl"):
        metrics.ced("afw")


def test_sets_that_keep_their_own_scheme() -> None:
    spec = DataSpec(
        scheme=None,
        n_points=98,
        frame_size=128,
        frame="tight",
        datasets=(
            DatasetSpec("a", "val", "ibug68", "300w", "box", 1),
            DatasetSpec("b", "val", "wflw98", "wflw", "box", 1),
        ),
    )
    metrics = FaceMetrics(spec, "val")
    _, batch = make_batch(0, 2)
    points = torch.rand(2, 98, 2) * 100
    mask = torch.ones(2, 98, dtype=torch.bool)
    mask[0, 68:] = False
    batch.points, batch.mask, batch.norms = points, mask, torch.full((2, 5), 100.0)
    batch.dataset_id, batch.subsets = torch.tensor([0, 1]), torch.zeros(2, 0, dtype=torch.bool)
    moved = points.clone()
    moved[:, list(get_scheme("ibug68").contour)] += torch.tensor([3.0, 4.0])
    metrics.update(Prediction(points=moved), batch)
    values = metrics.compute()
    assert values["val/a/nme_box_contour"] == pytest.approx(5.0)
    assert values["val/a/nme_box_inner"] == 0.0
    # the first 17 of wflw98 are about half of its jaw line
    assert values["val/b/nme_box_contour"] == pytest.approx(5.0 * 17 / 33)


def test_a_module_child_that_checkpoints_ignore() -> None:
    parent = torch.nn.Module()
    parent.metrics = FaceMetrics(SPEC, "val")
    assert not parent.state_dict()
    twin = copy.deepcopy(parent).to(torch.float16)  # half weights leave the sums alone
    twin.metrics.update(*make_batch(0))
    assert twin.metrics.nme.total.dtype == torch.float64
    assert twin.to("meta").metrics.nme.total.device.type == "meta"


def test_one_set_without_subsets_is_enough() -> None:
    spec = DataSpec("ibug68", 68, 128, "tight", SPEC.datasets[1:2])
    prediction, batch = make_batch(6)
    batch.dataset_id[:] = 0
    batch.subsets = torch.zeros(12, 0, dtype=torch.bool)
    metrics = FaceMetrics(spec, "val")
    metrics.update(prediction, batch)
    values = metrics.compute()
    assert values["val/nme"] == values["val/helen/nme_interocular"]
    assert prediction.mma is not None
    assert values["val/helen/mma"] == pytest.approx(float(prediction.mma.mean()))


def test_bad_specs_are_refused() -> None:
    good = SPEC.datasets[1]
    twice = DataSpec("ibug68", 68, 128, "tight", (good, good))
    with pytest.raises(UserError, match="two val data sets are named 'helen'"):
        FaceMetrics(twice, "val")
    bad = DatasetSpec("x", "val", "ibug68", "300w", "iod", 1)
    with pytest.raises(UserError, match="unknown norm 'iod'"):
        FaceMetrics(DataSpec("ibug68", 68, 128, "tight", (bad,)), "val")
    slash = DatasetSpec("a/b", "val", "ibug68", "300w", "box", 1)
    with pytest.raises(UserError, match="'/'"):
        FaceMetrics(DataSpec("ibug68", 68, 128, "tight", (slash,)), "val")


def test_every_key_has_its_direction() -> None:
    values, *_ = measured()
    for key in values:
        name = key.split("/")[-1 if key.count("/") < 3 else -2]
        if name in ("faces", "label_shift") or name.startswith("skipped"):
            with pytest.raises(UserError, match="no better direction"):
                higher_is_better(key)
        else:
            assert higher_is_better(key) == name.startswith(("auc", "occlusion", "visibility"))
    assert not higher_is_better("compute/mma")
    assert not higher_is_better("train/loss")
    with pytest.raises(UserError, match="'val/mne' has no better direction"):
        higher_is_better("val/mne")
