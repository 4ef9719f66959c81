"""Face detectors beside each other on a data set: faces found, boxes against landmarks, time.

What a mapping leaves is what a landmark method suffers in a user's hands: training draws the same
(`data.init_args.augmentation`, `box_shift` and `box_scale`).
"""

from __future__ import annotations

import csv
import io
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from lit_landmarks.console import print_figures
from lit_landmarks.data import FaceDataset
from lit_landmarks.data.framing import landmark_box
from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.geometry.boxes import BoxMapping, BoxScatter, Numbers, box_overlap
from lit_landmarks.inference.detectors import Detections, Detector

#: Intersection over union with the landmark box from which a detection is of that face.
_FOUND = 0.3
#: Fewer boxes have no scatter.
_FEWEST = 3


@dataclass(frozen=True)
class DetectorFigures:
    """One detector on the faces of a data set.

    Attributes:
        faces: labelled faces.
        found: of them.
        others: boxes that are of no labelled face; people without labels are among them.
        mapping: from its boxes to those of the landmarks, fitted to the found faces.
        scatter: what this mapping leaves.
        milliseconds: median time for a picture, reducing it included.
    """

    faces: int
    found: int
    others: int
    mapping: BoxMapping
    scatter: BoxScatter
    milliseconds: float


def detect_all(
    detectors: Mapping[str, Detector], dataset: FaceDataset, share: float | None = None
) -> dict[str, list[Detections]]:
    """What each detector finds in the pictures of a data set, picture by picture in turns.

    Args:
        detectors: by a name for each.
        dataset: a face to a row; pictures with several faces are looked at for each.
        share: side of the landmark box in sides of the picture: pictures are widened by a border
            of their mean color until the face is so small. Faces that are smaller already stay.

    Returns:
        name -> detections of each row.
    """
    detections: dict[str, list[Detections]] = {name: [] for name in detectors}
    boxes = landmark_boxes(dataset)
    for row in track(range(len(boxes)), "pictures", transient=True):
        image = dataset.load([row])[0]
        if share is not None:
            side = int(np.ceil((boxes[row, 2:] - boxes[row, :2]).max() / share))
            height, width = image.shape[:2]
            wide = np.empty((max(side, height), max(side, width), 3), np.uint8)
            wide[:] = image.mean((0, 1)).astype(np.uint8)
            wide[:height, :width] = image
            image = wide
        for name, detector in detectors.items():
            detections[name].append(detector.detect(image))
    return detections


def landmark_boxes(dataset: FaceDataset) -> Numbers:
    """(n, 4) boxes about the landmarks, as methods cut faces by."""
    points = dataset.index().points
    return np.stack([landmark_box(face, dataset.scheme) for face in points])


def compare_boxes(
    detections: Sequence[Detections], boxes: Numbers, pictures: Sequence[str]
) -> tuple[int, int, BoxMapping, BoxScatter]:
    """Found faces, boxes of no labelled face, mapping and scatter of one detector.

    Args:
        detections: of each row.
        boxes: (n, 4) landmark boxes of the rows.
        pictures: of each row; several rows may share one.

    Raises:
        UserError: too few faces are found.
    """
    detected, landmarks = [], []
    # Picture -> which of its detections lie on none of its labeled faces.
    elsewhere: dict[str, npt.NDArray[np.bool_]] = {}
    for faces, box, picture in zip(detections, boxes, pictures, strict=True):
        overlap = box_overlap(faces.boxes, box)
        away = overlap < _FOUND
        elsewhere[picture] = elsewhere[picture] & away if picture in elsewhere else away
        if len(overlap) and overlap.max() >= _FOUND:
            detected.append(faces.boxes[int(overlap.argmax())])
            landmarks.append(box)
    if len(detected) < _FEWEST:
        raise UserError(f"{len(detected)} of {len(boxes)} faces found; a mapping needs {_FEWEST}")
    others = sum(int(away.sum()) for away in elsewhere.values())
    return len(detected), others, *BoxMapping.fit(detected, landmarks)


def bench_detectors(
    detectors: Mapping[str, Detector], dataset: FaceDataset, repeats: int = 3
) -> dict[str, DetectorFigures]:
    """Measure detectors on the faces of a data set.

    Args:
        detectors: by a name for each.
        dataset: its faces.
        repeats: times that each picture of the timing is detected; the fastest counts.
    """
    boxes, pictures = landmark_boxes(dataset), dataset.index().paths
    detections = detect_all(detectors, dataset)
    times = _time(detectors, dataset, repeats)
    return {
        name: DetectorFigures(
            len(boxes), *compare_boxes(detections[name], boxes, pictures), times[name]
        )
        for name in detectors
    }


def _time(
    detectors: Mapping[str, Detector], dataset: FaceDataset, repeats: int, pictures: int = 10
) -> dict[str, float]:
    """Milliseconds that a picture takes: the fastest of some repeats, the median over pictures."""
    rows = np.linspace(0, len(dataset.index()) - 1, pictures).astype(int)
    fastest: dict[str, list[float]] = {name: [] for name in detectors}
    for row in dict.fromkeys(rows.tolist()):
        image = dataset.load([row])[0]
        spent: dict[str, list[float]] = {name: [] for name in detectors}
        for _ in range(repeats):
            for name, detector in detectors.items():
                start = time.perf_counter()
                detector.detect(image)
                spent[name].append(time.perf_counter() - start)
        for name in detectors:
            fastest[name].append(min(spent[name]))
    return {name: 1000 * statistics.median(values) for name, values in fastest.items()}


def print_detectors(figures: Mapping[str, DetectorFigures], console: Console) -> None:
    """A row for each detector."""
    rows = []
    for name, one in figures.items():
        mapping, left = one.mapping, one.scatter
        values = (mapping.x, mapping.y, mapping.scale, left.x, left.y, left.log_size)
        boxes = (f"{value:.3f}" for value in values)
        found = f"{one.found} of {one.faces}"
        rows.append((name, found, one.others, *boxes, f"{one.milliseconds:.1f}"))
    columns = ("found", "others", "x", "y", "scale", "sd x", "sd y", "sd log size", "ms")
    title = "boxes against landmarks, in box sides"
    print_figures(title, ("detector", *columns), rows, console=console)


def write_boxes(path: Path, detector: Detector, dataset: FaceDataset) -> int:
    """Write the mapped boxes of every picture as the CSV that `boxes: detector` reads.

    Args:
        path: image,x0,y0,x1,y1; names of pictures start at its folder.
        detector: whose boxes.
        dataset: with pictures on disk.

    Returns:
        Number of boxes.
    """
    index = dataset.index()
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["image", "x0", "y0", "x1", "y1"])
    first = {picture: row for row, picture in reversed(list(enumerate(index.paths)))}
    count = 0
    for picture, row in sorted(first.items()):
        name = os.path.relpath(picture, path.absolute().parent).replace(os.sep, "/")
        boxes = detector.mapping(detector.detect(dataset.load([row])[0]).boxes)
        writer.writerows([name, *(f"{v:.2f}" for v in box)] for box in boxes)
        count += len(boxes)
    write_atomic(path, file.getvalue())
    return count
