"""Reader for faces of one's own: pictures, and one JSON file that also declares their points."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Literal

from lit_landmarks.data.index import FaceDataset, FaceIndex, Report, missing_image
from lit_landmarks.data.readers.common import BOXES, choice, inside, narrowed
from lit_landmarks.data.readers.json_rows import Row, columns, read_row
from lit_landmarks.data.readers.json_scheme import declared_scheme
from lit_landmarks.errors import UserError
from lit_landmarks.metrics import NORMALISERS
from lit_landmarks.schemes import convention_index, get_scheme

#: What stands in the file's `format` and `version`.
FORMAT, VERSION = "lit_landmarks faces", 1
_KEYS = ("format", "version", "scheme", "convention", "primary_normaliser", "source", "licence",
         "faces")  # fmt: skip


class JsonFaces(FaceDataset):
    r"""Faces of one's own in any scheme, declared in the same file.

    Layout: `root/faces.json`, and pictures anywhere below `root`. The file::

        {"format": "lit_landmarks faces", "version": 1,
         "scheme": "ibug68",
         "convention": "custom", "primary_normaliser": "box",
         "faces": [
          {"image": "images/anna.jpg", "points": [[30.5, 41.0], null, ...]},
          {"image": "images/ben.png", "points": [...], "box": [10, 12, 90, 101],
           "visible": [1, 0, 2, -1, ...], "subsets": ["blur"], "split": "test"}]}

    Pixels count from 0 at the centre of the first. `null` is a point that was not annotated. A face
    may have `box` (x0, y0, x1, y1), `visible` (1 visible, 0 occluded, 2 self-occluded, -1 unknown),
    `points3d` (x, y, z per point, pixels, z away from the camera), `head3d`, `pose` (yaw, pitch,
    roll in degrees), `focal` (pixels), `subsets`, `split`, and `track` and `time` of a video.

    `scheme` is a known name, or declares points of one's own, by name or by number from 0::

        "scheme": {"name": "mouth4",
                   "points": ["right_mouth_corner", "lip_top", "left_mouth_corner", "lip_bottom"],
                   "flip": "names",
                   "polylines": {"mouth": {"points": [0, 1, 2, 3], "closed": true}}}

    `flip` is "names" if left and right points differ in that word only, or the list of each point's
    mirror point; without it faces are not mirrored. `eye_corners` (right and left outer corner)
    and `pupils` (a list of points for each) are needed for the normalisers interocular and
    interpupil alone; `contour` and `pose_points` as in `LandmarkScheme`.

    Args:
        root: folder of the file.
        file: its name below `root`.
        split: keep only faces of this split.
        boxes: "annotated" takes `box` where a face has one, "ground_truth" the tight box always.
        subset: keep only this subset.
        first, last: keep only so many faces from the start or the end of the list.
    """

    source: ClassVar[str] = "your own; `data convert` writes any data set in this form"
    licence: ClassVar[str] = "that of the pictures"

    def __init__(
        self,
        root: str,
        file: str = "faces.json",
        split: str | None = None,
        boxes: Literal["annotated", "ground_truth"] = "annotated",
        subset: str | None = None,
        first: int | None = None,
        last: int | None = None,
    ) -> None:
        choice("boxes", boxes, BOXES)
        self.root, self.file, self.split, self.boxes = root, file, split, boxes
        self.subset, self.first, self.last = subset, first, last
        self._head: tuple[Path, dict[str, Any]] | None = None

    @property
    def scheme(self) -> str:  # type: ignore[override]
        """Name of the scheme that the file names or declares."""
        return str(self._header()["scheme"])

    @property
    def convention(self) -> str:  # type: ignore[override]
        """Who placed the points, as the file says."""
        return str(self._header()["convention"])

    @property
    def primary_normaliser(self) -> str:  # type: ignore[override]
        """The normaliser of NME that the file asks for."""
        return str(self._header()["primary_normaliser"])

    def _header(self) -> dict[str, Any]:
        """All but the faces, read at most once."""
        path = self._path()
        if self._head is None or self._head[0] != path:
            self._head = path, read_document(path)[0]
        return self._head[1]

    def _path(self) -> Path:
        return self.resolve(self.root) / self.file

    def _read(self, report: Report) -> FaceIndex:
        path = self._path()
        header, faces = read_document(path)
        self._head = path, header
        n_points = get_scheme(header["scheme"]).n_points
        folder = path.parent.resolve()
        rows: list[Row] = []
        for number, value in enumerate(faces):
            where = f"{path}:faces[{number}]"
            try:
                row = read_row(value, n_points, self.boxes == "annotated", where)
                if self.split is not None and row.split != self.split:
                    continue
                image = inside(folder, row.image, where)
                if not image.is_file():
                    raise missing_image(image)
            except UserError as error:
                report(error)
                continue
            row.image = str(image)
            rows.append(row)
        if self.split is not None and not rows:
            raise UserError(f"no face of split {self.split!r} in {path}; correct split")
        index = columns(rows, n_points)
        return narrowed(index, self.subset, self.first, self.last, str(path))[0]


def read_document(path: Path) -> tuple[dict[str, Any], list[Any]]:
    """Header and faces of a file; a scheme that it declares is known from then on.

    Returns:
        `scheme` (its name), `convention` and `primary_normaliser`; and the faces, unchecked.

    Raises:
        UserError: the file is missing, is no JSON, or its header is wrong.
    """
    try:
        document = json.loads(
            path.read_text(encoding="utf-8"), object_pairs_hook=_once, parse_constant=_no_number
        )
    except OSError as error:
        raise UserError(f"no file {path}; write it as the docstring of JsonFaces says") from error
    except json.JSONDecodeError as error:
        raise UserError(f"no JSON: {error.msg}, {path}:{error.lineno}; correct the file") from error
    except (ValueError, RecursionError) as error:
        told = str(error) if isinstance(error, UserError) else "no readable JSON"
        raise UserError(f"{told}, {path}; correct the file") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UserError(f'no "format": "{FORMAT}", {path}; write it as JsonFaces documents')
    odd = [key for key in document if key not in _KEYS]
    if odd:
        raise UserError(f"unknown key {odd[0][:40]!r}, {path}; known: {', '.join(_KEYS)}")
    if document.get("version") != VERSION:
        raise UserError(f"version {document.get('version')!r} of the format, {path}; {VERSION}"
                        " is read")  # fmt: skip
    faces = document.get("faces")
    if not isinstance(faces, list):
        raise UserError(f'"faces" is no list, {path}; write one')
    return _checked(document, str(path)), faces


def _checked(document: dict[str, Any], where: str) -> dict[str, Any]:
    scheme = declared_scheme(document.get("scheme"), where)
    convention = document.get("convention", "custom")
    has_eyes = scheme.eye_corners[0] != scheme.eye_corners[1]
    normaliser = document.get("primary_normaliser", "interocular" if has_eyes else "box")
    if not isinstance(convention, str) or normaliser not in NORMALISERS:
        known = ", ".join(NORMALISERS)
        raise UserError(f"convention is text, primary_normaliser one of {known}, {where}; mend it")
    convention_index(convention)
    if normaliser in ("interocular", "interpupil") and not has_eyes:
        raise UserError(
            f"{normaliser} needs eye_corners in the scheme, {where}; add them or take box"
        )
    return {"scheme": scheme.name, "convention": convention, "primary_normaliser": normaliser}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a key that stands twice would silently hide the first."""
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UserError(f"key {twice[:40]!r} stands twice in one object")
    return made


def _no_number(text: str) -> float:
    raise UserError(f"{text} is no number in JSON")
