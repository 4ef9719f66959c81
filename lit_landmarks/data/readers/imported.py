"""`ImportedFaces`: the base of readers of what annotation tools export.

A subclass parses its format into `Annotations`; what the points may be, where the pictures lie and
which scheme the names make is the same for all.
"""

from __future__ import annotations

import os
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from lit_landmarks.data.finding import composed, files_below, locate, match_files
from lit_landmarks.data.index import (
    Arguments,
    FaceDataset,
    FaceIndex,
    FilePattern,
    Report,
    missing_image,
    read_image,
)
from lit_landmarks.data.picture_size import picture_size
from lit_landmarks.data.plausibility import CORNERS, drop_implausible
from lit_landmarks.data.readers.common import BOXES, choice, inside, select_faces
from lit_landmarks.data.readers.json_rows import ASK_UNITS, UNITS, Row, columns, read_row
from lit_landmarks.errors import UserError
from lit_landmarks.pictures import GRIDS, Grid
from lit_landmarks.schemes import LandmarkScheme, scheme_from_names

#: A file is recognized by what stands in so many bytes at its start and at its end.
_SNIFFED = 1 << 18
#: So many files of a folder are looked at to recognize it.
_FILES_SNIFFED = 16

Place = tuple[float, float]


@dataclass(slots=True)
class AnnotatedFace:
    """One face as an annotation file has it.

    Attributes:
        image: the picture's name as it stands in the file.
        where: file and row.
        points: point name -> x, y in the file's pixels; points that were not set are left out.
        hidden: names of points that are set but occluded.
        box: x0, y0, x1, y1 in the file's pixels.
        size: width and height of the picture, as the file says.
        track, time: of a video.
        states: whether the file says which points are occluded.
    """

    image: str
    where: str
    points: dict[str, Place]
    hidden: set[str] = field(default_factory=set)
    box: tuple[float, float, float, float] | None = None
    size: tuple[int, int] | None = None
    track: int | None = None
    time: int | None = None
    states: bool = True


@dataclass
class Annotations:
    """All that a file, or a folder of files, says.

    Attributes:
        label: what its objects are called.
        names: names of the points, in order.
        edges: pairs of points, by number from 0, that its skeleton joins.
        faces: in the order of the file.
        problems: what is wrong with rows that could not be parsed.
    """

    label: str
    names: list[str]
    edges: list[tuple[int, int]] = field(default_factory=list)
    faces: list[AnnotatedFace] = field(default_factory=list)
    problems: list[UserError] = field(default_factory=list)


@dataclass(frozen=True)
class ContentPattern(FilePattern):
    """Files that are recognized by their name and by texts that stand in them.

    Attributes:
        texts: each must stand in the file, near its start or its end.
        folders: the folder is one data set; otherwise each file is.
    """

    texts: tuple[bytes, ...] = ()
    folders: bool = False
    general: bool = True

    def matches(self, folder: Path) -> bool:
        """True if a file below the folder matches."""
        return any(True for _ in self.matching(folder))

    def matching(self, folder: Path) -> Iterator[Path]:
        """The files that match, sorted."""
        candidates = {f for mark in self.marks for f in match_files(folder, mark)}
        files = sorted(f for f in candidates if f.is_file())
        for file in files[:_FILES_SNIFFED] if self.folders else files:
            try:
                with file.open("rb") as stream:
                    content = stream.read(_SNIFFED)
                    stream.seek(max(file.stat().st_size - _SNIFFED, len(content)))
                    content += stream.read()
            except OSError:
                continue
            if all(text in content for text in self.texts):
                yield file


