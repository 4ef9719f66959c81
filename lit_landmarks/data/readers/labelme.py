"""Reader for LabelMe: a JSON file beside each picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from lit_landmarks.data.finding import files_below
from lit_landmarks.data.index import FilePattern
from lit_landmarks.data.readers.coco import read_document
from lit_landmarks.data.readers.grouped import Marks, group_marks
from lit_landmarks.data.readers.imported import (
    Annotations,
    ContentPattern,
    ImportedFaces,
    Place,
    order_names,
    parse_place,
    stated_size,
)
from lit_landmarks.errors import UserError


class LabelMe(ImportedFaces):
    """Faces marked with single points in LabelMe (https://github.com/wkentaro/labelme).

    Layout: `<name>.json` at any depth below the root, each with `imagePath` (from its own folder)
    and `shapes`. Read are shapes of type `point`, whose `label` names the point, and `rectangle`,
    the face box; other shapes are passed over. `group_id` tells the faces of a picture apart; where
    no point has one, all points of the picture are one face. Points that share one label are
    numbered in the order of the file. A picture inside the file (`imageData`) is not read.

    LabelMe counts from the corner of the picture (the centre of the first pixel is 0.5, see
    `first_pixel`); coordinates are taken as they stand.
    """

    files: ClassVar[tuple[FilePattern, ...]] = (
        ContentPattern(("*.json",), texts=(b'"shapes"', b'"flags"'), folders=True),
    )

    def _parse(self, path: Path) -> Annotations:
        files = files_below(path, (".json",)) if path.is_dir() else [path]
        annotations = Annotations("face", [])
        labels: list[str] = []
        for file in files:
            try:
                document = read_document(file)
                if not {"shapes", "imagePath"} <= set(document):
                    continue  # of another program
                marks = _marks(document["shapes"], file)
                size = stated_size(document.get("imageWidth"), document.get("imageHeight"))
                image = str(document["imagePath"])
                faces = group_marks(marks, image, str(file), size, states=False)
            except UserError as error:
                annotations.problems.append(error)
                continue
            annotations.faces += faces
            labels += [name for face in faces for name in face.points]
        annotations.names = order_names(labels)
        return annotations


def _marks(shapes: Any, file: Path) -> Marks:
    """Points and rectangles of a picture."""
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise UserError(f"shapes is no list of objects, {file}; save it again")
    marks = Marks()
    for k, shape in enumerate(shapes):
        where = f"{file}:shapes[{k}]"
        kind = shape.get("shape_type")
        if kind not in ("point", "rectangle"):
            continue
        corners = _places(shape.get("points"), where)
        group = None if shape.get("group_id") is None else str(shape["group_id"])
        if kind == "point" and len(corners) == 1:
            marks.points.append((str(shape.get("label", "")), corners[0], group, False))
        elif kind == "rectangle" and len(corners) >= 2:
            xs, ys = zip(*corners, strict=True)
            marks.boxes.append((group, (min(xs), min(ys), max(xs), max(ys))))
        else:
            raise UserError(f"{len(corners)} places make no {kind}, {where}; draw it again")
    return marks


def _places(value: Any, where: str) -> list[Place]:
    if not isinstance(value, list) or not all(isinstance(p, list) and len(p) == 2 for p in value):
        raise UserError(f"points is no list of x, y, {where}; draw it again")
    return [(parse_place(x, "x", where), parse_place(y, "y", where)) for x, y in value]
