"""`synthesize`: every face once, whatever was killed before; labels of the files are the faces'."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from lit_landmarks.data import FaceDataset, SyntheticFaces
from lit_landmarks.data.columns import write_columns
from lit_landmarks.data.layouts import LAYOUTS, LabelledFace, Layout, write_image, write_text
from lit_landmarks.data.readers.columns import ColumnFaces
from lit_landmarks.data.synthesize import NOTES, synthesize
from lit_landmarks.errors import UserError


class _Plain(Layout):
    """A picture and a JSON list of points per face, and a list of all."""

    name: ClassVar[str] = "plain_for_this_test"
    scheme: ClassVar[str] = "ibug68"

    def write(self, root: Path, face: LabelledFace) -> None:
        write_image(root / f"{face.number}.png", face.pixels)
        write_text(root / f"{face.number}.json", json.dumps(face.points.tolist()))

    def finish(self, root: Path, faces: Sequence[LabelledFace]) -> None:
        write_text(root / "list.txt", "".join(f"{f.number} {f.points[0, 0]}\n" for f in faces))


LAYOUTS.pop(_Plain.name)
Make = Any


@pytest.fixture
def dots(dot_faces: Make) -> Make:
    """Rendered sets that are quick to render."""
    return lambda n=70: dot_faces(n=100, dots=68, size=48)


def _check(root: Path, faces: FaceDataset, n: int) -> None:
    listed = (root / "list.txt").read_text().splitlines()
    assert [int(row.split()[0]) for row in listed] == list(range(n))
    index = faces.index()
    for row in range(n):
        points = np.array(json.loads((root / f"{row}.json").read_text()), np.float32)
        assert np.array_equal(points, index.points[row])
        assert float(listed[row].split()[1]) == pytest.approx(float(points[0, 0]))
    assert len(list(root.glob("*.png"))) == n


def test_writes_each_face_once_and_adds_more(dots: Make, tmp_path: Path) -> None:
    root = tmp_path / "out"
    assert synthesize(dots(), _Plain(), root, 40, workers=1) == 40
    _check(root, dots(), 40)
    again = dots()
    assert synthesize(again, _Plain(), root, 40, workers=1) == 0
    assert again.loads == 0
    # The short block of 40 is no block of 70, so eight faces are rendered again.
    assert synthesize(dots(), _Plain(), root, 70, workers=1) == 38
    _check(root, dots(), 70)


def test_goes_on_after_a_kill(dots: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, faces = tmp_path / "out", dots()
    load = faces.load

    def killed(rows: Sequence[int]) -> Any:
        if 64 in rows:
            raise KeyboardInterrupt
        return load(rows)

    monkeypatch.setattr(faces, "load", killed)
    with pytest.raises(KeyboardInterrupt):
        synthesize(faces, _Plain(), root, 70, workers=1)
    assert not (root / "list.txt").exists()
    assert synthesize(dots(), _Plain(), root, 70, workers=1) == 6
    _check(root, dots(), 70)


@pytest.mark.slow
def test_processes_write_what_one_writes(tmp_path: Path) -> None:
    faces = SyntheticFaces(n=40, image_size=32, visibility=False)
    layout = LAYOUTS["ibug"]()
    faces = SyntheticFaces(
        n=40, image_size=32, visibility=False, scheme=layout.scheme, convention=layout.contour
    )
    one, two = tmp_path / "one", tmp_path / "two"
    synthesize(faces, layout, one, 40, workers=1)
    synthesize(faces, layout, two, 40, workers=2)
    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(two) for p in two.rglob("*") if p.is_file())
    for file in files:
        if file.suffix != ".npz":  # which carry a date
            assert (one / file).read_bytes() == (two / file).read_bytes(), file


@pytest.mark.slow
def test_a_killed_run_leaves_no_process_and_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "out"
    words = ["data", "synthesize", str(root), "--n", "3000", "--workers", "2"]
    words = [*words, "--image_size", "32", "--visibility", "false"]
    # The write end of the pipe is shared with the workers: it closes when the last one has ended.
    read, write = os.pipe()
    started = subprocess.Popen(
        [sys.executable, "-m", "lit_landmarks", *words], stdout=write, stderr=write
    )
    os.close(write)
    until = time.monotonic() + 60
    while not list((root / NOTES).glob("*.npz")) and time.monotonic() < until:
        time.sleep(0.05)
    started.kill()
    started.wait()
    with os.fdopen(read, "rb") as told:
        told.read()
    done = len(list((root / NOTES).glob("*.npz")))
    assert 0 < done < 90
    assert len(list(root.rglob("*.pts"))) >= 32 * done


def test_a_folder_of_something_else_is_refused(dots: Make, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match=r"is not empty .* choose a new folder"):
        synthesize(dots(), _Plain(), tmp_path, 4, workers=1)
    root = tmp_path / "out"
    synthesize(dots(), _Plain(), root, 4, workers=1)
    other = dots()
    other.sigma = 2.0
    with pytest.raises(UserError, match=r"faces of another arguments and version; choose another"):
        synthesize(other, _Plain(), root, 4, workers=1)


def test_a_damaged_note_is_made_again(dots: Make, tmp_path: Path) -> None:
    root = tmp_path / "out"
    synthesize(dots(), _Plain(), root, 40, workers=1)
    next((root / NOTES).glob("0000000-*.npz")).write_bytes(b"half")
    with pytest.raises(UserError, match=r"is damaged; run the same command again"):
        synthesize(dots(), _Plain(), root, 40, workers=1)
    assert synthesize(dots(), _Plain(), root, 40, workers=1) == 32
    _check(root, dots(), 40)


def test_scheme_of_the_layout_is_asked_for(tmp_path: Path) -> None:
    faces = SyntheticFaces(n=2, scheme="wflw98")
    with pytest.raises(UserError, match=r"has scheme 'ibug68', the faces 'wflw98'"):
        synthesize(faces, _Plain(), tmp_path / "out", 2)


def _heads(convention: str, seed: int = 3) -> SyntheticFaces:
    return SyntheticFaces(
        n=5, seed=seed, image_size=48, convention=convention, visibility=False, max_yaw=80.0
    )


def test_other_labels_take_the_pictures_that_there_are(tmp_path: Path) -> None:
    skull, visible = tmp_path / "skull", tmp_path / "visible"
    first = _heads("synthetic_3d")
    synthesize(first, LAYOUTS["columns"].of(first), skull, 5, workers=1)
    other = _heads("synthetic_visible")
    layout = LAYOUTS["columns"].of(other)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SyntheticFaces, "load", None)  # nothing is rendered
        assert synthesize(other, layout, visible, 5, workers=1, pictures=skull) == 5
    one, two = ColumnFaces(str(skull)), ColumnFaces(str(visible))
    assert two.convention == "synthetic_visible"
    np.testing.assert_array_equal(two.index().points, other.index().points)
    assert not np.array_equal(one.index().points, two.index().points)
    for picture, same in zip(one.load(range(5)), two.load(range(5)), strict=True):
        np.testing.assert_array_equal(picture, same)


@pytest.mark.parametrize("case", ["same", "pixels", "labels"])
def test_faces_of_another_version_are_held_against_todays(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, heads = tmp_path / "heads", _heads("synthetic_3d")
    layout = LAYOUTS["columns"].of(heads)
    synthesize(heads, layout, root, 3, workers=1)
    plan = root / NOTES / "plan.json"
    old = {**json.loads(plan.read_text()), "version": "of long ago"}
    plan.write_text(json.dumps(old))
    if case == "pixels":
        (root / str(layout.picture_name(0))).write_bytes(b"another picture")
    if case == "labels":
        note = next((root / NOTES).glob("*.npz"))
        index = heads.index_of(range(3))
        index.points[0, 5] += 0.01
        write_columns(note, index)
    if case == "same":
        synthesize(heads, layout, root, 5, workers=1)
        np.testing.assert_array_equal(
            ColumnFaces(str(root)).index().points, heads.index().points[:5]
        )
        assert json.loads(plan.read_text())["version"] != "of long ago"
        return
    with pytest.raises(UserError, match=r"holds faces of another version; choose another folder"):
        synthesize(heads, layout, root, 5, workers=1)
    other = _heads("synthetic_visible")
    visible = LAYOUTS["columns"].of(other)
    if case == "labels":  # which do not matter to whom takes the pictures alone
        assert synthesize(other, visible, tmp_path / "new", 3, workers=1, pictures=root) == 3
        return
    with pytest.raises(UserError, match=r"it differs in version"):
        synthesize(other, visible, tmp_path / "new", 3, workers=1, pictures=root)


@pytest.mark.parametrize("case", ["seed", "number", "layout", "nothing"])
def test_pictures_of_other_faces_are_refused(case: str, tmp_path: Path) -> None:
    skull = tmp_path / "skull"
    first = _heads("synthetic_3d")
    if case != "nothing":
        synthesize(first, LAYOUTS["columns"].of(first), skull, 2, workers=1)
    other = _heads("synthetic_visible", seed=4 if case == "seed" else 3)
    layout = LAYOUTS["ibug" if case == "layout" else "columns"].of(other)
    message = {
        "seed": r"skull does not hold .* these faces \(it differs in arguments and version",
        "number": "000002.jpg, the picture of face 2; render more faces there",
        "layout": "layout 'ibug' does not share pictures; take layout 'columns'",
        "nothing": "skull does not hold the pictures",
    }[case]
    with pytest.raises(UserError, match=message):
        synthesize(other, layout, tmp_path / "new", 5, workers=1, pictures=skull)
    assert not (tmp_path / "new" / "faces.npz").exists()
