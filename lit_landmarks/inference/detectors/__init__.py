r"""Face detectors: a picture in, boxes for the crops of a method out.

Adding a detector (one file): `inference/detectors/<name>.py` with a subclass of `FaceDetector` that
states its `name`, the `package` to install and its `mapping`, imports that package in `__init__`
and nowhere else, and implements `detect`. It registers itself. The mapping is measured:

    python -m lit_landmarks bench detectors --detector NAME \
        --root $LIT_LANDMARKS_DATA/300w/afw_whole
"""

from lit_landmarks.inference.detectors.base import (
    DETECTORS,
    Detections,
    Detector,
    FaceDetector,
    find_faces,
    load_detector,
)

__all__ = [
    "DETECTORS",
    "Detections",
    "Detector",
    "FaceDetector",
    "find_faces",
    "load_detector",
]
