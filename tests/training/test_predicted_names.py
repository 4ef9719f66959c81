"""Files of predictions name each picture as the user does: through links, in any characters."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from lit_landmarks.training.predictions import format_csv, relative_name


def test_links_keep_the_names_of_pictures(tmp_path: Path) -> None:
    root, disk, store = tmp_path / "root", tmp_path / "disk", tmp_path / "root" / ".store"
    for folder in (root, disk, store):
        folder.mkdir()
    (store / "0f3a").touch()
    (disk / "b.jpg").touch()
    (root / "anna.jpg").symlink_to(store / "0f3a")
    (root / "photos").symlink_to(disk)
    (tmp_path / "link").symlink_to(root)
    assert relative_name(str(root / "anna.jpg"), str(root)) == "anna.jpg"
    assert relative_name(str(root / "photos" / "b.jpg"), str(root)) == "photos/b.jpg"
    assert relative_name(str(tmp_path / "link" / "anna.jpg"), str(root)) == "anna.jpg"
    assert relative_name(str(root / "x" / ".." / "anna.jpg"), str(root)) == "anna.jpg"
    assert relative_name(str(disk / "b.jpg"), str(root)) == str(disk / "b.jpg")


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9.jpg"), 'a, "b".jpg', "two\nlines.jpg"])
def test_any_name_of_a_picture_in_csv(name: str) -> None:
    columns = {
        "sets": np.array(["test/300: [v2]"]),
        "norms": np.array(["box"]),
        "dataset_id": np.zeros(1, np.int64),
        "index": np.zeros(1, np.int64),
        "images": np.array([name]),
        "boxes": np.array([[0, 1, 2, 3]], np.float32),
        "nme": np.array([np.nan], np.float32),
        "points": np.ones((1, 2, 2), np.float32),
    }
    rows = list(csv.reader(format_csv(columns).splitlines(keepends=True)))
    assert len(rows) == 2
    assert rows[1][:4] == ["test", "300: [v2]", "0", name]
    assert rows[1][9] == ""
