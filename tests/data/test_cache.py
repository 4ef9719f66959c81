"""Source crops: geometry, staleness, full disks, kills, two builders at once."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.data import FaceDataset, Ibug300W
from lit_landmarks.data import cache_writer as module
from lit_landmarks.data.cache import cache_folder, source_crops
from lit_landmarks.data.crop_boxes import cut_square, source_squares
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
    assert length - 1 <= scale * side * (1 + 1 / 64)
    assert length >= scale * side * (1 - 1e-4)
    middle = np.array([x, y]) + (length - 1) / 2
    assert np.abs(middle - (box[0, :2] + box[0, 2:]) / 2).max() <= 0.501


@given(st.floats(2, 5000))
def test_large_sides_halve_without_rest(side: float) -> None:
    box = np.array([[0, 0, side, side]], np.float32)
    length = int(source_squares(box, 1.0)[0, 2])
    assert length >= np.float32(side)
    while length >= 256:
        assert length % 2 == 0
        length //= 2


@given(st.integers(-60, 80), st.integers(-60, 80), st.integers(4, 200), st.integers(16, 64))
def test_cut_square_is_a_padded_slice(x: int, y: int, side: int, size: int) -> None:
    if not (-side < x < 50 and -side < y < 40):
        x, y = 10, 10
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    padded = np.pad(image, ((200, 300), (200, 300), (0, 0)))
    part = np.ascontiguousarray(padded[200 + y : 200 + y + side, 200 + x : 200 + x + side])
    inside = cut_square(part, np.array([0, 0, side]), size)
    assert np.array_equal(cut_square(image, np.array([x, y, side]), size), inside)
    if side <= size * 2**0.5:
        expected = cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR)
        assert np.abs(inside.astype(int) - expected).max() <= 1


@given(st.integers(-8, 8), st.integers(-8, 8), st.sampled_from([256, 320, 640, 1024]))
def test_a_square_far_larger_than_its_image_is_a_padded_slice(x: int, y: int, side: int) -> None:
    # The image lies anywhere in the square, with any rest to the blocks that are halved.
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    left, top = side // 2 + x * side // 20, side // 2 + y * side // 20
    part = np.pad(image, ((top, side), (left, side), (0, 0)))[:side, :side]
    expected = cut_square(part, np.array([0, 0, side]), 32)
    assert np.array_equal(cut_square(image, np.array([-left, -top, side]), 32), expected)


def test_a_box_far_larger_than_its_image_takes_no_memory_for_what_is_black(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = []
    framed = cv2.copyMakeBorder

    def measured(*args: Any, **more: Any) -> Any:
        result = framed(*args, **more)
        sizes.append(result.shape)
        return result

    monkeypatch.setattr(cv2, "copyMakeBorder", measured)
    image = np.full((150, 200, 3), 200, np.uint8)
    # As large as `check_box` lets through: a square of 3360 pixels about an image of 200.
    square = source_squares(np.array([[-700, -700, 900, 900]], np.float32), 2.1)[0]
    crop = cut_square(image, square, 160)
    assert max(height * width for height, width, _ in sizes) < 2 * max(image.size // 3, 320**2)
    covered = crop.astype(float).sum() / 3 / 200 / 160**2
    assert covered == pytest.approx(150 * 200 / square[2] ** 2, rel=0.02), "the image is all there"


def test_a_square_beside_its_image_is_black() -> None:
    image = np.full((40, 50, 3), 200, np.uint8)
    for corner in ((-16, 0), (50, 0), (0, -16), (0, 40)):
        assert not cut_square(image, np.array([*corner, 16]), 8).any()


@given(st.integers(40, 900), st.integers(16, 120))
def test_pixels_keep_their_place_at_every_step(side: int, size: int) -> None:
    # The middle of a blob is where the blob is, whatever was halved or padded on the way.
    rng = np.random.default_rng(side * 1000 + size)
    center = rng.uniform(0.3, 0.7, 2) * side
    y, x = np.mgrid[:side, :side]
    blob = np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / (2 * (0.08 * side) ** 2))
    image = np.repeat((250 * blob).round().astype(np.uint8)[..., None], 3, 2)
    crop = cut_square(image, np.array([0, 0, side]), size)[..., 0].astype(float)
    v, u = np.mgrid[:size, :size]
    found = np.array([(crop * u).sum(), (crop * v).sum()]) / crop.sum()
    expected = (center + 0.5) * size / side - 0.5
    assert np.abs(found - expected).max() < 0.03, "frame pixels"


@given(st.integers(60, 700), st.integers(24, 64))
def test_as_sharp_as_area_averaging(side: int, size: int) -> None:
    coarse = np.random.default_rng(side).integers(0, 256, (size // 3, size // 3, 3), np.uint8)
    image = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    crop = cut_square(image, np.array([0, 0, side]), size).astype(float)
    area = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(crop - area).mean() < 5, "levels of 255"


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
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if kind == "at once":
        usage = type("Usage", (), {"free": 1000})
        monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    else:
        monkeypatch.setattr(module.os, "pwrite", full)
    with pytest.raises(
        UserError, match=r"disk is full while caching 5 faces, .*; free space or set LIT_LANDMARKS"
    ):
        source_crops(dot_faces(n=5), 64, 2.0, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_file_that_cannot_be_made_closes_no_other(
    dot_faces: MakeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open
    others: list[int] = []

    def full(path: Any, flags: int, *mode: int) -> int:
        if flags & os.O_EXCL and str(path).endswith(".part"):
            others.append(opened(os.devnull, os.O_RDONLY))  # as another thread would
            raise OSError(errno.EMFILE, "Too many open files")
        return opened(path, flags, *mode)

    monkeypatch.setattr(module, "_lock", lambda file, path: False)
    monkeypatch.setattr(os, "open", full)
    with pytest.raises(UserError, match="cannot write the cache"):
        source_crops(dot_faces(n=5), 64, 2.0, tmp_path)
    os.close(others[0])  # fails if it was closed already


def test_an_interrupted_build_goes_on_where_it_stopped(
    dot_faces: MakeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK", 4)
    monkeypatch.setattr(module, "_NOTE_SECONDS", -1.0)
    dataset: Any = dot_faces(n=10)
    load = dataset.load

    def stopped(rows: range) -> Any:
        if 8 in rows:
            raise KeyboardInterrupt
        return load(rows)

    monkeypatch.setattr(dataset, "load", stopped)
    with pytest.raises(KeyboardInterrupt):
        source_crops(dataset, 64, 2.0, tmp_path)
    monkeypatch.setattr(dataset, "load", load)
    resumed = source_crops(dataset, 64, 2.0, tmp_path)
    assert dataset.loads == 10, "eight before, two after"
    assert [p.suffix for p in tmp_path.iterdir()] == [".npy"]
    assert np.array_equal(resumed, source_crops(dot_faces(n=10), 64, 2.0, tmp_path / "other"))


@pytest.mark.parametrize("damage", ["short", "note", "other file"])
def test_a_part_that_is_not_what_its_note_says_is_built_again(
    dot_faces: MakeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    test_an_interrupted_build_goes_on_where_it_stopped(dot_faces, tmp_path / "a", monkeypatch)
    whole = next((tmp_path / "a").glob("*.npy"))
    part = tmp_path / "b" / f".{whole.stem}.part"
    part.parent.mkdir()
    part.write_bytes(b"x" * (100 if damage == "short" else whole.stat().st_size))
    inode = part.stat().st_ino + (damage == "other file")
    part.with_suffix(".rows").write_text("8" if damage == "note" else f"{inode} 8")
    again = source_crops(dot_faces(n=10), 64, 2.0, tmp_path / "b")
    assert np.array_equal(again, np.load(whole))


_KILLED = """
import os, signal, sys
from lit_landmarks.data import Ibug300W, cache_writer
from lit_landmarks.data.cache import source_crops
cache_writer._NOTE_SECONDS, cache_writer._CHUNK = -1.0, 2
faces, seen = Ibug300W(sys.argv[1]), []
load = faces.load
def counted(rows):
    seen.extend(rows)
    if len(seen) > 40:
        os.kill(os.getpid(), signal.SIGKILL)
    return load(rows)