class ImportedFaces(FaceDataset):
    """Faces that were annotated in a tool; the scheme comes from the names in its file.

    Args:
        root: folder with the pictures, at any depth.
        file: the annotation file below `root`; needed only where there are several.
        scheme: a built-in scheme whose points these are, in its order or by its names; or a name
            for the scheme that the file declares.
        boxes: "annotated" takes the box of a face where it has one, "ground_truth" the tight box.
        first, last: keep only so many faces from the start or the end of the list.
        first_pixel: coordinate that the file gives the centre of the first pixel: 0, or 1 where
            pixels are counted from 1, or 0.5 where coordinates start at the picture's corner.
        units: of the coordinates: "pixels", "relative" (0 to 1 across the picture) or "percent".
            If null, they are pixels, and points that look like another unit are refused.
        pixel_grid: pixels on which the points lie: "shown" as annotation tools turn pictures by
            their orientation tag, or "stored" without it.
    """

    convention: str = "custom"
    source: ClassVar[str] = "your own, exported by an annotation tool"
    licence: ClassVar[str] = "that of the pictures"
    #: What the four numbers of a box are in the files.
    box_numbers: ClassVar[str] = CORNERS

    def __init__(
        self,
        root: str,
        file: str | None = None,
        scheme: str | None = None,
        boxes: Literal["annotated", "ground_truth"] = "annotated",
        first: int | None = None,
        last: int | None = None,
        first_pixel: float = 0.0,
        units: Literal["pixels", "relative", "percent"] | None = None,
        pixel_grid: Grid = "shown",
    ) -> None:
        choice("boxes", boxes, BOXES)
        if units is not None:
            choice("units", units, UNITS)
        self.root, self.file, self.scheme_name, self.boxes = root, file, scheme, boxes
        self.first, self.last, self.first_pixel, self.units = first, last, first_pixel, units
        self.pixel_grid = choice("pixel_grid", pixel_grid, GRIDS)
        self._parsed: tuple[Path, Annotations, LandmarkScheme] | None = None

    @abstractmethod
    def _parse(self, path: Path) -> Annotations:
        """Everything that a file says; `path` is the folder if the class has one file per picture.

        Raises:
            UserError: the file is of another format, or damaged.
        """

    @classmethod
    def declare(cls, base: str | Path, **arguments: Any) -> None:
        """Make known the scheme of the file."""
        dataset = cls(**arguments)
        dataset.start_from(base)
        dataset._annotations()

    @classmethod
    def recognize(cls, folder: Path, pattern: FilePattern) -> Iterator[tuple[Path, Arguments]]:
        """One data set for each annotation file, or for the folder."""
        root = {"root": str(folder)}
        if not isinstance(pattern, ContentPattern) or pattern.folders:
            yield folder, root
            return
        files = list(pattern.matching(folder))
        for file in files:
            place = folder if len(files) == 1 else file
            yield place, root | {"file": file.relative_to(folder).as_posix()}

    @property
    def scheme(self) -> str:  # type: ignore[override]
        """Name of the scheme of the file's points."""
        return self._annotations()[1].name

    @property
    def primary_norm(self) -> str:  # type: ignore[override]
        """Interocular where the scheme has eye corners, else box."""
        right, left = self._annotations()[1].eye_corners
        return "box" if right == left else "interocular"

    @property
    def grid(self) -> Grid:
        """The argument `pixel_grid`."""
        return self.pixel_grid

    def _path(self) -> Path:
        """The annotation file, or the folder that holds one for each picture."""
        root = self.resolve(self.root)
        if not root.is_dir():
            raise UserError(f"no folder {root}; correct root")
        if self.file is not None:
            path = root / self.file
            if not path.exists():
                raise UserError(f"no file {path}; correct file")
            return path
        patterns = [p for p in type(self).files if isinstance(p, ContentPattern)]
        if any(pattern.folders for pattern in patterns):
            return root
        files = [file for pattern in patterns for file in pattern.matching(root)]
        if len(files) != 1:
            names = ", ".join(file.relative_to(root).as_posix() for file in files[:5])
            marks = ", ".join(mark for pattern in patterns for mark in pattern.marks)
            reason = f"{len(files)} files ({names})" if files else f"no annotations in {marks}"
            raise UserError(f"{reason} in {root}; say which: file")
        return files[0]

    def _annotations(self) -> tuple[Annotations, LandmarkScheme]:
        """What the file says, parsed at most once, and its scheme."""
        path = self._path()
        if self._parsed is None or self._parsed[0] != path:
            parsed = self._parse(path)
            if not parsed.faces and not parsed.problems:
                raise UserError(f"no face with points, {path}; annotate some, or correct file")
            if not parsed.names:
                raise parsed.problems[0]
            try:
                names = (parsed.label, parsed.names, parsed.edges)
                scheme = scheme_from_names(*names, self.scheme_name)
            except UserError as error:
                what, _, cure = str(error).partition("; ")
                raise UserError(f"{what}, {path}; {cure} (argument scheme)") from error
            self._parsed = path, parsed, scheme
        return self._parsed[1:]

    def _read(self, report: Report) -> FaceIndex:
        self._parsed = None
        parsed, scheme = self._annotations()
        path = self._path()
        for problem in parsed.problems:
            report(problem)
        by_name = set(parsed.names) == set(scheme.point_names)
        order = scheme.point_names if by_name else tuple(parsed.names)
        pictures = _Pictures(self.resolve(self.root), path)
        rows: list[Row] = []
        for face in parsed.faces:
            try:
                picture = pictures.find(face.image, face.where)
                value = self._value(face, order, picture)
                row = read_row(value, len(order), self.boxes == "annotated", face.where)
            except UserError as error:
                report(UserError(str(error).replace(CORNERS, self.box_numbers)))
                continue
            row.image = str(picture)
            rows.append(row)
        index = drop_implausible(
            columns(rows, scheme.n_points),
            [row.where for row in rows],
            report,
            scheme.point_names,
            None if self.units else ASK_UNITS,
            self.boxes == "annotated",
            self.grid,
            self.box_numbers,
        )
        return select_faces(index, None, self.first, self.last, str(path))[0]

    def _value(self, face: AnnotatedFace, order: tuple[str, ...], picture: Path) -> dict[str, Any]:
        """The face as the JSON format has it, whose checks are ours too."""
        _check_size(face, picture)
        scale, shift = np.ones(2), self.first_pixel
        if self.units in ("relative", "percent"):
            sides = read_image(picture, self.grid).shape[1::-1]
            scale = np.array(sides) / (1 if self.units == "relative" else 100)
        places = [face.points.get(name) for name in order]
        row: dict[str, Any] = {
            "image": face.image,
            "points": [None if p is None else (scale * p - shift).tolist() for p in places],
        }
        if face.box is not None:
            row["box"] = (np.tile(scale, 2) * face.box - shift).tolist()
        if face.states:
            states = [
                -1 if name not in face.points else int(name not in face.hidden) for name in order
            ]
            row["visible"] = states
        return row | {k: v for k in ("track", "time") if (v := getattr(face, k)) is not None}


