"""AFLW-19: the release file and folders of pictures in the published layout, and damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from lit_landmarks.data import Aflw19
from lit_landmarks.errors import UserError

Copies = Callable[..., tuple[Path, list[Any]]]
Attempt = Callable[..., tuple[Any, list[UserError]]]
NAMES = ("bbox", "data", "mask_new", "nameList", "ra")


def tables(root: Path) -> dict[str, Any]:
    found = loadmat(root / "AFLWinfo_release.mat")
    return {name: found[name] for name in NAMES}


def save(root: Path, values: dict[str, Any]) -> None:
    savemat(root / "AFLWinfo_release.mat", values)


def test_labels_come_back_in_the_official_order(copies: Copies) -> None:
    root, faces = copies("aflw19", fresh=True)
    values = tables(root)
    assert values["data"].shape == (9, 38)
    assert values["bbox"][0] == pytest.approx(faces[0].box[[0, 2, 1, 3]]), "left right top bottom"
    values["ra"] = np.array([[9, 1, 8, 2, 7, 3, 6, 4, 5]])
    save(root, values)
    for split, numbers in (("train", [8, 0, 7, 1, 6, 2]), ("test", [5, 3, 4])):
        index = Aflw19(str(root), split, train_faces=6).index()  # type: ignore[arg-type]
        assert index.visible is not None
        assert [int(Path(p).stem[-5:]) for p in index.paths] == numbers
        for row, number in enumerate(numbers):
            assert index.points[row] == pytest.approx(faces[number].points, abs=1e-4)
            assert np.array_equal(index.visible[row] == 1, faces[number].visible == 1)
        assert index.mask.all()
        listed = Aflw19(str(root), split, boxes="annotated", train_faces=6)  # type: ignore[arg-type]
        assert listed.index().box == pytest.approx(np.stack([faces[k].box for k in numbers]))


def test_frontal_faces_are_those_wholly_seen(copies: Copies) -> None:
    root, faces = copies("aflw19")
    frontal = [f.number for f in faces if (f.visible == 1).all()]
    assert 0 < len(frontal) < len(faces)
    index = Aflw19(str(root), subset="frontal").index()
    assert [int(Path(p).stem[-5:]) for p in index.paths] == frontal


def test_hidden_point_without_place_is_masked(copies: Copies) -> None:
    root, _ = copies("aflw19", fresh=True)
    values = tables(root)
    values["mask_new"][0, :4] = 0
    values["data"][0, [2, 2 + 19]] = 0
    values["data"][0, 3] = 0  # one coordinate may be 0: the border
    save(root, values)
    index = Aflw19(str(root)).index()
    assert np.flatnonzero(~index.mask[0]).tolist() == [2]
    assert index.visible is not None
    assert not index.visible[0, :4].any()


@pytest.mark.parametrize("folder", ["flickr", "images", "aflw/data/flickr"])
def test_other_places_and_suffixes_of_pictures(copies: Copies, folder: str) -> None:
    root, _ = copies("aflw19", fresh=True)
    (root / folder).parent.mkdir(parents=True, exist_ok=True)
    (root / "data" / "flickr").rename(root / folder)
    first = root / folder / "0" / "image00000.jpg"
    first.rename(first.with_suffix(".png"))
    index = Aflw19(str(root)).index()
    assert Path(index.paths[0]) == first.with_suffix(".png")
    assert len(index) == 9


def test_missing_files_say_where_to_get_them(copies: Copies, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no AFLWinfo_release\.mat in .*tugraz.*cuhk"):
        Aflw19(str(tmp_path)).index()
    root, _ = copies("aflw19", fresh=True)
    with pytest.raises(UserError, match=r"selects no face"):
        Aflw19(str(root), "test").index()
    (root / "data" / "flickr" / "0" / "image00004.jpg").unlink()
    with pytest.raises(UserError, match=r"no image, .*image00004\.jpg; restore"):
        Aflw19(str(root)).index()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("nameList", "../../secret.jpg", r"is not below .*flickr, .*release\.mat:3; correct"),
        ("nameList", "/etc/hosts", r"is not below .*flickr, .*release\.mat:3; correct"),
        ("nameList", "", r"(is not below|holds no name).*release\.mat:3; "),
        ("nameList", np.ones((2, 2)), r"nameList holds no name, .*release\.mat:3; fetch"),
        ("data", np.inf, r"point 0 \(inf, .* is no pixel, .*release\.mat:3; correct"),
        ("data", 1e9, r"is no pixel, .*release\.mat:3; correct"),
        ("mask_new", 2, r"flag 2.0 is neither 0 nor 1, .*release\.mat:3; correct"),
    ],
)
def test_bad_row_is_named_and_the_others_are_kept(
    copies: Copies, name: str, value: Any, message: str
) -> None:
    root, _ = copies("aflw19", fresh=True)
    good = Aflw19(str(root)).index().points
    values = tables(root)
    values[name][2, 0] = value
    save(root, values)
    with pytest.raises(UserError, match=message):
        Aflw19(str(root)).index()
    index, problems = Aflw19(str(root)).scan()
    assert len(problems) == 1
    assert np.array_equal(index.points, np.delete(good, 2, axis=0))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("ra", lambda v: v * 0 + 1, r"ra is no order of 1 to 9"),
        ("ra", lambda v: v + 0.5, r"ra is no order of 1 to 9"),
        ("ra", lambda v: v[:, :8], r"ra is .* \(8,\), not numbers 9"),
        ("data", lambda v: v[:, :37], r"data is .* \(9, 37\), not numbers 9 x 38"),
        ("data", lambda v: v[:5], r"mask_new is .* \(9, 19\), not numbers 5 x 19"),
        ("data", lambda v: v.astype(complex), r"no readable MATLAB file"),
        ("bbox", lambda v: v[:, :3], r"bbox is .* \(9, 3\), not numbers 9 x 4"),
        ("nameList", lambda v: v[:4], r"4 names for 9 faces"),
        ("mask_new", None, r"no variable 'mask_new'"),
    ],
)
def test_wrong_tables_are_named(
    copies: Copies, name: str, change: Callable[[Any], Any] | None, message: str
) -> None:
    root, _ = copies("aflw19", fresh=True)
    values = tables(root)
    if change is None:
        del values[name]
    else:
        values[name] = change(values[name])
    save(root, values)
    with pytest.raises(UserError, match=rf"{message}, .*AFLWinfo_release\.mat; fetch"):
        Aflw19(str(root)).index()


@given(data=st.data())
def test_damaged_bytes_are_refused_or_do_no_harm(
    copies: Copies, attempt: Attempt, data: st.DataObject
) -> None:
    root, faces = copies("aflw19", n=4)
    file = root / "AFLWinfo_release.mat"
    whole = file.read_bytes()
    if data.draw(st.booleans()):
        raw = whole[: data.draw(st.integers(0, len(whole)))]
    else:
        at = data.draw(st.integers(0, len(whole) - 1))
        patch = data.draw(st.binary(min_size=1, max_size=16))
        raw = whole[:at] + patch + whole[at + len(patch) :]
    index, problems = attempt(file, raw, Aflw19(str(root)))
    if index is not None:
        # The tables are compressed with a checksum, so what was read at all is right.
        assert not problems
        assert index.points == pytest.approx(np.stack([f.points for f in faces]), abs=1e-4)
