"""The same face in another data set, and folds that keep a photo together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.data.face_keys import face_keys, group_keys, match_faces, split_into_folds
from lit_landmarks.data.readers.ibug import Ibug300W
from lit_landmarks.data.synthetic import SyntheticFaces
from tests.support.images import write_pts

Make = Callable[..., Path]


def test_faces_are_recognized_by_photo_or_by_points(make_faces: Make) -> None:
    root = make_faces(("a",), n=4)
    keys = face_keys(Ibug300W(str(root / "a")))
    moved = root / "b"
    (root / "a").rename(moved)
    assert (face_keys(Ibug300W(str(moved))) == keys).all(), "folders do not count"
    other = face_keys(Ibug300W(str(moved), boxes="jittered", last=3))
    assert match_faces(other, keys).tolist() == [1, 2, 3]
    write_pts(moved / "face_00.pts", np.full((68, 2), 40.0) + np.arange(68)[:, None] / 9)
    (moved / "face_01.jpg").rename(moved / "x.jpg")
    (moved / "face_01.pts").rename(moved / "x.pts")
    again = face_keys(Ibug300W(str(moved)))
    # The first by its photo alone, the renamed one (now the last) by its points alone.
    assert match_faces(again, keys).tolist() == [0, 2, 3, 1]


def test_rendered_faces_are_recognized_by_their_points() -> None:
    keys = face_keys(SyntheticFaces(n=5, seed=3, image_size=48))
    assert match_faces(face_keys(SyntheticFaces(n=2, seed=3, image_size=48)), keys).tolist() == [
        0,
        1,
    ]
    assert (match_faces(face_keys(SyntheticFaces(n=3, seed=4, image_size=48)), keys) == -1).all()


def test_folds_hold_groups_together() -> None:
    groups = np.array([5, 9, 5, -3, 9, 12, 40])
    fold = split_into_folds(groups, 3)
    assert fold[0] == fold[2]
    assert fold[1] == fold[4]
    assert sorted(np.bincount(fold[[0, 1, 3, 5, 6]]).tolist()) == [1, 2, 2]
    assert split_into_folds(groups[::-1], 3).tolist() == fold[::-1].tolist(), "whatever the order"
    assert split_into_folds(np.array([4, 4]), 5).tolist() == [0, 0]


def test_a_photo_of_two_sets_is_one_group(make_faces: Make) -> None:
    root = make_faces(("a",), n=3)
    first, second = (Ibug300W(str(root / "a"), boxes=b) for b in ("tight", "jittered"))
    assert (group_keys(first) == group_keys(second)).all()


def test_marks_test_sets_that_chose_the_checkpoint(make_faces: Make) -> None:
    root = make_faces(("a", "b"), n=4)
    whole = str(root / "a")
    data = LandmarkDataModule(
        train={"b": Ibug300W(str(root / "b"))},
        val={"a": Ibug300W(whole, first=2)},
        test={
            "same": Ibug300W(whole, first=2),
            "boxes": Ibug300W(whole, first=1, boxes="jittered"),
            "more": Ibug300W(whole),
            "rest": Ibug300W(whole, last=2),
        },
        frame_size=32,
    )
    data.mark_chosen_on(face_keys(data.sets["val"]["a"]))
    assert {d.name: d.chosen_on for d in data.spec.in_role("test")} == {
        "same": True,
        "boxes": True,
        "more": True,
        "rest": False,
    }
    assert not any(d.chosen_on for d in data.spec.in_role("val"))
    data.mark_chosen_on(np.empty((0, 2), np.int64))
    assert not any(d.chosen_on for d in data.spec.datasets)
