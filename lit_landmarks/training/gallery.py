"""The worst, typical and best faces of an evaluation, drawn and stored in the run.

RUN/overlays/faces.json              a list of what is drawn, worst first in each data set
RUN/overlays/faces/<role>-<set>-<kind>-<place>.jpg
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from lit_landmarks.draw import FaceAnnotator, Image, save_jpeg
from lit_landmarks.errors import UserError
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template import has_mean_face
from lit_landmarks.template.mesh import fitting_triangles
from lit_landmarks.training.face_errors import measure_faces
from lit_landmarks.training.run_directory import write_json
from lit_landmarks.types import DatasetSpec, DataSpec, FaceBatch, Prediction, Role

Kind = Literal["worst", "median", "best"]
#: How many faces of each kind a data set gets, in the order in which they are chosen and listed.
COUNTS: dict[Kind, int] = {"worst": 4, "best": 2, "median": 2}
ORDER: tuple[Kind, ...] = ("worst", "median", "best")
#: Faces are enlarged to about this width, and stored at most this wide.
WIDTH = 192
#: The median face is looked for among so many faces of a data set, evenly spread: all pictures of
#: a large set would fill the memory.
_SAMPLED = 64
#: From so many points on a face is drawn as a mesh.
_DENSE = 200
_FORMAT = 1


@dataclass(frozen=True)
class GalleryFace:
    """A drawn face.

    Attributes:
        role: val or test.
        dataset: name of its data set.
        kind: worst, median or best.
        row: in the data set.
        file: name of its picture; empty for rendered faces.
        nme: percent, under the primary norm of its data set.
        norm: that norm.
        picture: path of the drawing, relative to the folder of overlays.
    """

    role: str
    dataset: str
    kind: str
    row: int
    file: str
    nme: float
    norm: str
    picture: str

    @property
    def caption(self) -> str:
        """What stands below the picture."""
        return f"{self.kind}, {self.nme:.1f} %, {self.file or f'row {self.row}'}"


@dataclass(frozen=True, order=True)
class Candidate:
    """A drawn face that may be among the chosen ones; ordered by its error."""

    nme: float
    row: int
    picture: Image


def draw_face(prediction: Prediction, batch: FaceBatch, place: int, dataset: DatasetSpec) -> Image:
    """Draws one face of a batch with labels and prediction."""
    zoom = max(1, round(WIDTH / batch.image.shape[-1]))
    mesh = _choose_mesh(prediction, place, dataset)
    annotator = FaceAnnotator(dataset.scheme, zoom=zoom, triangles=mesh)
    return annotator.annotate(
        batch.image[place],
        batch.points[place],
        mask=batch.mask[place],
        predicted=prediction.points[place],
        pose=None if prediction.pose is None else prediction.pose[place],
    )


def _choose_mesh(
    prediction: Prediction, place: int, dataset: DatasetSpec
) -> NDArray[np.int64] | None:
    """Triangles between the points of a dense scheme; few points are joined by their lines."""
    dense = get_scheme(dataset.scheme).n_points >= _DENSE and has_mean_face(dataset.scheme)
    if prediction.points3d is None or not dense:
        return None
    return fitting_triangles(prediction.points3d[place].double().cpu().numpy(), dataset.scheme)


class Gallery:
    """The extreme and typical faces of one evaluation, batch by batch.

    Only faces that are extreme so far are drawn, and those among which the median is looked for.

    Args:
        spec: what the data holds.
    """

    def __init__(self, spec: DataSpec) -> None:
        self.spec = spec
        self.errors: dict[int, dict[int, float]] = {}
        self._worst: dict[int, list[Candidate]] = {}
        self._best: dict[int, list[tuple[float, int, Candidate]]] = {}
        self._sampled: dict[int, dict[int, Candidate]] = {}
        self._steps = [max(1, -(-d.size // _SAMPLED)) for d in spec.datasets]

    def add(self, prediction: Prediction, batch: FaceBatch) -> None:
        """Adds the faces of a batch; repeats, and faces without an error, are left out."""
        errors = measure_faces(prediction.points, batch, self.spec).tolist()
        sets, rows = batch.dataset_id.tolist(), batch.index.tolist()
        for place, (number, row, nme) in enumerate(zip(sets, rows, errors, strict=True)):
            if row < 0 or row in self.errors.get(number, ()) or not np.isfinite(nme):
                continue
            self.errors.setdefault(number, {})[row] = nme
            worst, best = self._worst.setdefault(number, []), self._best.setdefault(number, [])
            sampled = row % self._steps[number] == 0
            high = len(worst) < COUNTS["worst"] or nme > worst[0].nme
            low = len(best) < COUNTS["best"] or -nme > best[0][0]
            if not (sampled or high or low):
                continue
            picture = draw_face(prediction, batch, place, self.spec.datasets[number])
            candidate = Candidate(nme, row, _shrink(picture))
            if sampled:
                self._sampled.setdefault(number, {})[row] = candidate
            if high:
                _push(worst, candidate, COUNTS["worst"])
            if low:
                _push(best, (-nme, row, candidate), COUNTS["best"])

    def candidates(self) -> dict[int, dict[int, Candidate]]:
        """Drawn faces by `dataset_id` and row."""
        drawn: dict[int, dict[int, Candidate]] = {}
        for number in self.errors:
            faces = [*self._worst[number], *(c for *_, c in self._best[number])]
            drawn[number] = {c.row: c for c in faces} | self._sampled.get(number, {})
        return drawn

    def state(self) -> Any:
        """What other processes need of this one's faces."""
        return self.errors, self.candidates()


