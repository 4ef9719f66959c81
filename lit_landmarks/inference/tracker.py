"""`Tracker`: the faces of a video, each cut by its landmarks in the frame before.

The detector runs on the first frame, once a second (new faces), and whenever a face seems lost: its
predicted error is large, its landmarks are no face, or its box jumps. A person keeps a number as
long as the boxes of successive frames overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.data.framing import landmark_box
from lit_landmarks.geometry.boxes import Numbers, box_overlap
from lit_landmarks.inference.face import Face, face_box
from lit_landmarks.inference.landmarker import Landmarker
from lit_landmarks.inference.one_euro import OneEuro
from lit_landmarks.pictures.video import DEFAULT_RATE, usable_rate
from lit_landmarks.template import has_mean_face, mean_face

Pixels = NDArray[np.uint8]
#: Boxes (F, 4) for the crops of the faces of a picture, and their scores.
FindFaces = Callable[[Pixels], tuple[Tensor, list[float | None]]]

#: Predicted NME in percent from which on a face may be lost.
LOST_ERROR = 10.0
#: Distance of landmarks from the mean face, seen from the side that fits best: root mean square in
#: sides of the box. Labels of AFW reach 0.067, the half of them 0.037.
LOST_SHAPE = 0.1
#: A box that grows or shrinks so much in a frame, or moves by so many of its sides, has jumped.
_GROWTH, _JUMP = 1.5, 0.5
#: Pixels below which a box is none of a face.
_SMALLEST = 2.0
#: Intersection over union of boxes of one person.
_SAME = 0.3
#: Seconds between looks for new faces, until a lost one is given up, and until one is whose
#: landmarks seem right but which the detector does not find (a turned head); sums of the times of
#: frames are that exact only.
_LOOK, _PATIENCE, _UNCONFIRMED, _EXACT = 1.0, 0.5, 5.0, 1e-6


@dataclass
class _Track:
    """One person."""

    number: int
    face: Face
    box: Numbers
    smooth: OneEuro = field(default_factory=OneEuro)
    score: float | None = None
    lost: float = 0.0  # seconds since it was there
    unconfirmed: float = 0.0  # seconds since it was detected


class Tracker:
    """Landmarks of the faces of a video, frame by frame.

    Args:
        landmarker: the method.
        find: gives boxes and scores of the faces of a frame.
        rate: frames a second.
        smooth: whether landmarks are smoothed (`OneEuro`).
        queries, convention: as `Landmarker` takes them.

    Attributes:
        looks: number of frames in which `find` was called.

    Example:
        >>> from lit_landmarks.methods import METHODS
        >>> from lit_landmarks.types import CropSpec
        >>> landmarker = Landmarker(METHODS["MuSiCa"].tiny(), CropSpec(64, "tight", 1.35))
        >>> tracker = Tracker(landmarker, find=lambda image: (Tensor(0, 4), []))  # no face
        >>> tracker(np.zeros((80, 80, 3), np.uint8)), tracker.looks
        ([], 1)
    """

    def __init__(
        self,
        landmarker: Landmarker,
        find: FindFaces,
        rate: float = DEFAULT_RATE,
        smooth: bool = True,
        queries: Any = None,
        convention: str | None = None,
    ) -> None:
        self.landmarker, self.find, self.rate, self.smooth = landmarker, find, rate, smooth
        self._asked = {"queries": queries, "convention": convention}
        self.looks = 0
        self._tracks: list[_Track] = []
        self._next = 0
        self._since_look = 0.0

    def __call__(self, image: Pixels, seconds: float | None = None) -> list[Face]:
        """The faces of the next frame, those that have been there longest first.

        Args:
            image: (H, W, 3) uint8 RGB.
            seconds: since the frame before; None, or no time at all (some cameras repeat a time
                stamp), takes the rate.
        """
        seconds = seconds if seconds is not None and seconds > 0 else 1 / self.rate
        here = [t for t in self._tracks if not t.lost and _can_cut(t.box, image)]
        faces = self.landmarker(image, np.array([t.box for t in here]), **self._asked)
        following = dict(zip([t.number for t in here], faces, strict=True))
        shown: dict[int, Face] = {}
        for track in here:
            face = following[track.number]
            if holds_face(face, track.box, image):
                shown[track.number] = face
        self._since_look += seconds
        doubt = len(shown) < len(self._tracks)
        if doubt or not self._tracks or self._since_look >= _LOOK - _EXACT:
            self._look(image, shown)
        return self._finish(shown, seconds)

    def _look(self, image: Pixels, shown: dict[int, Face]) -> None:
        """Find the faces of a frame: confirm, find again, or begin to follow them.

        Args:
            image: the frame.
            shown: number of a person -> face of this frame; is added to.
        """
        self.looks += 1
        self._since_look = 0.0
        boxes, scores = self.find(image)
        faces = self.landmarker(image, boxes.numpy(), **self._asked) if len(boxes) else []
        confirmed: set[int] = set()
        for face, score in zip(faces, scores, strict=True):
            box = face_box(face)
            if not _can_cut(box, image):
                continue
            track = self._same(box, confirmed)
            # A box without a score was given for the first frame; later the face may have left it,
            # so that it begins no other while one is followed.
            fresh = score is not None or self.looks == 1
            sure = fresh or holds_face(face, box, image)
            if track is None:
                second = any(box_overlap(box, t.box) >= _SAME for t in self._tracks)
                if second or not sure or (self._tracks and not fresh):
                    continue
                track = _Track(self._next, face, box)
                self._tracks.append(track)
                self._next += 1
            confirmed.add(track.number)
            track.score, track.unconfirmed = score, 0.0
            if sure and track.number not in shown:
                shown[track.number] = face
                track.smooth.reset()

    def _same(self, box: Numbers, taken: set[int]) -> _Track | None:
        """The person whose box overlaps most, by enough, and who is not taken."""
        free = [t for t in self._tracks if t.number not in taken]
        best = max(free, key=lambda t: float(box_overlap(t.box, box)), default=None)
        return None if best is None or box_overlap(best.box, box) < _SAME else best

    def _finish(self, shown: dict[int, Face], seconds: float) -> list[Face]:
        """Update all persons; their faces, smoothed."""
        faces: list[Face] = []
        remaining: list[_Track] = []
        for track in self._tracks:
            face = shown.get(track.number)
            if face is None:
                track.lost += seconds
                if track.lost <= _PATIENCE + _EXACT:
                    remaining.append(track)
                continue
            box = face_box(face)
            double = any(not t.lost and box_overlap(t.box, box) > 1 - _SAME for t in remaining)
            track.unconfirmed += seconds
            # Without a detector there is nothing that could confirm it.
            detected = track.score is not None
            if double or (detected and track.unconfirmed > _UNCONFIRMED + _EXACT):
                continue
            track.face, track.box, track.lost = face, box, 0.0
            remaining.append(track)
            if self.smooth:
                face = _smooth_face(face, track.smooth, _side(box), seconds)
            faces.append(replace(face, track=track.number, confidence=track.score))
        self._tracks = remaining
        return faces


def holds_face(face: Face, last: Numbers, image: Pixels) -> bool:
    """Whether landmarks can still be those of the face that was in a box.

    Args:
        face: as the method gives it.
        last: (4,) the box about its landmarks in the frame before.
        image: the frame.
    """
    box = face_box(face)
    if not _can_cut(box, image):
        return False
    side, before = _side(box), _side(last)
    moved = np.abs(box[:2] + box[2:] - last[:2] - last[2:]).max() / 2
    if not before / _GROWTH < side < before * _GROWTH or moved > _JUMP * before:
        return False
    if face.error is not None and not face.error <= LOST_ERROR:
        return False
    return face.scheme is None or shape_distance(face.points, face.scheme) <= LOST_SHAPE


def shape_distance(points: NDArray[Any], scheme: str) -> float:
    """Distance of landmarks from the mean face in the view that fits best, in sides of their box.

    Args:
        points: (N, 2) pixels.
        scheme: of the points.

    Returns:
        Root mean square over the points; 0 for a scheme without a mean face.
    """
    if not has_mean_face(scheme):
        return 0.0
    solid = mean_face(scheme).double().numpy()
    plane = np.asarray(points, np.float64)
    design = np.concatenate([solid, np.ones((len(solid), 1))], 1)
    left = plane - design @ np.linalg.lstsq(design, plane, rcond=None)[0]
    side = float(np.ptp(plane, axis=0).max())
    return float(np.sqrt((left**2).sum(1).mean()) / side) if side > 0 else float("inf")


def smooth_track(
    points: NDArray[Any], scheme: str, rate: float, smooth: OneEuro | None = None
) -> Numbers:
    """Landmarks of a face in all frames of a video, smoothed as a tracker does.

    Args:
        points: (T, N, 2) pixels.
        scheme: of the points.
        rate: frames a second; 25 if it is no number.
        smooth: the filter; None for that of the tracker.
    """
    smooth, seconds = smooth or OneEuro(), 1 / usable_rate(rate)
    sizes = [_side(landmark_box(face, scheme)) for face in points]
    return np.stack([smooth(face, size, seconds) for face, size in zip(points, sizes, strict=True)])


def _side(box: Numbers) -> float:
    """Longer side of a box (4,)."""
    return float((box[2:] - box[:2]).max())


def _can_cut(box: Numbers, image: Pixels) -> bool:
    """Whether a face can be cut by a box: its middle lies in the picture, its size is possible."""
    middle, side = (box[:2] + box[2:]) / 2, (box[2:] - box[:2])
    inside = (middle >= 0).all() and (middle < image.shape[1::-1]).all()
    return bool(inside and side.min() >= _SMALLEST and side.max() <= 2 * max(image.shape[:2]))


def _smooth_face(face: Face, smooth: OneEuro, size: float, seconds: float) -> Face:
    """A face with smoothed landmarks, in the plane and in depth."""
    columns = [face.points] if face.points3d is None else [face.points, face.points3d]
    values = smooth(np.concatenate(columns, 1), size, seconds).astype(np.float32)
    points3d = None if face.points3d is None else values[:, 2:]
    return replace(face, points=values[:, :2], points3d=points3d)
