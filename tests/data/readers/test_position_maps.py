"""Position maps: our own layout, the published index files on posed heads, and damage."""

from __future__ import annotations

import io
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.data import PositionMaps, SyntheticFaces
from lit_landmarks.data.layouts import LAYOUTS, LabelledFace, write_image
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import euler_to_matrix
from lit_landmarks.schemes.dense520 import published_order

Attempt = Callable[..., tuple[Any, list[UserError]]]
N = 5


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[LabelledFace]]:
    root = tmp_path_factory.mktemp("maps")
    source = SyntheticFaces(n=N, image_size=96, scheme="dense520", convention="3d", max_yaw=80)
    index = source.index()
    assert index.points3d is not None
    picture = np.zeros((96, 96, 3), np.uint8)
    unknown = np.full(520, -1, np.int8)
    faces = [
        LabelledFace(i, picture + i, index.points[i], index.box[i], unknown, index.points3d[i])
        for i in range(N)
    ]
    layout = LAYOUTS["position_maps"]()
    for face in faces:
        layout.write(root, face)
    layout.finish(root, faces)
    return root, faces


@pytest.mark.parametrize(("scheme", "n_points"), [("ibug68", 68), ("dense520", 520)])
def test_points_come_back(
    written: tuple[Path, list[LabelledFace]], scheme: str, n_points: int
) -> None:
    root, faces = written
    data = PositionMaps(str(root), scheme=scheme)  # type: ignore[arg-type]
    index = data.index()
    assert data.scheme == scheme
    assert len(index) == N
    assert index.points3d is not None
    assert index.mask.all()
    for row, face in enumerate(faces):
        assert face.points3d is not None
        assert index.points[row] == pytest.approx(face.points[:n_points], abs=1e-4)
        solid = face.points3d[:n_points].copy()
        solid[:, 2] -= solid[:, 2].mean()
        assert index.points3d[row] == pytest.approx(solid, abs=1e-3)
        assert (data.load([row])[0] == row).mean() > 0.99


def test_maps_in_folders_of_subsets(
    written: tuple[Path, list[LabelledFace]], tmp_path: Path
) -> None:
    root, _ = written
    (tmp_path / "AFW").mkdir()
    for file in root.glob("00000[01]*"):
        shutil.copy(file, tmp_path / "AFW")
    index = PositionMaps(str(tmp_path), layout_dir=str(root / "layout")).index()
    assert [Path(p).parts[-2:] for p in index.paths] == [
        ("AFW", "000000.jpg"),
        ("AFW", "000001.jpg"),
    ]
    with pytest.raises(UserError, match=r"no folder .*layout with .*set layout_dir"):
        PositionMaps(str(tmp_path)).index()
    (tmp_path / "above" / "two" / "levels").mkdir(parents=True)
    shutil.copy(root / "000000.npy", tmp_path / "above" / "two" / "levels")
    with pytest.raises(UserError, match=r"no \.npy file in .*above or in a folder right below"):
        PositionMaps(str(tmp_path / "above"), layout_dir=str(root / "layout")).index()
    with pytest.raises(UserError, match=r"no folder .*none; correct root"):
        PositionMaps(str(tmp_path / "none")).index()


def test_pixel_without_surface_is_masked(
    written: tuple[Path, list[LabelledFace]], tmp_path: Path
) -> None:
    root = Path(shutil.copytree(written[0], tmp_path / "root"))
    whole = np.load(root / "000002.npy")
    place = np.loadtxt(root / "layout" / "uv_kpt_ind.txt").astype(int)
    whole[place[1, 7], place[0, 7]] = 0
    np.save(root / "000002.npy", whole)
    index = PositionMaps(str(root)).index()
    assert (~index.mask).nonzero()[0].tolist() == [2]
    assert (~index.mask).nonzero()[1].tolist() == [7]
    assert index.points3d is not None
    assert index.points3d[2, index.mask[2], 2].mean() == pytest.approx(0, abs=1e-4)


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("unpickled",))


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../out.npy", npy(np.zeros(3)))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(np.zeros((256, 256), np.float32)), r"the array is \(256, 256\), not \(256, 256, 3\)"),
        (npy(np.ones((256, 256, 3), complex)), r"the array is complex128 .*, not numbers"),
        (npy(np.full((256, 256, 3), np.nan)), r"point 0 \(nan, nan\) is no pixel"),
        (npy(np.zeros((256, 256, 3))), r"all points lie on one line"),
        (npy(np.array([_Code()], object)), r"no readable \.npy array"),
        (pickle.dumps(_Code()), r"no readable \.npy array"),
        (zipped(), r"an archive, no \.npy array|no readable \.npy array"),
        (b"", r"no readable \.npy array"),
    ],
    # Not of the content, which is long and, in an archive, holds the time.
    ids=["flat", "complex", "nan", "zeros", "objects", "pickle", "archive", "empty"],
)
def test_bad_map_is_named_and_the_others_are_kept(
    written: tuple[Path, list[LabelledFace]], attempt: Attempt, content: bytes, message: str
) -> None:
    root, _ = written
    index, problems = attempt(root / "000001.npy", content, PositionMaps(str(root)))
    assert len(index) == N - 1
    with pytest.raises(UserError, match=message + r".*000001\.npy; "):
        raise problems[0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("uv_kpt_ind.txt", "1 2 3", r"3 numbers, not 136, .*uv_kpt_ind\.txt; "),
        ("uv_kpt_ind.txt", "x " * 136, r"no numbers, .*uv_kpt_ind\.txt; "),
        ("uv_kpt_ind.txt", "256 " * 136, r"a number is not one of 0\.\.255, .*uv_kpt_ind\.txt"),
        ("uv_kpt_ind.txt", "1.5 " * 136, r"a number is not one of 0\.\.255"),
        ("uv_kpt_ind.txt", "nan " * 136, r"a number is not one of 0\.\.255"),
        ("uv_kpt_ind.txt", None, r"no file .*uv_kpt_ind\.txt; restore it or set layout_dir"),
    ],
)
def test_bad_layout_file_is_named(
    written: tuple[Path, list[LabelledFace]],
    tmp_path: Path,
    name: str,
    text: str | None,
    message: str,
) -> None:
    layout = Path(shutil.copytree(written[0] / "layout", tmp_path / "layout"))
    if text is None:
        (layout / name).unlink()
    else:
        (layout / name).write_text(text)
    with pytest.raises(UserError, match=message):
        PositionMaps(str(written[0]), layout_dir=str(layout)).index()


