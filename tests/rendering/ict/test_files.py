"""Head files: conversion of a clone, and what is said of broken ones."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lit_landmarks.errors import UserError
from lit_landmarks.rendering.ict.convert import convert_facekit
from lit_landmarks.rendering.ict.model import VERTICES, load_model


def arrays() -> dict[str, Any]:
    """A file of the right form; its head is random points."""
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(VERTICES, 3)).astype(np.float32)
    mean[36], mean[45] = (-4.0, 3.0, 8.0), (4.0, 3.0, 8.0)
    return {
        "mean": mean,
        "quads": np.array([[0, 1, 2, 3], [4, 5, 6, 6]], np.int32),
        "identity": rng.normal(size=(2, VERTICES, 3)).astype(np.float16),
        "expression": rng.normal(size=(2, VERTICES, 3)).astype(np.float16),
        "expression_names": np.array(["jawOpen", "mouthSmile_L"]),
        "ibug68": np.arange(68),
    }


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return arrays()


def write(path: Path, data: dict[str, Any]) -> Path:
    np.savez(path, **data)
    return path


def test_the_model_stands_in_the_head_frame(tmp_path: Path, whole: dict[str, Any]) -> None:
    model = load_model(write(tmp_path / "head.npz", whole))
    assert model.unit == pytest.approx(8.0)
    assert np.allclose(model.mean[[36, 45]], [[-0.5, 0, 0], [0.5, 0, 0]])
    # Half a turn about x: y down, z away.
    offset = whole["identity"].astype(np.float32) * [1, -1, -1] / 8
    assert np.allclose(model.identity, offset, atol=1e-6)
    # Quads become two triangles, a triangle one; their order turns.
    assert model.triangles.tolist() == [[0, 2, 1], [4, 6, 5], [0, 3, 2]]


@pytest.mark.parametrize("name", ["mean", "identity", "expression", "quads", "ibug68"])
def test_bad_arrays_are_named(tmp_path: Path, whole: dict[str, Any], name: str) -> None:
    array = whole[name]
    huge = np.full(array.shape, np.nan if array.dtype.kind == "f" else VERTICES)
    for bad in (
        array[:1, :1] if array.ndim > 1 else array[:3],
        huge.astype(array.dtype),
        array.astype("U4"),
        None,
    ):
        data = {k: v for k, v in whole.items() if k != name}
        if bad is not None:
            data[name] = bad
        with pytest.raises(UserError, match=name):
            load_model(write(tmp_path / "bad.npz", data))


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data convert ict-facekit"):
        load_model(tmp_path / "no.npz")


@settings(max_examples=60)
@given(
    cut=st.integers(0, 2000), flips=st.lists(st.integers(0, 10**9), max_size=4), kind=st.booleans()
)
def test_damaged_files_raise_or_read_the_same(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flips: list[int], kind: bool
) -> None:
    stream = io.BytesIO()
    (np.savez_compressed if kind else np.savez)(
        stream, **{k: v for k, v in arrays().items() if k in ("ibug68", "quads")}
    )
    data = bytearray(stream.getvalue())
    for place in flips:
        data[place % len(data)] ^= 1 + place % 255
    path = tmp_path_factory.mktemp("damaged") / "head.npz"
    path.write_bytes(bytes(data[: len(data) - cut]))
    with pytest.raises(UserError):  # arrays are missing, at the least
        load_model(path)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, whole: dict[str, Any]) -> Path:
    """A clone with two identities and two expressions."""
    folder = tmp_path_factory.mktemp("clone") / "FaceXModel"
    folder.mkdir()
    mean = whole["mean"].astype(np.float64)

    def obj(name: str, vertices: Any) -> None:
        lines = ["# a comment", *(f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices)]
        lines += ["vt 0.25 0.75", "f 1/1 2/1 3/1 4/1", "f 5/1/1 6/1/1 7/1/1"]
        (folder / f"{name}.obj").write_text("\n".join(lines))

    obj("generic_neutral_mesh", mean)
    for k, name in enumerate(("identity000", "identity001")):
        obj(name, mean + whole["identity"][k])
    for k, name in enumerate(("jawOpen", "mouthSmile_L")):
        obj(name, mean + whole["expression"][k])
    points = {"idx_to_fitting_verts": [1, 2], "idx_to_landmark_verts": list(range(68))}
    (folder / "vertex_indices.json").write_text(json.dumps(points))
    return folder.parent


def test_a_clone_becomes_the_file(tmp_path: Path, clone: Path, whole: dict[str, Any]) -> None:
    convert_facekit(clone, tmp_path / "head.npz")
    with np.load(tmp_path / "head.npz", allow_pickle=False) as made:
        assert np.allclose(made["mean"], whole["mean"], atol=1e-5)
        for name in ("identity", "expression"):
            assert np.allclose(made[name].astype(float), whole[name].astype(float), atol=2e-3)
        assert made["quads"].tolist() == whole["quads"].tolist()
        assert made["expression_names"].tolist() == ["jawOpen", "mouthSmile_L"]
        assert made["ibug68"].tolist() == list(range(68))
        assert made["uv"][0].tolist() == [0.25, 0.75]
    assert load_model(tmp_path / "head.npz").expression_names == ("jawOpen", "mouthSmile_L")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("jawOpen.obj", "v ", "v x", r"jawOpen\.obj:2;"),
        ("identity001.obj", "v ", "v nan ", r"identity001\.obj:2;"),
        ("identity001.obj", "v ", "w ", "24590 vertices, not 24591"),
        ("generic_neutral_mesh.obj", "f 1/1", "f 0/1", "bad face"),
        ("generic_neutral_mesh.obj", "f 1/1", "f ../etc", "bad face"),
        ("vertex_indices.json", "[0,", "[99999,", "68 vertex numbers"),
        ("vertex_indices.json", "{", "", "cannot read"),
    ],
)
def test_broken_clones_are_told(
    tmp_path: Path, clone: Path, name: str, old: str, new: str, message: str
) -> None:
    path = clone / "FaceXModel" / name
    good = path.read_text()
    path.write_text(good.replace(old, new, 1))
    try:
        with pytest.raises(UserError, match=message):
            convert_facekit(clone, tmp_path / "head.npz")
    finally:
        path.write_text(good)
    assert not (tmp_path / "head.npz").exists()
