"""`convert`: points of the new files are those of the old ones, in the new scheme's order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lit_landmarks.cli import main
from lit_landmarks.data import FaceDataset, Ibug300W, JsonFaces, Wflw
from lit_landmarks.data.convert import convert, convert_to_json
from lit_landmarks.data.layouts import LAYOUTS
from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_map

MakeSet = Callable[..., FaceDataset]


def test_wflw_to_pts_and_back_to_the_same_points(tmp_path: Path, capsys: object) -> None:
    words = ["data", "synthesize", str(tmp_path / "w"), "--layout", "wflw", "--n", "5"]
    assert main([*words, "--image_size", "64", "--workers", "1"]) == 0
    old = Wflw(str(tmp_path / "w")).index()
    words = ["data", "convert", "Wflw", "--root", str(tmp_path / "w"), "--layout", "ibug"]
    assert main([*words, "--to", str(tmp_path / "p"), "--workers", "1"]) == 0
    new = Ibug300W(str(tmp_path / "p")).index()
    order = get_map("wflw98", "ibug68").source_index.numpy()
    assert len(new) == len(old) > 0
    assert np.abs(new.points - old.points[:, order]).max() < 0.01


def test_json_keeps_every_label_and_every_byte(tmp_path: Path) -> None:
    words = ["data", "synthesize", str(tmp_path / "w"), "--layout", "wflw", "--n", "9"]
    assert main([*words, "--image_size", "64", "--workers", "1"]) == 0
    old = Wflw(str(tmp_path / "w")).index()
    words = ["data", "convert", "Wflw", "--root", str(tmp_path / "w"), "--to", str(tmp_path / "j")]
    assert main(words) == main(words) == 0
    faces = JsonFaces(str(tmp_path / "j"))
    new = faces.index()
    assert (faces.scheme, faces.convention) == ("wflw98", "wflw")
    assert np.abs(new.points - old.points).max() < 1e-3
    assert np.abs(new.box - old.box).max() < 1e-3
    assert np.array_equal(new.mask, old.mask)
    for name, column in old.subsets.items():
        assert np.array_equal(new.subsets.get(name, np.zeros(len(new), bool)), column), name
    for a, b in zip(new.paths, old.paths, strict=True):
        assert Path(a).read_bytes() == Path(b).read_bytes()


def test_json_of_rendered_and_incomplete_faces(dot_faces: MakeSet, tmp_path: Path) -> None:
    faces = dot_faces(n=5, dots=4, size=48, labels=True)
    assert convert_to_json(faces, tmp_path / "j") == 5
    old, new = faces.index(), JsonFaces(str(tmp_path / "j")).index()
    assert np.array_equal(new.mask, old.mask)
    assert np.abs(new.points - old.points)[old.mask].max() < 1e-3
    assert np.allclose(new.pose, old.pose, atol=1e-3)  # type: ignore[arg-type]
    assert np.array_equal(new.visible, old.visible)  # type: ignore[arg-type]
    images = JsonFaces(str(tmp_path / "j")).load(range(5))
    for a, b in zip(images, faces.load(range(5)), strict=True):
        assert np.array_equal(a, b)


def test_incomplete_faces_are_left_out_and_counted(dot_faces: MakeSet, tmp_path: Path) -> None:
    faces = dot_faces(n=4, dots=68, size=48)
    index = faces.index()
    mask = index.mask.copy()
    mask[2, 40] = False
    faces._index = replace(index, mask=mask)
    assert convert(faces, LAYOUTS["ibug"](), tmp_path / "p", workers=1) == (3, 1)
    new = Ibug300W(str(tmp_path / "p")).index()
    assert np.abs(new.points - index.points[[0, 1, 3]]).max() < 0.01


def test_no_map_and_no_complete_face_are_told(dot_faces: MakeSet, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no map from scheme"):
        convert(dot_faces(n=2, dots=68), LAYOUTS["wflw"](), tmp_path / "a", workers=1)
    with pytest.raises(UserError, match=r"no face of .* has all points of scheme 'ibug68'"):
        convert(dot_faces(n=2, dots=4), LAYOUTS["ibug"](), tmp_path / "b", workers=1)
    assert main(["data", "convert", "ict-facekit", str(tmp_path), str(tmp_path / "x.npz")]) == 2


@pytest.mark.parametrize("layout", ["json", "ibug"])
@pytest.mark.parametrize("damage", ["cut", "outside"])
def test_a_bad_face_is_one_line_and_leaves_nothing(
    make_faces: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    layout: str,
    damage: str,
) -> None:
    root = make_faces(n=3)
    if damage == "cut":
        image = root / "face_01.jpg"
        image.write_bytes(image.read_bytes()[:600])
    else:
        rows = "\n".join(f"{900 + k} {800 + k}" for k in range(68))
        (root / "face_01.pts").write_text(f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")
    words = ["data", "convert", "Ibug300W", "--root", str(root), "--to", str(tmp_path / "out")]
    assert main([*words, "--layout", layout, "--workers", "1"]) == 2
    told = capsys.readouterr()
    assert "truncated" in told.err if damage == "cut" else "wholly outside" in told.err
    assert "face_01.jpg" in told.err
    assert told.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
