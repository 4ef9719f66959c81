"""Reader for COCO keypoints, as CVAT, Roboflow, Label Studio and COCO itself write them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, ClassVar

from lit_landmarks.data.index import FilePattern
from lit_landmarks.data.readers.imported import (
    AnnotatedFace,
    Annotations,
    ContentPattern,
    ImportedFaces,
    parse_place,
    stated_size,
)
from lit_landmarks.errors import UserError

#: Visibility of a keypoint: not set, set but occluded, visible.
_UNSET, _OCCLUDED, _VISIBLE = 0, 1, 2


class CocoKeypoints(ImportedFaces):
    """Faces of a COCO file: `images`, `annotations` with `keypoints`, and `categories`.

    Read are `file_name`, `keypoints` (x, y, v for each point: v = 0 is a point that was not set,
    1 occluded, 2 visible) and `bbox` (x, y, width, height). Names of points and the lines of the
    skeleton are the category's `keypoints` and `skeleton`; without names the points are numbered.
    Annotations without keypoints, crowds and segmentations are passed over. Pictures may lie
    anywhere below the root (`train/` of Roboflow, `images/default/` of CVAT).

    Coordinates are taken as they stand. By the format, pixels count from 0 at the centre of the
    first; tools that draw on a canvas count from its corner, see `first_pixel`.

    Args:
        category: name of the category to read; needed only where several have keypoints.
        root, **shared: see `ImportedFaces`.
    """

    files: ClassVar[tuple[FilePattern, ...]] = (
        ContentPattern(
            ("*.json", "annotations/*.json"),
            texts=(b'"keypoints"', b'"annotations"', b'"images"'),
        ),
    )

    box_numbers: ClassVar[str] = "x, y, width, height"

    def __init__(self, root: str, *, category: str | None = None, **shared: Any) -> None:
        super().__init__(root, **shared)
        self.category = category

    def _parse(self, path: Path) -> Annotations:
        document = read_document(path)
        images, rows, categories = (
            _table(document, key, path) for key in ("images", "annotations", "categories")
        )
        pictures = _pictures(images, path)
        annotated = {
            k: row
            for k, row in enumerate(rows)
            if isinstance(row.get("keypoints"), list)
            and any(row["keypoints"])
            and row.get("num_keypoints") != 0
            and not row.get("iscrowd")
        }
        category = self._category(categories, list(annotated.values()), path)
        annotations = Annotations(str(category.get("name", "face")), [])
        names = category.get("keypoints")
        for k, row in annotated.items():
            if str(row.get("category_id")) != str(category.get("id")):
                continue
            where = f"{path}:annotations[{k}]"
            try:
                if not annotations.names:
                    annotations.names = _names(names, len(row["keypoints"]), where)
                face = _face(row, pictures, annotations.names, where)
            except UserError as error:
                annotations.problems.append(error)
                continue
            if face.points:
                annotations.faces.append(face)
        annotations.edges = _edges(category.get("skeleton"), len(annotations.names), path)
        return annotations

    def _category(
        self, categories: list[dict[str, Any]], rows: list[dict[str, Any]], path: Path
    ) -> dict[str, Any]:
        """The one category whose annotations are read."""
        used = {str(row.get("category_id")) for row in rows}
        chosen = [c for c in categories if str(c.get("id")) in used]
        if self.category is not None:
            chosen = [c for c in categories if c.get("name") == self.category]
        if len(chosen) == 1:
            return chosen[0]
        if not used:
            raise UserError(f"no annotation has keypoints, {path}; export them as COCO keypoints")
        there = ", ".join(repr(str(c.get("name"))[:40]) for c in chosen or categories)
        raise UserError(f"keypoints of categories {there or 'none'}, {path}; say which: category")


def read_document(path: Path) -> dict[str, Any]:
    """A JSON file that another program wrote.

    Raises:
        UserError: it is missing, or no JSON object.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise UserError(f"no JSON: {error.msg}, {path}:{error.lineno}; export it again") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"no readable JSON, {path}; export it again") from error
    if not isinstance(document, dict):
        raise UserError(f"no JSON object, {path}; export it again")
    return document