faces.load = counted
source_crops(faces, 64, 2.0, sys.argv[2])
"""


def test_killed_and_finished_by_another_process(
    make_faces: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = make_faces(n=60), tmp_path / "cache"
    words = [sys.executable, "-c", _KILLED, str(root), str(cache)]
    killed = subprocess.run(words, capture_output=True, text=True, timeout=180)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert {p.suffix for p in cache.iterdir()} == {".part", ".rows"}
    dataset, read = Ibug300W(str(root)), []
    load = dataset.load
    monkeypatch.setattr(dataset, "load", lambda rows: read.extend(rows) or load(rows))
    crops = source_crops(dataset, 64, 2.0, cache)
    assert 20 <= len(read) < 60, "the first forty were not all read again"
    assert np.array_equal(crops, source_crops(Ibug300W(str(root)), 64, 2.0, tmp_path / "other"))
    assert [p.suffix for p in cache.iterdir()] == [".npy"]


def test_images_that_change_meanwhile_are_not_cached(
    make_faces: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_faces(n=3)
    dataset = Ibug300W(str(root))
    load = dataset.load

    def swap(rows: Any) -> Any:
        (root / "face_02.jpg").write_bytes((root / "face_00.jpg").read_bytes())
        return load(rows)

    monkeypatch.setattr(dataset, "load", swap)
    with pytest.raises(UserError, match=r"images of Ibug300W changed while .* run it again"):
        source_crops(dataset, 32, 2.0, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_file_that_takes_over_time_and_size_is_seen(make_faces: Make, tmp_path: Path) -> None:
    root = make_faces(n=1)
    before = source_crops(Ibug300W(str(root)), 32, 2.0, tmp_path / "cache")
    file = root / "face_00.jpg"
    old, data = file.stat(), bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x55
    file.write_bytes(data)
    os.utime(file, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert not np.array_equal(
        before, source_crops(Ibug300W(str(root)), 32, 2.0, tmp_path / "cache")
    )


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


def test_a_second_builder_waits_for_the_first(
    dot_faces: MakeSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = cast(Any, dot_faces(n=9)), cast(Any, dot_faces(n=9))
    inside, load = threading.Event(), first.load

    def slow(rows: Any) -> Any:
        inside.set()
        time.sleep(0.3)
        return load(rows)

    first.load = slow
    with ThreadPoolExecutor(1) as pool:
        one = pool.submit(source_crops, first, 64, 2.0, tmp_path)
        inside.wait(10)
        two = source_crops(second, 64, 2.0, tmp_path)
        assert np.array_equal(one.result(), two)
    assert second.loads == 0
    assert "waiting for it" in capsys.readouterr().err


def test_leftovers_of_killed_builds_are_swept(dot_faces: MakeSet, tmp_path: Path) -> None:
    old, new = tmp_path / ".x-old.part", tmp_path / ".x-new.part"
    for file in (old, new):
        file.write_text("half")
    os.utime(old, (0, time.time() - 4e5))
    source_crops(dot_faces(n=2), 64, 2.0, tmp_path)
    assert not old.exists()
    assert new.exists(), "may belong to a build that is running or will be resumed"


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIT_LANDMARKS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert cache_folder(tmp_path / "b") == tmp_path / "b"
    monkeypatch.delenv("LIT_LANDMARKS_CACHE")
    assert cache_folder() == Path("~/.cache/lit_landmarks").expanduser()