def _check_size(face: AnnotatedFace, picture: Path) -> None:
    """Raises where the file states another size than the picture has: its points do not fit."""
    size = picture_size(picture)
    if face.size is None or size is None:
        return
    if face.size in (size, picture_size(picture, "shown")):
        return
    raise UserError(
        f"{picture.name} has {size[0]} x {size[1]} pixels, the file says {face.size[0]} x"
        f" {face.size[1]}, {face.where}; give the picture that was annotated, not a copy"
    )


class _Pictures:
    """Finds the pictures that an annotation file names, below one folder only.

    Linked folders are searched as `finding` says; a linked picture must lie below the folder.
    """

    def __init__(self, root: Path, path: Path) -> None:
        self._root = root
        # Beside the file, below the root, and where CVAT, Roboflow and others put them.
        folders = [self._below(path if path.is_dir() else path.parent), ".", "images"]
        folders.append(f"{folders[0]}/images")
        if not path.is_dir():
            folders += [f"{folders[0]}/../images", f"images/{path.stem}"]
        folders += [f"images/{path.stem.removeprefix('person_keypoints_')}", "images/default"]
        self._folders = folders
        self._names: dict[str, dict[str, list[Path]]] = {}

    def _below(self, folder: Path) -> str:
        """A folder as seen from the root, which it is below unless `file` is an absolute path."""
        inside_root = folder.is_relative_to(self._root)
        return folder.relative_to(self._root).as_posix() if inside_root else "."

    def find(self, name: str, where: str) -> Path:
        """The picture that a file calls `name`.

        Raises:
            UserError: there is none below the root, or several of that name and no folder told.
        """
        last = ""
        beside = self._below(Path(where.partition(":annotations[")[0]).parent)
        for plain in dict.fromkeys(_plain_names(name)):
            last = PurePosixPath(plain).name
            if not last or "\0" in plain:
                raise UserError(f"picture {name[:80]!r} is no file name, {where}; correct it")
            for folder in [beside, *self._folders]:
                place = PurePosixPath(os.path.normpath(f"{folder}/{plain}"))
                if place.is_absolute() or ".." in place.parts:
                    continue
                if _is_file(path := locate(self._root, place.as_posix())):
                    return self._checked(path, where)
            others = self._called(last)
            if len(others) > 1:
                raise UserError(
                    f"{len(others)} pictures are called {last!r} below {self._root}, {where};"
                    " write the folder of each into the file"
                )
            if others:
                return self._checked(others[0], where)
        missing = missing_image(self._root / last)
        raise UserError(str(missing).replace("; ", f", {where}; ", 1))

    def _called(self, name: str) -> list[Path]:
        """Files of a name, at any depth; those in another case only if there is none in this."""
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in self._names:
            files = self._names.setdefault(suffix, {})
            for file in files_below(self._root, (suffix,)):
                files.setdefault(composed(file.name).lower(), []).append(file)
        alike = self._names[suffix].get(composed(name).lower(), [])
        return [f for f in alike if composed(f.name) == composed(name)] or alike

    def _checked(self, path: Path, where: str) -> Path:
        """The path itself, unless it is a link to a picture elsewhere."""
        if path.is_symlink() and not path.resolve().is_relative_to(self._root.resolve()):
            return inside(self._root.resolve(), path.relative_to(self._root).as_posix(), where)
        return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long
        return False


