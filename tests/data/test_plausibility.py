"""Labels that cannot be meant: what is refused, with which cure, and what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lit_landmarks.data import CocoKeypoints, Ibug300W, JsonFaces, SyntheticFaces, check_dataset
from lit_landmarks.data.picture_size import picture_size
from lit_landmarks.errors import UserError
from tests.support.images import write_image, write_pts

#: Five points as face detectors give them, for a face of about 100 pixels.
FIVE = np.array([[130.0, 142], [170, 140], [151, 165], [135, 184], [167, 183]])
NAMES = ["right_eye", "left_eye", "nose_tip", "right_mouth_corner", "left_mouth_corner"]
WIDTH, HEIGHT = 300, 260
Write = Callable[..., JsonFaces]


def shifted(count: int) -> NDArray[np.float64]:
    """The five points of `count` faces, each a little elsewhere."""
    return FIVE + np.random.default_rng(3).uniform(-20, 20, (count, 1, 2))


@pytest.fixture
def own(tmp_path: Path) -> Write:
    """Writes own faces with one picture each, and gives their reader."""

    def write(points: Any, boxes: Any = None, names: list[str] = NAMES, **head: Any) -> JsonFaces:
        rows = []
        for k, face in enumerate(points):
            write_image(tmp_path / f"{k}.png", 90, (HEIGHT, WIDTH))
            row = {"image": f"{k}.png", "points": np.asarray(face).tolist()}
            rows.append(row if boxes is None else row | {"box": np.asarray(boxes[k]).tolist()})
        scheme = {"name": f"test_plausible{len(names)}", "points": names}
        header = {"format": "lit_landmarks faces", "version": 1, "scheme": scheme}
        (tmp_path / "faces.json").write_text(json.dumps(header | head | {"faces": rows}))
        return JsonFaces(str(tmp_path))

    return write


def with_point(number: int, x: float, y: float) -> NDArray[np.float64]:
    points = FIVE.copy()
    points[number] = x, y
    return points


@pytest.mark.parametrize(
    ("number", "place"),
    [
        *[(2, (v, v)) for v in (0, -1, -2, -9999, 999, 9999, 65535)],
        (0, (0, 0)),
        (4, (-32768, -32768)),
        (3, (5000, 12)),
        (1, (-700, 142)),
    ],
)
def test_a_point_that_was_not_set_is_named(
    own: Write, number: int, place: tuple[float, float]
) -> None:
    data = own([FIVE, with_point(number, *place)])
    with pytest.raises(UserError, match=rf"point {number} \(.*faces\[1\]; .*null in JSON") as error:
        data.index()
    assert "\n" not in str(error.value)
    index, problems = data.scan()
    assert (len(index), len(problems)) == (1, 1)
    assert index.points[0].tolist() == FIVE.tolist()


@pytest.mark.parametrize("place", [(3.0, 3.0), (290.0, 4.0), (7.5, 250.0)])
def test_a_place_that_several_points_share_is_no_place(
    own: Write, place: tuple[float, float]
) -> None:
    points = FIVE.copy()
    points[[1, 4]] = place
    with pytest.raises(UserError, match=r"point 1 \(.* was not set, .*faces\[0\]; leave it out"):
        own([points]).index()


def test_points_of_rounded_small_faces_may_coincide(own: Write) -> None:
    small = np.array([[102, 101], [102, 101], [100, 105], [101, 109], [104, 109], [102, 104]])
    names = [f"p{k}" for k in range(6)]
    assert len(own([small, small + 50, small + 90], names=names).index()) == 3


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_unset_points_of_pts_files(tmp_path: Path, value: float) -> None:
    points = SyntheticFaces(n=1, image_size=96).index().points[0].astype(np.float64)
    write_image(tmp_path / "a.png", 90, (96, 96))
    write_image(tmp_path / "b.png", 90, (96, 96))
    write_pts(tmp_path / "a.pts", points)
    points[12] = value - 1  # the file counts from 1
    write_pts(tmp_path / "b.pts", points)
    index, problems = Ibug300W(str(tmp_path)).scan()
    assert len(index) == 1
    assert len(problems) == 1
    assert "point 12" in str(problems[0])
    assert "b.pts; leave it out" in str(problems[0])


@pytest.mark.parametrize("units", ["relative", "percent"])
def test_other_units_are_refused_or_read_when_stated(own: Write, units: str) -> None:
    pixels = shifted(6)
    whole = 1 if units == "relative" else 100
    stored = pixels / [WIDTH, HEIGHT] * whole
    message = {
        "relative": r"within 0\.\d+ pixels, .*faces\[0\]; .* units: relative",
        "percent": r"may be percent, .*faces\[0\] and others; say which: units: percent",
    }[units]
    if units == "percent":  # small pictures cannot be told apart
        stored = np.array(stored) * [0.7, 0.7]
    with pytest.raises(UserError, match=message):
        own(stored).index()
    boxes = np.concatenate([stored.min(1) - 0.02 * whole, stored.max(1) + 0.02 * whole], 1)
    stated = own(stored, boxes, units=units)
    truth = np.array(stored) * [WIDTH, HEIGHT] / whole
    assert stated.index().points == pytest.approx(truth, abs=1e-3)
    assert stated.index().box == pytest.approx(
        boxes * np.tile([WIDTH, HEIGHT], 2) / whole, abs=1e-3
    )
    argument = JsonFaces(stated.root, units=units)  # type: ignore[arg-type]
    assert argument.index().points == pytest.approx(truth, abs=1e-3)


@pytest.mark.parametrize("scale", [0.4, 0.25])
def test_points_of_a_smaller_copy(own: Write, scale: float) -> None:
    points = shifted(5) * scale
    with pytest.raises(
        UserError, match=r"in the first \d+ % of the width and height .*; say which"
    ):
        own(points).index()
    assert len(own(points, units="pixels").index()) == 5


@pytest.mark.parametrize("scale", [1.7, 2.5])
def test_points_of_a_larger_copy(own: Write, scale: float) -> None:
    data = own([FIVE, FIVE * scale])
    report = check_dataset(data)
    assert report.faces == 1
    assert "faces[1]" in report.problems[0] or "1.png" in report.problems[0]
    assert "beyond the 300 x 260 picture" in report.problems[0] or "outside" in report.problems[0]


@pytest.mark.parametrize("turn", [0.0, 25.0, -30.0])
def test_exchanged_axes_and_y_from_the_bottom(own: Write, turn: float) -> None:
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    points = (shifted(4) - 150) @ np.array([[c, s], [-s, c]]) + 130
    assert len(own(points).index()) == 4
    with pytest.raises(UserError, match=r"x and y are exchanged .*; write x before y"):
        own(points[..., ::-1]).index()
    with pytest.raises(UserError, match=r"y counts from the bottom .*; count y from the top"):
        own(points * [1, -1] + [0, HEIGHT]).index()


def test_turned_and_mirrored_faces_are_not_refused(own: Write) -> None:
    """Photos on their side or head down, and names that mean the picture's left and right."""
    for quarter in range(4):
        c, s = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter]
        points = (shifted(3) - 150) @ np.array([[c, s], [-s, c]]) + 130
        assert len(own(points).index()) == 3
    assert len(own((shifted(3) - 150) * [-1, 1] + 150).index()) == 3


