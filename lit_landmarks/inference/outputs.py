"""Files of annotated pictures and videos: `faces.json`, `faces.csv`, drawn pictures.

Every file appears whole. Lists are written again every half minute, at the end, and when the work
is interrupted, so that finished faces are not lost.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from lit_landmarks.data.layouts.json_faces import JsonHeader, write_rows
from lit_landmarks.data.readers.json_file import faces_at_once, read_header
from lit_landmarks.draw.files import save_jpeg
from lit_landmarks.draw.overlay import FaceAnnotator
from lit_landmarks.errors import UserError
from lit_landmarks.files import check_folder, write_atomic
from lit_landmarks.inference.annotation import Annotation, Pixels
from lit_landmarks.inference.face import Face
from lit_landmarks.inference.landmarker import Landmarker
from lit_landmarks.inference.sources import Source
from lit_landmarks.pictures.video import VideoWriter
from lit_landmarks.schemes import CONVENTIONS, get_scheme

JSON, PICTURES, VIDEOS = "faces.json", "pictures", "videos"
#: In the names of files of a video that was not seen to its end.
PARTIAL = ".partial"
#: Seconds after which lists are written again.
_EVERY = 30.0
#: From which probability on a point is written as visible.
_VISIBLE = 0.5


class FaceList:
    """Faces of a `faces.json`, as `FACES_JSON.md` documents it, and of a CSV file.

    Args:
        path: the JSON file; one that is there is gone on with.
        landmarker: whose faces they are.
        convention: that was asked for.
        table: write a CSV file of the same name too.

    Attributes:
        images: names of the pictures that have faces in the file.

    Raises:
        UserError: the file that is there is of other points, or cannot be read.
    """

    def __init__(
        self, path: Path, landmarker: Landmarker, convention: str | None, table: bool
    ) -> None:
        self.path, self.table = path, table
        self.header = json_header(landmarker, convention)
        self._rows: list[str] = []
        self.images: set[str] = set()
        self._saved = time.monotonic()
        if path.is_file():
            before = read_header(path)
            if before["scheme"] != self.header.scheme:
                raise UserError(
                    f"{path} has faces of {before['scheme']}, not of {self.header.scheme}; give"
                    " another --output"
                )
            for row in faces_at_once(path):
                self._rows.append(json.dumps(row))
                self.images.add(str(row.get("image")))

    def __len__(self) -> int:
        """Number of faces."""
        return len(self._rows)

    def add(self, image: str, faces: Sequence[Face], frame: int | None = None) -> None:
        """Append the faces of a picture, or of a frame of a video.

        Args:
            image: name of the file, below the folder of pictures.
            faces: of it.
            frame: number of the frame.
        """
        self._rows += [json.dumps(face_row(image, face, frame), allow_nan=False) for face in faces]
        if time.monotonic() - self._saved > _EVERY:
            self.save()

    def save(self) -> None:
        """Write the files.

        Raises:
            UserError: they cannot be written.
        """
        write_rows(self.path, self._rows, self.header)
        if self.table:
            rows = [json.loads(row) for row in self._rows]
            n_points = get_scheme(self.header.scheme).n_points
            write_atomic(self.path.with_suffix(".csv"), format_csv(rows, n_points))
        self._saved = time.monotonic()


def json_header(landmarker: Landmarker, convention: str | None) -> JsonHeader:
    """What holds for all faces of a method."""
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


def face_row(image: str, face: Face, frame: int | None = None) -> dict[str, Any]:
    """A face as `FACES_JSON.md` has it.

    Args:
        image: name of the picture.
        face: in its pixels.
        frame: number of the frame of a video.
    """
    record = face.record()
    points = [None if None in point else point for point in record["points"]]
    row: dict[str, Any] = {"image": image, "points": points, "box": record["box"]}
    if face.visibility is not None:
        row["visible"] = [int(v >= _VISIBLE) for v in face.visibility]
    for name in ("points3d", "pose"):
        value = record.get(name, [None])
        if None not in value and all(not isinstance(v, list) or None not in v for v in value):
            row[name] = value
    if frame is not None:
        row |= {"track": face.track or 0, "time": frame}
    names = ("confidence", "error", "visibility", "mma")
    row["prediction"] = {name: record[name] for name in names if record.get(name) is not None}
    return row


def format_csv(rows: Sequence[dict[str, Any]], n_points: int) -> str:
    """Faces of a `faces.json` as a table, one to a row; what no face has gets no column.

    Args:
        rows: as `face_row` gives them.
        n_points: of each.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    frames = [name for name in ("track", "time") if any(name in row for row in rows)]
    figures = [
        name
        for name in ("confidence", "error", "mma")
        if any(name in row.get("prediction", {}) for row in rows)
    ]
    angles = ["yaw", "pitch", "roll"] if any("pose" in row for row in rows) else []
    box = ["box_x0", "box_y0", "box_x1", "box_y1"]
    points = [f"{axis}{k}" for k in range(n_points) for axis in "xy"]
    writer.writerow(["image", *frames, *box, *figures, *angles, *points])
    for row in rows:
        places = [v for point in row["points"] for v in (point or ("", ""))]
        turn = row.get("pose") or [""] * 3
        values = [row.get("prediction", {}).get(name, "") for name in figures]
        head = [row["image"], *(row.get(name, "") for name in frames), *row["box"]]
        writer.writerow([*head, *values, *(turn if angles else []), *places])
    return file.getvalue()