def _table(document: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    rows = document.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"no list {key!r} of objects, {path}; export it as COCO keypoints")
    return rows


def _pictures(images: list[dict[str, Any]], path: Path) -> dict[str, dict[str, Any]]:
    """Pictures by number; some tools write numbers as text.

    Raises:
        UserError: two pictures have one number, as in files that were put together.
    """
    pictures: dict[str, dict[str, Any]] = {}
    for k, image in enumerate(images):
        other = pictures.setdefault(str(image.get("id")), image)
        if other.get("file_name") != image.get("file_name"):
            raise UserError(
                f"pictures {str(other.get('file_name'))[:60]!r} and"
                f" {str(image.get('file_name'))[:60]!r} have one id, {path}:images[{k}]; give each"
                " picture its own, and its annotations with it"
            )
    return pictures


def _names(value: Any, count: int, where: str) -> list[str]:
    """Names of the points: the category's, or numbers."""
    if isinstance(value, list) and value:
        names = [str(name) for name in value]
        if len(set(names)) == len(names):
            return names
        raise UserError(f"the category names a keypoint twice, {where}; give each its own name")
    if count % 3:
        raise UserError(f"{count} numbers are no x, y, v for each point, {where}; export it again")
    return [str(k) for k in range(count // 3)]


def _edges(value: Any, n_points: int, path: Path) -> list[tuple[int, int]]:
    """Lines of the skeleton; numbers of points count from 1, or from 0 where one is 0."""
    if not isinstance(value, list):
        return []
    pairs = [tuple(pair) for pair in value if isinstance(pair, list) and len(pair) == 2]
    if any(type(v) is not int for pair in pairs for v in pair):
        raise UserError(f"the skeleton is no list of pairs of numbers, {path}; export it again")
    first = 0 if any(0 in pair for pair in pairs) else 1
    edges = [(a - first, b - first) for a, b in pairs]
    if any(not 0 <= v < n_points for edge in edges for v in edge):
        raise UserError(f"the skeleton joins a point that is not there, {path}; export it again")
    return edges


def _face(
    row: dict[str, Any], pictures: dict[str, dict[str, Any]], names: list[str], where: str
) -> AnnotatedFace:
    values = row["keypoints"]
    if len(values) != 3 * len(names):
        raise UserError(
            f"{len(values)} numbers in keypoints, not x, y, v of {len(names)} points, {where};"
            " export it again"
        )
    picture = pictures.get(str(row.get("image_id")))
    if picture is None or not isinstance(picture.get("file_name"), str):
        raise UserError(f"no image of id {row.get('image_id')!r}, {where}; export it again")
    face = AnnotatedFace(picture["file_name"], where, {})
    for name, x, y, v in zip(names, values[::3], values[1::3], values[2::3], strict=True):
        if v not in (_UNSET, _OCCLUDED, _VISIBLE):
            raise UserError(f"visibility of {name!r} is {v!r}, {where}; give 0, 1 or 2")
        if v == _UNSET:
            continue
        face.points[name] = parse_place(x, "x", where), parse_place(y, "y", where)
        if not all(math.isfinite(c) for c in face.points[name]):
            raise UserError(f"{name!r} is no place, {where}; give visibility 0 if it was not set")
        if v == _OCCLUDED:
            face.hidden.add(name)
    box = row.get("bbox")
    if isinstance(box, list) and len(box) == 4:
        x, y, width, height = (parse_place(v, "bbox", where) for v in box)
        if width > 0 and height > 0:  # some tools write 0 where there is no box
            face.box = (x, y, x + width, y + height)
    face.size = stated_size(picture.get("width"), picture.get("height"))
    return face
