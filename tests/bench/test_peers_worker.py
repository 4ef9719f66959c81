"""What the worker asks of MediaPipe and dlib: boxes in their units, and points back in pixels."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lit_landmarks.bench.peers.worker import DlibShape, MediaPipeMesh, MediaPipeTracking

#: Width 200, height 100.
IMAGE = np.zeros((100, 200, 3), np.uint8)


def _landmarks(points: list[tuple[float, float]]) -> SimpleNamespace:
    return SimpleNamespace(landmark=[SimpleNamespace(x=x, y=y) for x, y in points])


class CornersGraph:
    """Answers the corners of the region; the next region is half as wide."""

    def __init__(self, graph_config: str, side_inputs: dict[str, bool]) -> None:
        assert "FaceLandmarkCpu" in graph_config
        self.attention = side_inputs["with_attention"]

    def process(self, inputs: dict[str, Any]) -> SimpleNamespace:
        region = inputs["region"]
        x, y, half, high = region.x_center, region.y_center, region.width / 2, region.height / 2
        if half > 1:
            return SimpleNamespace(landmarks=None, next_region=None)
        corners = [(x - half, y - high), (x + half, y + high)]
        smaller = SimpleNamespace(**{**vars(region), "width": region.width / 2})
        return SimpleNamespace(landmarks=_landmarks(corners), next_region=smaller)


class OneFace:
    """`FaceMesh` that sees a face in the middle of what it is shown, or at `place`."""

    place = (0.5, 0.5)

    def __init__(self, static_image_mode: bool) -> None:
        assert not static_image_mode
        self.calls: list[str] = []

    def reset(self) -> None:
        self.calls.append("reset")

    def process(self, image: np.ndarray) -> SimpleNamespace:
        self.calls.append("process")
        return SimpleNamespace(multi_face_landmarks=[_landmarks([self.place])])


@pytest.fixture(autouse=True)
def _mediapipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A made-up mediapipe, with files of 7, 11 and 13 bytes."""
    parts = {
        "mediapipe": {"__file__": str(tmp_path / "__init__.py")},
        "mediapipe.python.solution_base": {"SolutionBase": CornersGraph},
        "mediapipe.framework.formats.rect_pb2": {"NormalizedRect": SimpleNamespace},
        "mediapipe.python.solutions.face_mesh": {"FaceMesh": OneFace},
    }
    for name, members in parts.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    files = {"face_landmark/face_landmark": 7, "face_landmark/face_landmark_with_attention": 11}
    for name, size in (files | {"face_detection/face_detection_short_range": 13}).items():
        file = tmp_path / "modules" / f"{name}.tflite"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(size))


def test_a_box_becomes_a_region_and_its_corners_points() -> None:
    points = MediaPipeMesh().locate(IMAGE, [19.5, 9.5, 59.5, 89.5])
    np.testing.assert_allclose(points, [[19.5, 9.5], [59.5, 89.5]])


def test_the_second_pass_sees_the_region_of_the_first() -> None:
    points = MediaPipeMesh(passes=2).locate(IMAGE, [19.5, 9.5, 59.5, 89.5])
    np.testing.assert_allclose(points, [[29.5, 9.5], [49.5, 89.5]])


def test_no_face_is_no_answer() -> None:
    assert MediaPipeMesh().locate(IMAGE, [-500.0, 0.0, 500.0, 99.0]) is None


def test_sizes_are_those_of_the_networks_that_run() -> None:
    sizes = [MediaPipeMesh().size, MediaPipeMesh(attention=True).size, MediaPipeTracking(0.4).size]
    assert sizes == [7, 11, 20]


def test_tracking_goes_on_in_the_same_box_and_begins_anew_in_another() -> None:
    model = MediaPipeTracking(0.4)
    box = [19.5, 9.5, 59.5, 89.5]
    points = model.locate(IMAGE, box)
    np.testing.assert_allclose(points, [[39.5, 49.5]])
    assert model._mesh.calls == ["reset", "process", "process"]
    model.locate(IMAGE, list(box))
    assert model._mesh.calls[3:] == ["process"]
    model.locate(IMAGE, [20.5, *box[1:]])
    assert model._mesh.calls[4:] == ["reset", "process", "process"]


def test_a_box_beyond_the_picture_is_cut_and_points_stay_in_place() -> None:
    # columns 0 .. 40 and rows 0 .. 100 are shown, whose middle is (19.5, 49.5) in pixels
    points = MediaPipeTracking(0.9).locate(IMAGE, [-20.5, -20.5, 39.5, 119.5])
    np.testing.assert_allclose(points, [[19.5, 49.5]])


@pytest.mark.parametrize(("x", "answers"), [(0.31, True), (0.29, False), (0.71, False)])
def test_a_face_beside_the_middle_is_another_one(
    x: float, answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OneFace, "place", (x, 0.5))
    points = MediaPipeTracking(0.4).locate(IMAGE, [19.5, 9.5, 119.5, 89.5])
    assert (points is not None) == answers


def test_rectangles_of_dlib_hold_their_last_pixel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def predict(image: np.ndarray, face: tuple[int, ...]) -> SimpleNamespace:
        left, top, right, bottom = face
        corners = [SimpleNamespace(x=left, y=top), SimpleNamespace(x=right, y=bottom)]
        return SimpleNamespace(parts=lambda: corners)

    module = ModuleType("dlib")
    vars(module).update(shape_predictor=lambda file: predict, rectangle=lambda *face: face)
    monkeypatch.setitem(sys.modules, "dlib", module)
    (tmp_path / "trees.dat").write_bytes(bytes(17))
    model = DlibShape(str(tmp_path / "trees.dat"))
    points = model.locate(IMAGE, [9.5, 9.5, 19.5, 29.5])
    np.testing.assert_array_equal(points, [[10, 10], [19, 29]])
    assert model.size == 17