def draw_faces(image: Pixels, faces: Sequence[Face]) -> Pixels:
    """A picture with the landmarks of its faces; the picture itself is not changed."""
    drawn = image
    for face in faces:
        drawn = FaceAnnotator(face.scheme).annotate(drawn, predicted=face.points)
    return drawn


class AnnotationFiles:
    """Writes annotations below a folder, as they come.

    Args:
        folder: where to.
        sources: all that will be annotated.
        landmarker: the method.
        convention: that was asked for.
        table: write CSV files too.
        pictures: draw pictures and videos.

    Attributes:
        base: folder of the pictures that names in `faces.json` start from.
        done: sources that an earlier call has finished.

    Raises:
        UserError: the folder cannot be written to, or holds faces of other points.
    """

    def __init__(
        self,
        folder: Path,
        sources: Sequence[Source],
        landmarker: Landmarker,
        convention: str | None = None,
        table: bool = False,
        pictures: bool = True,
    ) -> None:
        check_folder(folder)
        self.folder, self.pictures, self.table = folder, pictures, table
        self._landmarker, self._convention = landmarker, convention
        self.base = _base_folder(folder, sources)
        self._drawn = _drawn_names(sources, self.base)
        self.faces = FaceList(folder / JSON, landmarker, convention, table)
        self.done = {s for s in sources if self._is_done(s)}
        self._clip: FaceList | None = None
        self._video: VideoWriter | None = None
        self._source: Source | None = None

    def _is_done(self, source: Source) -> bool:
        if source.moves:
            return self._place(source, ".json").is_file()
        return self._name(source) in self.faces.images

    def _name(self, source: Source) -> str:
        """Name of a picture in the JSON file."""
        if source.path is None:
            return source.name
        return os.path.relpath(source.path.absolute(), self.base).replace(os.sep, "/")

    def _place(self, source: Source, suffix: str) -> Path:
        return self.folder / (VIDEOS if source.moves else PICTURES) / (self._drawn[source] + suffix)

    def __enter__(self) -> Self:
        """Nothing is written before the first annotation."""
        return self

    def write(self, annotation: Annotation) -> None:
        """Write what an annotation says.

        Raises:
            UserError: a file cannot be written.
        """
        source = annotation.source
        if source is not self._source:
            self._end_video()
            self._source = source
        if annotation.image is None:
            return
        if not source.moves:
            self.faces.add(self._name(source), annotation.faces)
            if self.pictures:
                drawn = draw_faces(annotation.image, annotation.faces)
                save_jpeg(drawn, self._place(source, ".jpg"), quality=92)
            return
        if self._clip is None:
            part = self._place(source, PARTIAL + ".json")
            part.unlink(missing_ok=True)
            self._clip = FaceList(part, self._landmarker, self._convention, self.table)
        self._clip.add(self._name(source), annotation.faces, annotation.frame)
        if self.pictures:
            self._video = self._video or VideoWriter(self._place(source, ".mp4"), annotation.rate)
            self._video.write(draw_faces(annotation.image, annotation.faces))

    def _end_video(self, whole: bool = True) -> None:
        """Finish the files of a video; one that was not seen to its end says so in its names."""
        source, clip = self._source, self._clip
        if source is None or clip is None:
            return
        part = "" if whole or source.kind == "camera" else PARTIAL
        for suffix in (".json", ".csv", ".mp4"):
            self._place(source, PARTIAL + suffix).unlink(missing_ok=True)
        clip.path = self._place(source, f"{part}.json")
        clip.save()
        if self._video is not None:
            self._video.close(self._place(source, f"{part}.mp4"))
        self._clip = self._video = None

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """Write the lists; what is there of a video that was interrupted is kept."""
        self._end_video(whole=kind is None)
        if len(self.faces) or not any(s.moves for s in self._drawn):
            self.faces.save()


def _base_folder(folder: Path, sources: Sequence[Source]) -> Path:
    """The folder from which pictures are named: that of the lists, if all lie below it."""
    parents = [s.path.absolute().parent for s in sources if s.path is not None]
    own = folder.absolute()
    if not parents or all(parent.is_relative_to(own) for parent in parents):
        return own
    return Path(os.path.commonpath(parents))


def _drawn_names(sources: Sequence[Source], base: Path) -> dict[Source, str]:
    """A name without a suffix for what is drawn of each source, no two the same."""
    names: dict[Source, str] = {}
    used: set[tuple[bool, str]] = set()
    for source in sources:
        name = source.name
        if source.path is not None:
            whole = Path(os.path.relpath(source.path.absolute(), base))
            plain = whole.with_suffix("")
            name = str(whole if (source.moves, str(plain).lower()) in used else plain)
        used.add((source.moves, name.lower()))
        names[source] = name
    return names
