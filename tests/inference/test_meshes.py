"""Faces as .ply and .obj files: what another program reads in them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh
import yaml

from lit_landmarks import load
from lit_landmarks.cli import main
from lit_landmarks.data import SyntheticFaces
from lit_landmarks.errors import UserError
from lit_landmarks.inference import write_mesh
from lit_landmarks.template import mean_face
from tests.support.configs import quick_config


@pytest.mark.parametrize("kind", ["ply", "obj"])
def test_vertices_triangles_and_normals_are_read_back(kind: str, tmp_path: Path) -> None:
    face = mean_face("dense520").numpy() * 100 + [200, 150, 0]
    write_mesh(tmp_path / f"face.{kind}", face, "dense520")
    mesh = trimesh.load(tmp_path / f"face.{kind}", process=False)
    assert np.allclose(mesh.vertices, face * [1, -1, -1], atol=1e-3)
    assert mesh.is_winding_consistent
    assert not mesh.is_watertight
    # The nose points to the viewer, cheeks to their sides.
    assert mesh.vertex_normals[30][2] > 0.8
    side = mesh.vertices[:, 0] - mesh.vertices[30, 0]
    assert mesh.vertex_normals[side > 60][:, 0].mean() > 0.5
    assert mesh.vertex_normals[side < -60][:, 0].mean() < -0.5
    assert mesh.body_count == 1


def test_the_jaw_of_the_fits_has_its_own_triangles(tmp_path: Path) -> None:
    face = mean_face("dense520").numpy()
    for convention in ("300w_lp", "300w", None):
        write_mesh(tmp_path / f"{convention}.ply", face, "dense520", convention)
    content = {p.stem: p.read_bytes() for p in tmp_path.iterdir()}
    assert content["300w"] == content["None"] != content["300w_lp"]
    fitted = SyntheticFaces(n=1, scheme="dense520", convention="300w_lp").labels(range(1))
    for name, convention in (("known", "300w_lp"), ("unknown", None), ("other", "300w")):
        write_mesh(tmp_path / f"{name}.ply", fitted.points3d[0], "dense520", convention)
    content = {p.stem: p.read_bytes() for p in tmp_path.iterdir()}
    assert content["known"] == content["unknown"] != content["other"]


def test_bad_input_is_one_line_and_writes_nothing(tmp_path: Path) -> None:
    face = mean_face("dense520").numpy()
    broken = face.copy()
    broken[3] = np.nan
    for name, points, scheme, message in (
        ("a.stl", face, "dense520", r"no mesh format '\.stl'.*\.ply or \.obj"),
        ("a.ply", face[:68], "dense520", r"\(68, 3\) are no finite points of dense520"),
        ("a.ply", broken, "dense520", "no finite points"),
        ("a.ply", np.zeros((520, 3)), "dense520_published", "no place on the template head"),
    ):
        with pytest.raises(UserError, match=message):
            write_mesh(tmp_path / name, points, scheme)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of dense landmarks with predictions."""
    folder = tmp_path_factory.mktemp("dense")
    heads = {
        "class_path": "SyntheticFaces",
        "init_args": {
            "n": 4, "scheme": "dense520", "convention": "300w_lp", "image_size": 64,
            "visibility": False,
        },
    }  # fmt: skip
    tree = quick_config()
    tree["trainer"] |= {"max_epochs": 1, "callbacks": []}
    tree["data"]["init_args"] |= {
        "weights": None, "batch_size": 4,
        "scheme": "dense520", "frame_size": 64, "train": {"heads": heads}, "val": {"heads": heads},
    }  # fmt: skip
    correction = {"class_path": "lit_landmarks.methods.dense520.SurfaceCorrection"}
    backbone = "mobilenetv3_small_050"
    tree["model"] = {
        "class_path": "Dense520",
        "init_args": {"backbone": backbone, "correction": correction},
    }
    (folder / "fit.yaml").write_text(yaml.safe_dump(tree))
    assert main(["fit", "--config", str(folder / "fit.yaml"), "--run", str(folder / "run")]) == 0
    assert main(["predict", "--run", str(folder / "run")]) == 0
    return folder / "run"


def test_predicted_faces_become_meshes(run: Path, tmp_path: Path) -> None:
    with np.load(run / "predictions.npz", allow_pickle=False) as file:
        solid, points = file["points3d"], file["points"]
        assert str(file["scheme"]) == "dense520"
        assert file["conventions"].tolist() == ["300w_lp"]
    assert solid.shape == (4, 520, 3)
    assert np.allclose(solid[..., :2], points, atol=1e-3)
    command = ["analyse", "meshes", str(run / "predictions.npz"), "--output", str(tmp_path / "m")]
    assert main(command) == 0
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == [f"00000{k}.ply" for k in range(4)]
    assert main([*command[:-1], str(tmp_path / "two"), "--format", "obj", "--rows", "2", "0"]) == 0
    names = sorted(p.name for p in (tmp_path / "two").iterdir())
    assert names == ["000000.obj", "000002.obj"]
    mesh = trimesh.load(tmp_path / "two" / "000002.obj", process=False)
    assert np.allclose(mesh.vertices, solid[2] * [1, -1, -1], atol=1e-3)


def test_a_face_of_a_picture_saves_its_mesh(run: Path, tmp_path: Path) -> None:
    landmarker = load(run)
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    face = landmarker(image, boxes=[[30, 20, 80, 70]])[0]
    assert face.convention == "300w_lp"
    assert landmarker(image, [[30, 20, 80, 70]], convention="300w")[0].convention == "300w"
    face.save_mesh(tmp_path / "face.ply")
    mesh = trimesh.load(tmp_path / "face.ply", process=False)
    assert face.points3d is not None
    assert np.allclose(mesh.vertices, face.points3d * [1, -1, -1], atol=1e-3)


def test_files_without_3d_points_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = tmp_path / "flat.npz"
    np.savez(flat, points=np.zeros((2, 68, 2)))
    output = ["--output", str(tmp_path / "meshes")]
    for arguments, message in (
        ([str(flat)], f"no points3d in {flat}"),
        ([str(tmp_path / "none.npz")], "no readable predictions"),
        ([str(run / "predictions.npz"), "--rows", "9"], "no face 9 in"),
    ):
        assert main(["analyse", "meshes", *arguments, *output]) == 2
        assert message in capsys.readouterr().err
    with np.load(run / "predictions.npz", allow_pickle=False) as file:
        arrays = dict(file)
    bad = arrays["points3d"].copy()
    bad[1, 3] = np.nan
    for name, changes, message in (
        ("nan", {"points3d": bad}, "face 1 has points that are not finite"),
        ("ids", {"dataset_id": arrays["dataset_id"] + 5}, "no file of predictions"),
        ("flat", {"points3d": np.float32(1)}, "no file of predictions"),
    ):
        np.savez(tmp_path / f"{name}.npz", **{**arrays, **changes})
        assert main(["analyse", "meshes", str(tmp_path / f"{name}.npz"), *output]) == 2
        assert message in capsys.readouterr().err
    data = bytearray((run / "predictions.npz").read_bytes())
    with zipfile.ZipFile(run / "predictions.npz") as archive:
        start = archive.getinfo("points3d.npy").header_offset
    data[start + 300 : start + 900] = bytes(600)
    (tmp_path / "damaged.npz").write_bytes(data)
    assert main(["analyse", "meshes", str(tmp_path / "damaged.npz"), *output]) == 2
    assert not (tmp_path / "meshes").exists()
