"""300W-LP and AFLW2000-3D: poses in other axes, depth in the other direction, and damage."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import loadmat, savemat

from lit_landmarks.data import Aflw2000, Lp300W, SyntheticFaces
from lit_landmarks.data.layouts import LAYOUTS, LabelledFace
from lit_landmarks.data.pose import posit_angles
from lit_landmarks.data.readers.large_pose import to_file_angles, to_our_pose, yaw_subsets
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import euler_to_matrix, geodesic_degrees
from lit_landmarks.schemes import get_scheme

Attempt = Callable[..., tuple[Any, list[UserError]]]
N = 9


def written(layout: str, root: Path) -> list[LabelledFace]:
    source = SyntheticFaces(
        n=N, image_size=96, convention="3d", max_yaw=85, max_pitch=50, visibility=False
    )
    index = source.index()
    assert index.points3d is not None
    assert index.pose is not None
    unknown = np.full(68, -1, np.int8)
    rng = np.random.default_rng(0)
    faces = [
        LabelledFace(
            i,
            rng.integers(0, 256, (96, 96, 3), np.uint8),
            index.points[i],
            index.box[i],
            unknown,
            index.points3d[i],
            index.pose[i],
        )
        for i in range(N)
    ]
    for face in faces:
        LAYOUTS[layout]().write(root, face)
    return faces


@pytest.fixture
def aflw(tmp_path: Path) -> tuple[Path, list[LabelledFace]]:
    return tmp_path / "aflw", written("aflw2000", tmp_path / "aflw")


@pytest.fixture
def lp(tmp_path: Path) -> tuple[Path, list[LabelledFace]]:
    return tmp_path / "lp", written("300w_lp", tmp_path / "lp")


def change(file: Path, **variables: Any) -> None:
    found = {k: v for k, v in loadmat(file).items() if not k.startswith("_")} | variables
    savemat(file, {k: v for k, v in found.items() if v is not None})


@given(hnp.arrays(np.float64, (5, 3), elements=st.floats(-1, 1)))
def test_angles_there_and_back(unit: np.ndarray[Any, Any]) -> None:
    pose = unit * [170, 80, 170]
    back = to_our_pose(to_file_angles(pose))
    apart = geodesic_degrees(
        euler_to_matrix(torch.from_numpy(pose)), euler_to_matrix(torch.from_numpy(back))
    )
    assert float(apart.max()) < 1e-4


def test_signs_of_single_turns() -> None:
    # In the files a face that turns to the image's right has a negative yaw, one that looks up a
    # positive pitch (seen on the real ones); single turns keep their size.
    files = np.deg2rad([[0, -40, 0], [25, 0, 0], [0, 0, 20]])
    ours = to_our_pose(files)
    assert ours[0] == pytest.approx([40, 0, 0], abs=1e-9)
    assert ours[1] == pytest.approx([0, 25, 0], abs=1e-9)
    assert ours[2] == pytest.approx([0, 0, 20], abs=1e-9)


def test_bins_of_the_published_protocol() -> None:
    yaw = [0.0, -30.0, 30.0001, 60.0, -60.001, 351.0]
    bins = [yaw_subsets(np.deg2rad([0, y, 0])) for y in yaw]
    names = ["0_30", "0_30", "30_60", "30_60", "60_90", "60_90"]
    assert bins == [(f"yaw_{name}",) for name in names]


def test_aflw2000_labels_come_back(aflw: tuple[Path, list[LabelledFace]]) -> None:
    root, faces = aflw
    index = Aflw2000(str(root)).index()
    assert index.points3d is not None
    assert index.pose is not None
    for row, face in enumerate(faces):
        assert face.points3d is not None
        assert index.points[row] == pytest.approx(face.points, abs=1e-4)
        assert index.points3d[row] == pytest.approx(face.points3d, abs=1e-3)
        assert index.points3d[row, :, 2].mean() == pytest.approx(0, abs=1e-4)
        assert index.pose[row] == pytest.approx(face.pose, abs=1e-3)
    # The nose tip is nearer than the middle of the ears: smaller z.
    assert (index.points3d[:, 30, 2] < index.points3d[:, [0, 16], 2].mean(1)).all()
    moved = Aflw2000(str(root), first_pixel=1).index()
    assert moved.points == pytest.approx(index.points - 1, abs=1e-4)
    assert moved.points3d is not None
    assert moved.points3d[..., 2] == pytest.approx(index.points3d[..., 2])
    bins = index.subsets
    assert np.sum([bins[k] for k in bins]) == N
    first = next(iter(bins))
    assert len(Aflw2000(str(root), subset=first).index()) == int(bins[first].sum())
    assert len(Aflw2000(str(root), first=2).index()) == 2
    above = root.parent / "above"
    above.mkdir()
    (above / "AFLW2000").symlink_to(root)
    assert len(Aflw2000(str(above)).index()) == N


def test_lp_labels_come_back(lp: tuple[Path, list[LabelledFace]]) -> None:
    root, faces = lp
    index = Lp300W(str(root)).index()
    numbers = [int(Path(p).stem.split("_")[2]) * 3 + int(Path(p).stem[-1]) for p in index.paths]
    assert sorted(numbers) == list(range(N))
    assert index.pose is not None
    for row, k in enumerate(numbers):
        assert index.points[row] == pytest.approx(faces[k].points, abs=1e-4)
        assert index.pose[row] == pytest.approx(faces[k].pose, abs=1e-3)
        assert index.subsets["original"][row] == (k % 3 == 0)
        assert index.subsets[("afw", "helen", "ibug")[k // 3]][row]
    assert len(Lp300W(str(root), subset="helen").index()) == 3
    (root.parent / "up").mkdir()
    root.rename(root.parent / "up" / "300W_LP")
    assert len(Lp300W(str(root.parent / "up")).index()) == N


@pytest.mark.parametrize(("turn", "folder"), [(0, "AFW"), (1, "HELEN"), (2, "IBUG")])
def test_lp_points_of_300w_are_those_of_the_turned_picture(
    lp: tuple[Path, list[LabelledFace]], turn: int, folder: str
) -> None:
    root, faces = lp
    photo = ("AFW", "HELEN", "IBUG").index(folder)
    name = f"{folder}_image_{photo:05d}_{turn}"
    truth = faces[3 * photo + turn].points.astype(np.float64)
    # The published file: `pt2d` of the photo before it was turned.
    change(root / folder / f"{name}.mat", pt2d=truth.T[:, ::-1] + 20.0)
    labels = root / "landmarks" / folder / f"{name}_pts.mat"
    change(labels, pts_2d=truth + 3.0)
    data = Lp300W(str(root), points="2d")
    assert data.convention == "300w"
    assert Lp300W(str(root)).convention == "300w_lp"
    row = [Path(path).stem for path in data.index().paths].index(name)
    assert data.index().points[row] == pytest.approx(truth + 3.0, abs=1e-4)
    assert Lp300W(str(root)).index().points[row] == pytest.approx(truth, abs=1e-4)
    labels.unlink()
    with pytest.raises(UserError, match=rf"no file .*{name}_pts\.mat; restore"):
        Lp300W(str(root), points="2d").index()


@pytest.mark.parametrize("points", ["2d", "3d"])
def test_lp_without_its_landmarks_is_refused(
    lp: tuple[Path, list[LabelledFace]], points: Any
) -> None:
    root, _ = lp
    (root / "landmarks" / "HELEN").rename(root / "elsewhere")
    with pytest.raises(UserError, match=r"no landmarks/HELEN in .*; fetch that folder too: pt2d"):
        Lp300W(str(root), points=points).index()


def test_lp_mirrored_copies_are_read_when_asked(lp: tuple[Path, list[LabelledFace]]) -> None:
    root, _ = lp
    (root / "AFW_Flip").mkdir()
    for file in (root / "AFW").iterdir():
        (root / "AFW_Flip" / file.name).write_bytes(file.read_bytes())
    assert len(Lp300W(str(root)).index()) == N
    for points in ("2d", "3d"):
        with pytest.raises(UserError, match=r"no landmarks/AFW_Flip in .*; leave flips: false"):
            Lp300W(str(root), points=points, flips=True).index()  # type: ignore[arg-type]
    shutil.copytree(root / "landmarks" / "AFW", root / "landmarks" / "AFW_Flip")
    assert len(Lp300W(str(root), points="2d", flips=True, subset="afw").index()) == 6


def test_lp_parts_never_share_a_photo(tmp_path: Path) -> None:
    folder, labels = tmp_path / "AFW", tmp_path / "landmarks" / "AFW"
    folder.mkdir()
    labels.mkdir(parents=True)
    fit, points = io.BytesIO(), io.BytesIO()
    savemat(fit, {"Pose_Para": np.zeros((1, 7))})
    savemat(points, {"pts_2d": np.arange(136.0).reshape(68, 2) ** 1.1})
    for photo in range(60):
        for turn in range(2):
            (folder / f"AFW_{photo}_1_{turn}.mat").write_bytes(fit.getvalue())
            (folder / f"AFW_{photo}_1_{turn}.jpg").write_bytes(b"")
            (labels / f"AFW_{photo}_1_{turn}_pts.mat").write_bytes(points.getvalue())
    photos = {}
    for part in ("train", "validation", "all"):
        paths = Lp300W(str(tmp_path), points="2d", part=part).index().paths  # type: ignore[arg-type]
        photos[part] = {Path(p).stem.rsplit("_", 1)[0] for p in paths}
        assert len(paths) == 2 * len(photos[part])
    assert photos["train"] | photos["validation"] == photos["all"]
    assert not photos["train"] & photos["validation"]
    assert 0 < len(photos["validation"]) < 12


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"pt3d_68": None}, r"no variable 'pt3d_68', .*\.mat; fetch"),
        ({"pt3d_68": np.zeros((68, 3))}, r"pt3d_68 is float64 \(68, 3\), not numbers 3 x 68"),
        ({"pt3d_68": np.zeros((3, 68))}, r"all points lie on one line, .*\.mat; annotate"),
        ({"pt3d_68": np.full((3, 68), np.nan)}, r"point 0 .* is no pixel, .*\.mat; correct"),
        ({"pt3d_68": "text"}, r"pt3d_68 is .*, not numbers"),
        ({"Pose_Para": np.zeros((1, 6))}, r"Pose_Para is float64 \(1, 6\), not numbers 1 x 7"),
        ({"Pose_Para": np.full((1, 7), np.inf)}, r"Pose_Para holds \[inf .*\.mat; fetch"),
    ],
)
def test_bad_fit_is_named_and_the_others_are_kept(
    aflw: tuple[Path, list[LabelledFace]], variables: dict[str, Any], message: str
) -> None:
    root, _ = aflw
    change(root / "image00004.mat", **variables)
    with pytest.raises(UserError, match=message) as error:
        Aflw2000(str(root)).index()
    assert "\n" not in str(error.value)
    index, problems = Aflw2000(str(root)).scan()
    assert (len(index), len(problems)) == (N - 1, 1)


def test_missing_files(
    aflw: tuple[Path, list[LabelledFace]], lp: tuple[Path, list[LabelledFace]]
) -> None:
    root, _ = aflw
    (root / "image00001.jpg").unlink()
    with pytest.raises(UserError, match=r"no image, .*image00001\.jpg; restore"):
        Aflw2000(str(root)).index()
    with pytest.raises(UserError, match=r"no image\*\.mat in .*; it holds image00002.*3DDFA"):
        Aflw2000(str(root.parent)).index()
    with pytest.raises(UserError, match=r"no folder .*none; correct root, .*3DDFA"):
        Aflw2000(str(root / "none")).index()
    root, _ = lp
    next((root / "landmarks" / "IBUG").iterdir()).unlink()
    with pytest.raises(UserError, match=r"no file .*landmarks/IBUG/.*_pts\.mat; restore"):
        Lp300W(str(root)).index()
    with pytest.raises(UserError, match=r"no AFW in .*; it holds AFW/, HELEN/.*3DDFA"):
        Lp300W(str(root.parent)).index()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[LabelledFace]]:
    root = tmp_path_factory.mktemp("kept")
    return root, written("aflw2000", root)


@given(data=st.data())
def test_damaged_fits_are_read_right_or_refused(
    kept: tuple[Path, list[LabelledFace]], attempt: Attempt, data: st.DataObject
) -> None:
    root, faces = kept
    file = root / "image00000.mat"
    whole = file.read_bytes()
    kind = data.draw(st.sampled_from(["cut", "bytes", "insert"]))
    at = data.draw(st.integers(0, len(whole) - 1))
    if kind == "cut":
        raw = whole[:at]
    elif kind == "bytes":
        new = data.draw(st.binary(min_size=1, max_size=12))
        raw = whole[:at] + new + whole[at + len(new) :]
    else:
        raw = whole[:at] + data.draw(st.binary(min_size=1, max_size=30)) + whole[at:]
    index, problems = attempt(file, raw, Aflw2000(str(root)))
    assert index is not None
    assert len(index) + len(problems) == N
    assert np.isfinite(index.points).all()
    if kind == "cut" and len(index) == N:
        assert index.points[0] == pytest.approx(faces[0].points, abs=1e-4)


@pytest.mark.real
def test_stored_pose_is_that_of_the_stored_points(real_data: Path) -> None:
    """The converted `Pose_Para` against the labels that POSIT makes of the 68 points."""
    index = Aflw2000(str(real_data / "aflw2000")).index()
    assert len(index) == 16
    assert index.pose is not None
    points, mask = torch.from_numpy(index.points), torch.from_numpy(index.mask)
    made, ok = posit_angles(points, mask, "ibug68")
    stored = torch.from_numpy(index.pose)
    apart = geodesic_degrees(euler_to_matrix(made), euler_to_matrix(stored))
    assert bool(ok.all())
    # The figures of the data README.
    assert float((made - stored).abs().mean()) == pytest.approx(1.7, abs=0.05)
    assert float(apart.mean()) == pytest.approx(3.5, abs=0.05)
    assert float(apart.max()) == pytest.approx(6.3, abs=0.05)


@pytest.mark.real
def test_real_depth_turns_with_the_stored_pose(real_data: Path) -> None:
    """Between two faces the rigid points turn as the stored poses do, depth included."""
    index = Aflw2000(str(real_data / "aflw2000")).index()
    assert index.points3d is not None
    assert index.pose is not None
    shape = index.points3d[:, get_scheme("ibug68").pose_points].astype(np.float64)
    shape -= shape.mean(1, keepdims=True)
    stored = euler_to_matrix(torch.from_numpy(index.pose).double())
    apart = []
    for i in range(16):
        for j in range(i):
            u, _, v = np.linalg.svd(shape[i].T @ shape[j])
            turn = u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v
            apart.append(geodesic_degrees(torch.from_numpy(turn), stored[i] @ stored[j].mT))
    assert float(torch.stack(apart).mean()) < 3.0
    assert {k: int(v.sum()) for k, v in index.subsets.items()} == {
        "yaw_0_30": 10,
        "yaw_30_60": 4,
        "yaw_60_90": 2,
    }


# ---- files that published results differ in ----------------------------------------------------


def test_other_labels_and_yaws_follow_the_sorted_names(
    aflw: tuple[Path, list[LabelledFace]],
) -> None:
    root, faces = aflw
    own = Aflw2000(str(root)).index()
    assert own.points3d is not None
    solid = np.stack([[*f.points.T, -f.points3d[:, 2]] for f in faces]).astype(np.float32)  # type: ignore[index]
    np.save(root / "pts68.npy", solid)
    same = Aflw2000(str(root), labels=str(root / "pts68.npy")).index()
    assert np.allclose(same.points, own.points)
    assert np.allclose(same.points3d, own.points3d, atol=1e-4)  # type: ignore[arg-type]
    np.save(root / "flat.npy", solid[:, :2] + 3)
    flat = Aflw2000(str(root), labels=str(root / "flat.npy"), first_pixel=1).index()
    assert np.allclose(flat.points, own.points + 2)
    assert flat.points3d is None
    assert np.allclose(flat.box, np.concatenate([flat.points.min(1), flat.points.max(1)], 1))
    yaws = np.array([-200.0, 30.0, 30.1, 60.0, 61.0, 0.0, -29.0, 45.0, 90.0])
    np.save(root / "pose.npy", yaws)
    index = Aflw2000(str(root), yaws=str(root / "pose.npy")).index()
    assert index.subsets["yaw_0_30"].tolist() == (np.abs(yaws) <= 30).tolist()
    assert index.subsets["yaw_60_90"].tolist() == (np.abs(yaws) > 60).tolist()
    assert np.array_equal(index.pose, own.pose)  # type: ignore[arg-type]


def test_files_of_other_sizes_are_refused(aflw: tuple[Path, list[LabelledFace]]) -> None:
    root, _ = aflw
    np.save(root / "few.npy", np.zeros((3, 2, 68)))
    with pytest.raises(UserError, match=r"\(3, 2, 68\), not \(9, 2, 68\) or"):
        Aflw2000(str(root), labels=str(root / "few.npy")).index()
    with pytest.raises(UserError, match=r"not \(9,\), .*few\.npy; its rows follow the names"):
        Aflw2000(str(root), yaws=str(root / "few.npy")).index()
    broken = Aflw2000(str(root)).index().points.transpose(0, 2, 1).copy()
    broken[4, 1, 7] = np.nan
    np.save(root / "broken.npy", broken)
    with pytest.raises(UserError, match=r"point 7 .*is no pixel, .*broken\.npy \(image00004\)"):
        Aflw2000(str(root), labels=str(root / "broken.npy")).index()
    with pytest.raises(UserError, match="no file"):
        Aflw2000(str(root), labels="nowhere.npy").index()
    radians = np.linspace(-1.5, 1.5, 9)
    outlier = np.deg2rad([351.0, 20, -50, 4, 80, -12, 7, 31, 2])  # as in the published file
    for name, yaws in (("nan", [np.nan] * 9), ("radians", radians), ("outlier", outlier)):
        np.save(root / f"{name}.npy", yaws)
        with pytest.raises(UserError, match="no yaws in degrees"):
            Aflw2000(str(root), yaws=str(root / f"{name}.npy")).index()
    with pytest.raises(UserError, match="first_pixel: 7"):
        Aflw2000(str(root), first_pixel=7)  # type: ignore[arg-type]


def test_folders_are_read_as_one_set(tmp_path: Path) -> None:
    for name in ("a", "b"):
        written("aflw2000", tmp_path / name)
    index = Aflw2000(str(tmp_path), folders=["a", "b"]).index()
    assert len(index) == 2 * N
    assert [Path(path).parent.name for path in index.paths] == ["a"] * N + ["b"] * N
    with pytest.raises(UserError, match="names one twice"):
        Aflw2000(str(tmp_path), folders=["a", "a"])
    with pytest.raises(UserError, match=r"no folder .*c; correct root"):
        Aflw2000(str(tmp_path), folders=["a", "c"]).index()


def test_faces_that_a_detector_misses_are_kept_and_counted(
    aflw: tuple[Path, list[LabelledFace]],
) -> None:
    root, faces = aflw
    rows = ["image,x0,y0,x1,y1"]
    for number in range(0, N, 2):
        x0, y0, x1, y1 = faces[number].box
        rows += [f"image{number:05d}.jpg,{x0 - 3},{y0},{x1 + 5},{y1}"]
        rows += [f"image{number:05d}.jpg,0,0,4,4"]  # something else that looks like a face
    (root / "boxes.csv").write_text("\n".join(rows) + "\n")
    index = Aflw2000(str(root), boxes="detector", detector_csv=str(root / "boxes.csv")).index()
    truth = Aflw2000(str(root)).index()
    detected = np.arange(N) % 2 == 0
    assert len(index) == N
    assert np.array_equal(index.subsets["detected"], detected)
    assert np.array_equal(index.subsets["undetected"], ~detected)
    assert np.array_equal(index.box[~detected], truth.box[~detected])
    assert np.allclose(index.box[detected], truth.box[detected] + [-3, 0, 5, 0], atol=0.01)
    assert not {"detected", "undetected"} & set(truth.subsets)
    (root / "far.csv").write_text("image,x0,y0,x1,y1\nimage00000.jpg,0,0,5,5\n")
    far = Aflw2000(str(root), boxes="detector", detector_csv=str(root / "far.csv")).index()
    assert far.subsets["undetected"].all()
    assert "detected" not in far.subsets
    for text in ("", "other.jpg,0,0,50,50\n"):
        (root / "none.csv").write_text(f"image,x0,y0,x1,y1\n{text}")
        with pytest.raises(UserError, match=r"no box of any picture of .*none\.csv"):
            Aflw2000(str(root), boxes="detector", detector_csv=str(root / "none.csv")).index()
    (root / "bad.csv").write_text("image,x0,y0,x1,y1\na\0b.jpg,0,0,50,50\n")
    with pytest.raises(UserError, match=r"no name of a picture, .*bad\.csv:2|cannot read"):
        Aflw2000(str(root), boxes="detector", detector_csv=str(root / "bad.csv")).index()
    with pytest.raises(UserError, match="go together"):
        Aflw2000(str(root), boxes="detector")


def test_rows_of_other_files_belong_to_names_whatever_the_folders(tmp_path: Path) -> None:
    """The files of published labels are sorted by the names of all pictures."""
    written("aflw2000", tmp_path / "a")
    for kind in ("jpg", "mat"):
        for number in range(0, N, 2):
            name = f"image{number:05d}.{kind}"
            (tmp_path / "b").mkdir(exist_ok=True)
            (tmp_path / "a" / name).rename(tmp_path / "b" / name)
    points = np.stack(
        [Aflw2000(str(tmp_path / "ab"[k % 2 == 0])).index().points[k // 2].T for k in range(N)]
    )
    np.save(tmp_path / "labels.npy", points)
    np.save(tmp_path / "yaws.npy", np.arange(N) * 10.0)
    files = {"labels": str(tmp_path / "labels.npy"), "yaws": str(tmp_path / "yaws.npy")}
    index = Aflw2000(str(tmp_path), folders=["b", "a"], **files).index()
    assert [Path(path).stem for path in index.paths] == [f"image{k:05d}" for k in range(N)]
    assert np.allclose(index.points, points.transpose(0, 2, 1))
    assert index.subsets["yaw_0_30"].tolist() == [k <= 3 for k in range(N)]
