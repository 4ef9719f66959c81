"""The `.pts` reader: coordinates, subsets, selection, boxes, and every kind of bad input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.data import Ibug300W, check_dataset
from lit_landmarks.data.cache import source_crops
from lit_landmarks.data.readers.ibug import read_pts
from lit_landmarks.errors import UserError

Make = Callable[..., Path]


def test_subtracts_one_and_reads_boxes(make_faces: Make) -> None:
    root = make_faces(n=1)
    lines = (root / "face_00.pts").read_text().splitlines()
    index = Ibug300W(str(root)).index()
    x, y = map(float, lines[3].split())
    assert index.points[0, 0] == pytest.approx([x - 1, y - 1])
    assert index.box[0] == pytest.approx([*index.points[0].min(0), *index.points[0].max(0)])
    assert index.mask.all()
    assert Path(index.paths[0]).name == "face_00.jpg"


def test_layout_of_300w_gives_its_subsets(make_faces: Make) -> None:
    folders = ("helen/trainset", "helen/testset", "lfpw/trainset", "lfpw/testset", "afw", "ibug")
    root = make_faces((*folders, "afw_whole"), n=2)
    index = Ibug300W(str(root)).index()
    counts = {name: int(column.sum()) for name, column in index.subsets.items()}
    assert len(index) == 12, "a folder that is no part of 300W is not read"
    assert counts == {
        "helen": 4,
        "lfpw": 4,
        "afw": 2,
        "ibug": 2,
        "common": 4,
        "challenging": 2,
        "full": 6,
    }
    assert len(Ibug300W(str(root), subset="full").index()) == 6
    part = Ibug300W(str(root / "helen" / "testset")).index()
    assert int(part.subsets["common"].sum()) == 2


def test_first_and_last_split_by_sorted_name(make_faces: Make) -> None:
    root = make_faces(n=5)
    first = Ibug300W(str(root), first=3).index().paths
    last = Ibug300W(str(root), last=2).index().paths
    assert [Path(p).stem[-1] for p in first + last] == list("01234")
    with pytest.raises(UserError, match=r"first: 6 faces of .*, which has 5; choose fewer"):
        Ibug300W(str(root), first=6).index()


def test_mirrored_twins_are_left_out(make_faces: Make) -> None:
    root = make_faces(n=2)
    for suffix in ("jpg", "pts"):
        (root / f"face_00_mirror.{suffix}").write_bytes((root / f"face_00.{suffix}").read_bytes())
    assert len(Ibug300W(str(root)).index()) == 2


def test_jitter_is_fixed_by_name_and_bounded(make_faces: Make) -> None:
    root = make_faces(n=6)
    true = Ibug300W(str(root)).index().box
    moved = Ibug300W(str(root), boxes="jittered").index().box
    again = Ibug300W(str(root), boxes="jittered", last=2).index().box
    assert np.array_equal(moved[4:], again), "a face keeps its box whatever else is selected"
    side = (true[:, 2:] - true[:, :2]).max(1)
    shift = np.abs((moved[:, :2] + moved[:, 2:] - true[:, :2] - true[:, 2:]) / 2).max(1) / side
    ratio = (moved[:, 2:] - moved[:, :2]) / (true[:, 2:] - true[:, :2])
    assert 0 < shift.max() <= 0.08 + 1e-6
    assert np.abs(ratio - 1).max() <= 0.1 + 1e-5
    assert np.abs(ratio - 1).max() > 0.01


def test_detector_boxes_come_from_the_csv(make_faces: Make) -> None:
    root = make_faces(n=2)
    table = root / "boxes.csv"
    table.write_text(
        "image,x0,y0,x1,y1\nface_00.jpg,11,12,70,75\nface_01.jpg,0,0,5,5\nface_01.jpg,20,20,80,80\n"
    )
    boxes = Ibug300W(str(root), boxes="detector", detector_csv=str(table)).index().box
    assert boxes[0].tolist() == [11, 12, 70, 75]
    assert boxes[1].tolist() == [20, 20, 80, 80], "of two boxes the one on the face counts"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("image,x0,y0,x1,y1\n", r"no detector box for .*face_00\.jpg .*ground_truth"),
        ("image,left\n", r"columns are not image,x0,y0,x1,y1, .*boxes\.csv:1; "),
        ("image,x0,y0,x1,y1\nface_00.jpg,a,0,1,1\n", r"not four numbers, .*boxes\.csv:2; "),
        ("image,x0,y0,x1,y1\nface_00.jpg,0,0,1_0,1\n", r"not four numbers, .*boxes\.csv:2; "),
        ("image,x0,y0,x1,y1\nface_00.jpg,1,0\n", r"not four numbers, .*boxes\.csv:2; "),
        ("image,x0,y0,x1,y1\nface_00.jpg,9,0,1,1\n", r"no area, .*boxes\.csv:2; "),
        ("image,x0,y0,x1,y1\nface_00.jpg,nan,0,1,1\n", r"no area, .*boxes\.csv:2; "),
    ],
)
def test_bad_detector_table(make_faces: Make, table: str, message: str) -> None:
    root = make_faces(n=1)
    (root / "boxes.csv").write_text(table)
    data = Ibug300W(str(root), boxes="detector", detector_csv=str(root / "boxes.csv"))
    with pytest.raises(UserError, match=message):
        data.index()


def test_missing_root_empty_folder_and_missing_csv(tmp_path: Path, make_faces: Make) -> None:
    with pytest.raises(UserError, match=r"no folder .*nowhere; .*fetch the data set from http"):
        Ibug300W(str(tmp_path / "nowhere")).index()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no \.pts file below .*empty; correct root"):
        Ibug300W(str(tmp_path / "empty")).index()
    with pytest.raises(UserError, match=r"cannot read the detector boxes, .*none\.csv; "):
        Ibug300W(str(make_faces()), boxes="detector", detector_csv="none.csv").index()
    with pytest.raises(UserError, match="go together"):
        Ibug300W("x", boxes="detector")


def _broken(lines: list[str], kind: str) -> list[str]:
    """One of the ways in which an annotation goes wrong; point k stands in row k + 4."""
    if kind == "67 by header":
        lines[1] = "n_points: 67"
    elif kind == "67 rows":
        del lines[10]
    elif kind == "text":
        lines[10] = "left eye"
    elif kind == "three cells":
        lines[10] += " 3"
    elif kind == "nan":
        lines[10] = "nan 12.0"
    elif kind == "1_0":
        lines[10] = "1_0 12.0"
    elif kind == "huge":
        lines[10] = "1e30 12.0"
    elif kind == "no brace":
        lines = [line for line in lines if line != "}"]
    return lines


BROKEN = {
    "67 by header": r"n_points is 67, not 68, .*face_01\.pts:2; annotate",
    "67 rows": r"67 points, not 68, .*face_01\.pts:71; annotate",
    "text": r"'left eye' is no point x y, .*face_01\.pts:11; correct",
    "1_0": r"'1_0 12.0' is no point x y, .*face_01\.pts:11; correct",
    "three cells": r"is no point x y, .*face_01\.pts:11; correct",
    "nan": r"is no pixel, .*face_01\.pts:11; correct",
    "huge": r"is no pixel, .*face_01\.pts:11; correct",
    "no brace": r"no \{ \} around the points, .*face_01\.pts; fetch",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_annotation_names_file_row_and_cure(make_faces: Make, kind: str) -> None:
    root = make_faces(n=3)
    file = root / "face_01.pts"
    file.write_text("\n".join(_broken(file.read_text().splitlines(), kind)))
    with pytest.raises(UserError, match=BROKEN[kind]) as error:
        Ibug300W(str(root)).index()
    assert "\n" not in str(error.value)


def test_check_goes_on_after_bad_rows_and_lists_them_all(make_faces: Make) -> None:
    root = make_faces(n=8)
    for number, kind in enumerate(("67 rows", "text", "nan"), start=1):
        file = root / f"face_{number:02d}.pts"
        file.write_text("\n".join(_broken(file.read_text().splitlines(), kind)))
    (root / "face_04.jpg").unlink()
    whole = (root / "face_05.jpg").read_bytes()
    (root / "face_05.jpg").write_bytes(whole[: len(whole) // 2])
    report = check_dataset(Ibug300W(str(root)))
    assert report.faces == 3
    assert not report.ok
    assert len(report.problems) == 5
    for problem, (number, what) in zip(
        report.problems,
        [(1, "67 points"), (2, "no point x y"), (3, "no pixel"), (4, "no image"), (5, "truncated")],
        strict=True,
    ):
        assert what in problem
        assert f"face_{number:02d}" in problem
        assert "; " in problem
    assert report.sheet is not None
    text = "\n".join(report.lines(most=2))
    assert "5 bad rows" in text
    assert "... and 3 more" in text


def test_a_good_set_passes_the_check(make_faces: Make) -> None:
    report = check_dataset(Ibug300W(str(make_faces(("afw",), n=4, size=96))))
    assert report.ok
    assert report.subsets == {"afw": 4}
    assert report.quantiles["image width px"] == (96.0,) * 5
    assert report.hidden == report.outside == 0


def test_missing_image(make_faces: Make) -> None:
    root = make_faces()
    (root / "face_02.jpg").unlink()
    with pytest.raises(UserError, match=r"no image, .*face_02 \(\.jpg, .*\.bmp, .*\); restore the"):
        Ibug300W(str(root)).index()


@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.97])
def test_truncated_jpeg_leaves_no_cache(make_faces: Make, tmp_path: Path, keep: float) -> None:
    root = make_faces()
    file = root / "face_01.jpg"
    file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])
    with pytest.raises(UserError, match=r"(truncated|the file is empty).*, .*face_01\.jpg; "):
        source_crops(Ibug300W(str(root)), 32, 2.0, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_box_wholly_outside_is_an_error_and_a_little_over_the_edge_is_not(
    make_faces: Make, tmp_path: Path
) -> None:
    root = make_faces(n=2)
    file = root / "face_01.pts"

    def move(shift: float) -> None:
        points = read_pts(root / "face_00.pts", 68) + np.array([shift, 0.0])
        rows = [f"{x + 1} {y + 1}" for x, y in points]
        file.write_text("\n".join(["version: 1", "n_points: 68", "{", *rows, "}"]))

    move(-50.0)
    crops = source_crops(Ibug300W(str(root)), 32, 2.0, tmp_path)
    assert not crops[1, :, 0].any(), "outside the image is black"
    move(-90.0)
    with pytest.raises(UserError, match=r"wholly outside the 96 x 96 image, .*face_01\.jpg; "):
        source_crops(Ibug300W(str(root)), 32, 2.0, tmp_path)
    move(0.0)
    text = file.read_text().splitlines()
    file.write_text("\n".join([*text[:5], "5000 5000", *text[6:]]))
    with pytest.raises(UserError, match="far larger than"):
        source_crops(Ibug300W(str(root)), 32, 2.0, tmp_path)


@given(st.data())
def test_fuzzed_files_are_read_right_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    rows = [f"{i}.5 {2 * i}" for i in range(68)]
    lines = ["version: 1", "n_points: 68", "{", *rows, "}"]
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        change = data.draw(st.sampled_from(["drop", "double", "garble", "swap"]))
        if change == "drop" and len(lines) > 1:
            del lines[at]
        elif change == "double":
            lines.insert(at, lines[at])
        elif change == "garble":
            lines[at] = data.draw(st.text(max_size=12))
        else:
            lines[at], lines[-1] = lines[-1], lines[at]
    path = tmp_path_factory.mktemp("fuzz") / "x.pts"
    path.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    try:
        points = read_pts(path, 68)
    except UserError as error:
        told = str(error)
        points = np.zeros((68, 2))
    else:
        told = str(path)
    assert str(path) in told
    assert "\n" not in told
    assert points.shape == (68, 2)
    assert np.isfinite(points).all()


def test_real_faces(real_data: Path) -> None:
    train = Ibug300W("300w/helen/trainset", first=770)
    held = Ibug300W("300w/helen/trainset", last=100)
    for dataset in (train, held):
        dataset.start_from(real_data)
    assert (len(train.index()), len(held.index())) == (770, 100)
    assert not set(train.index().paths) & set(held.index().paths)
    afw = Ibug300W("300w/afw/afw", boxes="detector", detector_csv="300w/detector_boxes.csv")
    afw.start_from(real_data)
    assert len(afw.index()) == 337
