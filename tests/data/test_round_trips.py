"""From the files of every layout through its reader to frames and back; flips; memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from lit_landmarks.data import FaceDataset, FaceIndex, LandmarkDataModule, SyntheticFaces
from lit_landmarks.data.augment import Augmentation
from lit_landmarks.data.dataset import ConcatFaces, CroppedFaces
from lit_landmarks.data.layouts import LAYOUTS, LabelledFace
from lit_landmarks.data.readers.position_maps import PositionMaps
from lit_landmarks.data.recognize import walk
from lit_landmarks.data.transform import BatchTransform
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import transform_points
from lit_landmarks.schemes import SCHEMES, get_scheme
from lit_landmarks.types import CropSpec, DatasetSpec

_FACES, _SIZE = 8, 96
#: Layouts that round: pixels of the largest difference that the published digits leave.
_ROUNDED = {"youtube_faces": 0.5, "lapa": 0.01, "merl_rav": 0.01}


def _faces(scheme: str) -> list[LabelledFace]:
    """Rendered heads, or noise with points where heads lack the scheme."""
    try:
        dataset = SyntheticFaces(n=_FACES, image_size=_SIZE, scheme=scheme)
        index, images = dataset.index(), dataset.load(range(_FACES))
    except UserError:
        rng = np.random.default_rng(0)
        n = get_scheme(scheme).n_points
        points = rng.uniform(20, 76, (_FACES, n, 2)).astype(np.float32)
        box = np.concatenate([points.min(1), points.max(1)], 1)
        deep = np.concatenate([points, rng.normal(0, 9, (_FACES, n, 1)).astype("f4")], 2)
        pose = rng.uniform(-30, 30, (_FACES, 3)).astype(np.float32)
        index = FaceIndex(points, np.ones((_FACES, n), bool), box, points3d=deep, pose=pose)
        images = list(rng.integers(0, 256, (_FACES, _SIZE, _SIZE, 3), np.uint8))
    ones = np.ones(index.points.shape[1], np.int8)
    return [
        LabelledFace(
            number=i,
            image=images[i],
            points=index.points[i],
            box=index.box[i],
            visible=ones,
            points3d=None if index.points3d is None else index.points3d[i],
            pose=None if index.pose is None else index.pose[i],
            focal=None if index.focal is None else float(index.focal[i]),
        )
        for i in range(_FACES)
    ]


def _scheme(layout: str) -> str:
    return LAYOUTS[layout].scheme or "ibug68"


def _read(layout: str, root: Path) -> tuple[list[LabelledFace], list[FaceDataset]]:
    """Faces written in a layout, and all data sets that are found in the folder."""
    writer = LAYOUTS[layout].of(SyntheticFaces(n=1))
    faces = _faces(_scheme(layout))
    for face in faces:
        writer.write(root, face)
    writer.finish(root, faces)
    if layout == "position_maps":  # holds several schemes; by default its 68 points are read
        return faces, [PositionMaps(str(root), scheme="dense520")]
    return faces, [dataset for _, dataset in walk(root) if _has_faces(dataset)]


def _has_faces(dataset: FaceDataset) -> bool:
    """False for a split that so few faces leave empty, and for COFW68's pictures without 29."""
    try:
        return len(dataset.scan()[0]) > 0
    except UserError:
        return False