FORMS: dict[str, Callable[[float, float, float, float], list[float]]] = {
    "x, y, width, height": lambda x, y, w, h: [x, y, w, h],
    "center x, center y, width, height": lambda x, y, w, h: [x + w / 2, y + h / 2, w, h],
    "y0, x0, y1, x1": lambda x, y, w, h: [y, x, y + h, x + w],
    "x0, x1, y0, y1": lambda x, y, w, h: [x, x + w, y, y + h],
}


@pytest.mark.parametrize(
    ("form", "corner"),
    [(form, corner) for form in FORMS for corner in ((190, 20), (150, 60))]
    + [("x, y, width, height", (30, 20)), ("x, y, width, height", (70, 60))],
)
def test_boxes_of_another_form(own: Write, form: str, corner: tuple[int, int]) -> None:
    faces = [FIVE * 1.5 - FIVE.min(0) * 1.5 + np.array(corner) + k for k in range(4)]
    boxes = [
        FORMS[form](*(p.min(0) - 10), *(np.ptp(p, axis=0) + np.array([20, 40])))  # type: ignore[call-arg]
        for p in faces
    ]
    with pytest.raises(UserError, match=r"x0, y0, x1, y1.*ground_truth"):
        own(faces, boxes).index()
    right = [[*(p.min(0) - 10), *(p.max(0) + np.array([10, 30]))] for p in faces]
    assert own(faces, right).index().box == pytest.approx(np.array(right), abs=1e-4)


def test_a_detector_box_may_cut_the_chin_but_holds_most_points(own: Write) -> None:
    x0, y0, x1, y1 = *FIVE.min(0), *FIVE.max(0)
    assert len(own([FIVE] * 2, [[x0 + 1, y0, x1, y1 - 8]] * 2).index()) == 2
    with pytest.raises(UserError, match=r"holds 2 of 5 points, .*faces\[0\]; write it as x0"):
        own([FIVE] * 2, [[x0, y0, x1, y0 + 15]] * 2).index()


def test_points_of_another_copy_by_the_size_that_the_file_states(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", 90, (HEIGHT, WIDTH))
    keypoints = [v for p in FIVE for v in (*p, 2)]
    document: dict[str, Any] = {
        "categories": [{"id": 1, "name": "face", "keypoints": NAMES}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": keypoints}],
    }
    for size, fits in (((WIDTH, HEIGHT), True), ((600, 520), False), ((150, 130), False)):
        image = {"id": 1, "file_name": "a.jpg", "width": size[0], "height": size[1]}
        (tmp_path / "a.json").write_text(json.dumps(document | {"images": [image]}))
        if fits:
            assert len(CocoKeypoints(str(tmp_path)).index()) == 1
            continue
        with pytest.raises(UserError, match=rf"has 300 x 260 pixels, the file says {size[0]} x"):
            CocoKeypoints(str(tmp_path)).index()


def test_coco_points_without_visibility_zero(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", 90, (HEIGHT, WIDTH))
    keypoints = [v for p in with_point(2, 0, 0) for v in (*p, 1)]
    document = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "face", "keypoints": NAMES}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": keypoints}],
    }
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"point 2 \(0, 0\) was not set, .*annotations\[0\]; leave"):
        CocoKeypoints(str(tmp_path)).index()


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "tiff"])
def test_sizes_without_decoding(tmp_path: Path, suffix: str) -> None:
    assert picture_size(write_image(tmp_path / f"a.{suffix}", 90, (37, 53))) == (53, 37)
    (tmp_path / f"b.{suffix}").write_bytes(b"no picture")
    assert picture_size(tmp_path / f"b.{suffix}") is None