def test_missing_published_list_is_named(written: tuple[Path, list[LabelledFace]]) -> None:
    with pytest.raises(UserError, match=r"no file .*vertices_520_sel_from_blender\.txt; restore"):
        PositionMaps(str(written[0]), scheme="dense520_published").index()
    with pytest.raises(UserError, match=r"scheme: 'wflw98' is unknown; take ibug68 or dense520 or"):
        PositionMaps(str(written[0]), scheme="wflw98")  # type: ignore[arg-type]


def test_picture_missing(written: tuple[Path, list[LabelledFace]], tmp_path: Path) -> None:
    root = Path(shutil.copytree(written[0], tmp_path / "root"))
    (root / "000000.jpg").unlink()
    with pytest.raises(UserError, match=r"no image, .*000000 \(\.jpg, .*\); restore"):
        PositionMaps(str(root)).index()


@given(data=st.data())
def test_damaged_maps_are_read_right_or_refused(
    written: tuple[Path, list[LabelledFace]], attempt: Attempt, data: st.DataObject
) -> None:
    root, faces = written
    file = root / "000000.npy"
    whole = file.read_bytes()
    kind = data.draw(st.sampled_from(["cut", "header", "bytes"]))
    raw = whole[: data.draw(st.integers(0, len(whole) - 1))]
    if kind != "cut":
        at = data.draw(st.integers(0, 127 if kind == "header" else len(whole) - 1))
        new = data.draw(st.binary(min_size=1, max_size=20))
        raw = whole[:at] + new + whole[at + len(new) :]
    index, problems = attempt(file, raw, PositionMaps(str(root)))
    assert len(index) + len(problems) == N
    if kind == "cut":
        assert len(problems) == 1
    assert np.isfinite(index.points).all()
    assert index.points[-1] == pytest.approx(faces[-1].points[:68], abs=1e-4)


@pytest.mark.real
def test_published_files_on_posed_heads(real_data: Path, tmp_path: Path) -> None:
    """Canonical vertices of the release, posed by us and stored in its pixels, in every scheme."""
    layout = real_data / "position_maps"
    canonical = np.load(layout / "canonical_vertices.npy")
    face = np.loadtxt(layout / "face_ind.txt").astype(int)
    columns, rows = np.loadtxt(layout / "uv_kpt_ind.txt").astype(int)
    number = np.full(65536, -1)
    number[face] = np.arange(len(face))
    sparse = number[rows * 256 + columns]
    turned = []
    for k, pose in enumerate(([0, 0, 0], [60, -10, 20], [-35, 25, 0])):
        # The release's z points to the camera: turn in our axes, then turn z back.
        axes = np.array([1.0, 1.0, -1.0])
        rotation = euler_to_matrix(torch.tensor(pose, dtype=torch.float64)).numpy()
        solid = ((canonical - canonical.mean(0)) * axes) @ rotation.T * 0.6 + [128, 120, 0]
        turned.append(solid)
        whole = np.zeros((65536, 3), np.float32)
        whole[face] = solid * axes + [0, 0, 300]
        np.save(tmp_path / f"{k}.npy", whole.reshape(256, 256, 3))
        write_image(tmp_path / f"{k}.jpg", np.zeros((256, 256, 3), np.uint8))
    chosen = np.loadtxt(layout / "vertices_520_sel_from_blender.txt").astype(int)
    own68 = np.loadtxt(layout / "vertices_68_fil_520.txt").astype(int)
    expected = {
        "ibug68": sparse,
        "dense520_published": chosen[list(published_order(own68.tolist()))],
    }
    for scheme, vertices in expected.items():
        index = PositionMaps(str(tmp_path), str(layout), scheme).index()  # type: ignore[arg-type]
        assert index.points3d is not None
        for k, solid in enumerate(turned):
            assert index.points[k] == pytest.approx(solid[vertices, :2], abs=1e-3)
            depth = solid[vertices, 2]
            assert index.points3d[k, :, 2] == pytest.approx(depth - depth.mean(), abs=1e-3)
    dense = PositionMaps(str(tmp_path), str(layout), "dense520").index()
    assert dense.points3d is not None
    for k, solid in enumerate(turned):
        assert dense.points[k, :68] == pytest.approx(solid[sparse, :2], abs=1e-3)
        # Every point of our set lies on the face: between vertices that are no further apart.
        apart = np.linalg.norm(solid[:, None, :2] - dense.points[k][None, ::13], axis=-1).min(0)
        assert apart.max() < 1.0