def _rows(datasets: list[FaceDataset], scheme: str) -> Iterator[tuple[FaceDataset, int]]:
    for dataset in datasets:
        if dataset.scheme == scheme:
            yield from ((dataset, row) for row in range(len(dataset.index())))


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_file_to_sample_to_frame_and_back(layout: str, tmp_path: Path) -> None:
    faces, datasets = _read(layout, tmp_path / "set")
    assert datasets, "no reader declares these files"
    scheme = _scheme(layout)
    truth = np.stack([face.points for face in faces])
    tolerance = _ROUNDED.get(layout, 0.01)
    seen = set()
    for dataset, row in _rows(datasets, scheme):
        index = dataset.index()
        mask = index.mask[row]
        error = np.abs(truth - index.points[row])[:, mask].max((1, 2))
        face = int(error.argmin())
        assert error[face] <= tolerance, "the file holds the face's points"
        seen.add(face)
    assert seen == set(range(_FACES)), "every face is read in some split"
    sets = {f"{i}": d for i, d in enumerate(datasets) if d.scheme == scheme}
    module = LandmarkDataModule(
        train=sets, scheme=scheme, frame_size=64, cache_dir=str(tmp_path / "cache")
    )
    for random in (False, True):
        for batch in module.batches("train", random=random):
            back = transform_points(batch.frame_to_image.double(), batch.points.double())
            for row in range(len(batch)):
                dataset = list(sets.values())[int(batch.dataset_id[row])]
                file = dataset.index().points[int(batch.index[row])]
                mirrored = bool(torch.linalg.det(batch.frame_to_image[row, :, :2]) < 0)
                flip = get_scheme(scheme).flip
                order = list(flip) if mirrored and flip is not None else list(range(len(file)))
                off = np.abs(back[row].numpy() - file[order])[batch.mask[row].numpy()]
                assert off.max() <= 0.01


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_flipped_twice_is_the_face_itself(scheme: str) -> None:
    n = get_scheme(scheme).n_points
    rng = np.random.default_rng(0)
    points = rng.uniform(20, 70, (5, n, 2)).astype(np.float32)
    deep = np.concatenate([points, rng.normal(0, 9, (5, n, 1)).astype("f4")], 2)
    index = FaceIndex(
        points,
        rng.random((5, n)) < 0.8,
        np.tile(np.array([20, 20, 70, 70], "f4"), (5, 1)),
        visible=rng.integers(-1, 3, (5, n)).astype(np.int8),
        points3d=deep,
        head3d=rng.normal(size=(5, n, 3)).astype("f4"),
    )
    spec = DatasetSpec("s", "train", scheme, "custom", "box", 5)
    part = CroppedFaces(spec, scheme, index, None, 64, 2.0, 0)
    batch = ConcatFaces([part], n, ()).__getitems__(range(5))
    transform = BatchTransform(CropSpec(64, "tight", 1.3), [scheme], n, Augmentation.none())
    flip = torch.tensor([get_scheme(scheme).flip is not None]).expand(5)
    once = transform._mirror(batch, flip)
    twice = transform._mirror(once, flip)
    for name in ("points", "points3d", "head3d", "mask", "visible"):
        assert torch.equal(getattr(twice, name), getattr(batch, name)), name
    if bool(flip.any()):
        assert not torch.equal(once.points, batch.points)


_MEMORY = """
import resource
import numpy as np
from lit_landmarks.data.dataset import ConcatFaces, MixSampler, CroppedFaces
from lit_landmarks.data import FaceIndex
from lit_landmarks.types import DatasetSpec

def megabytes():
    with open("/proc/self/status") as file:
        text = file.read()
    return {k: int(text.split(k + ":")[1].split()[0]) / 1024 for k in ("VmRSS", "VmHWM")}

before, n = megabytes(), 122_000
rng = np.random.default_rng(0)
points = rng.random((n, 68, 2), np.float32)
index = FaceIndex(
    points, np.ones((n, 68), bool), np.concatenate([points.min(1), points.max(1)], 1),
    paths=tuple(f"some/folder/of/faces/{i:06d}.jpg" for i in range(n)),
    visible=np.ones((n, 68), np.int8), pose=rng.random((n, 3), np.float32),
)
spec = DatasetSpec("a", "train", "ibug68", "300w", "interocular", n)
faces = ConcatFaces([CroppedFaces(spec, "ibug68", index, None, 128, 2.0, 0)], 68, ())
order = list(MixSampler(faces, 0))
for start in range(0, 320, 32):
    faces.__getitems__(order[start:start + 32])
after = megabytes()
print(after["VmRSS"] - before["VmRSS"], after["VmHWM"] - before["VmHWM"])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's own figures")
def test_122_000_faces_take_less_than_300_megabytes() -> None:
    run = subprocess.run(
        [sys.executable, "-c", _MEMORY], capture_output=True, text=True, timeout=99
    )
    assert run.returncode == 0, run.stderr
    held, most = map(float, run.stdout.split())
    assert held < 250, "labels, order and batches together, above the bare import"
    assert most < 300, "also while they are made"
