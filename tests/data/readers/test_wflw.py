"""WFLW: lists in the published layout, four real faces, and every kind of damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.data import Aflw19, Cofw, MerlRav, Wflw
from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_map

Copies = Callable[..., tuple[Path, list[Any]]]
Attempt = Callable[..., tuple[Any, list[UserError]]]
LISTS = "WFLW_annotations/list_98pt_rect_attr_train_test"


def train_list(root: Path) -> Path:
    return root / LISTS / "list_98pt_rect_attr_train.txt"


def test_labels_come_back(copies: Copies) -> None:
    root, faces = copies("wflw")
    for split, numbers in (("train", [0, 1, 2, 4, 5, 6, 8]), ("test", [3, 7])):
        data = Wflw(str(root), split)  # type: ignore[arg-type]
        index = data.index()
        assert [int(Path(p).stem[-6:]) for p in index.paths] == numbers
        for row, number in enumerate(numbers):
            face = faces[number]
            assert index.points[row] == pytest.approx(face.points, abs=1e-4)
            tight = [*face.points.min(0), *face.points.max(0)]
            assert index.box[row] == pytest.approx(tight, abs=1e-4)
            # JPEG keeps the smooth noise to a few grey levels.
            error = data.load([row])[0].astype(float) - face.image
            assert np.abs(error).mean() < 4
        listed = Wflw(str(root), split, boxes="annotated").index()  # type: ignore[arg-type]
        assert listed.box == pytest.approx(np.stack([faces[k].box for k in numbers]), abs=0.01)


def test_subsets_are_the_six_flags(copies: Copies) -> None:
    root, _ = copies("wflw", fresh=True)
    file = train_list(root)
    lines = file.read_text().splitlines()
    names = ("pose", "expression", "illumination", "makeup", "occlusion", "blur")
    for k in range(6):
        cells = lines[k].split()
        cells[200:206] = [str(int(j == k)) for j in range(6)]
        lines[k] = " ".join(cells)
    lines[6] = " ".join([*lines[6].split()[:200], *"000000", lines[6].split()[-1]])
    file.write_text("\n".join(lines))
    subsets = Wflw(str(root)).index().subsets
    assert tuple(subsets) == names
    for k, name in enumerate(names):
        assert np.flatnonzero(subsets[name]).tolist() == [k]
        assert len(Wflw(str(root), subset=name).index()) == 1
    assert len(Wflw(str(root), first=3).index()) == 3
    assert Wflw(str(root), last=1).index().paths[0] == Wflw(str(root)).index().paths[-1]
    with pytest.raises(UserError, match=r"no subset 'hats' in .*; there is: pose, expression"):
        Wflw(str(root), subset="hats").index()
    with pytest.raises(UserError, match=r"first: 8 faces of .*, which has 7"):
        Wflw(str(root), first=8).index()


@pytest.mark.parametrize("reader", [Wflw, Cofw, Aflw19, MerlRav])
def test_unknown_choices_are_refused(reader: Any) -> None:
    with pytest.raises(UserError, match="split: 'val' is unknown; take train or test"):
        reader("x", split="val")
    if reader is not MerlRav:
        with pytest.raises(UserError, match="boxes: 'mine' is unknown; take ground_truth or"):
            reader("x", boxes="mine")


def test_missing_folder_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder .*none; .*wywu\.github\.io.*WFLW_images"):
        Wflw(str(tmp_path / "none")).index()
    with pytest.raises(UserError, match=r"no WFLW_annotations/.*WFLW_images/.*wywu\.github\.io"):
        Wflw(str(tmp_path)).index()


def _with(line: str, **cells: str) -> str:
    parts = line.split()
    for place, value in cells.items():
        parts[int(place[1:])] = value
    return " ".join(parts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.rsplit(" ", 1)[0], r"206 columns, not 207 .*train\.txt:2; fetch"),
        (lambda row: _with(row, c5="left"), r"a column is no number, .*train\.txt:2; correct"),
        (lambda row: _with(row, c5="1_0"), r"a column is no number, .*train\.txt:2; correct"),
        (lambda row: _with(row, c5="nan"), r"point 2 .* is no pixel, .*train\.txt:2; correct"),
        (lambda row: _with(row, c5="1e30"), r"point 2 .* is no pixel, .*train\.txt:2; correct"),
        (lambda row: _with(row, c198="0"), r"has no area, .*train\.txt:2; correct"),
        (lambda row: _with(row, c196="900", c198="950"), r"does not meet the points, .*:2; "),
        (lambda row: _with(row, c203="2"), r"flag 2.0 is neither 0 nor 1, .*train\.txt:2; "),
        (lambda row: _with(row, c206="../a.jpg"), r"is not below .*train\.txt:2; correct"),
        (lambda row: _with(row, c206="/etc/hosts"), r"is not below .*train\.txt:2; correct"),
        (lambda row: _with(row, c206="a/../../b.jpg"), r"is not below .*train\.txt:2; correct"),
        (lambda row: _with(row, c206="x\0.jpg"), r"is not below .*train\.txt:2; correct"),
        (lambda row: _with(row, c206="a" * 5000), r"is not below"),
        (lambda row: _with(row, c206="0--Synthetic/none.jpg"), r"no image, .*none\.jpg; restore"),
    ],
)
def test_bad_row_is_named_and_the_others_are_kept(
    copies: Copies, change: Callable[[str], str], message: str
) -> None:
    root, _ = copies("wflw", fresh=True)
    good = Wflw(str(root)).index()
    lines = train_list(root).read_text().splitlines()
    lines[1] = change(lines[1])
    train_list(root).write_text("\n".join(lines))
    with pytest.raises(UserError, match=message) as error:
        Wflw(str(root)).index()
    assert "\n" not in str(error.value)
    index, problems = Wflw(str(root)).scan()
    assert len(problems) == 1
    assert np.array_equal(index.points, good.points[[0, *range(2, 7)]])


def test_link_out_of_the_folder_is_refused_and_a_linked_folder_is_not(
    copies: Copies, tmp_path: Path
) -> None:
    root, _ = copies("wflw", fresh=True)
    outside = tmp_path / "outside.jpg"
    first = Path(Wflw(str(root)).index().paths[0])
    first.rename(outside)
    first.symlink_to(outside)
    with pytest.raises(UserError, match="is not below"):
        Wflw(str(root)).index()
    first.unlink()
    outside.rename(first)
    (root / "WFLW_images").rename(tmp_path / "disk")
    (root / "WFLW_images").symlink_to(tmp_path / "disk")
    assert len(Wflw(str(root)).index()) == 7


@given(data=st.data())
def test_damaged_lists_are_read_right_or_refused(
    copies: Copies, attempt: Attempt, data: st.DataObject
) -> None:
    root, faces = copies("wflw", n=8)
    truth = {face.number: face.points for face in faces}
    file = train_list(root)
    whole = file.read_bytes()
    lines = whole.decode().splitlines()
    raw = whole
    kind = data.draw(st.sampled_from(["lines", "cells", "bytes", "cut"]))
    if kind == "lines":
        lines = data.draw(st.permutations(lines))[: data.draw(st.integers(1, len(lines)))]
        raw = "\n".join(lines).encode()
    elif kind == "cells":
        at = data.draw(st.integers(0, len(lines) - 1))
        cells = lines[at].split()
        k = data.draw(st.integers(0, len(cells) - 1))
        odd = ["1_0", "nan", "-inf", "1e300", "", "x", "../../x", "0 0", "\x00", "1,5"]
        cells[k] = data.draw(st.sampled_from(odd))
        lines[at] = " ".join(cells)
        raw = "\n".join(lines).encode()
    elif kind == "cut":
        raw = whole[: data.draw(st.integers(0, len(whole)))]
    else:
        at = data.draw(st.integers(0, len(whole)))
        raw = whole[:at] + data.draw(st.binary(min_size=1, max_size=30)) + whole[at:]
    index, _ = attempt(file, raw, Wflw(str(root)))
    # A byte more can be another digit: a different number, not a wrong read.
    if index is None or kind == "bytes":
        return
    for row, path in enumerate(index.paths):
        assert np.abs(index.points[row] - truth[int(Path(path).stem[-6:])]).max() < 1e-3


@pytest.mark.real
def test_real_faces(real_data: Path) -> None:
    index = Wflw(str(real_data / "wflw"), "test").index()
    assert len(index) == 4
    assert Path(index.paths[0]).name == "36_Football_americanfootball_ball_36_415.jpg"
    assert index.points[0, 0] == pytest.approx([440.696106, 132.732559], abs=1e-4)
    listed = Wflw(str(real_data / "wflw"), "test", boxes="annotated").index()
    # The owners' box is the tight one, cut to whole pixels.
    assert np.array_equal(listed.box, np.floor(index.box))
    # 98 -> 68 and back to the same numbers, point by point.
    chosen = get_map("wflw98", "ibug68").source_index.numpy()
    assert index.points[:, chosen].shape == (4, 68, 2)
    corners = index.points[:, chosen][:, [36, 45]]
    assert np.array_equal(corners, index.points[:, [60, 72]])
