"""Reader for the XML of dlib's imglab."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar
from xml.etree.ElementTree import Element

from lit_landmarks.data.index import FilePattern
from lit_landmarks.data.readers.imported import (
    AnnotatedFace,
    Annotations,
    ContentPattern,
    ImportedFaces,
    order_names,
    parse_place,
    stated_size,
)
from lit_landmarks.data.readers.xml_file import LINE, read_xml
from lit_landmarks.errors import UserError


class DlibXml(ImportedFaces):
    """Faces of dlib's XML: `dataset/images/image[file]/box/part[name, x, y]`.

    Parts are sorted by number where all names are numbers ("2" before "10"); a part that a box
    lacks was not set. The box is `left`, `top`, `width`, `height`. Boxes with `ignore` and boxes
    without parts are passed over. Pixels count from 0 at the centre of the first, as in dlib.

    The 68 parts of the files that dlib is trained on are those of 300W: `scheme: ibug68`.
    """

    files: ClassVar[tuple[FilePattern, ...]] = (
        ContentPattern(("*.xml",), texts=(b"<dataset", b"<images", b"<part")),
    )

    box_numbers: ClassVar[str] = "left, top, width, height"

    def _parse(self, path: Path) -> Annotations:
        root = read_xml(path)
        if root.tag != "dataset":
            raise UserError(f"no <dataset> at the top, {path}:1; save it with imglab")
        annotations = Annotations("dlib", [])
        labels: list[str] = []
        for image in root.iterfind("images/image"):
            for box in image.iterfind("box"):
                try:
                    face = _face(image, box, path)
                except UserError as error:
                    annotations.problems.append(error)
                    continue
                if face.points and box.get("ignore", "0") in ("0", "false"):
                    annotations.faces.append(face)
                    labels += face.points
        annotations.names = order_names(labels)
        return annotations


def _face(image: Element, box: Element, path: Path) -> AnnotatedFace:
    where = f"{path}:{box.get(LINE)}"
    name = image.get("file")
    if not name:
        raise UserError(f"<image> without file, {path}:{image.get(LINE)}; add it")
    left, top, width, height = (
        parse_place(box.get(key), key, where) for key in ("left", "top", "width", "height")
    )
    # dlib's rectangles hold their last pixel.
    corners = (left, top, left + width - 1, top + height - 1)
    face = AnnotatedFace(name, where, {}, box=corners, states=False)
    for part in box.iterfind("part"):
        row = f"{path}:{part.get(LINE)}"
        label = part.get("name", "")
        if label in face.points:
            raise UserError(f"part {label[:40]!r} stands twice in one box, {row}; remove one")
        x, y = (parse_place(part.get(axis), axis, row) for axis in "xy")
        face.points[label] = x, y
    face.size = stated_size(image.get("width"), image.get("height"))
    return face
