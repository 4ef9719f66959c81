"""The private test set of 300W through the reader of 300W."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lit_landmarks.data import Ibug300W
from lit_landmarks.errors import UserError

Copies = Callable[..., tuple[Path, list[Any]]]


def test_indoor_and_outdoor(copies: Copies) -> None:
    root, faces = copies("300w_private")
    data = Ibug300W(str(root))
    index = data.index()
    counts = {name: int(column.sum()) for name, column in index.subsets.items()}
    assert counts == {"indoor": 5, "outdoor": 4, "private": 9}
    order = [*faces[0::2], *faces[1::2]]
    for row, face in enumerate(order):
        assert index.points[row] == pytest.approx(face.points, abs=1e-4)
        assert np.array_equal(data.load([row])[0], face.image)
    assert Path(index.paths[0]).name == "indoor_001.png"
    outdoor = Ibug300W(str(root), subset="outdoor").index()
    assert [Path(p).parent.name for p in outdoor.paths] == ["02_Outdoor"] * 4


@pytest.mark.parametrize(("old", "new"), [("01_Indoor", "indoor"), ("02_Outdoor", "outdoor")])
def test_plain_folder_names(copies: Copies, old: str, new: str) -> None:
    root, _ = copies("300w_private", fresh=True)
    (root / old).rename(root / new)
    assert len(Ibug300W(str(root), subset=new).index()) == (5 if new == "indoor" else 4)
    assert int(Ibug300W(str(root)).index().subsets["private"].sum()) == 9
    part = Ibug300W(str(root / new)).index()
    assert part.subsets[new].all(), "a part can be a root"


def test_private_faces_never_slip_into_the_public_set(copies: Copies) -> None:
    root, _ = copies("300w_private", fresh=True)
    (root / "afw").mkdir()
    for suffix in (".png", ".pts"):
        (root / "01_Indoor" / f"indoor_001{suffix}").rename(root / "afw" / f"a{suffix}")
    assert list(Ibug300W(str(root)).index().subsets) == ["afw"]
    assert len(Ibug300W(str(root)).index()) == 1
    assert len(Ibug300W(str(root), subset="private").index()) == 8
    with pytest.raises(UserError, match=r"no subset 'ibug' in .*; the folders give: afw"):
        Ibug300W(str(root), subset="ibug").index()
