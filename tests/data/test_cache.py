"""Source crops: geometry, staleness, full disks, two builders at once."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.data import FaceDataset, Ibug300W
from lit_landmarks.data import cache as module
from lit_landmarks.data.cache import cache_folder, cut_square, source_crops, source_squares
from lit_landmarks.errors import UserError

Make = Callable[..., Path]
MakeSet = Callable[..., FaceDataset]


@given(st.lists(st.floats(-50, 300), min_size=2, max_size=2), st.floats(1, 400), st.floats(1, 4))
def test_square_holds_the_box_about_its_middle(
    center: list[float], side: float, scale: float
) -> None:
    low = np.array(center) - side / 2
    box = np.array([*low, low[0] + side, low[1] + side * 0.8]).astype(np.float32)[None]
    x, y, length = source_squares(box, scale)[0]
    assert length - 1 <= scale * side * (1 + 1e-4)
    assert length >= scale * side * (1 - 1e-4)
    middle = np.array([x, y]) + (length - 1) / 2
    assert np.abs(middle - (box[0, :2] + box[0, 2:]) / 2).max() <= 0.501


@given(st.integers(-60, 80), st.integers(-60, 80), st.integers(4, 200), st.integers(16, 64))
def test_cut_square_is_a_padded_slice(x: int, y: int, side: int, size: int) -> None:
    if not (-side < x < 50 and -side < y < 40):
        x, y = 10, 10
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    padded = np.pad(image, ((200, 300), (200, 300), (0, 0)))
    part = padded[200 + y : 200 + y + side, 200 + x : 200 + x + side]
    how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    expected = cv2.resize(np.ascontiguousarray(part), (size, size), interpolation=how)
    assert np.array_equal(cut_square(image, np.array([x, y, side]), size), expected)


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((320, 320, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = cut_square(stripes, np.array([0, 0, 320]), 80)
    assert np.abs(crop.astype(int) - 127.5).max() < 1


def test_built_once_and_read_back(dot_faces: MakeSet, tmp_path: Path) -> None:
    dataset: Any = dot_faces(n=5)
    first = source_crops(dataset, 64, 2.0, tmp_path)
    again = source_crops(dataset, 64, 2.0, tmp_path)
    assert dataset.loads == 5
    assert np.array_equal(first, again)
    assert first.shape == (5, 64, 64, 3)
    assert not first.flags.writeable
    assert [p.suffix for p in tmp_path.iterdir()] == [".npy"]
    squares = source_squares(dataset.index().box, 2.0)
    assert np.array_equal(first[3], cut_square(dataset.load([3])[0], squares[3], 64))


def test_long_builds_come_in_order(dot_faces: MakeSet, tmp_path: Path) -> None:
    dataset = dot_faces(n=300, size=40)
    crops = source_crops(dataset, 16, 2.0, tmp_path)
    for row in (0, 127, 128, 299):
        square = source_squares(dataset.index().box, 2.0)[row]
        assert np.array_equal(crops[row], cut_square(dataset.load([row])[0], square, 16))


def test_never_stale(make_faces: Make, tmp_path: Path) -> None:
    root = make_faces(n=3)
    cache = tmp_path / "cache"

    def crops(size: int = 32, scale: float = 2.0) -> np.ndarray:
        return np.array(source_crops(Ibug300W(str(root)), size, scale, cache))

    before = crops()
    cv2.imwrite(str(root / "face_01.jpg"), np.full((96, 96, 3), 200, np.uint8))
    after = crops()
    assert np.array_equal(before[0], after[0])
    assert not np.array_equal(before[1], after[1])
    assert len(list(cache.iterdir())) == 2

    text = (root / "face_02.pts").read_text().splitlines()
    text[3] = "90 90"
    (root / "face_02.pts").write_text("\n".join(text))
    assert not np.array_equal(crops()[2], after[2]), "the box moved"
    crops(size=40)
    crops(scale=2.5)
    assert len(list(cache.iterdir())) == 5
    old = (root / "face_00.jpg").stat()
    (root / "face_00.jpg").write_bytes((root / "face_01.jpg").read_bytes())
    os.utime(root / "face_00.jpg", ns=(old.st_atime_ns, old.st_mtime_ns + 1))
    assert np.array_equal(crops()[0][12:20, 12:20], np.full((8, 8, 3), 200))


@pytest.mark.parametrize("kind", ["at once", "in the middle"])
def test_full_disk_leaves_nothing(
    dot_faces: MakeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def blocks(*args: Any) -> Any:
        yield np.zeros((2, 64, 64, 3), np.uint8)
        raise OSError(errno.ENOSPC, "No space left on device")

    if kind == "at once":
        usage = type("Usage", (), {"free": 1000})
        monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    else:
        monkeypatch.setattr(module, "_blocks", blocks)
    with pytest.raises(
        UserError, match=r"disk is full while caching 5 faces, .*; free space or set LIT_LANDMARKS"
    ):
        source_crops(dot_faces(n=5), 64, 2.0, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_interrupt_leaves_nothing(
    dot_faces: MakeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*args: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_blocks", stopped)
    with pytest.raises(KeyboardInterrupt):
        source_crops(dot_faces(n=5), 64, 2.0, tmp_path)
    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_written(dot_faces: MakeSet, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write the cache .*; set LIT_LANDMARKS_CACHE"):
        source_crops(dot_faces(n=2), 64, 2.0, tmp_path / "file" / "cache")


def test_two_builders_at_once(dot_faces: MakeSet, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        built = list(pool.map(lambda _: source_crops(dot_faces(n=9), 64, 2.0, tmp_path), range(4)))
    for crops in built:
        assert np.array_equal(crops, built[0])
    assert len(list(tmp_path.iterdir())) == 1


def test_leftovers_of_killed_builds_are_swept(dot_faces: MakeSet, tmp_path: Path) -> None:
    old, new = tmp_path / ".x-old.tmp", tmp_path / ".x-new.tmp"
    for file in (old, new):
        file.write_text("half")
    os.utime(old, (0, time.time() - 2e5))
    source_crops(dot_faces(n=2), 64, 2.0, tmp_path)
    assert not old.exists()
    assert new.exists(), "may belong to a build that is running"


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIT_LANDMARKS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert cache_folder(tmp_path / "b") == tmp_path / "b"
    monkeypatch.delenv("LIT_LANDMARKS_CACHE")
    assert cache_folder() == Path("~/.cache/lit_landmarks").expanduser()
