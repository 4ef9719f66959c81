"""Reader for CVAT's own XML, version 1.1: for images and for video."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from xml.etree.ElementTree import Element

from lit_landmarks.data.finding import IMAGE_SUFFIXES, files_below
from lit_landmarks.data.index import FilePattern
from lit_landmarks.data.readers.grouped import Box, Marks, common_count, group_marks
from lit_landmarks.data.readers.imported import (
    AnnotatedFace,
    Annotations,
    ContentPattern,
    ImportedFaces,
    Place,
    order_names,
    parse_place,
    stated_size,
)
from lit_landmarks.data.readers.xml_file import LINE, read_xml
from lit_landmarks.errors import UserError

_TAG = re.compile(r"<(circle|line)\b([^>]*)>")
_ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')


class CvatXml(ImportedFaces):
    """Faces of a CVAT task: skeletons, or shapes of points (https://docs.cvat.ai, XML 1.1).

    In "CVAT for images" each `<image>` holds its shapes; in "CVAT for video" each `<track>` holds
    them by frame, whose pictures are `images/frame_000000.png` and so on, as CVAT exports them.
    A face is, in this order of what the file has:

    - a `<skeleton>`; its points are named by their labels, those `outside` were not set, and the
      lines of the skeleton are those of its drawing in `<meta>`;
    - a `<points>` shape of several points, which are numbered;
    - all single `<points>` of a picture and of one `group_id`, named by their labels.

    A `<box>` of the same picture and `group_id` is the face box.

    CVAT counts from the corner of the picture (the centre of the first pixel is 0.5, see
    `first_pixel`); coordinates are taken as they stand.

    Args:
        label: the skeleton or shape to read; needed only where several labels have points.
        root, **shared: see `ImportedFaces`.
    """

    files: ClassVar[tuple[FilePattern, ...]] = (
        ContentPattern(("*.xml",), texts=(b"<annotations", b"points=")),
    )

    def __init__(self, root: str, *, label: str | None = None, **shared: Any) -> None:
        super().__init__(root, **shared)
        self.label = label

    def _parse(self, path: Path) -> Annotations:
        root = read_xml(path)
        if root.tag != "annotations":
            raise UserError(f"no <annotations> at the top, {path}:1; export CVAT 1.1")
        pictures = list(_pictures(root, self.resolve(self.root)))
        skeletons = [(p, s) for p in pictures for s in p.shapes if s.tag == "skeleton"]
        clouds = [(p, s) for p in pictures for s in p.shapes if _count(s) > 1]
        if skeletons or clouds:
            return self._whole_faces(root, skeletons or clouds, path)
        return _single_points(pictures, path)

    def _whole_faces(
        self, root: Element, shapes: list[tuple[_Picture, Element]], path: Path
    ) -> Annotations:
        """One face to each skeleton or shape of several points."""
        labels = list(dict.fromkeys(_label(p, s) for p, s in shapes))
        label = self.label or labels[0]
        if label not in labels or (self.label is None and len(labels) > 1):
            raise UserError(
                f"points of labels {', '.join(map(repr, labels))}, {path}; say which: label"
            )
        chosen = [(p, s) for p, s in shapes if _label(p, s) == label]
        if chosen[0][1].tag == "skeleton":
            names, edges = _skeleton(root, label)
            points = [point for _, shape in chosen for point in shape.iterfind("points")]
            labels = order_names([point.get("label", "") for point in points])
            if not set(labels) <= set(names):  # old drawings name no points
                names, edges = labels, []
        else:
            n = common_count([_count(shape) for _, shape in chosen])
            names, edges = [str(k) for k in range(n)], []
        annotations = Annotations(label, names, edges)
        for picture, shape in chosen:
            where = f"{path}:{shape.get(LINE)}"
            if shape.get("outside") == "1":
                continue
            try:
                face = _face(picture, shape, names, where)
            except UserError as error:
                annotations.problems.append(error)
                continue
            if face.points:
                annotations.faces.append(face)
        return annotations


class _Picture:
    """The shapes of a picture, or of one track in one frame."""

    def __init__(self, image: str, line: str, size: tuple[int, int] | None) -> None:
        self.image, self.line, self.size = image, line, size
        self.shapes: list[Element] = []
        self.label: str | None = None
        self.track: int | None = None
        self.time: int | None = None


def _pictures(root: Element, folder: Path) -> Iterator[_Picture]:
    """Pictures of the file, then frames of its tracks."""
    for image in root.iterfind("image"):
        size = stated_size(image.get("width"), image.get("height"))
        picture = _Picture(image.get("name", ""), image.get(LINE, "1"), size)
        picture.shapes = list(image)
        yield picture
    tracks = root.findall("track")
    frames = {f.stem: f for f in files_below(folder, IMAGE_SUFFIXES)} if tracks else {}
    for number, track in enumerate(tracks):
        for shape in track:
            if not shape.get("frame", "").isdecimal():
                continue
            stem = f"frame_{int(shape.get('frame', '')):06d}"
            name = frames[stem].relative_to(folder).as_posix() if stem in frames else f"{stem}.png"
            picture = _Picture(name, shape.get(LINE, "1"), None)
            picture.shapes, picture.label = [shape], track.get("label")
            picture.track, picture.time = number, int(shape.get("frame", ""))
            yield picture


def _label(picture: _Picture, shape: Element) -> str:
    return shape.get("label") or picture.label or ""


def _count(shape: Element) -> int:
    return len(_texts(shape)) if shape.tag == "points" else 0


def _texts(shape: Element) -> list[str]:
    return [pair for pair in shape.get("points", "").split(";") if pair.strip()]


def _places(shape: Element, where: str) -> list[Place]:
    places: list[Place] = []
    if not _texts(shape):
        raise UserError(f"no point in <points>, {where}; set one, or remove the shape")
    for pair in _texts(shape):
        x, _, y = pair.partition(",")
        places.append((parse_place(x, "x", where), parse_place(y, "y", where)))
    return places


def _box(shape: Element, where: str) -> Box:
    x0, y0, x1, y1 = (parse_place(shape.get(k), k, where) for k in ("xtl", "ytl", "xbr", "ybr"))
    return x0, y0, x1, y1


def _face(picture: _Picture, shape: Element, names: list[str], where: str) -> AnnotatedFace:
    face = AnnotatedFace(picture.image, where, {}, size=picture.size)
    face.track, face.time = picture.track, picture.time
    group = shape.get("group_id")
    boxes = [s for s in picture.shapes if s.tag == "box" and s.get("group_id") == group]
    if group is not None and len(boxes) == 1:
        face.box = _box(boxes[0], where)
    if shape.tag == "points":
        places = _places(shape, where)
        if len(places) != len(names):
            raise UserError(f"{len(places)} points, not {len(names)}, {where}; annotate all")
        face.points = dict(zip(names, places, strict=True))
        face.states = False
        return face
    for point in shape.iterfind("points"):
        row, label = f"{where.rpartition(':')[0]}:{point.get(LINE)}", point.get("label", "")
        if point.get("outside") == "1":
            continue
        places = _places(point, row)
        if len(places) != 1 or label not in names or label in face.points:
            raise UserError(f"{label[:40]!r} is not one point of the skeleton, {row}; correct it")
        face.points[label] = places[0]
        if point.get("occluded") == "1":
            face.hidden.add(label)
    return face


def _skeleton(root: Element, label: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Names of a skeleton's points and the lines between them, from its drawing."""
    for entry in root.iterfind("meta//label"):
        if entry.findtext("name") != label or entry.findtext("svg") is None:
            continue
        nodes: dict[str, str] = {}
        lines: list[tuple[str, str]] = []
        for kind, rest in _TAG.findall(entry.findtext("svg") or ""):
            values = dict(_ATTRIBUTE.findall(rest))
            if kind == "circle" and "data-label-name" in values:
                nodes[values.get("data-node-id", "")] = values["data-label-name"]
            elif kind == "line":
                lines.append((values.get("data-node-from", ""), values.get("data-node-to", "")))
        ordered = list(dict.fromkeys(nodes.values()))
        if all(name.isdecimal() for name in ordered):
            ordered = order_names(ordered)
        numbers = {node: ordered.index(name) for node, name in nodes.items()}
        return ordered, [(numbers[a], numbers[b]) for a, b in lines if {a, b} <= set(numbers)]
    return [], []


def _single_points(pictures: list[_Picture], path: Path) -> Annotations:
    """Faces of single points, named by their labels; a track of points has one label."""
    merged: dict[str, tuple[_Picture, Marks]] = {}
    annotations = Annotations("face", [])
    for picture in pictures:
        _, marks = merged.setdefault(picture.image, (picture, Marks()))
        for shape in picture.shapes:
            where, group = f"{path}:{shape.get(LINE)}", shape.get("group_id")
            if shape.get("outside") == "1":
                continue
            try:
                if shape.tag == "points":
                    hidden = shape.get("occluded") == "1"
                    for place in _places(shape, where):
                        marks.points.append((_label(picture, shape), place, group, hidden))
                elif shape.tag == "box":
                    marks.boxes.append((group, _box(shape, where)))
            except UserError as error:
                annotations.problems.append(error)
    for image, (picture, marks) in merged.items():
        try:
            where = f"{path}:{picture.line}"
            faces = group_marks(marks, image, where, picture.size, states=True)
        except UserError as error:
            annotations.problems.append(error)
            continue
        for face in faces:
            face.time = picture.time
        annotations.faces += faces
    annotations.names = order_names([name for face in annotations.faces for name in face.points])
    return annotations
