"""A process of its own for one landmark model of others, which answers over its pipes.

It runs in an interpreter that may have nothing of this suite, so it imports the standard library,
NumPy and the model's package. A line of JSON, and after that of a picture its bytes:

    worker -> {"bytes": 1242398, "mma": null}           once it is ready, or {"problem": "..."}
    bench  -> {"image": [height, width]} RGB bytes      no answer
    bench  -> {"box": [x0, y0, x1, y1]}
    worker -> {"points": [[x, y], ...], "ms": 2.4}      points are null where it sees no face

Pixels have their centers at integers. The time goes from picture and box to points, without pipes.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Points = NDArray[np.float64]


class Model(Protocol):
    """A landmark model.

    Attributes:
        size: bytes of its files.
    """

    size: int

    def locate(self, image: Image, box: list[float]) -> Points | None:
        """Points (N, 2) of the face in a box of a picture (H, W, 3), or None."""


class DlibShape:
    """dlib's regression trees (Kazemi and Sullivan, CVPR 2014).

    Args:
        files: its predictor of 68 points.
    """

    def __init__(self, files: str) -> None:
        self._dlib: Any = importlib.import_module("dlib")
        self._predictor = self._dlib.shape_predictor(files)
        self.size = Path(files).stat().st_size

    def locate(self, image: Image, box: list[float]) -> Points | None:
        """See `Model`; a rectangle of dlib is in whole pixels and holds its last ones."""
        left, top, right, bottom = (round(v + 0.5) for v in box)
        shape = self._predictor(image, self._dlib.rectangle(left, top, right - 1, bottom - 1))
        return np.array([[p.x, p.y] for p in shape.parts()], np.float64)


#: MediaPipe's own parts: the landmark network on a region, and the next region by its landmarks.
_MESH_GRAPH = """
input_stream: "image"
input_stream: "region"
input_side_packet: "with_attention"
output_stream: "landmarks"
output_stream: "next_region"
node {
  calculator: "FaceLandmarkCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:region"
  input_side_packet: "WITH_ATTENTION:with_attention"
  output_stream: "LANDMARKS:landmarks"
}
node {
  calculator: "ImagePropertiesCalculator"
  input_stream: "IMAGE:image"
  output_stream: "SIZE:size"
}
node {
  calculator: "FaceLandmarkLandmarksToRoi"
  input_stream: "LANDMARKS:landmarks"
  input_stream: "IMAGE_SIZE:size"
  output_stream: "ROI:next_region"
}
"""


def _mesh_size(*names: str) -> int:
    package = Path(importlib.import_module("mediapipe").__file__ or "").parent / "modules"
    return sum((package / name).stat().st_size for name in names)


def _mesh_points(landmarks: Any, width: int, height: int) -> Points:
    """Landmarks in shares of a picture as pixels whose centers lie at integers."""
    shares = np.array([[point.x, point.y] for point in landmarks.landmark])
    return np.asarray(shares * (width, height) - 0.5)


class MediaPipeMesh:
    """MediaPipe's landmark network on given boxes, without its detector and tracker.

    Args:
        passes: the second one sees the region of the first one's landmarks, turned upright, as in
            the next frame of a video.
        attention: the network of `refine_landmarks`, with irises.
    """

    def __init__(self, passes: int = 1, attention: bool = False) -> None:
        base: Any = importlib.import_module("mediapipe.python.solution_base")
        rects: Any = importlib.import_module("mediapipe.framework.formats.rect_pb2")
        self._region = rects.NormalizedRect
        side = {"with_attention": attention}
        self._graph = base.SolutionBase(graph_config=_MESH_GRAPH, side_inputs=side)
        self._passes = passes
        name = "face_landmark_with_attention" if attention else "face_landmark"
        self.size = _mesh_size(f"face_landmark/{name}.tflite")

    def locate(self, image: Image, box: list[float]) -> Points | None:
        """See `Model`."""
        height, width = image.shape[:2]
        x0, y0, x1, y1 = (v + 0.5 for v in box)
        region = self._region(
            x_center=(x0 + x1) / 2 / width,
            y_center=(y0 + y1) / 2 / height,
            width=(x1 - x0) / width,
            height=(y1 - y0) / height,
        )
        for _ in range(self._passes):
            answer = self._graph.process({"image": image, "region": region})
            if answer.landmarks is None:
                return None
            region = answer.next_region
        return _mesh_points(answer.landmarks, width, height)


class MediaPipeTracking:
    """MediaPipe's `FaceMesh` as its users call it on a video, here a photo that stands still.

    Shown the part of the photo in a box. In a new box it detects the face first, and its answer is
    that of the frame after, when it tracks; called again in the same box, it goes on tracking.

    Args:
        share: side of the square in the middle of the box, in sides of the box, in which the middle
            of the face lies; what it sees elsewhere is another face, and no answer.
    """

    def __init__(self, share: float) -> None:
        mesh: Any = importlib.import_module("mediapipe.python.solutions.face_mesh")
        self._mesh = mesh.FaceMesh(static_image_mode=False)
        self._face: tuple[int, list[float]] | None = None
        self._share = share
        detector = "face_detection/face_detection_short_range.tflite"
        self.size = _mesh_size("face_landmark/face_landmark.tflite", detector)

    def locate(self, image: Image, box: list[float]) -> Points | None:
        """See `Model`."""
        height, width = image.shape[:2]
        left, top = (max(0, int(v + 0.5)) for v in box[:2])
        right, bottom = min(width, int(box[2] + 0.5)), min(height, int(box[3] + 0.5))
        part = np.ascontiguousarray(image[top:bottom, left:right])
        if self._face != (id(image), box):
            self._face = (id(image), box)
            self._mesh.reset()
            self._mesh.process(part)
        faces = self._mesh.process(part).multi_face_landmarks
        if not faces:
            return None
        points = _mesh_points(faces[0], right - left, bottom - top) + np.array([left, top])
        corners = np.array(box).reshape(2, 2)
        away = np.abs(points.mean(0) - corners.mean(0)) / (corners[1] - corners[0])
        return points if away.max() <= self._share / 2 else None


_MODELS: dict[str, type[Any]] = {
    "dlib": DlibShape,
    "mediapipe": MediaPipeMesh,
    "mediapipe_tracking": MediaPipeTracking,
}


def serve(model: Model, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers until the pipe is closed.

    Args:
        model: that answers.
        requests: pipe from the bench.
        answers: pipe to it.
    """
    _send(answers, {"bytes": model.size, "mma": None})
    image = np.zeros((0, 0, 3), np.uint8)
    while line := requests.readline():
        request = json.loads(line)
        if "image" in request:
            height, width = request["image"]
            pixels = np.frombuffer(requests.read(height * width * 3), np.uint8)
            image = pixels.reshape(height, width, 3)
            continue
        start = time.perf_counter()
        points = model.locate(image, request["box"])
        spent = 1000 * (time.perf_counter() - start)
        _send(answers, {"points": None if points is None else points.tolist(), "ms": spent})


def _send(answers: BinaryIO, content: dict[str, Any]) -> None:
    answers.write(json.dumps(content).encode() + b"\n")
    answers.flush()


def main() -> None:
    """`worker.py NAME OPTIONS`, the options as JSON."""
    # Packages print to standard output; answers go through a copy of it.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # The folder of a script comes first in its path, and would hide packages by its modules' names.
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [place for place in sys.path if str(Path(place).resolve()) != here]
    try:
        model = _MODELS[sys.argv[1]](**json.loads(sys.argv[2]))
    except Exception as error:  # what a package can raise while it loads is its own affair
        lines = str(error).strip().splitlines() or [type(error).__name__]
        _send(answers, {"problem": lines[0]})
        return
    serve(model, sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
