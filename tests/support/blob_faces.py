"""Red blobs as faces: pictures of them, a method and a detector whose answers are known exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.geometry.boxes import BoxMapping
from lit_landmarks.inference import Landmarker
from lit_landmarks.inference.detectors import Detections
from lit_landmarks.template import mean_face
from lit_landmarks.types import CropSpec, FaceInputs, Prediction

SPEC = CropSpec(64, "tight", 1.5)


def mean_shape() -> Tensor:
    """(68, 2) the mean face, its box stretched to 0 .. 1 along both axes."""
    flat = mean_face("ibug68")[:, :2]
    return (flat - flat.amin(0)) / (flat.amax(0) - flat.amin(0))


def draw_blobs(
    centers: list[tuple[float, float]], side: int = 40, size: tuple[int, int] = (160, 240)
) -> NDArray[np.uint8]:
    """A grey picture (H, W, 3) with red squares of a side about some centers."""
    image = np.full((*size, 3), 90, np.uint8)
    for x, y in centers:
        left, top = round(x - side / 2), round(y - side / 2)
        image[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = (230, 20, 20)
    return image


class BlobPredictor:
    """Puts the mean face into the red of a crop; without red it spreads over the whole crop.

    Attributes:
        error: predicted NME where there is red; 50 where there is none. None predicts no error.
        faces: number of faces of each call.
    """

    scheme, frame_size, normalizer = "ibug68", SPEC.size, None
    device = torch.device("cpu")
    answer_conventions: tuple[str, ...] = ("300w", "wflw")

    def __init__(self, error: float | None = 3.0) -> None:
        self.error = error
        self.faces: list[int] = []

    def to(self, device: Any) -> BlobPredictor:
        return self

    def __call__(self, inputs: FaceInputs) -> Prediction:
        red = (inputs.image[:, 0] - inputs.image[:, 1]).clamp(0, 0.82) / 0.82
        self.faces.append(len(red))
        points, errors = [], []
        for face in red:
            there = float(face.max()) > 0.5
            mask = face if there else torch.ones_like(face)
            edges = []
            for axis in (0, 1):  # rows, columns: sums over the other are the extent of the blob
                line = mask.amax(1 - axis)
                middle = float((line * torch.arange(len(line))).sum() / line.sum())
                edges.append((middle - float(line.sum()) / 2, middle + float(line.sum()) / 2))
            low = torch.tensor([edges[1][0], edges[0][0]])
            high = torch.tensor([edges[1][1], edges[0][1]])
            points.append(low + mean_shape() * (high - low))
            errors.append(self.error if there else 50.0)
        prediction = Prediction(torch.stack(points))
        if self.error is not None:
            prediction = replace(prediction, error=torch.tensor([errors]))
        return prediction

    def answered_convention(self, asked: str | None) -> str | None:
        return asked

    def add_visibility(self, prediction: Prediction, inputs: FaceInputs) -> Prediction:
        return prediction


class BlobDetector:
    """Boxes of red squares, shifted up by a tenth and a quarter larger; scores fall from 0.9."""

    mapping = BoxMapping(y=0.1 / 1.25, scale=1 / 1.25)

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        self.calls += 1
        import cv2

        mask = (image[..., 0] > 160) & (image[..., 1] < 110)
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        rows = stats[1:][np.argsort(stats[1:, 0])] if count > 1 else np.zeros((0, 5))
        corner, side = rows[:, :2] - 0.5, rows[:, 2:4].astype(float)
        center = corner + side / 2 - side * [0, 0.1]
        boxes = np.concatenate([center - side * 0.625, center + side * 0.625], 1)
        return Detections(boxes, 0.9 - 0.1 * np.arange(len(rows)))


def blob_landmarker(error: float | None = 3.0, batch_size: int = 4) -> Landmarker:
    """A landmarker of blobs."""
    return Landmarker(BlobPredictor(error), SPEC, batch_size=batch_size)
