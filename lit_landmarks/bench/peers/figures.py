"""Landmark models of others and ours on the same faces and the same boxes, in one run."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor

from lit_landmarks.bench.peers.models import Peer
from lit_landmarks.console import literal_console, print_figures
from lit_landmarks.data import FaceDataset
from lit_landmarks.data.readers.detector_boxes import best_box, read_detector_boxes
from lit_landmarks.errors import UserError
from lit_landmarks.geometry.boxes import Numbers
from lit_landmarks.metrics.functional import failure_indicator, nme
from lit_landmarks.metrics.norms import NORMS, norm_values
from lit_landmarks.schemes import get_map, get_scheme

#: NME, in percent of the distance of the outer eye corners, above which a face is a failure.
FAILURE = 10.0
#: Of the data set itself, by default tight about the labels.
OWN_BOXES = "own"
DETECTOR_BOXES = "detector"

Item = TypeVar("Item")


class Faces(NamedTuple):
    """Faces of a data set.

    Attributes:
        dataset: that has their pictures.
        points: (n, 68, 2) labels in pixels.
        mask: (n, 68) bool, True where annotated.
        boxes: kind of box -> (n, 4) boxes about the landmarks.
    """

    dataset: FaceDataset
    points: Tensor
    mask: Tensor
    boxes: dict[str, Numbers]


@dataclass(frozen=True)
class BoxFigures:
    """A model on faces by boxes of one kind.

    Attributes:
        answered: faces of which it gave points.
        nme: mean over them of the error of all 68 points, percent of the distance of the outer
            eye corners; None if there are none.
        nme_inner: of the 51 points without the contour.
        fr10: percent of all faces whose `nme` is above 10 %, those without an answer included.
    """

    answered: int
    nme: float | None
    nme_inner: float | None
    fr10: float


@dataclass(frozen=True)
class PeerFigures:
    """A model beside others.

    Attributes:
        problem: why it was not measured, in one line.
        megabytes: of its weights.
        mma: millions of multiply-adds of a face; None if unknown, or of another kind.
        milliseconds: from a decoded photo with a box to points, one core: fastest of the rounds,
            median over photos.
        ratio: to the first model of the run.
        boxes: by kind of box.
    """

    problem: str | None = None
    megabytes: float | None = None
    mma: float | None = None
    milliseconds: float | None = None
    ratio: float | None = None
    boxes: dict[str, BoxFigures] = field(default_factory=dict)


def read_faces(dataset: FaceDataset, detector_boxes: Path | None = None) -> Faces:
    """Labels and boxes of a data set.

    Args:
        dataset: of a scheme that has iBUG's 68 points.
        detector_boxes: CSV of boxes that a detector gave, as a second kind.

    Raises:
        UserError: points of iBUG that the scheme lacks, or a face without a box.
    """
    index = dataset.index()
    mapping = get_map(dataset.scheme, "ibug68")
    if (mapping.source_index < 0).any():
        raise UserError(f"{dataset.scheme} has not all of iBUG's 68 points; give another data set")
    points, mask = mapping.apply(torch.from_numpy(index.points), torch.from_numpy(index.mask))
    boxes = {OWN_BOXES: index.box.astype(np.float64)}
    if detector_boxes is not None:
        every = read_detector_boxes(detector_boxes, "--detector_boxes")
        rows = []
        for path, own in zip(index.paths, boxes[OWN_BOXES], strict=True):
            box = best_box(every, Path(path), own)
            if box is None:
                raise UserError(f"no box for {path} in {detector_boxes}; add its row")
            rows.append(box)
        boxes[DETECTOR_BOXES] = np.stack(rows)
    return Faces(dataset, points.float(), mask, boxes)


def show_progress(values: Sequence[Item], what: str) -> Iterable[Item]:
    """The values, with a bar on standard error: what is printed may be JSON."""
    return track(values, what, console=literal_console(stderr=True), transient=True)


#: Kind of box -> points (N, 2) of each face, or None.
_Answers = dict[str, list[Numbers | None]]


class _Measuring:
    """Models that take turns; one that stops is left out from then on.

    Args:
        peers: models by name, or why one is missing.
    """

    def __init__(self, peers: Mapping[str, Peer | str]) -> None:
        self.working = {name: peer for name, peer in peers.items() if not isinstance(peer, str)}
        self.problems = {name: peer for name, peer in peers.items() if isinstance(peer, str)}

    def stop(self, name: str, error: UserError) -> None:
        """Leaves a model out."""
        self.working.pop(name).close()
        self.problems[name] = str(error)

    def locate_all(self, faces: Faces) -> dict[str, _Answers]:
        """What every model answers for every face and box."""
        answers: dict[str, _Answers] = {n: {k: [] for k in faces.boxes} for n in self.working}
        for row in show_progress(range(len(faces.points)), "faces"):
            image = faces.dataset.load([row])[0]
            for name, peer in list(self.working.items()):
                try:
                    peer.show(image)
                    for kind, boxes in faces.boxes.items():
                        points = peer.locate(boxes[row]).points
                        answers[name][kind].append(pick_points(points, peer.rows))
                except UserError as error:
                    self.stop(name, UserError(f"face {row + 1} of {len(faces.points)}: {error}"))
        return answers

    def time_all(self, faces: Faces, rounds: int, photos: int) -> dict[str, float]:
        """Milliseconds of every model for a face: the fastest of the rounds, median over photos."""
        boxes = next(iter(faces.boxes.values()))
        fastest: dict[str, list[float]] = {name: [] for name in self.working}
        rows = np.linspace(0, len(boxes) - 1, photos).astype(int)
        for row in show_progress(list(dict.fromkeys(rows.tolist())), "photos, in turns"):
            image = faces.dataset.load([row])[0]
            spent: dict[str, list[float]] = {name: [] for name in self.working}
            for turn in range(rounds):
                for name, peer in list(self.working.items()):
                    try:
                        if turn == 0:
                            peer.show(image)
                        # The others have emptied the caches, which no user's other frames do.
                        peer.locate(boxes[row])
                        spent[name].append(peer.locate(boxes[row]).milliseconds)
                    except UserError as error:
                        self.stop(name, error)
            for name in self.working:
                fastest[name].append(min(spent[name]))
        return {name: statistics.median(fastest[name]) for name in self.working}


def pick_points(points: Numbers | None, rows: NDArray[np.int64] | None) -> Numbers | None:
    """Some of a model's points, by `Peer.rows`; None stays None."""
    return points if points is None or rows is None else points[rows]


