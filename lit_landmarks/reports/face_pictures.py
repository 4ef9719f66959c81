"""Faces for the page of a comparison: of each drawn run the worst, a typical and the best."""

from __future__ import annotations

import base64
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from lit_landmarks.reports.compare import Comparison
from lit_landmarks.reports.entries import Entry
from lit_landmarks.training.gallery import GalleryFace

#: Faces of a kind that a run shows of a data set.
_SHOWN = {"worst": 2, "median": 1, "best": 1}
#: The most data sets, and bytes of all pictures: a page goes by mail.
_MOST_SETS, _MOST_BYTES = 2, 1_000_000


class Picture(NamedTuple):
    """A drawn face.

    Attributes:
        data: content of the JPEG file, as base64.
        caption: kind, error and file.
    """

    data: str
    caption: str


class FaceRow(NamedTuple):
    """Faces of one run and data set."""

    entry: Entry
    color: int | None
    pictures: list[Picture]


def collect_face_rows(comparison: Comparison) -> dict[str, list[FaceRow]]:
    """Pictures to embed: `role/data set` -> the drawn runs that have faces of it.

    The data sets that most runs have come first; what would make the page too heavy is left out.
    """
    counts = Counter(
        place
        for entry in comparison.drawn
        for place in dict.fromkeys(f"{face.role}/{face.dataset}" for face in entry.gallery)
    )
    budget = _MOST_BYTES
    rows: dict[str, list[FaceRow]] = {}
    for place, _ in counts.most_common(_MOST_SETS):
        for entry in comparison.drawn:
            pictures: list[Picture] = []
            for face, file in _choose(entry, place):
                size = file.stat().st_size if file.is_file() else 0
                if 0 < size <= budget:
                    budget -= size
                    data = base64.b64encode(file.read_bytes()).decode()
                    pictures.append(Picture(data, face.caption))
            if pictures:
                rows.setdefault(place, []).append(FaceRow(entry, comparison.color(entry), pictures))
    return rows


def _choose(entry: Entry, place: str) -> list[tuple[GalleryFace, Path]]:
    faces = [face for face in entry.gallery if f"{face.role}/{face.dataset}" == place]
    shown = [
        face
        for kind, count in _SHOWN.items()
        for face in [face for face in faces if face.kind == kind][:count]
    ]
    folder = Path(entry.where) / "overlays" / "faces"
    # By name alone: a run of somebody else must not bring files of this machine into a page.
    return [(face, folder / Path(face.picture).name) for face in shown]
