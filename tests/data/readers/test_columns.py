"""`ColumnFaces`: what the layout `columns` writes, read again; damage, bad rows, foreign paths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lit_landmarks.cli import main
from lit_landmarks.data import DATASETS, FaceDataset, SyntheticFaces
from lit_landmarks.data.columns import read_columns, write_columns
from lit_landmarks.errors import UserError

ARGUMENTS: dict[str, Any] = {
    "scheme": "dense520", "convention": "3d", "max_yaw": 90.0, "image_size": 64, "seed": 4,
}  # fmt: skip


def faces(root: Path, **more: Any) -> FaceDataset:
    return DATASETS["ColumnFaces"](str(root), **more)  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("columns") / "heads"
    settings = [f"--{key}={value}" for key, value in ARGUMENTS.items()]
    command = ["data", "synthesize", str(root), "--layout", "columns", "--n", "6", *settings]
    assert main([*command, "--workers", "1"]) == 0
    return root


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    """The same faces, in a folder that may be changed."""
    root = tmp_path / "copy"
    (root / "images").mkdir(parents=True)
    for path in written.rglob("*.jpg"):
        target = root / path.relative_to(written)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    (root / "faces.npz").write_bytes((written / "faces.npz").read_bytes())
    return root


def change(root: Path, **columns: Any) -> None:
    """Writes the file again with other arrays; None leaves one out."""
    path = root / "faces.npz"
    index, more = read_columns(path)
    labels = {k: v for k, v in vars(index).items() if isinstance(v, np.ndarray)}
    arrays = {**labels, **more, **columns}
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})


def test_every_label_comes_back_as_it_was_rendered(written: Path) -> None:
    dataset = faces(written)
    assert (dataset.scheme, dataset.convention) == ("dense520", "synthetic_3d")
    assert dataset.primary_norm == "box"
    index, exact = dataset.index(), SyntheticFaces(n=6, **ARGUMENTS).index()
    for name in ("points", "mask", "points3d", "box", "pose", "focal", "visible"):
        assert np.array_equal(getattr(index, name), getattr(exact, name)), name
    present = {name for name, inside in exact.subsets.items() if inside.any()}
    assert set(index.subsets) == present
    assert all(np.array_equal(index.subsets[name], exact.subsets[name]) for name in present)
    assert np.shares_memory(index.points, index.points3d)  # type: ignore[arg-type]
    assert dataset.load([3])[0].shape == (64, 64, 3)
    name = next(iter(present))
    assert len(faces(written, subset=name).index()) == int(exact.subsets[name].sum())
    assert len(faces(written, last=2).index()) == 2


def test_any_scheme_and_convention_is_written(tmp_path: Path) -> None:
    command = ["data", "synthesize", str(tmp_path / "h"), "--layout", "columns", "--n", "2"]
    assert main([*command, "--image_size", "64", "--scheme", "wflw98", "--visibility=false"]) == 0
    dataset = faces(tmp_path / "h")
    assert (dataset.scheme, dataset.convention) == ("wflw98", "synthetic_visible")
    assert dataset.index().visible is None


def test_bad_rows_are_named_and_left_out(copy: Path) -> None:
    index, more = read_columns(copy / "faces.npz")
    solid, box = np.array(index.points3d), np.array(index.box)
    solid[1, 7, 0] = np.nan
    box[5] = [200, 200, 220, 230]
    solid[2, 7, 2] = np.inf
    box[3] = [5, 5, 5, 9]
    images = more["image"].copy()
    images[4] = "images/000/000099.jpg"
    change(copy, points=None, points3d=solid, box=box, image=images)
    good, problems = faces(copy).scan()
    assert len(good) == 1
    path = copy / "faces.npz"
    found = sorted(str(problem) for problem in problems)
    assert [text.partition(";")[0] for text in found] == [
        f"a depth is not finite or far too large, {path}:2",
        f"a point is no pixel, {path}:1",
        f"no image, {copy.resolve()}/images/000/000099.jpg ({path}:4)",
        f"the box does not meet the points, {path}:5",
        f"the box has no area, {path}:3",
    ]
    with pytest.raises(UserError, match=r"faces\.npz:1; write it with"):
        faces(copy).index()


def test_a_point_that_is_not_annotated_may_be_anything(copy: Path) -> None:
    index, _ = read_columns(copy / "faces.npz")
    solid, mask = np.array(index.points3d), index.mask.copy()
    solid[1, 7], mask[1, 7] = np.nan, False
    change(copy, points=None, points3d=solid, mask=mask)
    assert faces(copy).index().mask.sum(1).tolist() == [520, 519, 520, 520, 520, 520]


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/hostname", "images/../../secret.jpg", ""])
def test_pictures_cannot_lie_elsewhere(copy: Path, name: str) -> None:
    (copy.parent / "secret.jpg").write_bytes(b"x")
    change(copy, image=np.array([name] * 6))
    with pytest.raises(UserError, match=r"is not below|no image"):
        faces(copy).index()


def test_a_link_cannot_lead_elsewhere(copy: Path) -> None:
    secret = copy.parent / "secret.jpg"
    secret.write_bytes(b"x")
    (copy / "images/000/000002.jpg").unlink()
    (copy / "images/000/000002.jpg").symlink_to(secret)
    with pytest.raises(UserError, match="is not below"):
        faces(copy).index()


def test_what_is_no_such_file_is_refused_in_one_line(copy: Path) -> None:
    path = copy / "faces.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="no readable columns"):
        faces(copy).index()
    path.write_bytes(whole)
    header = json.loads(str(read_columns(path)[1]["header"]))
    for changes, message in (
        ({"header": json.dumps({**header, "scheme": "ibug68"})}, "520 points, not 68"),
        ({"header": json.dumps({**header, "scheme": "no_such"})}, "no_such"),
        ({"header": "[1]"}, "no JSON object"),
        ({"header": "{"}, "no readable columns"),
        ({"header": "[" * 100_000}, "no readable columns"),
        ({"header": json.dumps({**header, "units": "percent"})}, "units are pixels"),
        ({"visible": np.full((6, 520), 7, np.int8)}, "visible is none of"),
        ({"focal": np.full(6, -5.0, np.float32)}, "focal length is not above 0"),
        ({"pose": np.full((6, 3), np.inf, np.float32)}, "pose is infinite"),
        ({"subset/a/b": np.ones(6, np.bool_)}, "subset 'a/b' is no name"),
        ({"points3d": np.float32(1), "points": None}, "no readable columns"),
        ({"header": None}, 'no "format"'),
        ({"image": None}, "image is no column"),
        ({"image": np.arange(6)}, "image is no column"),
        ({"box": np.zeros((6, 3), np.float32)}, "no readable columns: FaceIndex.box"),
        ({"colour": np.zeros(6)}, "unknown column 'colour'"),
    ):
        path.write_bytes(whole)
        change(copy, **changes)
        with pytest.raises(UserError, match=message):
            faces(copy).index()
    path.unlink()
    with pytest.raises(UserError, match=r"no file .*data synthesize"):
        faces(copy).index()


def test_nothing_is_unpickled(copy: Path) -> None:
    np.savez(copy / "faces.npz", header=np.array([{"format": 1}], dtype=object))
    with pytest.raises(UserError, match="no readable columns"):
        faces(copy).index()


def test_points_beside_other_3d_points_are_both_kept(tmp_path: Path) -> None:
    index = SyntheticFaces(n=2, **ARGUMENTS).index()
    moved = index.__class__(**{**vars(index), "points": index.points + 1})
    write_columns(tmp_path / "faces.npz", moved)
    read, more = read_columns(tmp_path / "faces.npz")
    assert np.array_equal(read.points, index.points + 1)
    assert not more


def test_pictures_may_lie_in_the_folder_itself(copy: Path) -> None:
    (copy / "images/000/000000.jpg").rename(copy / "first.jpg")
    names = read_columns(copy / "faces.npz")[1]["image"].copy()
    names[0] = "first.jpg"
    change(copy, image=names)
    assert faces(copy).index().paths[0].endswith("first.jpg")


def test_damage_of_a_compressed_file_is_one_line(copy: Path) -> None:
    with np.load(copy / "faces.npz", allow_pickle=False) as file:
        arrays = dict(file)
    np.savez_compressed(copy / "faces.npz", **arrays)
    data = bytearray((copy / "faces.npz").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    (copy / "faces.npz").write_bytes(data)
    with pytest.raises(UserError, match="no readable columns"):
        faces(copy).index()