def bench_peers(
    peers: Mapping[str, Peer | str], faces: Faces, rounds: int = 12, photos: int = 10
) -> dict[str, PeerFigures]:
    """Measure landmark models on the same faces and boxes, one after another on each face.

    Args:
        peers: models by name, or why one is missing. Times are compared with the first that works.
        faces: with their boxes.
        rounds: times that each photo of the timing is given to each model.
        photos: of the timing.
    """
    measuring = _Measuring(peers)
    answers = measuring.locate_all(faces)
    times = measuring.time_all(faces, rounds, photos)
    first = next(iter(times.values()), None)
    figures = {}
    for name in peers:
        if name in measuring.problems:
            figures[name] = PeerFigures(measuring.problems[name])
            continue
        peer = measuring.working[name]
        boxes = {kind: box_figures(rows, faces) for kind, rows in answers[name].items()}
        time, size = times[name], peer.size / 1e6
        figures[name] = PeerFigures(None, size, peer.mma, time, time / (first or time), boxes)
    return figures


def box_figures(answers: list[Numbers | None], faces: Faces) -> BoxFigures:
    """Errors of a model's answers (68, 2) to all faces; None where it gave none."""
    errors = face_errors(answers, faces)
    answered = torch.tensor([points is not None for points in answers])
    # A face that has no answer is a failure, and in no mean.
    failed = failure_indicator(errors[:, 0].masked_fill(~answered, torch.inf), FAILURE)
    count, fr10 = int(answered.sum()), float(failed.nanmean())
    if not count:
        return BoxFigures(0, None, None, fr10)
    nme_all, nme_inner = (float(column[answered].nanmean()) for column in errors.T)
    return BoxFigures(count, nme_all, nme_inner, fr10)


def face_errors(answers: list[Numbers | None], faces: Faces) -> Tensor:
    """(n, 2) NME of all 68 points and of the inner 51 of each face, percent; NaN without answer."""
    scheme = get_scheme("ibug68")
    groups = torch.zeros(2, scheme.n_points, dtype=torch.bool)
    groups[0], groups[1, list(scheme.inner)] = True, True
    empty = np.full((scheme.n_points, 2), np.nan)
    points = torch.from_numpy(np.stack([empty if a is None else a for a in answers])).float()
    norms = norm_values(faces.points, faces.mask, scheme)[:, NORMS.index("interocular")]
    errors = nme(points, faces.points, norms, faces.mask, groups)
    none = torch.tensor([a is None for a in answers])
    return errors.masked_fill(none[:, None], torch.nan)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def print_peers(figures: Mapping[str, PeerFigures], n_faces: int, console: Console) -> None:
    """A row for each model and kind of box, then a line for each model that was not measured."""
    rows = []
    for name, one in figures.items():
        for number, (kind, boxes) in enumerate(one.boxes.items()):
            errors = (boxes.nme, boxes.nme_inner, boxes.fr10)
            cost = (one.milliseconds, one.ratio, one.megabytes, one.mma)
            costs = [""] * len(cost) if number else [_cell(value) for value in cost]
            rows.append((name, kind, boxes.answered, *map(_cell, errors), *costs))
    columns = ("model", "boxes", "answered", "NME", "inner 51", "FR 10 %", "ms", "to first", "MB")
    title = f"{n_faces} faces; errors in % of the distance of the outer eye corners; one core"
    print_figures(title, (*columns, "MMA"), rows, labels=2, console=console)
    for name, one in figures.items():
        if one.problem is not None:
            console.print(f"{name}: {one.problem}")
