"""MERL-RAV: signs that code visibility, folders of views, and damaged files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.data import MerlRav
from lit_landmarks.data.readers.merl_rav import MERL_RAV_VIEWS, decode
from lit_landmarks.errors import UserError

Copies = Callable[..., tuple[Path, list[Any]]]


def test_published_example_of_the_three_states() -> None:
    # The owners' README: landmarks 1 to 3 self-occluded, 4 hidden by a thing, 7 visible.
    rows = np.array([[-1, -1], [-1443.54, -474.32], [1382.78, 680.12], [12.0, -3.0], [-1, -2]])
    points, seen = decode(rows)
    assert seen.tolist() == [2, 0, 1, -1, 0]
    assert points.tolist() == [[0, 0], [1443.54, 474.32], [1382.78, 680.12], [0, 0], [1, 2]]


def test_labels_come_back(copies: Copies) -> None:
    root, faces = copies("merl_rav", n=12)
    total = 0
    for split in ("train", "test"):
        index = MerlRav(str(root), split).index()  # type: ignore[arg-type]
        assert index.visible is not None
        total += len(index)
        for row, path in enumerate(index.paths):
            face = faces[int(Path(path).stem[-5:])]
            assert (face.number % 5 == 4) == (split == "test")
            assert np.array_equal(index.visible[row], face.visible)
            assert np.array_equal(index.mask[row], face.visible != 2)
            known = index.mask[row]
            assert index.points[row][known] == pytest.approx(face.points[known], abs=1e-4)
            assert not index.points[row][~known].any()
            tight = [*face.points[known].min(0), *face.points[known].max(0)]
            assert index.box[row] == pytest.approx(tight, abs=1e-4)
    assert total == len(faces)


def test_subsets_are_the_views(copies: Copies) -> None:
    root, faces = copies("merl_rav", n=12)
    index = MerlRav(str(root)).index()
    yaw = np.array([faces[int(Path(p).stem[-5:])].pose[0] for p in index.paths])
    assert np.array_equal(index.subsets["frontal"], abs(yaw) < 30)
    assert np.array_equal(index.subsets["half"], (abs(yaw) >= 30) & (abs(yaw) < 60))
    assert np.array_equal(index.subsets["profile"], abs(yaw) >= 60)
    # The side is the subject's: a face that looks to the image's right shows in `left`.
    assert (yaw[index.subsets["left"]] > 0).all()
    assert (yaw[index.subsets["right"]] < 0).all()
    for view in MERL_RAV_VIEWS:
        inside = np.array([Path(p).parts[-3] == view for p in index.paths])
        assert np.array_equal(index.subsets.get(view, np.zeros(len(index), bool)), inside)
    part = MerlRav(str(root), subset="profile").index()
    assert len(part) == int(index.subsets["profile"].sum())
    assert len(MerlRav(str(root / "merl_rav_organized")).index()) == len(index)


def test_missing_folder_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no frontal in .*organize_merl_rav.*abhi1kumar"):
        MerlRav(str(tmp_path)).index()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-2] + rows[-1:], r"67 points, not 68, .*\.pts:71; annotate"),
        (lambda rows: [*rows[:9], "x 1", *rows[10:]], r"'x 1' is no point x y, .*\.pts:10; "),
        (lambda rows: [*rows[:9], "nan 1", *rows[10:]], r"is no pixel, .*\.pts:10; correct"),
        (lambda rows: rows[:3] + ["-1 -1"] * 68 + ["}"], r"lie on one line, .*\.pts; annotate"),
        (lambda rows: rows[:-1], r"no \{ \} around the points, .*\.pts; fetch"),
    ],
)
def test_bad_file_is_named(
    copies: Copies, change: Callable[[list[str]], list[str]], message: str
) -> None:
    root, _ = copies("merl_rav", fresh=True)
    n = len(MerlRav(str(root)).index())
    file = next(iter(sorted(root.rglob("trainset/*.pts"))))
    file.write_text("\n".join(change(file.read_text().split("\n")[:-1])))
    with pytest.raises(UserError, match=message):
        MerlRav(str(root)).index()
    index, problems = MerlRav(str(root)).scan()
    assert (len(index), len(problems)) == (n - 1, 1)


def test_label_without_picture(copies: Copies) -> None:
    root, _ = copies("merl_rav", fresh=True)
    picture = Path(MerlRav(str(root)).index().paths[0])
    picture.unlink()
    with pytest.raises(UserError, match=rf"no image, .*{picture.stem} \(\.jpg, .*\); restore"):
        MerlRav(str(root)).index()


@given(
    states=st.lists(st.sampled_from([0, 1, 2]), min_size=68, max_size=68),
    data=st.data(),
)
def test_any_states_in_damaged_files(
    tmp_path_factory: pytest.TempPathFactory, states: list[int], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("merl") / "left" / "trainset"
    folder.mkdir(parents=True)
    (folder / "image00001.jpg").write_bytes(b"")
    points = np.stack([np.arange(68) % 9, np.arange(68) // 9], 1) * 7.5 + 2
    sign = np.choose(states, [-1, 1, 0])[:, None]
    rows = [f"{x!r} {y!r}" for x, y in (points * sign + (sign == 0) * -1.0).tolist()]
    lines = ["version: 1", "n_points:  68", "{", *rows, "}"]
    hurt = data.draw(st.sampled_from(["", "drop", "double", "garble", "cut", "header"]))
    at = data.draw(st.integers(0, len(lines) - 1))
    if hurt == "drop":
        del lines[at]
    elif hurt == "double":
        lines.insert(at, lines[at])
    elif hurt == "garble":
        lines[at] = data.draw(st.sampled_from(["", "inf 1", "1 2 3", "9e99 1", "\N{DEGREE SIGN}"]))
    elif hurt == "header":
        lines[1] = data.draw(st.sampled_from(["n_points: 19", "n_points: x", "n_points:"]))
    text = "\n".join(lines)
    text = text[: data.draw(st.integers(0, len(text)))] if hurt == "cut" else text
    (folder / "image00001.pts").write_text(text, encoding="utf-8")
    index, problems = MerlRav(str(folder.parents[1])).scan()
    assert len(index) + len(problems) == 1
    if not len(index):
        assert "\n" not in str(problems[0])
        return
    # What was read is right: only rows above the points may be odd.
    assert index.visible is not None
    assert index.visible[0].tolist() == states
    known = np.array(states) != 2
    assert np.array_equal(index.mask[0], known)
    assert index.points[0][known] == pytest.approx(points[known])
    assert hurt in ("", "drop", "double", "garble", "header", "cut")
    if hurt == "cut":
        assert text.rstrip().endswith("}")


def test_nothing_hurt_is_read_whole(copies: Copies) -> None:
    root, faces = copies("merl_rav", n=12)
    counted = sum(len(MerlRav(str(root), s).index()) for s in ("train", "test"))  # type: ignore[arg-type]
    assert counted == len(faces)
