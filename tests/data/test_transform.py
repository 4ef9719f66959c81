"""The batch transform: labels and pixels move together, and nothing but the counters matters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lit_landmarks.data import Augmentation, FaceDataset, LandmarkDataModule, SourceBatch
from lit_landmarks.data.augment import N_UNIFORM, AugmentationParams, sample_params
from lit_landmarks.data.framing import place_crops
from lit_landmarks.data.pixels import TOLERANCE, on_device, on_host
from lit_landmarks.data.pose import CAMERA_DISTANCE, translation, turned
from lit_landmarks.geometry import (
    FACE_MIDDLE,
    euler_to_matrix,
    flip_pose,
    geodesic_degrees,
    matrix_to_euler,
    project,
    transform_points,
)
from lit_landmarks.template import mean_face
from lit_landmarks.types import POSE_KINDS, FaceBatch

MakeSet = Callable[..., FaceDataset]
GEOMETRY = replace(Augmentation.none(), rotation=40.0, scale=0.25, shift=0.06, flip=0.5)


def _module(dataset: FaceDataset, cache: Path, **kwargs: Any) -> LandmarkDataModule:
    kwargs = {"frame_size": 96, "frame_scale": 1.5, "batch_size": 4, "seed": 3} | kwargs
    return LandmarkDataModule(train={"dots": dataset}, cache_dir=str(cache), **kwargs)


def _source(module: LandmarkDataModule, rows: range) -> SourceBatch:
    faces = module.faces("train")
    assert faces is not None
    return faces.__getitems__(rows)


def _assert_same(a: FaceBatch, b: FaceBatch) -> None:
    for f in fields(FaceBatch):
        torch.testing.assert_close(
            getattr(a, f.name), getattr(b, f.name), rtol=0, atol=0, equal_nan=True, msg=f.name
        )


def _peak(image: Tensor, near: Tensor, radius: int = 7) -> Tensor:
    """Centre of mass of a dot, found from its brightest pixel on and refined about it."""
    grey = image.mean(0).double()
    y, x = torch.meshgrid(
        *(torch.arange(s, dtype=torch.float64) for s in grey.shape), indexing="ij"
    )
    center = near.double()
    for _ in range(8):
        window = torch.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / (0.25 * radius**2))
        weight = grey * window
        center = torch.stack([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    return center


@pytest.mark.parametrize("painter", [on_host, on_device])
@pytest.mark.parametrize("random", [False, True])
def test_pixels_and_labels_agree_below_a_tenth_of_a_pixel(
    dot_faces: MakeSet, tmp_path: Path, painter: Any, random: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lit_landmarks.data.pixels.on_host", painter)
    module = _module(dot_faces(n=12), tmp_path, augmentation=GEOMETRY)
    batch = module.transform(_source(module, range(12)), random=random, epoch=1)
    worst = 0.0
    for b in range(12):
        for k in torch.nonzero(batch.mask[b])[:, 0].tolist():
            label = batch.points[b, k]
            if not bool(((label > 8) & (label < 87)).all()):
                continue
            worst = max(worst, float((_peak(batch.image[b], label) - label).norm()))
    assert 0 < worst < 0.1


def test_file_to_source_to_frame_and_back(dot_faces: MakeSet, tmp_path: Path) -> None:
    dataset = dot_faces(n=20)
    module = _module(dataset, tmp_path, augmentation=GEOMETRY)
    source = _source(module, range(20))
    truth = torch.from_numpy(dataset.index().points)
    assert torch.equal(source.points, truth), "labels wait in image pixels for the one warp"
    for random in (False, True):
        batch = module.transform(source, random=random, epoch=5)
        back = transform_points(batch.frame_to_image, batch.points)
        mirrored = torch.linalg.det(batch.frame_to_image[:, :, :2]) < 0
        assert bool(mirrored.any()) == random
        order = torch.where(mirrored[:, None], module.transform._flip[0], torch.arange(68))
        assert torch.equal(batch.mask, source.mask.gather(1, order))
        expected = truth.gather(1, order[..., None].expand(-1, -1, 2))
        assert float((back - expected).abs().max()) < 0.01


def test_flip_twice_gives_every_label_back(dot_faces: MakeSet, tmp_path: Path) -> None:
    module = _module(dot_faces(n=6, labels=True), tmp_path)
    batch = module.transform(_source(module, range(6)), random=False)
    yes = torch.ones(6, dtype=torch.bool)
    _assert_same(module.transform._mirror(module.transform._mirror(batch, yes), yes), batch)
    flipped = module.transform._mirror(batch, yes)
    assert not torch.equal(flipped.mask, batch.mask)


def test_mirrored_frame_mirrors_pixels_points_and_pose(dot_faces: MakeSet, tmp_path: Path) -> None:
    module = _module(dot_faces(n=8, labels=True), tmp_path)
    source = _source(module, range(8))
    plain = module.transform(source, random=False)
    module.transform.augmentation = replace(Augmentation.none(), flip=1.0)
    mirror = module.transform(source, random=True)
    assert float((mirror.image - plain.image.flip(3)).abs().max()) <= 2 / 255
    order = module.transform._flip[0]
    assert torch.allclose(mirror.points[..., 0], 95 - plain.points[:, order, 0], atol=1e-3)
    assert torch.allclose(mirror.points3d[..., 2], plain.points3d[:, order, 2], atol=1e-4)
    assert torch.equal(mirror.visible, plain.visible[:, order])
    assert torch.allclose(mirror.pose[:, :3], flip_pose(plain.pose[:, :3]), atol=1e-3)
    assert torch.allclose(mirror.norms, plain.norms, equal_nan=True)


def test_depth_scale_norms_and_focal_follow_the_warp(dot_faces: MakeSet, tmp_path: Path) -> None:
    dataset = dot_faces(n=8, labels=True)
    module = _module(dataset, tmp_path, augmentation=GEOMETRY)
    batch = module.transform(_source(module, range(8)), random=True, epoch=2)
    index = dataset.index()
    step = torch.linalg.det(batch.frame_to_image[:, :, :2]).abs().sqrt()
    assert torch.allclose(batch.focal * step, torch.from_numpy(index.focal), rtol=1e-4)
    z = batch.points3d[..., 2].masked_fill(~batch.mask, 0).abs().sum(1) * step
    known = torch.from_numpy(np.abs(index.points3d[..., 2]) * index.mask).sum(1)
    assert torch.allclose(z, known, rtol=1e-3)
    assert torch.allclose(batch.points3d[..., :2][batch.mask], batch.points[batch.mask], atol=1e-2)
    diagonal = batch.norms[:, -1] * step
    points = torch.from_numpy(index.points[:, :4])
    assert torch.allclose(diagonal, (points.amax(1) - points.amin(1)).norm(dim=1), rtol=1e-4)
    assert batch.subsets[:, 0].tolist() == [True, False] * 4


@given(st.integers(0, 2**31), st.integers(1, 7), st.integers(0, 50))
def test_a_face_is_the_same_in_any_batch(
    tmp_path_factory: pytest.TempPathFactory, seed: int, size: int, epoch: int
) -> None:
    module = _cached_module(tmp_path_factory)
    module.transform.seed = seed
    whole = module.transform(_source(module, range(12)), random=True, epoch=epoch)
    order = np.random.default_rng(seed).permutation(12)
    faces = module.faces("train")
    assert faces is not None
    for start in range(0, 12, size):
        rows = order[start : start + size].tolist()
        part = module.transform(faces.__getitems__(rows), random=True, epoch=epoch)
        expected = whole.select(torch.tensor(rows))
        torch.testing.assert_close(part.image, expected.image, rtol=0, atol=1 / 255 + 1e-6)
        torch.testing.assert_close(part.points, expected.points, rtol=0, atol=1e-4)
        assert torch.equal(part.mask, expected.mask)


_MODULES: dict[str, LandmarkDataModule] = {}


def _cached_module(factory: pytest.TempPathFactory) -> LandmarkDataModule:
    if "m" not in _MODULES:
        from lit_landmarks.data import DATASETS

        dataset = DATASETS["DotFaces"](n=12, dots=68, labels=True)  # type: ignore[call-arg]
        _MODULES["m"] = _module(dataset, factory.mktemp("cache"))
    return _MODULES["m"]


def test_epoch_seed_and_draw_change_the_face(dot_faces: MakeSet, tmp_path: Path) -> None:
    module = _module(dot_faces(n=4), tmp_path)
    faces = module.faces("train")
    assert faces is not None
    base = module.transform(faces.__getitems__(range(4)), random=True, epoch=0)
    again = module.transform(faces.__getitems__(range(4)), random=True, epoch=0)
    _assert_same(base, again)
    later = module.transform(faces.__getitems__(range(4)), random=True, epoch=1)
    second = module.transform(faces.__getitems__(range(4, 8)), random=True, epoch=0)
    assert torch.equal(second.index, base.index), "item 4 is face 0, drawn again"
    for other in (later, second):
        assert float((other.points - base.points).abs().amax((1, 2)).min()) > 0.1


@pytest.mark.parametrize("size", [64, 128])
def test_host_and_device_paint_alike(size: int) -> None:
    smooth = torch.rand(16, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(smooth, size=160, mode="bicubic").clamp(0, 1)
    source = (smooth * 255).round().byte().contiguous(memory_format=torch.channels_last)
    u = torch.rand(16, N_UNIFORM, generator=torch.Generator().manual_seed(1))
    strength = replace(Augmentation(), blur=0.7, noise=0.5, occlusion=0.5)
    params = sample_params(u, strength, size, 1 / 1.35)
    angle = torch.deg2rad(params.rotation)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(-1, 2, 2)
    warp = torch.cat([turn * 100 / size, torch.full((16, 2, 1), 40.0)], 2)
    radius = strength.blur_radius(size)
    for change in (None, params):
        host = on_host(source, warp, size, change, radius)
        device = on_device(source, warp, size, change, radius)
        gap = (host - device).abs()
        # Where the source ends, a neighbour pixel of black is mixed in: steep, so left out.
        inside = on_device(torch.full_like(source, 255), warp, size, None, 0) > 0.999
        eroded = -torch.nn.functional.max_pool2d(-inside.float(), 2 * radius + 1, 1, radius)
        assert float(gap[eroded > 0.5].max()) < TOLERANCE
        assert float(gap.mean()) < TOLERANCE / 10


def test_occlusion_hides_visible_points(dot_faces: MakeSet, tmp_path: Path) -> None:
    strength = replace(Augmentation.none(), occlusion=1.0, occlusion_size=0.6)
    module = _module(dot_faces(n=16, dots=68, labels=True), tmp_path, augmentation=strength)
    source = _source(module, range(16))
    plain = module.transform(source, random=False)
    covered = module.transform(source, random=True, epoch=0)
    changed = plain.visible != covered.visible
    assert 0 < int(changed.sum()) < changed.numel()
    assert bool((plain.visible[changed] == 1).all())
    assert bool((covered.visible[changed] == 0).all())
    still = (covered.visible == 1) & ((covered.points > 3) & (covered.points < 92)).all(-1)
    b, k = torch.nonzero(still, as_tuple=True)
    x, y = covered.points[b, k].round().long().unbind(1)
    gap = (covered.image[b, :, y, x] - plain.image[b, :, y, x]).abs().amax(1)
    assert float((gap > 0.02).float().mean()) < 0.02, "a visible point keeps its pixels"


@given(st.lists(st.floats(-60, 60), min_size=3, max_size=3), st.floats(-80, 80), st.booleans())
def test_rotation_follows_warp(ypr: list[float], angle: float, mirror: bool) -> None:
    """Mirror and turn the image of a turned model: the rotation found gives that image."""
    model = mean_face("ibug68").double()
    rotation = euler_to_matrix(torch.tensor([ypr], dtype=torch.float64))
    a = np.deg2rad(angle)
    linear = 1.7 * torch.tensor(
        [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]], dtype=torch.float64
    )
    if mirror:
        linear = linear @ torch.diag(torch.tensor([-1.0, 1.0], dtype=torch.float64))
    warp = torch.cat([linear, torch.zeros(2, 1)], 1)[None]
    image = (model @ rotation[0].mT)[:, :2] @ linear.T
    twin = model * torch.tensor([-1.0, 1.0, 1.0]) if mirror else model
    found = turned(rotation, warp)
    assert torch.allclose(1.7 * (twin @ found[0].mT)[:, :2], image, atol=1e-9)
    assert float(torch.linalg.det(found)) == pytest.approx(1.0)


@given(st.floats(-40, 40), st.floats(-1, 1), st.floats(3, 20))
def test_translation_of_a_known_rotation(yaw: float, tx: float, tz: float) -> None:
    model = mean_face("ibug68").double()
    pose = torch.tensor([[yaw, 5.0, -10.0, tx, 0.3, tz]], dtype=torch.float64)
    points = project(model, pose, 1.0, 0.0)
    rotation = euler_to_matrix(pose[:, :3])
    mask = torch.ones(1, 68, dtype=torch.bool)
    mask[:, ::3] = False
    found, ok = translation(
        points.masked_fill(~mask[..., None], torch.nan), mask, model @ rotation.mT
    )
    assert bool(ok)
    assert torch.allclose(found, pose[:, 3:], atol=1e-6)


class _Projected:
    """Index columns of faces that are exact images of the mean face."""

    def __init__(self, n: int, size: float) -> None:
        rng = np.random.default_rng(1)
        angles = rng.uniform(-30, 30, (n, 3))
        # The camera looks at the middle of the face, as `FaceIndex.pose` asks, from as far away
        # as POSIT assumes.
        rotation = euler_to_matrix(torch.from_numpy(angles)).numpy()
        at = np.array([0.0, 0.0, CAMERA_DISTANCE]) - rotation @ np.array(FACE_MIDDLE)
        pose = np.concatenate([angles, at], 1)
        focal = size * CAMERA_DISTANCE / 3.6
        points = project(
            mean_face("ibug68").double(), torch.from_numpy(pose), focal, (size - 1) / 2
        )
        self.points = points.numpy().astype(np.float32)
        self.angles = angles.astype(np.float32)


def test_pose_after_the_warp(dot_faces: Any, tmp_path: Path) -> None:
    """Exact angles through any warp; POSIT makes the same from the points alone."""
    dataset = dot_faces(n=16, dots=68)
    faces = _Projected(16, 240.0)
    index = dataset.index()
    low, high = faces.points.min(1), faces.points.max(1)
    dataset._index = replace(
        index, points=faces.points, pose=faces.angles, box=np.concatenate([low, high], 1)
    )
    module = _module(dataset, tmp_path, augmentation=GEOMETRY)
    source = _source(module, range(16))
    exact = module.transform(source, random=True, epoch=4)
    assert bool(exact.has_pose.all())
    params = module.transform.sample(source, 4)
    inverse = place_crops(source.box, source.frame_to_image, module.crop, params).inverse
    expected = matrix_to_euler(turned(euler_to_matrix(torch.from_numpy(faces.angles)), inverse))
    assert torch.allclose(exact.pose[:, :3], expected, atol=1e-2)
    again = project(mean_face("ibug68"), exact.pose, 1.5 * 96, 47.5)
    gap = (again - exact.points).norm(dim=-1).mean(1)
    assert float(gap.max()) < 3.0, "translation puts the model on the points"

    blind = replace(source, has_pose=torch.zeros(16, dtype=torch.bool))
    found = module.transform(blind, random=True, epoch=4)
    angle = geodesic_degrees(euler_to_matrix(found.pose[:, :3]), euler_to_matrix(exact.pose[:, :3]))
    assert bool(found.has_pose.all())
    assert float(angle.max()) < 0.2
    assert exact.pose_kind.tolist() == [POSE_KINDS.index("given")] * 16
    assert found.pose_kind.tolist() == [POSE_KINDS.index("posit")] * 16


def test_few_points_have_no_pose(dot_faces: MakeSet, tmp_path: Path) -> None:
    module = _module(dot_faces(n=3, dots=2), tmp_path)
    batch = module.transform(_source(module, range(3)), random=False)
    assert not bool(batch.has_pose.any())
    assert bool((batch.pose == 0).all())


def test_wide_frame_shows_more(dot_faces: MakeSet, tmp_path: Path) -> None:
    dataset = dot_faces(n=3)
    tight = _module(dataset, tmp_path, frame_scale=None)
    wide = _module(dataset, tmp_path, frame_scale=None, frame="wide")
    spread = [
        (b.points[:, 1] - b.points[:, 0]).norm(dim=1)
        for m in (tight, wide)
        for b in [m.transform(_source(m, range(3)), random=False)]
    ]
    assert torch.allclose(spread[0] / spread[1], torch.full((3,), 3.0 / 1.35), rtol=1e-3)
    assert wide.spec.frame == "wide"


def test_neutral_parameters_are_evaluation(dot_faces: MakeSet, tmp_path: Path) -> None:
    module = _module(dot_faces(n=5, labels=True), tmp_path)
    source = _source(module, range(5))
    plain = module.transform(source, random=False)
    same = module.transform(source, random=False, params=AugmentationParams.neutral(5))
    torch.testing.assert_close(same.image, plain.image, rtol=0, atol=1 / 255 + 1e-6)
    assert float((same.image != plain.image).float().mean()) < 1e-3
    torch.testing.assert_close(same.points, plain.points, rtol=0, atol=1e-4)
    assert torch.equal(same.visible, plain.visible)


def test_given_parameters_shift_zoom_turn_and_mirror_exactly(
    dot_faces: MakeSet, tmp_path: Path
) -> None:
    module = _module(dot_faces(n=4), tmp_path)
    source = _source(module, range(4))
    plain = module.transform(source, random=False).points.double()
    middle = 47.5
    still = AugmentationParams.neutral(4)

    def points(**changes: Tensor) -> Tensor:
        params = replace(still, **changes)
        return module.transform(source, random=False, params=params).points.double()

    shift = torch.tensor([[0.25 / 96, -0.5 / 96]]).expand(4, 2)
    moved = plain + torch.tensor([0.25, -0.5], dtype=torch.float64)
    torch.testing.assert_close(points(shift=shift), moved, rtol=0, atol=1e-4)
    zoomed = (plain - middle) * 1.02 + middle
    torch.testing.assert_close(points(scale=torch.full((4,), 1.02)), zoomed, rtol=0, atol=1e-4)
    x, y = (plain - middle).unbind(-1)
    turned_by_90 = torch.stack([-y, x], -1) + middle
    found = points(rotation=torch.full((4,), 90.0))
    torch.testing.assert_close(found, turned_by_90, rtol=0, atol=1e-4)
    mirrored = plain[:, module.transform._flip[0]] * torch.tensor([-1.0, 1.0]).double()
    found = points(flip=torch.ones(4, dtype=torch.bool))
    expected = mirrored + torch.tensor([95.0, 0.0]).double()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_pictures_end_beside_their_faces() -> None:
    strength = replace(Augmentation.none(), margins=1.0, scale=0.3, shift=0.1, rotation=45.0)
    u = torch.rand(200, N_UNIFORM, generator=torch.Generator().manual_seed(0))
    params = sample_params(u, strength, 128, 1 / 2.7)
    assert params.window is not None
    low, high = params.window.float().split(2, 1)
    middle = (0.5 + params.shift) * 128
    reach = 1.4 * 0.5 * 128 / 2.7 * params.scale[:, None]
    assert (low <= (middle - reach).clamp(min=0)).all()
    assert (high >= (middle + reach).clamp(max=128)).all()
    assert int((low > 0).sum() + (high < 128).sum()) > 600
    assert sample_params(u, Augmentation.none(), 128, 0.4).window is None
