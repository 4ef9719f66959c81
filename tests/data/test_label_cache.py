"""Labels of rendered sets: the same from the cache, made again when their reasons change."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lit_landmarks.data import FaceIndex, IctFaces, SyntheticFaces, label_cache
from lit_landmarks.data.label_cache import cached
from lit_landmarks.geometry.rotations import euler_to_matrix
from lit_landmarks.rendering.ict import IctHead
from lit_landmarks.rendering.labels import PlacedHeads
from lit_landmarks.schemes import get_scheme
from lit_landmarks.splitmix import mix
from lit_landmarks.template.surface_points import SurfacePoints


def _index(n: int = 300, value: float = 1.0) -> FaceIndex:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 90, (n, 68, 2)).astype(np.float32) * np.float32(value)
    return FaceIndex(
        points,
        rng.random((n, 68)) < 0.5,
        rng.random((n, 4)).astype(np.float32),
        visible=rng.integers(-1, 3, (n, 68)).astype(np.int8),
        pose=rng.random((n, 3)).astype(np.float32),
        subsets={"half": rng.random(n) < 0.5},
    )


def _same(a: FaceIndex, b: FaceIndex) -> bool:
    def equal(x: Any, y: Any) -> bool:
        return np.array_equal(x, y) if isinstance(x, np.ndarray) else bool(x == y)

    plain = [f.name for f in fields(FaceIndex) if f.name != "subsets"]
    return all(equal(getattr(a, name), getattr(b, name)) for name in plain) and all(
        np.array_equal(a.subsets[name], b.subsets[name]) for name in a.subsets | b.subsets
    )


def _forbidden() -> FaceIndex:
    raise AssertionError("the cache holds these labels")


def test_second_time_from_the_file(tmp_path: Path) -> None:
    made = cached("Set", ("seed", 1), 300, _index, tmp_path)
    assert _same(cached("Set", ("seed", 1), 300, _forbidden, tmp_path), made)
    other = cached("Set", ("seed", 2), 300, lambda: _index(value=2.0), tmp_path)
    assert not _same(other, made)
    assert len(list(tmp_path.iterdir())) == 2


def test_new_code_makes_new_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached("Set", 1, 300, _index, tmp_path)
    monkeypatch.setattr(label_cache, "code_version", lambda: "another version")
    fresh = cached("Set", 1, 300, lambda: _index(value=3.0), tmp_path)
    assert _same(fresh, _index(value=3.0))


@pytest.mark.parametrize("size", [0, 10, 5000])
def test_a_damaged_file_is_made_again(tmp_path: Path, size: int) -> None:
    cached("Set", 1, 300, _index, tmp_path)
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:size])
    assert _same(cached("Set", 1, 300, _index, tmp_path), _index())
    assert _same(cached("Set", 1, 300, _forbidden, tmp_path), _index())


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert _same(cached("Set", 1, 300, _index, tmp_path / "file" / "cache"), _index())


def test_few_rows_are_those_of_the_whole_set(tmp_path: Path) -> None:
    faces = SyntheticFaces(n=230, visibility=False)
    faces.cache_dir = str(tmp_path)
    whole = faces.index()
    assert len(list(tmp_path.iterdir())) == 1
    rows = [229, 3, 40]
    assert _same(faces.index_of(rows), whole.select(np.array(rows)))
    again = SyntheticFaces(n=230, visibility=False)
    again.cache_dir = str(tmp_path)
    assert _same(again.index(), whole)


def test_the_key_covers_the_code_that_makes_labels() -> None:
    files = set(label_cache.label_code())
    for part in (
        SyntheticFaces,
        IctFaces,
        PlacedHeads,
        IctHead,
        SurfacePoints,
        get_scheme,
        mix,
        euler_to_matrix,
    ):
        assert Path(inspect.getfile(part)) in files
