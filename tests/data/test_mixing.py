"""Several data sets in one batch: weights, order, maps between schemes, padding."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.data import FaceDataset, FaceIndex, LandmarkDataModule, SyntheticFaces
from lit_landmarks.data.dataset import ConcatFaces, CroppedFaces, MixSampler
from lit_landmarks.errors import UserError
from lit_landmarks.schemes import CONVENTIONS, get_map
from lit_landmarks.types import DatasetSpec
from tests.support.posed import pose_faces

MakeSet = Callable[..., FaceDataset]


def _labels_only(sizes: list[int], weights: list[float]) -> ConcatFaces:
    parts = []
    for number, (n, weight) in enumerate(zip(sizes, weights, strict=True)):
        index = FaceIndex(
            np.zeros((n, 68, 2), np.float32), np.ones((n, 68), bool), np.ones((n, 4), np.float32)
        )
        spec = DatasetSpec(f"s{number}", "train", "ibug68", "300w", "interocular", n)
        parts.append(CroppedFaces(spec, "ibug68", index, None, 64, 2.0, number, weight))
    return ConcatFaces(parts, 68, ())


@given(
    st.lists(
        st.tuples(st.integers(1, 30), st.sampled_from([0.25, 0.5, 1.0, 1.5, 3.0])),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 100),
)
def test_each_face_is_drawn_as_often_as_its_weight_says(
    sets: list[tuple[int, float]], seed: int
) -> None:
    faces = _labels_only([n for n, _ in sets], [w for _, w in sets])
    sampler = MixSampler(faces, seed)
    items = list(sampler)
    assert len(items) == len(sampler) == sum(max(1, round(n * w)) for n, w in sets)
    assert len(set(items)) == len(items), "a second draw of a face is another item"
    counts = Counter(item % len(faces) for item in items)
    start = 0
    for n, weight in sets:
        seen = [counts[i] for i in range(start, start + n)]
        assert sum(seen) == max(1, round(n * weight))
        assert max(seen) - min(seen) <= 1
        start += n
    batch = faces.__getitems__(items)
    assert batch.draw.tolist() == [item // len(faces) for item in items]


def test_order_follows_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = MixSampler(_labels_only([20, 10], [1.0, 1.0]), seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 3) == order(0, 3)
    assert order(0, 3) != order(0, 4)
    assert order(0, 3) != order(1, 3)
    late = [i for i in order(0, 0)[:15] if i >= 20]
    assert 0 < len(late) < 10, "the sets are mixed within the epoch"


def test_one_batch_of_two_schemes_in_a_target_scheme(dot_faces: MakeSet, tmp_path: Path) -> None:
    a = dot_faces(n=3, dots=68)
    b = dot_faces(n=4, dots=70, n_points=70, scheme="face_synthetics70")
    b.convention = "face_synthetics"
    angles = pose_faces(b), pose_faces(a)
    module = LandmarkDataModule(
        train={"a": a, "b": b}, scheme="face_synthetics70", cache_dir=str(tmp_path), frame_size=64
    )
    faces = module.faces("train")
    assert faces is not None
    batch = faces.__getitems__([5, 0, 3, 2, 6])
    assert batch.dataset_id.tolist() == [1, 0, 1, 0, 1]
    assert batch.index.tolist() == [2, 0, 0, 2, 3]
    assert [CONVENTIONS[i] for i in batch.convention_id] == [
        b.convention if i else a.convention for i in batch.dataset_id
    ]
    assert batch.points.shape == (5, 70, 2)
    has_pupils = batch.mask[:, 68:].all(1).tolist()
    assert has_pupils == [True, False, True, False, True]
    assert bool(batch.mask[:, :68].all())
    for row, item in enumerate([5, 0, 3, 2, 6]):
        alone = faces[item]
        assert torch.equal(alone.image[0], batch.image[row])
        assert torch.equal(alone.points[0], batch.points[row])
    ready = module.transform(batch, random=True)
    assert bool(ready.points[ready.mask].isfinite().all())
    assert bool(ready.image.isfinite().all())
    assert bool(ready.has_pose.all())
    still = module.transform(batch, random=False)
    expected = [angles[0][2], angles[1][0], angles[0][0], angles[1][2], angles[0][3]]
    assert still.pose[:, :3].numpy() == pytest.approx(np.stack(expected), abs=0.3)


def test_map_takes_points_and_masks_the_rest(dot_faces: MakeSet, tmp_path: Path) -> None:
    dataset = dot_faces(n=2, dots=98, n_points=98, scheme="wflw98", labels=True)
    module = LandmarkDataModule(train={"w": dataset}, scheme="ibug68", cache_dir=str(tmp_path))
    faces = module.faces("train", pixels=False)
    assert faces is not None
    batch = faces.__getitems__([0, 1])
    index = get_map("wflw98", "ibug68").source_index
    own = torch.from_numpy(dataset.index().points)[:, index]
    assert torch.equal(batch.points, own)
    assert bool(batch.mask.all())
    assert torch.equal(batch.visible, torch.from_numpy(dataset.index().visible)[:, index])
    assert module.spec.datasets[0].scheme == "ibug68"


def test_no_map_is_an_error(dot_faces: MakeSet) -> None:
    dataset = dot_faces(n=2, n_points=29, dots=29, scheme="cofw29")
    with pytest.raises(UserError, match="cofw29"):
        LandmarkDataModule(train={"c": dataset}, scheme="ibug68")


def test_padded_schemes_flip_and_pose_each_by_their_own(dot_faces: MakeSet, tmp_path: Path) -> None:
    sets = {
        "a": dot_faces(n=2, dots=68),
        "w": dot_faces(n=2, dots=98, n_points=98, scheme="wflw98"),
    }
    angles = {name: pose_faces(dataset) for name, dataset in sets.items()}
    module = LandmarkDataModule(train=sets, scheme=None, cache_dir=str(tmp_path), frame_size=64)
    assert module.spec.n_points == 98
    faces = module.faces("train")
    assert faces is not None
    batch = faces.__getitems__([0, 2, 1, 3])
    assert batch.mask.sum(1).tolist() == [68, 98, 68, 98]
    assert bool(batch.queries[0, 68:].isnan().all())
    ready = module.transform(batch, random=True)
    assert ready.mask.sum(1).tolist() == [68, 98, 68, 98]
    assert bool(ready.has_pose.all())
    still = module.transform(batch, random=False)
    expected = np.stack([angles["a"], angles["w"]], 1).reshape(4, 3)
    assert still.pose[:, :3].numpy() == pytest.approx(expected, abs=0.3)
    with pytest.raises(UserError, match="one scheme"):
        module.shape_statistics()


def test_spawned_workers_get_the_file_and_not_its_bytes(dot_faces: MakeSet, tmp_path: Path) -> None:
    module = LandmarkDataModule(train={"a": dot_faces(n=6)}, cache_dir=str(tmp_path))
    faces = module.faces("train")
    assert faces is not None
    data = pickle.dumps(faces)
    assert faces.parts[0].crops is not None
    assert len(data) < faces.parts[0].crops.nbytes / 10
    twin = pickle.loads(data)
    assert torch.equal(twin.__getitems__([4, 1]).image, faces.__getitems__([4, 1]).image)


def test_labels_of_122_000_faces_stay_small() -> None:
    n = 122_000
    index = FaceIndex(
        points=np.zeros((n, 68, 2), np.float32),
        mask=np.ones((n, 68), bool),
        box=np.zeros((n, 4), np.float32),
        visible=np.zeros((n, 68), np.int8),
        points3d=np.zeros((n, 68, 3), np.float32),
        paths=tuple(f"some/folder/of/faces/{i:06d}.jpg" for i in range(n)),
    )
    columns: list[Any] = [index.points, index.mask, index.box, index.visible, index.points3d]
    size = sum(c.nbytes for c in columns) + sum(len(p) + 58 for p in index.paths)
    assert size < 300e6


def test_index_refuses_columns_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"FaceIndex\.mask"):
        FaceIndex(np.zeros((2, 5, 2), np.float32), np.ones((2, 4), bool), np.ones((2, 4), "f4"))
    with pytest.raises(ValueError, match=r"subset hard"):
        FaceIndex(
            np.zeros((2, 5, 2), np.float32),
            np.ones((2, 5), bool),
            np.ones((2, 4), "f4"),
            subsets={"hard": np.zeros(3, bool)},
        )


def test_depth_counts_from_the_mean_of_the_points_that_are_delivered() -> None:
    rng = np.random.default_rng(0)
    n, size = 3, 64
    points3d = rng.normal(size=(n, 520, 3)).astype(np.float32) * 20 + 30
    points3d[..., 2] -= points3d[..., 2].mean(1, keepdims=True)
    index = FaceIndex(
        points3d[..., :2], np.ones((n, 520), bool), np.ones((n, 4), np.float32), points3d=points3d
    )
    spec = DatasetSpec("dense", "train", "ibug68", "300w_lp", "box", n)
    part = CroppedFaces(spec, "dense520", index, None, size, 2.0, 0, 1.0)
    depth = part.fetch(np.arange(n), 68, ())["points3d"][..., 2]
    assert depth.shape == (n, 68)
    assert np.abs(depth.mean(1)).max() < 1e-4
    own = points3d[:, :68, 2]
    expected = own - own.mean(1, keepdims=True)
    np.testing.assert_allclose(depth, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("sizes", "weights", "least", "draws"),
    [
        ([6], {}, 24, [24]),
        ([6], {}, 15, [15]),
        ([6], {}, 5, [6]),
        ([4, 12], {}, 32, [8, 24]),
        ([4, 12], {"s0": 3.0}, 48, [24, 24]),
        ([4, 12], {"s0": 3.0}, None, [12, 12]),
    ],
)
def test_few_faces_are_drawn_until_an_epoch_is_full(
    sizes: list[int], weights: dict[str, float], least: int | None, draws: list[int]
) -> None:
    sets = {f"s{i}": SyntheticFaces(n=n, seed=i, visibility=False) for i, n in enumerate(sizes)}
    val = {"v": SyntheticFaces(n=5, seed=9, visibility=False)}
    data = LandmarkDataModule(
        sets, val=val, weights=weights, epoch_faces=least, batch_size=20, frame_size=32
    )
    faces = data.faces("train", pixels=False)
    assert faces is not None
    items = torch.tensor(list(MixSampler(faces, 0)))
    assert len(items.unique()) == len(items), "a second draw is augmented otherwise"
    drawn = torch.bincount(items % sum(sizes), minlength=sum(sizes)).split(sizes)
    assert [int(part.sum()) for part in drawn] == draws
    assert all(int(part.max() - part.min()) <= 1 for part in drawn)
    assert data.train_batch == min(20, sum(draws))
    judged = data.faces("val", pixels=False)
    assert judged is not None
    assert len(judged) == 5


@pytest.mark.parametrize("least", [0, -3])
def test_an_epoch_has_faces(least: int) -> None:
    with pytest.raises(UserError, match=f"epoch_faces is {least}"):
        LandmarkDataModule({"a": SyntheticFaces(n=4)}, epoch_faces=least)
