"""Writing files: all or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from lit_landmarks.errors import UserError
from lit_landmarks.files import atomic_path, check_folder, write_atomic


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_atomic(path, "old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match="No space"):
        write_atomic(path, b"new")
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_an_error_in_the_block_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_path(tmp_path / "a.npz") as temporary:
            assert temporary.suffix == ".npz"
            temporary.write_text("half")
            raise KeyError("x")

    with pytest.raises(KeyError):
        fail()
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        write_atomic(tmp_path / "file" / "b.txt", "x")


def test_a_folder_is_tried_and_nothing_left(tmp_path: Path) -> None:
    check_folder(tmp_path / "a" / "b")
    check_folder(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="it is a file"):
        check_folder(tmp_path / "file")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
