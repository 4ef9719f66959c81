"""Files of annotated pictures and videos: lists, drawn pictures, drawn videos.

Every file appears whole, under its name. What an interrupt or a kill leaves is continued by the
next call in the same folder.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from lit_landmarks.documents import parse_json
from lit_landmarks.draw.files import save_jpeg
from lit_landmarks.draw.overlay import FaceAnnotator
from lit_landmarks.errors import UserError
from lit_landmarks.files import check_folder, write_atomic
from lit_landmarks.inference.annotation import Annotation, Pixels
from lit_landmarks.inference.face import Face
from lit_landmarks.inference.face_list import FaceList, make_header
from lit_landmarks.inference.landmarker import Landmarker
from lit_landmarks.inference.sources import Source
from lit_landmarks.pictures.video import VideoWriter

JSON, PICTURES, VIDEOS = "faces.json", "pictures", "videos"
#: In the names of files of a video that was not read to its end.
PARTIAL = ".partial"
#: Where the lists' pictures are named from, and which of them have no face.
_STATE = ".annotate.json"


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
        convention: that is asked for.
        table: write CSV files too.
        pictures: draw pictures and videos.

    Attributes:
        base: folder of the pictures that names in `faces.json` start from.
        done: sources that an earlier call has finished.

    Raises:
        UserError: the folder cannot be written to, holds faces of another method, or names its
            pictures from a folder that others lie outside of.
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
        landmarker.check_convention(convention)
        check_folder(folder)
        self.folder, self.pictures, self.table = folder, pictures, table
        self._header = make_header(landmarker, convention)
        self.faces = FaceList(folder / JSON, self._header, table)
        self.base, self._empty = _read_state(folder / _STATE, folder, sources)
        self._drawn = _drawn_names(sources, self.base)
        self.done = {s for s in sources if self._is_done(s)}
        self._clip: FaceList | None = None
        self._video: VideoWriter | None = None
        self._source: Source | None = None

    def _is_done(self, source: Source) -> bool:
        if source.moves:
            return self._place(source, ".json").is_file()
        name = self._name(source)
        return name in self.faces.images or name in self._empty

    def _name(self, source: Source) -> str:
        """Name of a picture in the JSON file."""
        return _name_from(self.base, source)

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
        if self._source is None:
            self._write_state()  # names pictures from the same folder after a kill, too
        if source is not self._source:
            self._end_video()
            self._source = source
        if annotation.problem is not None:
            self._end_video(whole=False)  # done again once the file is restored
        elif annotation.image is not None and source.moves:
            self._write_frame(annotation, annotation.image)
        elif annotation.image is not None:
            self._write_picture(annotation, annotation.image)

    def _write_picture(self, annotation: Annotation, image: Pixels) -> None:
        name = self._name(annotation.source)
        if self.pictures:
            drawn = draw_faces(image, annotation.faces)
            save_jpeg(drawn, self._place(annotation.source, ".jpg"), quality=92)
        self.faces.add(name, annotation.faces)
        if not annotation.faces:
            self._empty.add(name)

    def _write_frame(self, annotation: Annotation, image: Pixels) -> None:
        source = annotation.source
        if self._clip is None:
            path = self._place(source, ".json")
            self._clip = FaceList(path, self._header, self.table, anew=True)
        self._clip.add(self._name(source), annotation.faces, annotation.frame)
        if self.pictures:
            self._video = self._video or VideoWriter(self._place(source, ".mp4"), annotation.rate)
            self._video.hold(annotation.frame or 0)
            self._video.write(draw_faces(image, annotation.faces))

    def _end_video(self, whole: bool = True) -> None:
        """Finish the files of a video; one that was not read to its end says so in its names."""
        source, clip, video = self._source, self._clip, self._video
        self._clip = self._video = None
        if source is None or clip is None:
            return
        part = "" if whole or source.kind == "camera" else PARTIAL
        with contextlib.ExitStack() as stack:
            if video is not None:
                stack.callback(video.close, self._place(source, f"{part}.mp4"))
            clip.save(self._place(source, f"{part}.json"))
        if not part:
            for suffix in (".json", ".csv", ".mp4"):
                self._place(source, PARTIAL + suffix).unlink(missing_ok=True)

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """Write the lists; what is there of a video that was interrupted is kept."""
        with contextlib.ExitStack() as stack:
            if len(self.faces) or not any(s.moves for s in self._drawn):
                stack.callback(self._save)
            self._end_video(whole=kind is None)

    def _save(self) -> None:
        self._write_state()
        self.faces.save()

    def _write_state(self) -> None:
        base = os.path.relpath(self.base, self.folder.absolute())
        state = {"base": base, "empty": sorted(self._empty)}
        write_atomic(self.folder / _STATE, json.dumps(state, indent=1) + "\n")


def _read_state(file: Path, folder: Path, sources: Sequence[Source]) -> tuple[Path, set[str]]:
    """The folder that pictures are named from, and those of an earlier call without a face.

    Raises:
        UserError: the file is damaged, or a picture lies outside of the folder of the earlier call.
    """
    if not file.is_file():
        return _base_folder(folder, sources), set()
    try:
        state: Any = parse_json(file.read_text(encoding="utf-8"), file)
        base, empty = Path(os.path.normpath(folder.absolute() / state["base"])), set(state["empty"])
    except (OSError, TypeError, KeyError, ValueError) as error:
        raise UserError(f"{file} is damaged; give another --output") from error
    for source in sources:
        if source.path is not None and not _plain(source.path).is_relative_to(base):
            raise UserError(
                f"{source.name} lies outside of {base}, from which {folder / JSON} names its"
                " pictures; give another --output"
            )
    return base, empty


def _plain(path: Path) -> Path:
    """The absolute path without `..`, which could lead a name out of the folder it starts from."""
    return path.parent.resolve() / path.name if ".." in path.parts else path.absolute()


def _base_folder(folder: Path, sources: Sequence[Source]) -> Path:
    """The folder from which pictures are named: that of the lists, if all lie below it."""
    parents = [_plain(s.path).parent for s in sources if s.path is not None]
    own = _plain(folder)
    if not parents or all(parent.is_relative_to(own) for parent in parents):
        return own
    return Path(os.path.commonpath(parents))


def _name_from(base: Path, source: Source) -> str:
    """Name of a picture below the base."""
    if source.path is None:
        return source.name
    return _plain(source.path).relative_to(base).as_posix()


def _drawn_names(sources: Sequence[Source], base: Path) -> dict[Source, str]:
    """A name without a suffix for what is drawn of each source, no two the same."""
    names: dict[Source, str] = {}
    used: set[tuple[bool, str]] = set()
    for source in sources:
        name = source.name
        if source.path is not None:
            whole = Path(_name_from(base, source))
            plain = whole.with_suffix("")
            name = str(whole if (source.moves, str(plain).lower()) in used else plain)
        used.add((source.moves, name.lower()))
        names[source] = name
    return names
