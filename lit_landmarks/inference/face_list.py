"""A growing list of annotated faces, on disk: `faces.json` and a table of the same name.

Faces are appended to a hidden file as they come, so that neither memory nor the time to save them
grows with their number; `save` makes the list and the table of it. What a killed process has left
there is taken into the list by the next one.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from lit_landmarks.data.layouts.json_faces import JsonHeader, write_rows
from lit_landmarks.data.readers.json_file import (
    OtherFormError,
    faces_at_once,
    faces_by_line,
    read_header,
)
from lit_landmarks.errors import UserError
from lit_landmarks.files import atomic_path
from lit_landmarks.inference.face import VISIBLE, Face
from lit_landmarks.inference.landmarker import Landmarker
from lit_landmarks.schemes import CONVENTIONS, get_scheme

Row = dict[str, Any]

#: Bytes of a line of the hidden file, at most: 520 points in 3D need 30,000.
_LONGEST_ROW = 1 << 24


class FaceList:
    """Faces of a `faces.json`, as `FACES_JSON.md` documents it, and of a CSV file.

    Args:
        path: the JSON file; an existing one is continued, under its own header.
        header: of the faces that are added.
        table: write a CSV file of the same name too.
        anew: begin without faces, whatever is there.

    Attributes:
        images: names of the pictures that have faces in the list.

    Raises:
        UserError: the existing file is of other points, another convention or another method, or
            cannot be read.
    """

    def __init__(self, path: Path, header: JsonHeader, table: bool, anew: bool = False) -> None:
        self.path, self.table, self.header = path, table, header
        self.images: set[str] = set()
        self._added = path.with_name(f".{path.stem}.jsonl")
        self._file: TextIO | None = None
        self._count = 0
        self._read: Callable[[Path], Iterable[Row]] | None = None
        if anew:
            self._added.unlink(missing_ok=True)
        elif path.is_file():
            self.header = _continue_header(path, header)
            self._read = _choose_reader(path)
        _cut_half_line(self._added)
        for row in self._rows():
            self.images.add(str(row.get("image")))
            self._count += 1

    def __len__(self) -> int:
        """Number of faces."""
        return self._count

    def add(self, image: str, faces: Sequence[Face], frame: int | None = None) -> None:
        """Append the faces of a picture, or of a frame of a video.

        Args:
            image: name of the file, below the folder of pictures.
            faces: of it.
            frame: number of the frame.

        Raises:
            UserError: they cannot be written.
        """
        if not faces:
            return
        rows = [json.dumps(face_row(image, face, frame), allow_nan=False) for face in faces]
        try:
            if self._file is None:
                self._added.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._added.open("a", encoding="utf-8", errors="surrogateescape")
            self._file.write("".join(f"{row}\n" for row in rows))
            self._file.flush()
        except OSError as error:
            raise UserError(
                f"cannot write {self._added}: {error.strerror}; choose another folder"
            ) from error
        self.images.add(image)
        self._count += len(rows)

    def save(self, path: Path | None = None) -> None:
        """Write the list and the table of all faces.

        Args:
            path: of the list; None: its own.

        Raises:
            UserError: they cannot be written; no face is lost then.
        """
        target = path or self.path
        self._close()
        columns: set[str] = set()
        write_rows(target, (_dump(row, columns) for row in self._rows()), self.header)
        if self.table:
            n_points = get_scheme(self.header.scheme).n_points
            rows = table_rows(faces_by_line(target), columns, n_points)
            write_table(target.with_suffix(".csv"), rows)
        if target == self.path:
            self._read = faces_by_line
        self._added.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _rows(self) -> Iterator[Row]:
        """All faces: those of the list, then those that were added since."""
        listed: set[str] = set()
        if self._read is not None:
            for row in self._read(self.path):
                listed.add(str(row.get("image")))
                yield row
        # A process that was killed after it saved the list may have left its faces here too.
        yield from (row for row in _added_rows(self._added) if row["image"] not in listed)


def _continue_header(path: Path, header: JsonHeader) -> JsonHeader:
    """The header of an existing list.

    Raises:
        UserError: faces under another header are no part of it.
    """
    before = read_header(path)
    for key in ("scheme", "convention", "source"):
        if before[key] != getattr(header, key):
            raise UserError(
                f"{path} has faces of {key} {before[key]!r}, not of {getattr(header, key)!r}; give"
                " another --output"
            )
    return JsonHeader(
        before["scheme"],
        before["convention"],
        before["primary_normaliser"],
        before["source"],
        before["licence"],
        before["pixel_grid"],
        before["units"],
    )


def _choose_reader(path: Path) -> Callable[[Path], Iterable[Row]]:
    """What reads the faces of a `faces.json`: a person may have edited it."""
    try:
        for _ in faces_by_line(path):  # only its end says whether the whole file is of this form
            pass
    except OtherFormError:
        return faces_at_once
    return faces_by_line


def _dump(row: Row, columns: set[str]) -> str:
    """A face as JSON; the keys that it has are added to those of the list."""
    columns |= row.keys() | row.get("prediction", {}).keys()
    return json.dumps(row)


def _added_rows(path: Path) -> Iterator[Row]:
    """Faces of the hidden file, up to a line that a killed process has not finished."""
    with (
        contextlib.suppress(FileNotFoundError),
        path.open(encoding="utf-8", errors="surrogateescape") as file,
    ):
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                return


def _cut_half_line(path: Path) -> None:
    """Shorten a file to its last whole line; more would be appended to a half one."""
    if not path.is_file():
        return
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        start = max(0, end - _LONGEST_ROW)
        file.seek(start)
        file.truncate(start + file.read().rfind(b"\n") + 1)


def make_header(landmarker: Landmarker, convention: str | None) -> JsonHeader:
    """What holds for all faces of a method.

    Args:
        landmarker: the method.
        convention: that is asked for.
    """
    scheme = landmarker.method.scheme or "ibug68"
    answered = landmarker.method.answered_convention(convention)
    trained: Sequence[str] = landmarker.notes.get("conventions") or ()
    if answered is None and len(trained) == 1:
        answered = trained[0]
    name = landmarker.notes.get("class_path") or type(landmarker.method).__name__
    method = f"{str(name).rpartition('.')[2]} of lit_landmarks"
    licences = landmarker.notes.get("licence")
    licence = "; ".join(f"{k}: {v}" for k, v in licences.items()) if licences else ""
    corners = get_scheme(scheme).eye_corners
    return JsonHeader(
        scheme,
        answered if answered in CONVENTIONS else "custom",
        "interocular" if corners[0] != corners[1] else "box",
        source=f"predicted by {method}",
        licence=f"of the method's training data: {licence}" if licence else "",
        units="pixels",
    )


def face_row(image: str, face: Face, frame: int | None = None) -> Row:
    """A face as `FACES_JSON.md` has it.

    Args:
        image: name of the picture.
        face: in its pixels.
        frame: number of the frame of a video.
    """
    record = face.record()
    points = [None if None in point else point for point in record["points"]]
    row: Row = {"image": image, "points": points, "box": record["box"]}
    if face.visibility is not None:
        row["visible"] = [int(v >= VISIBLE) for v in face.visibility]
    for name in ("points3d", "pose"):
        value = record.get(name, [None])
        if None not in value and all(not isinstance(v, list) or None not in v for v in value):
            row[name] = value
    if frame is not None:
        row |= {"track": face.track or 0, "time": frame}
    names = ("confidence", "error", "visibility", "mma")
    row["prediction"] = {name: record[name] for name in names if record.get(name) is not None}
    return row


def write_table(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write the rows of a table, the head first, as a CSV file.

    Raises:
        UserError: it cannot be written.
    """
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(rows)


def table_rows(rows: Iterable[Row], columns: set[str], n_points: int) -> Iterator[list[Any]]:
    """Rows of a table of faces, its head first; what no face has gets no column.

    Args:
        rows: as `face_row` gives them.
        columns: the keys of them all, those of `prediction` too.
        n_points: of each face.
    """
    frames = [name for name in ("track", "time") if name in columns]
    figures = [name for name in ("confidence", "error", "mma") if name in columns]
    angles = ["yaw", "pitch", "roll"] if "pose" in columns else []
    box = ["box_x0", "box_y0", "box_x1", "box_y1"]
    points = [f"{axis}{k}" for k in range(n_points) for axis in "xy"]
    yield ["image", *frames, *box, *figures, *angles, *points]
    for row in rows:
        places = [v for point in row["points"] for v in (point or ("", ""))]
        turn = row.get("pose") or [""] * 3
        values = [row.get("prediction", {}).get(name, "") for name in figures]
        head = [row["image"], *(row.get(name, "") for name in frames), *row["box"]]
        yield [*head, *values, *(turn if angles else []), *places]
