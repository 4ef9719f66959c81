"""Motion of landmarks on video, of methods whose answer is known frame by frame."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from lit_landmarks.analysis.face_boxes import FaceBoxes
from lit_landmarks.analysis.video_stability import (
    FaceVideo,
    follow_face,
    measure_motion,
    print_video,
    summarize_video,
    write_video,
)
from lit_landmarks.data import SyntheticFaces
from lit_landmarks.draw.files import Image
from lit_landmarks.errors import UserError

Points = NDArray[np.float64]
SHAPE = (120, 160)
BOX = (40.0, 30.0, 100.0, 90.0)


def blank(count: int) -> Iterator[Image]:
    """Frames whose first pixel is their number."""
    for k in range(count):
        frame = np.zeros((*SHAPE, 3), np.uint8)
        frame[0, 0] = k
        yield frame


def face() -> Points:
    """(68, 2) of a face whose tight box is `BOX`."""
    points = SyntheticFaces(n=1, visibility=False, max_yaw=0, max_roll=0).index().points[0]
    share = (points - points.min(0)) / np.ptp(points, axis=0)
    return np.asarray(BOX[:2] + share * 60.0, np.float64)


class Answers:
    """A method that knows what to say of each frame; it keeps the boxes that it was given."""

    def __init__(self, points: Callable[[int], Points]) -> None:
        self.points = points
        self.boxes: list[list[float]] = []

    def __call__(self, frame: Image, box: Points) -> Points:
        self.boxes.append([float(v) for v in box])
        return self.points(int(frame[0, 0, 0]))


def run(points: Callable[[int], Points], count: int = 20, **more: object) -> FaceVideo:
    boxes = FaceBoxes({0: BOX})
    return follow_face(blank(count), Answers(points), boxes, "ibug68", **more)  # type: ignore[arg-type]


def test_even_motion_is_displacement_alone() -> None:
    shape = face()
    video = run(lambda k: shape + k * np.array([0.3, 0.4]))
    for points in video.points.values():
        assert points.shape == (20, 68, 2)
        for group, figures in measure_motion(points, "ibug68").items():
            assert figures["displacement"].shape == (19,)
            assert figures["acceleration"].shape == figures["jitter"].shape == (18,)
            expected = pytest.approx(100 * 0.5 / 60, rel=1e-6)
            assert figures["displacement"].min() == expected, group
            assert figures["displacement"].max() == expected, group
            assert figures["acceleration"].max() < 1e-9
            assert figures["jitter"].max() < 1e-9
    assert measure_motion(video.points["given"], "ibug68").keys() == {"all", "inner", "contour"}


def test_a_point_that_jumps_to_and_fro() -> None:
    """Half of the landmarks 3 pixels to the right in each second frame."""
    shape, step = face(), np.zeros((68, 2))
    step[::2, 0] = 3.0
    figures = measure_motion(run(lambda k: shape + k % 2 * step).points["given"], "ibug68")
    # Sizes differ a little from frame to frame: the root of the area of the tight box.
    norms = [math.sqrt(np.ptp(shape + k * step, axis=0).prod()) for k in (0, 1)]
    later = np.array([norms[(k + 1) % 2] for k in range(19)])
    np.testing.assert_allclose(figures["all"]["displacement"], 100 * 1.5 / later)
    np.testing.assert_allclose(figures["all"]["acceleration"], 100 * 3.0 / later[:18])
    root = math.sqrt((36 + 0) / 2 / 6)
    np.testing.assert_allclose(figures["all"]["jitter"], 100 * root / later[:18])


def test_jitter_is_that_of_independent_errors_on_even_motion() -> None:
    rng, shape = np.random.default_rng(0), face()
    noise = rng.normal(0, 0.5, (200, 68, 2))
    video = run(lambda k: shape + 0.1 * k + noise[k], count=200)
    jitter = measure_motion(video.points["followed"], "ibug68")["all"]["jitter"]
    norm = math.sqrt(np.ptp(shape, axis=0).prod())
    assert np.sqrt((jitter**2).mean()) == pytest.approx(100 * 0.5 * math.sqrt(2) / norm, rel=0.05)


def test_the_followed_box_is_that_of_the_landmarks_before() -> None:
    shape = face()
    method = Answers(lambda k: shape + 2.0 * k)
    follow_face(blank(4), method, FaceBoxes({0: BOX}), "ibug68")
    assert method.boxes[::2] == [[*BOX]] * 4
    np.testing.assert_allclose(method.boxes[1::2], [np.add(BOX, 2 * k) for k in (0, 0, 1, 2)])


def test_a_dense_scheme_is_cut_by_its_68_points() -> None:
    dense = SyntheticFaces(n=1, visibility=False, scheme="dense520", convention="3d").index()
    sparse = SyntheticFaces(n=1, visibility=False, convention="3d").index()
    method = Answers(lambda k: dense.points[0].astype(float))
    start = sparse.box[0] + np.array([-3, -3, 3, 3])
    frames = (np.zeros((192, 192, 3), np.uint8) for _ in range(3))
    follow_face(frames, method, FaceBoxes({0: start}), "dense520")
    sides = np.subtract(method.boxes[3][2:], method.boxes[3][:2])
    np.testing.assert_allclose(sides, sparse.box[0][2:] - sparse.box[0][:2], rtol=0.03)


@pytest.mark.parametrize(
    "astray",
    [
        lambda shape: shape * math.nan,
        lambda shape: shape + 200.0,
        lambda shape: shape.mean(0) + 0.2 * (shape - shape.mean(0)),
    ],
)
def test_a_lost_face_is_found_again_by_its_given_box(astray: Callable[[Points], Points]) -> None:
    shape = face()
    method = Answers(lambda k: astray(shape) if k == 1 else shape + 1.0)
    video = follow_face(blank(4), method, FaceBoxes({0: BOX}), "ibug68")
    assert video.lost == 1
    followed = method.boxes[1::2]
    assert followed[2] == [*BOX]
    np.testing.assert_allclose(followed[1], np.add(BOX, 1))
    np.testing.assert_allclose(followed[3], np.add(BOX, 1))
    assert summarize_video(video)["lost"] == 1
    if math.isnan(float(astray(shape)[0, 0])):
        assert summarize_video(video)["given"]["all"]["jitter"]["p95"] == math.inf


def test_boxes_of_later_frames(tmp_path: Path) -> None:
    shape = face()
    file = tmp_path / "boxes.csv"
    file.write_text("frame,x0,y0,x1,y1\n5,41,31,99,89\n2,40,30,100,90\n")
    method = Answers(lambda k: shape)
    video = follow_face(blank(7), method, FaceBoxes.read(file), "ibug68", shown=[2, 6])
    assert video.first == 2
    assert len(video.points["given"]) == 5
    assert method.boxes[::2] == [[40.0, 30.0, 100.0, 90.0]] * 3 + [[41.0, 31.0, 99.0, 89.0]] * 2
    assert {number: image.shape for number, image in video.pictures.items()} == {
        2: (*SHAPE, 3), 6: (*SHAPE, 3),
    }  # fmt: skip  # one row


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", r"columns are not frame,x0,y0,x1,y1, .*boxes\.csv:1"),
        ("frame,x0,y0,x1,y1\n", r"no box, .*:2"),
        ("frame,x0,y0,x1,y1\n0,1,2,3,4\n1,5,6,5,9\n", r"box has no area, .*:3"),
        ("frame,x0,y0,x1,y1\n0,1,2,nan,4\n", r"box has no area, .*:2"),
        ("frame,x0,y0,x1,y1\n0,1,2,x,4\n", r"not a frame and four numbers, .*:2"),
        ("frame,x0,y0,x1,y1\n0,1,2\n", r"not a frame and four numbers, .*:2"),
        ("frame,x0,y0,x1,y1\n-1,1,2,3,4\n", r"frame -1 is no whole number from 0, .*:2"),
        ("frame,x0,y0,x1,y1\n0.5,1,2,3,4\n", r"frame 0\.5 is no whole number"),
    ],
)
def test_bad_files_of_boxes(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "boxes.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        FaceBoxes.read(file)
    assert "\n" not in str(error.value)


def test_other_bad_input(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the boxes"):
        FaceBoxes.read(tmp_path / "none.csv")
    with pytest.raises(UserError, match="of frame 3 has no area"):
        FaceBoxes({3: (4, 4, 4, 9)})
    with pytest.raises(UserError, match="2 frames from the first box on; three or more"):
        run(lambda k: face(), count=2)


def test_the_report(tmp_path: Path) -> None:
    shape = face()
    video = run(lambda k: shape + (k % 2), shown=range(0, 20, 5))
    write_video(video, {"video": "a.mp4"}, tmp_path, "video_a")
    report = json.loads((tmp_path / "video_a.json").read_text())
    norm = math.sqrt(np.ptp(shape, axis=0).prod())
    assert report["video"] == "a.mp4"
    assert (report["frames"], report["first_frame"], report["norm"]) == (20, 0, "box")
    for way in ("given", "followed"):
        figures = report[way]["contour"]
        assert figures["displacement"]["median"] == pytest.approx(100 * math.sqrt(2) / norm)
        assert figures["acceleration"]["mean"] == pytest.approx(200 * math.sqrt(2) / norm)
        assert figures["jitter"]["p95"] == pytest.approx(200 * math.sqrt(2 / 6) / norm)
    assert (tmp_path / "video_a.png").stat().st_size > 5000
    assert (tmp_path / "video_a.jpg").stat().st_size > 2000
    console = Console(width=100, record=True)
    print_video(video, "a.mp4", console)
    assert f"{100 * math.sqrt(2) / norm:.3f}" in console.export_text()