def _plain_names(name: str) -> Iterator[str]:
    """What a tool's name of a picture may mean as a relative path, the likeliest first."""
    plain = name.replace("\\", "/").removeprefix("file://")
    yield plain
    if "://" in plain or plain.startswith("/data/"):  # an address, such as Label Studio's
        address = urlsplit(plain)
        local = parse_qs(address.query).get("d")
        plain = local[0] if local else address.path
        yield plain
    if "%" in plain:
        yield unquote(plain)


def parse_place(text: Any, what: str, where: str) -> float:
    """A coordinate of an annotation file, as text or as a number.

    Raises:
        UserError: it is no number.
    """
    try:
        if isinstance(text, bool) or "_" in str(text):
            raise ValueError(text)
        return float(text)
    except (TypeError, ValueError):
        shown = str(text)[:40]
        raise UserError(f"{what} {shown!r} is no number, {where}; correct it") from None


def stated_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Width and height of a picture where the file states both as whole numbers above 0."""
    sides = [int(v) for v in (width, height) if str(v).isdecimal() and int(v) > 0]
    return (sides[0], sides[1]) if len(sides) == 2 else None


def order_names(names: Iterable[str]) -> list[str]:
    """Different names of points, numbers in them by their value; files in any order agree.

    Example:
        >>> order_names(["10", "9", "0", "9"])
        ['0', '9', '10']
    """

    def key(name: str) -> list[tuple[int, str]]:
        parts = re.split(r"(\d+)", name)
        return [(int(part), "") if k % 2 else (0, part) for k, part in enumerate(parts)]

    return sorted(set(names), key=lambda name: (key(name), name))
