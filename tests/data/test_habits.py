"""More habits of annotation tools: unset points inside a face, units of `.pts`, picture boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lit_landmarks.data import Ibug300W, JsonFaces, SyntheticFaces
from lit_landmarks.data.layouts.json_faces import JsonHeader, write_faces
from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_scheme
from tests.support.images import write_image, write_pts

WIDTH, HEIGHT = 400, 300
UNSET = r"point (\d+) \(.* was not set, .*; leave it out"


@pytest.fixture(scope="module")
def faces() -> NDArray[np.float64]:
    """(6, 68, 2) points of faces of some 60 pixels in pictures of 400 x 300."""
    points = SyntheticFaces(n=6, image_size=128, seed=2).index().points.astype(np.float64)
    return np.asarray(points - points.mean(1, keepdims=True) + [200, 140])


def pts_folder(root: Path, faces: Any) -> str:
    root.mkdir(exist_ok=True)
    for k, points in enumerate(faces):
        write_image(root / f"{k}.png", 90, (HEIGHT, WIDTH))
        write_pts(root / f"{k}.pts", np.asarray(points))
    return str(root)


def json_folder(root: Path, faces: NDArray[np.float64], boxes: Any) -> str:
    index = Ibug300W(pts_folder(root, faces)).index()
    object.__setattr__(index, "box", np.asarray(boxes, np.float32))
    names = [f"{k}.png" for k in range(len(faces))]
    header = JsonHeader("ibug68", "custom", "box", "mine", "mine")
    write_faces(root / "faces.json", index, names, header)
    return str(root)


@pytest.mark.parametrize(
    ("numbers", "place"),
    [
        ((5,), (-1.0, 140.0)),  # the files count from 1
        ((60,), (199.0, -1.0)),
        ((8,), (WIDTH - 2.0, HEIGHT - 2.0)),
        ((3,), (-1.0, HEIGHT - 1.0)),
        ((16,), (998.0, 998.0)),
        ((0, 16, 30), (201.5, 141.0)),
        ((8, 36, 45), (200.0, 150.0)),
    ],
)
def test_unset_points_at_an_edge_a_corner_or_within_the_face(
    faces: NDArray[np.float64], tmp_path: Path, numbers: tuple[int, ...], place: Any
) -> None:
    changed = faces.copy()
    changed[2, list(numbers)] = place
    index, problems = Ibug300W(pts_folder(tmp_path, changed)).scan()
    assert (len(index), len(problems)) == (5, 1)
    assert f"point {numbers[0]} (" in str(problems[0])
    assert "was not set" in str(problems[0])
    assert "2.pts; leave it out" in str(problems[0])


def test_faces_cut_by_the_edge_of_the_picture_are_read(
    faces: NDArray[np.float64], tmp_path: Path
) -> None:
    cut = (faces - faces.min(1, keepdims=True) + [-12, 180]).clip(0)
    assert len(Ibug300W(pts_folder(tmp_path, cut)).index()) == 6


@pytest.mark.parametrize(("units", "whole"), [("relative", 1), ("percent", 100)])
def test_units_of_pts_files(
    faces: NDArray[np.float64], tmp_path: Path, units: Any, whole: int
) -> None:
    # write_pts adds the 1 from which the files count, which shares of a picture do not.
    shares = faces / [WIDTH, HEIGHT] * whole - 1
    root = pts_folder(tmp_path, shares * [1, 0.9])
    with pytest.raises(UserError, match=rf"0\.pts.*; .*units: .*{units}|units: {units}"):
        Ibug300W(root).index()
    stated = Ibug300W(pts_folder(tmp_path, shares), units=units).index()
    assert stated.points == pytest.approx(faces, abs=0.3)


@pytest.mark.parametrize("factor", [0.35, 1.9, 2.1])
def test_pts_of_another_copy(faces: NDArray[np.float64], tmp_path: Path, factor: float) -> None:
    root = pts_folder(tmp_path, faces * factor)
    message = r"first \d+ % of .*say which" if factor < 1 else r"beyond .*of a larger copy"
    with pytest.raises(UserError, match=message):
        Ibug300W(root).index()
    if factor < 2:
        assert len(Ibug300W(root, units="pixels").index()) == 6


def test_points_counted_from_the_middle(faces: NDArray[np.float64], tmp_path: Path) -> None:
    root = pts_folder(tmp_path / "a", faces - [WIDTH / 2, HEIGHT / 2])
    with pytest.raises(UserError, match=r"beyond the 400 x 300 picture, .*0\.pts; .* the middle"):
        Ibug300W(root).index()
    root = pts_folder(tmp_path / "b", faces - [WIDTH / 2 - 15, -60])
    with pytest.raises(UserError, match=r"\d of 6 faces reach beyond .* the middle, .*; say which"):
        Ibug300W(root).index()


def test_boxes_of_the_whole_picture_and_from_top_right_bottom_left(
    faces: NDArray[np.float64], tmp_path: Path
) -> None:
    assert get_scheme("ibug68").n_points == faces.shape[1]
    root = json_folder(tmp_path / "a", faces, np.tile([0, 0, WIDTH, HEIGHT], (6, 1)))
    with pytest.raises(UserError, match=r"boxes are the whole pictures, .*; give boxes"):
        JsonFaces(root).index()
    assert len(JsonFaces(root, boxes="ground_truth").index()) == 6
    tight = np.concatenate([faces.min(1) - 4, faces.max(1) + 4], 1)
    root = json_folder(tmp_path / "b", faces, tight[:, [1, 2, 3, 0]])
    with pytest.raises(UserError, match=r"faces\[0\]; it looks like y0, x1, y1, x0"):
        JsonFaces(root).index()