def choose_faces(
    states: Sequence[Any], spec: DataSpec, role: Role
) -> list[tuple[DatasetSpec, Kind, Candidate]]:
    """Chooses the faces to store from what all processes have seen, each face once.

    Args:
        states: `Gallery.state` of each process.
        spec: what the data holds.
        role: val or test.

    Returns:
        Data set, kind and face; worst, median and best in each data set.
    """
    chosen: list[tuple[DatasetSpec, Kind, Candidate]] = []
    for number, dataset in enumerate(spec.datasets):
        if dataset.role != role:
            continue
        errors: dict[int, float] = {}
        drawn: dict[int, Candidate] = {}
        for measured, candidates in states:
            errors |= measured.get(number, {})
            drawn |= candidates.get(number, {})
        if not errors:
            continue
        middle = float(np.median([*errors.values()]))
        keys: dict[Kind, Callable[[Candidate], float]] = {
            "worst": lambda c: -c.nme,
            "best": lambda c: c.nme,
            "median": partial(_distance, middle),
        }
        parts: dict[Kind, list[Candidate]] = {}
        for kind, count in COUNTS.items():
            order = sorted(drawn.values(), key=lambda c: c.row)
            parts[kind] = sorted(order, key=keys[kind])[:count]
            for candidate in parts[kind]:
                del drawn[candidate.row]
        chosen += [(dataset, kind, face) for kind in ORDER for face in parts[kind]]
    return chosen


def save_gallery(
    folder: Path,
    role: Role,
    chosen: Sequence[tuple[DatasetSpec, Kind, Candidate]],
    files: dict[str, Sequence[str]],
) -> list[GalleryFace]:
    """Writes drawings and faces.json; faces of other roles stay.

    Args:
        folder: of the overlays.
        role: val or test.
        chosen: what `choose_faces` gave.
        files: names of the pictures by data set; none for rendered ones.
    """
    faces: list[GalleryFace] = []
    places: dict[tuple[str, str], int] = {}
    for dataset, kind, face in chosen:
        place = places[dataset.name, kind] = places.get((dataset.name, kind), 0) + 1
        name = re.sub(r"[^\w.-]+", "_", f"{role}-{dataset.name}-{kind}-{place}")
        names = files.get(dataset.name, ())
        file = Path(names[face.row]).name if face.row < len(names) else ""
        picture = f"faces/{name}.jpg"
        save_jpeg(face.picture, folder / picture)
        own = (role, dataset.name, kind, face.row, file, face.nme, dataset.primary_norm, picture)
        faces.append(GalleryFace(*own))
    others = [face for face in read_gallery(folder) if face.role != role]
    write_json(
        folder / "faces.json",
        {"format": _FORMAT, "faces": [asdict(face) for face in (*others, *faces)]},
    )
    return faces


def read_gallery(folder: Path) -> list[GalleryFace]:
    """The stored faces of a run; none where there is no faces.json.

    Args:
        folder: of the overlays.

    Raises:
        UserError: faces.json is damaged.
    """
    path = folder / "faces.json"
    if not path.is_file():
        return []
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["faces"]
        return [GalleryFace(**entry) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged; delete it") from error


def _distance(middle: float, candidate: Candidate) -> float:
    return abs(candidate.nme - middle)


def _push(heap: list[Any], item: Any, count: int) -> None:
    heapq.heappush(heap, item)
    if len(heap) > count:
        heapq.heappop(heap)


def _shrink(picture: Image) -> Image:
    height, width = picture.shape[:2]
    if width <= WIDTH:
        return picture
    size = (WIDTH, round(height * WIDTH / width))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
