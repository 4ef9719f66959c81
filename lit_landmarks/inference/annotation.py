"""Faces of many pictures and of videos: reading, finding, batches over pictures, following."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.data.framing import as_pictures, cut_faces
from lit_landmarks.data.index import read_image
from lit_landmarks.errors import UserError
from lit_landmarks.inference.detectors import Detector, find_faces, load_detector
from lit_landmarks.inference.face import Face, with_own_box
from lit_landmarks.inference.landmarker import Landmarker
from lit_landmarks.inference.sources import Source, list_sources
from lit_landmarks.inference.tracker import Tracker
from lit_landmarks.pictures.video import CameraFrames, VideoFrames, usable_rate

Pixels = NDArray[np.uint8]
#: Boxes (F, 4) by the resolved path of their picture, or for every picture.
Boxes = Mapping[str, Any] | Any

#: Pictures that wait for their faces to fill a batch, at most.
_WAITING = 16


@dataclass(frozen=True)
class Annotation:
    """Faces of a picture, or of a frame of a video.

    Attributes:
        source: what it is of.
        faces: in the order of their boxes, or of their scores.
        image: (H, W, 3) uint8 RGB, turned as viewers show it; None where it could not be read.
        frame: number of the frame from 0, of a camera in a video of its rate that keeps time; None
            for pictures.
        rate: frames a second of the video; NaN where it does not say, and for pictures.
        problem: why there are no faces, in one line; None where nothing is wrong.
    """

    source: Source
    faces: list[Face]
    image: Pixels | None = None
    frame: int | None = None
    rate: float = math.nan
    problem: UserError | None = None


def annotate(
    landmarker: Landmarker,
    sources: Any,
    boxes: Boxes | None = None,
    detector: Detector | str | None = None,
    *,
    queries: Any = None,
    convention: str | None = None,
    min_score: float | None = None,
    smooth: bool = True,
) -> Iterator[Annotation]:
    """Faces of whatever holds pictures, one after the other, in order.

    Args:
        landmarker: the method.
        sources: as `sources.list_sources` takes them.
        boxes: tight about the landmarks: (F, 4) for every picture, or by resolved path, as
            `read_detector_boxes` gives them. Pictures that are not named have no face.
        detector: that finds the faces, or its name. None: no detector where there are boxes, or
            where the method finds the face in a picture by itself; else the default one.
        queries: as `Landmarker` takes them.
        convention: as `Landmarker` takes it.
        min_score: smallest score of a detected face; None takes that of the detector.
        smooth: whether landmarks of videos are smoothed in time (One-Euro filter).

    Returns:
        An `Annotation` for each picture or frame, as they are done.

    Raises:
        UserError: nothing names a picture, no such detector, boxes and a detector together, or a
            convention in which the method does not answer.
    """
    landmarker.check_convention(convention)
    listed = list_sources(sources)
    if boxes is not None and detector is not None:
        raise UserError("boxes and a detector for the same faces; give one of them")
    if isinstance(detector, str):
        detector = load_detector(detector)
    elif detector is None and boxes is None and landmarker.method.normalizer is None:
        detector = load_detector()
    work = _Annotator(landmarker, boxes, detector, queries, convention, min_score, smooth)
    return work.run(listed)


@dataclass
class _Waiting:
    """A picture whose faces are cut and wait for the method."""

    source: Source
    image: Pixels
    crops: Tensor
    to_image: Tensor
    boxes: Tensor
    scores: list[float | None]
    whole: bool


@dataclass
class _Annotator:
    """One pass over sources; see `annotate`."""

    landmarker: Landmarker
    boxes: Boxes | None
    detector: Detector | None
    queries: Any
    convention: str | None
    min_score: float | None
    smooth: bool

    def run(self, sources: Iterable[Source]) -> Iterator[Annotation]:
        waiting: list[_Waiting | Annotation] = []
        for source in sources:
            if source.moves:
                yield from self._finish(waiting)
                waiting = []
                yield from self._follow(source)
                continue
            try:
                waiting.append(self._cut(source))
            except UserError as error:
                waiting.append(Annotation(source, [], problem=error))
            faces = sum(len(w.boxes) for w in waiting if isinstance(w, _Waiting))
            if faces >= self.landmarker.batch_size or len(waiting) >= _WAITING:
                yield from self._finish(waiting)
                waiting = []
        yield from self._finish(waiting)

    def _cut(self, source: Source) -> _Waiting:
        """Read a picture and cut its faces."""
        image = source.value if source.kind == "array" else read_image(str(source.path), "shown")
        (image,) = as_pictures(image, source.name)
        boxes, scores = self._find(source, image)
        size = self.landmarker.crop.size
        crops, to_image = torch.empty(0, 3, size, size), torch.empty(0, 2, 3)
        if len(boxes):
            crops, to_image = cut_faces(image, boxes, self.landmarker.crop)
        whole = self.detector is None and self.boxes is None
        return _Waiting(source, image, crops, to_image, boxes, scores, whole)

    def _find(self, source: Source, image: Pixels) -> tuple[Tensor, list[float | None]]:
        """Boxes (F, 4) and scores of the faces of a picture."""
        if self.detector is not None:
            detections = find_faces(self.detector, image, self.min_score)
            return torch.as_tensor(detections.boxes, dtype=torch.float32), [
                *detections.scores.tolist()
            ]
        if self.boxes is None:
            given: Any = self.landmarker.whole_box(image)
        elif isinstance(self.boxes, Mapping):
            given = self.boxes.get(str(source.path.resolve())) if source.path else None
            given = [] if given is None else given
        else:
            given = self.boxes
        boxes = torch.as_tensor(np.asarray(given, np.float32)).reshape(-1, 4)
        return boxes, [None] * len(boxes)

    def _finish(self, waiting: list[_Waiting | Annotation]) -> Iterator[Annotation]:
        """Run the method on all faces that wait, and deal them out to their pictures."""
        pictures = [w for w in waiting if isinstance(w, _Waiting)]
        faces: list[Face] = []
        if sum(len(w.boxes) for w in pictures):
            faces = self.landmarker.run(
                torch.cat([w.crops for w in pictures]),
                torch.cat([w.to_image for w in pictures]),
                torch.cat([w.boxes for w in pictures]),
                self.queries,
                self.convention,
            )
        at = 0
        for entry in waiting:
            if isinstance(entry, Annotation):
                yield entry
                continue
            own = faces[at : at + len(entry.boxes)]
            at += len(own)
            own = [replace(f, confidence=c) for f, c in zip(own, entry.scores, strict=True)]
            own = [with_own_box(f) for f in own] if entry.whole else own
            yield Annotation(entry.source, own, entry.image)

    def _follow(self, source: Source) -> Iterator[Annotation]:
        """Follow the faces of a video."""
        try:
            frames = CameraFrames(source.value) if source.kind == "camera" else None
            video = frames or VideoFrames(str(source.path))
        except UserError as error:
            yield Annotation(source, [], problem=error)
            return
        tracker = Tracker(
            self.landmarker,
            lambda image: self._find(source, image),
            rate=usable_rate(video.rate),
            smooth=self.smooth,
            queries=self.queries,
            convention=self.convention,
        )
        number = -1
        try:
            for image, now in zip(video, _number_frames(video), strict=False):
                seconds = (now - number) / usable_rate(video.rate)
                number = now
                yield Annotation(source, tracker(image, seconds), image, number, video.rate)
        except UserError as error:
            yield Annotation(source, [], frame=number + 1, problem=error)


def _number_frames(video: VideoFrames | CameraFrames) -> Iterator[int]:
    """Numbers of frames as they are read; those of a camera are the times at which they come.

    A camera is read as fast as its faces are done, which may be slower than the rate it states.
    """
    start, number = math.nan, -1
    while True:
        now = time.monotonic()
        start = now if math.isnan(start) else start
        due = int((now - start) * usable_rate(video.rate))
        number = max(number + 1, due) if isinstance(video, CameraFrames) else number + 1
        yield number
