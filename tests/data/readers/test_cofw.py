"""COFW and COFW68: HDF5 and `.mat` in the published layout, and damaged files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from lit_landmarks.data import Cofw, Cofw68
from lit_landmarks.data.cache import source_crops
from lit_landmarks.data.recognize import walk
from lit_landmarks.errors import UserError

Copies = Callable[..., tuple[Path, list[Any]]]
Attempt = Callable[..., tuple[Any, list[UserError]]]
TRAIN = [0, 1, 2, 4, 5, 6, 8]


def test_labels_and_pictures_come_back(copies: Copies) -> None:
    root, faces = copies("cofw")
    for split, numbers in (("train", TRAIN), ("test", [3, 7])):
        data = Cofw(str(root), split)  # type: ignore[arg-type]
        index = data.index()
        assert index.visible is not None
        for row, number in enumerate(numbers):
            face = faces[number]
            assert index.points[row] == pytest.approx(face.points, abs=1e-4)
            assert np.array_equal(index.visible[row] == 0, face.visible == 0)
            assert np.array_equal(data.load([row])[0], face.image), "lossless, axes in order"
        listed = Cofw(str(root), split, boxes="annotated").index()  # type: ignore[arg-type]
        assert listed.box == pytest.approx(np.stack([faces[k].box for k in numbers]), abs=1e-3)


def test_files_are_as_published(copies: Copies) -> None:
    root, faces = copies("cofw")
    assert (root / "COFW_train_color.mat").read_bytes()[:10] == b"MATLAB 7.3"
    with h5py.File(root / "COFW_train_color.mat") as file:
        assert file["phisTr"].shape == (87, 7)
        assert file["bboxesTr"].shape == (4, 7)
        assert file["IsTr"].shape == (1, 7)
        # MATLAB counts from 1, and 29 x come before 29 y and 29 flags.
        assert file["phisTr"][:29, 0] == pytest.approx(faces[0].points[:, 0] + 1)
        assert set(np.unique(file["phisTr"][58:])) <= {0.0, 1.0}


def test_grey_and_oblong_pictures(copies: Copies) -> None:
    root, _ = copies("cofw", fresh=True)
    grey = np.arange(40 * 60, dtype=np.uint8).reshape(40, 60)
    with h5py.File(root / "COFW_test_color.mat", "r+") as file:
        stored = file.create_dataset("#refs#/grey", data=grey.T)
        file["IsT"][0, 1] = stored.ref
    picture = Cofw(str(root), "test").load([1])[0]
    assert picture.shape == (40, 60, 3)
    assert np.array_equal(picture[..., 2], grey)


def test_splits_of_the_training_file(copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    root, _ = copies("cofw")
    monkeypatch.setattr("lit_landmarks.data.readers.cofw.LFPW_FACES", 5)
    whole = Cofw(str(root))
    assert {k: int(v.sum()) for k, v in whole.index().subsets.items()} == {"lfpw": 5, "cofw": 2}
    own = Cofw(str(root), subset="cofw", last=1)
    assert np.array_equal(own.load([0])[0], whole.load([6])[0]), "pictures follow the selection"
    assert own.content_key([0]) == whole.content_key([6])
    assert own.content_key([0]) != whole.content_key([5])


def test_the_cache_knows_the_file(copies: Copies, tmp_path: Path) -> None:
    root, _ = copies("cofw", fresh=True)
    crops = np.array(source_crops(Cofw(str(root), "test"), 48, 2.0, tmp_path))
    with h5py.File(root / "COFW_test_color.mat", "r+") as file:
        picture = file[file["IsT"][0, 0]]
        picture[()] = 255 - picture[()]
    again = source_crops(Cofw(str(root), "test"), 48, 2.0, tmp_path)
    assert np.abs(again[0].astype(int) - crops[0]).max() > 50
    assert np.array_equal(again[1], crops[1])


def test_cofw68(copies: Copies) -> None:
    root, faces = copies("cofw68")
    data = Cofw68(str(root))
    assert [type(found).__name__ for _, found in walk(root)] == ["Cofw68"]
    index = data.index()
    assert len(index) == len(faces)
    assert index.visible is not None
    for row, face in enumerate(faces):
        assert index.points[row] == pytest.approx(face.points, abs=1e-4)
        assert np.array_equal(index.visible[row] == 0, face.visible == 0)
        assert np.array_equal(data.load([row])[0], face.image)
    listed = Cofw68(str(root), boxes="annotated", first=2).index()
    assert listed.box == pytest.approx(np.stack([f.box for f in faces[:2]]), abs=1e-3)
    written = loadmat(root / "COFW68_Data" / "test_annotations" / "1_points.mat")
    assert written["Points"] == pytest.approx(faces[0].points + 1)
    assert written["Occ"].shape == (68, 1)


def test_missing_files_say_where_to_get_them(copies: Copies, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder .*none; .*data\.caltech\.edu.*COFW_train"):
        Cofw(str(tmp_path / "none")).index()
    root, _ = copies("cofw", fresh=True)
    with pytest.raises(UserError, match=r"no test_annotations|no COFW68_Data/.*cofw68-benchmark"):
        Cofw68(str(root)).index()
    (root / "COFW_test_color.mat").unlink()
    with pytest.raises(UserError, match=r"no COFW_test_color\.mat in .*; it holds COFW_train"):
        Cofw(str(root), "test").index()
    root, _ = copies("cofw68", fresh=True)
    (root / "COFW68_Data" / "cofw68_test_bboxes.mat").unlink()
    assert len(Cofw68(str(root)).index()) == 9
    with pytest.raises(UserError, match=r"no boxes .*bboxes\.mat; .*ground_truth"):
        Cofw68(str(root), boxes="annotated").index()


def test_one_bad_face_of_cofw68_is_named(copies: Copies) -> None:
    root, faces = copies("cofw68", fresh=True)
    folder = root / "COFW68_Data" / "test_annotations"
    (folder / "2_points.mat").unlink()
    points = np.ones((68, 2)) * np.arange(68)[:, None]
    flag = np.zeros((68, 1))
    savemat(folder / "3_points.mat", {"Points": points[:67], "Occ": flag})
    savemat(folder / "4_points.mat", {"Points": points, "Occ": flag + 3})
    savemat(folder / "5_points.mat", {"Points": points * np.nan, "Occ": flag})
    savemat(folder / "6_points.mat", {"points": points, "Occ": flag})
    (folder / "7_points.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    data = Cofw68(str(root))
    index, problems = data.scan()
    told = [str(p) for p in problems]
    assert len(told) == 6
    for text, (number, what) in zip(
        told,
        [
            (2, "no file"),
            (3, "Points is"),
            (4, "flag 3.0"),
            (5, "is no pixel"),
            (6, "no variable 'Points'"),
            (7, "no readable MATLAB file"),
        ],
        strict=True,
    ):
        assert what in text
        assert f"{number}_points.mat; " in text
    assert np.array_equal(data.load([1])[0], faces[7].image), "pictures stay with their points"
    assert index.points[1] == pytest.approx(faces[7].points, abs=1e-4)


def _change(file: h5py.File, kind: str, outside: Path) -> None:
    """One way in which a file of COFW can be wrong."""
    labels = file["phisT"][()]
    if kind == "labels gone":
        del file["phisT"]
        return
    if kind == "picture gone":
        file["IsT"][0, 0] = h5py.Reference()
        return
    if kind == "pictures are numbers":
        del file["IsT"]
        file["IsT"] = np.zeros((1, 2))
        return
    if kind == "float picture":
        file["IsT"][0, 0] = file.create_dataset("#refs#/x", data=np.zeros((3, 9, 9))).ref
        return
    if kind == "picture elsewhere":
        external = [(str(outside), 0, 300)]
        stored = file.create_dataset("#refs#/x", (3, 10, 10), np.uint8, external=external)
        file["IsT"][0, 0] = stored.ref
        return
    del file["phisT"]
    if kind == "labels elsewhere":
        file["phisT"] = h5py.ExternalLink(str(outside), "phisT")
    elif kind == "rows short":
        file["phisT"] = labels[:86]
    elif kind == "faces short":
        file["phisT"] = labels[:, :1]
    elif kind == "text":
        file["phisT"] = labels.astype("S8")
    elif kind == "nan":
        labels[3, 0] = np.nan
        file["phisT"] = labels
    elif kind == "half hidden":
        labels[60, 0] = 0.5
        file["phisT"] = labels


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("labels gone", r"phisT is missing, .*color\.mat; fetch"),
        ("labels elsewhere", r"phisT (lies in another file|is missing), .*color\.mat; fetch"),
        ("rows short", r"phisT is \(86, 2\), not 87 x 2, .*color\.mat; fetch"),
        ("faces short", r"phisT is \(87, 1\), not 87 x 2, .*color\.mat; fetch"),
        ("text", r"phisT is \|S8 .*not numbers 87 x 2, .*color\.mat; fetch"),
        ("nan", r"point 3 \(nan, .* is no pixel, .*color\.mat:1; correct"),
        ("half hidden", r"flag 0.5 is neither 0 nor 1, .*color\.mat:1; correct"),
        ("picture gone", r"(no readable HDF5 file|is missing), .*color\.mat; fetch"),
        ("pictures are numbers", r"(no readable HDF5 file|is missing), .*color\.mat; fetch"),
        ("float picture", r"no uint8 image, .*color\.mat:1; fetch"),
        ("picture elsewhere", r"picture 1 lies in another file, .*color\.mat; fetch"),
    ],
)
def test_wrong_file_is_named(copies: Copies, tmp_path: Path, kind: str, message: str) -> None:
    root, _ = copies("cofw", fresh=True)
    outside = root / "COFW_train_color.mat"
    with h5py.File(root / "COFW_test_color.mat", "r+") as file:
        _change(file, kind, outside)
    with pytest.raises(UserError, match=message) as error:
        Cofw(str(root), "test").load([0])
    assert "\n" not in str(error.value)


@given(data=st.data())
def test_damaged_bytes_are_refused_or_do_no_harm(
    copies: Copies, attempt: Attempt, data: st.DataObject
) -> None:
    root, faces = copies("cofw68", n=3)
    relative = data.draw(st.sampled_from(["2_points.mat", "pictures"]))
    file = root / "COFW_test_color.mat"
    if relative != "pictures":
        file = root / "COFW68_Data" / "test_annotations" / relative
    whole = file.read_bytes()
    if data.draw(st.booleans()):
        raw = whole[: data.draw(st.integers(0, len(whole)))]
    else:
        # Damage to a number is another number; damage to the rest must show.
        at = data.draw(st.integers(0, min(len(whole), 1500) - 1))
        patch = data.draw(st.binary(min_size=1, max_size=16))
        raw = whole[:at] + patch + whole[at + len(patch) :]
    index, problems = attempt(file, raw, Cofw68(str(root)), load=True)
    if index is None:
        return
    assert len(index) + len(problems) == 3
    for face, number in ((faces[0], 0), (faces[2], len(index) - 1)):
        assert index.points[number] == pytest.approx(face.points, abs=1e-4)
