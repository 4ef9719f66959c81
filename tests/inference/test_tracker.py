"""Faces of a video, on blobs whose place is known: cut by the frame before, found again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.inference import Landmarker
from lit_landmarks.inference.detectors import find_faces
from lit_landmarks.inference.tracker import Tracker, shape_distance
from lit_landmarks.template import mean_face
from lit_landmarks.types import FaceInputs, Prediction
from tests.support.blob_faces import (
    SPEC,
    BlobDetector,
    BlobPredictor,
    blob_landmarker,
    draw_blobs,
    mean_shape,
)


def _tracker(smooth: bool = False, error: float | None = 3.0) -> tuple[Tracker, BlobDetector]:
    detector = BlobDetector()

    def find(image: NDArray[np.uint8]) -> tuple[Tensor, list[float | None]]:
        found = find_faces(detector, image)
        return torch.as_tensor(found.boxes, dtype=torch.float32), [*found.scores.tolist()]

    return Tracker(blob_landmarker(error), find, rate=10.0, smooth=smooth), detector


def _expected(x: float, y: float, side: int = 40) -> NDArray[np.float64]:
    """(68, 2) landmarks in a blob: its pixels reach from their edges."""
    first = np.array([round(x - side / 2), round(y - side / 2)]) - 0.5
    return first + mean_shape().numpy() * side


def test_two_faces_keep_their_numbers_and_are_looked_for_once_a_second() -> None:
    tracker, detector = _tracker()
    for k in range(25):
        places = [(50.0 + 2 * k, 60.0), (190.0 - 2 * k, 125.0)]
        faces = tracker(draw_blobs(places))
        # Numbers by the detector's score: the left one of the first frame is the surest.
        assert [face.track for face in faces] == [0, 1]
        for face, place in zip(faces, places, strict=True):
            np.testing.assert_allclose(face.points, _expected(*place), atol=1.0)
        # Whichever was more to the left at the last look.
        assert sorted(face.confidence or 0 for face in faces) == pytest.approx([0.8, 0.9])
    # Frames 0, 10 and 20.
    assert detector.calls == tracker.looks == 3


@pytest.mark.parametrize("seconds", [0.0, -1.0, None, 0.5])
def test_times_of_frames_count_not_frames(seconds: float | None) -> None:
    tracker, detector = _tracker(smooth=True)
    for k in range(9):
        (face,) = tracker(draw_blobs([(60.0 + k, 60)]), seconds)
        assert np.isfinite(face.points).all()
    # Half a second passes from frame to frame, or, where no time is given, a tenth.
    assert detector.calls == (5 if seconds == 0.5 else 1)


def test_a_face_that_jumps_is_found_again_with_its_number_or_as_another() -> None:
    tracker, detector = _tracker()
    for _ in range(3):
        tracker(draw_blobs([(60, 60)], side=48))
    assert detector.calls == 1
    # Smaller by more than a third in one frame; the boxes overlap by (28 / 48)^2 = 0.34.
    (face,) = tracker(draw_blobs([(60, 60)], side=28))
    assert (face.track, detector.calls) == (0, 2)
    np.testing.assert_allclose(face.points, _expected(60, 60, 28), atol=1.0)
    (face,) = tracker(draw_blobs([(180, 80)]))
    assert (face.track, detector.calls) == (1, 3)
    np.testing.assert_allclose(face.points, _expected(180, 80), atol=1.0)


def test_a_face_that_is_gone_is_not_shown_and_comes_back_in_time() -> None:
    tracker, detector = _tracker()
    tracker(draw_blobs([(60, 60)]))
    assert tracker(draw_blobs([])) == []
    assert detector.calls == 2
    (face,) = tracker(draw_blobs([(62, 60)]))
    assert face.track == 0
    for _ in range(8):  # half a second is five frames
        assert tracker(draw_blobs([])) == []
    (face,) = tracker(draw_blobs([(62, 60)]))
    assert face.track == 1


def test_without_a_predicted_error_the_shape_tells() -> None:
    tracker, detector = _tracker(error=None)
    for k in range(9):
        (face,) = tracker(draw_blobs([(60 + 3 * k, 60)]))
        assert face.error is None
        assert face.track == 0
    assert detector.calls == 1
    # Without a blob the points fill the crop: the box grows by half and the face is lost.
    assert tracker(draw_blobs([])) == []


def test_a_face_leaves_the_picture() -> None:
    tracker, _ = _tracker()
    seen = [len(tracker(draw_blobs([(200.0 + 4 * k, 80.0)]))) for k in range(20)]
    assert seen[0] == 1
    assert seen[-1] == 0


def test_a_box_that_was_given_holds_for_the_first_frame() -> None:
    box = torch.tensor([[40.0, 40.0, 80.0, 80.0]])
    tracker = Tracker(blob_landmarker(), lambda image: (box, [None]), rate=10.0, smooth=False)
    for k in range(70):
        (face,) = tracker(draw_blobs([(60 + 2 * k, 60)]))
        assert (face.track, face.confidence) == (0, None)
        np.testing.assert_allclose(face.points, _expected(60 + 2 * k, 60), atol=1.0)
    assert tracker.looks == 7  # where the face began there is none any more
    assert tracker(draw_blobs([])) == []


@pytest.mark.parametrize("place", [np.nan, 40.0, 1e5])
def test_points_that_are_no_face_are_no_error(place: float) -> None:
    """An untrained method, or one that fails: all points in one place, nowhere, or far away."""

    class Broken(BlobPredictor):
        def __call__(self, inputs: FaceInputs) -> Prediction:
            spread = torch.arange(68.0)[:, None] * (place > 1e3)
            return Prediction((place + spread * place).expand(len(inputs), -1, 2))

    box = torch.tensor([[40.0, 40.0, 80.0, 80.0]])
    tracker = Tracker(Landmarker(Broken(), SPEC), lambda image: (box, [0.9]))
    assert [tracker(draw_blobs([(60, 60)])) for _ in range(3)] == [[], [], []]


def test_smoothing_is_off_at_the_first_frame_and_steadies_the_others() -> None:
    rng = np.random.default_rng(0)
    places = [(100 + float(x), 80 + float(y)) for x, y in rng.integers(-1, 2, (60, 2))]
    motion = {}
    for smooth in (False, True):
        tracker, _ = _tracker(smooth)
        points = np.stack([tracker(draw_blobs([p], side=60))[0].points for p in places])
        np.testing.assert_allclose(points[0], _expected(*places[0], 60), atol=0.7)
        motion[smooth] = float(np.abs(np.diff(points[10:], axis=0)).mean())
    assert motion[True] < 0.6 * motion[False]


def test_distance_from_the_mean_face() -> None:
    solid = mean_face("ibug68").double().numpy()
    turn = np.array([[0.8, 0.1, 0.5], [-0.1, 0.9, 0.2]])
    assert shape_distance(solid @ turn.T * 90 + 40, "ibug68") == pytest.approx(0, abs=1e-12)
    moved = solid[:, :2] * 100
    side = float(np.ptp(moved, axis=0).max())
    moved[30] += [0, 20.0]  # the nose tip
    # Less than the point itself: the fit gives way a little.
    assert 0.9 < shape_distance(moved, "ibug68") / (20 / np.sqrt(68) / side) <= 1.0
    scattered = np.random.default_rng(0).uniform(0, 100, (68, 2))
    assert shape_distance(scattered, "ibug68") > 0.3
