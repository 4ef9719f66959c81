"""Reader for faces of one's own: pictures, and one JSON file that also declares their points."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal

from lit_landmarks.data.index import (
    FaceDataset,
    FaceIndex,
    FilePattern,
    Report,
    missing_image,
    read_image,
)
from lit_landmarks.data.plausibility import drop_implausible
from lit_landmarks.data.readers.common import BOXES, choice, inside, select_faces
from lit_landmarks.data.readers.declared import DeclaredFaces
from lit_landmarks.data.readers.json_file import (
    OtherFormError,
    faces_at_once,
    faces_by_line,
    read_header,
)
from lit_landmarks.data.readers.json_rows import (
    ASK_UNITS,
    UNITS,
    Row,
    Units,
    columns,
    read_row,
    to_pixels,
)
from lit_landmarks.errors import UserError
from lit_landmarks.pictures import GRIDS, Grid
from lit_landmarks.schemes import get_scheme


class JsonFaces(DeclaredFaces):
    r"""Faces of one's own in any scheme, declared in the same file; `FACES_JSON.md` has every key.

    Layout: `root/faces.json`, and pictures anywhere below `root` (or below `images`). The file::

        {"format": "lit_landmarks faces", "version": 1,
         "scheme": "ibug68",
         "convention": "custom", "primary_normaliser": "box",
         "faces": [
          {"image": "images/anna.jpg", "points": [[30.5, 41.0], null, ...]},
          {"image": "images/ben.png", "points": [...], "box": [10, 12, 90, 101],
           "visible": [1, 0, 2, -1, ...], "subsets": ["blur"], "split": "test"}]}

    One face to a line, as here, keeps the memory small; any other JSON form is read too.
    Pixels count from 0 at the centre of the first, in the picture as viewers show it: turned by its
    orientation tag, as annotation tools do. A file whose points lie on the pixels as they are
    stored says so beside `scheme`: `"pixel_grid": "stored"`. There too, `"units": "relative"` (0 to
    1) or `"percent"` says that points and boxes are shares of the picture's width and height.

    `null` is a point that was not annotated. A face may have `box` (x0, y0, x1, y1), `visible`
    (1 visible, 0 occluded, 2 self-occluded, -1 unknown), `points3d` (x, y as in `points` and z,
    pixels, z away from the camera), `head3d`, `pose` (yaw, pitch, roll in degrees against the line
    of sight, see `FaceIndex`; POSIT makes it where it is left out), `focal` (pixels), `subsets`,
    `split`, and `track`, `time` of a video; `prediction` stands in files that `annotate` writes.

    `scheme` is a known name, or declares points of one's own, by name or by number from 0::

        "scheme": {"name": "mouth4",
                   "points": ["right_mouth_corner", "lip_top", "left_mouth_corner", "lip_bottom"],
                   "flip": "names",
                   "polylines": {"mouth": {"points": [0, 1, 2, 3], "closed": true}}}

    `flip` is "names" if left and right points differ in that word only, or the list of each point's
    mirror point; without it faces are not mirrored. `eye_corners` (right and left outer corner)
    and `pupils` (a list of points for each) are needed for the norms interocular and
    interpupil alone; `contour` and `pose_points` as in `LandmarkScheme`.

    Labels that cannot be meant are refused (`plausibility`): points that were not set but have a
    place, such as 0 0 or -1 -1, boxes of another form, coordinates that look relative, in percent
    or of a smaller copy of the picture. If those are right, `"units": "pixels"` says so.

    Such a scheme is trained as any other, once the data is asked for it by name::

        data: {init_args: {scheme: mouth4,
                           train: {mine: {class_path: JsonFaces, init_args: {root: ...}}}, ...}}

    The run keeps the declaration (`schemes.json`). Unless each of its points has a name that the
    template head knows (those of `ibug68`), it has no 3D mean face: heads that learn pose then need
    `pose` of the faces, and MuSiCa a list in `patches`, or null. Without `eye_corners` losses and
    error estimates that are relative to the eyes take half the box in their place.

    Args:
        root: folder of the file.
        file: its name below `root`.
        split: keep only faces of this split.
        pixel_grid: pixels on which the points lie: "shown" as viewers and annotation tools turn
            pictures by their orientation tag, or "stored" without it. If null, what the file says
            under that name, else "shown".
        boxes: "annotated" takes `box` where a face has one, "ground_truth" the tight box always.
        subset: keep only this subset.
        first, last: keep only so many faces from the start or the end of the list.
        units: "pixels", "relative" or "percent"; if null, what the file says.
        images: folder below which the pictures lie; if null, that of the file.
    """

    source: ClassVar[str] = "your own; `data convert` writes any data set in this form"
    licence: ClassVar[str] = "that of the pictures"
    files: ClassVar[tuple[FilePattern, ...]] = (FilePattern(("faces.json",)),)

    def __init__(
        self,
        root: str,
        file: str = "faces.json",
        split: str | None = None,
        boxes: Literal["annotated", "ground_truth"] = "annotated",
        subset: str | None = None,
        first: int | None = None,
        last: int | None = None,
        pixel_grid: Grid | None = None,
        units: Units | None = None,
        images: str | None = None,
    ) -> None:
        choice("boxes", boxes, BOXES)
        self.units = None if units is None else choice("units", units, UNITS)
        self.root, self.file, self.split, self.boxes = root, file, split, boxes
        self.subset, self.first, self.last, self.images = subset, first, last, images
        self.pixel_grid = None if pixel_grid is None else choice("pixel_grid", pixel_grid, GRIDS)
        self._head: tuple[Path, dict[str, Any]] | None = None
        self._splits: list[str] = []

    @property
    def grid(self) -> Grid:
        """The argument `pixel_grid`, else what the file says."""
        grid: Grid = self.pixel_grid or self._header()["pixel_grid"]
        return grid

    def parts(self) -> dict[str, FaceDataset]:
        """A set for each `split` of the faces, read as these, unless the argument chooses one.

        `first` and `last` count in the list of all splits; a part holds the whole split.
        """
        parts: dict[str, FaceDataset] = {}
        for name in self._splits:
            parts[name] = JsonFaces(
                self.root,
                self.file,
                name,
                self.boxes,
                self.subset,
                pixel_grid=self.pixel_grid,
                units=self.units,
                images=self.images,
            )
            parts[name].start_from(self.base)
        return parts

    def _header(self) -> dict[str, Any]:
        """All but the faces, read at most once."""
        path = self._path()
        if self._head is None or self._head[0] != path:
            self._head = path, read_header(path)
        return self._head[1]

    def _path(self) -> Path:
        return self.resolve(self.root) / self.file

    def _read(self, report: Report) -> FaceIndex:
        path = self._path()
        self._head = path, read_header(path)
        problems: list[UserError] = []
        try:
            rows = self._rows(faces_by_line(path), problems)
        except OtherFormError:
            problems.clear()
            rows = self._rows(faces_at_once(path), problems)
        for problem in problems:
            report(problem)
        if self.split is not None and not rows:
            raise UserError(f"no face of split {self.split!r} in {path}; correct split")
        scheme = get_scheme(self.scheme)
        index = drop_implausible(
            columns(rows, scheme.n_points),
            [row.where for row in rows],
            report,
            scheme.point_names,
            None if self._units() else ASK_UNITS,
            self.boxes == "annotated",
            self.grid,
        )
        chosen = select_faces(index, self.subset, self.first, self.last, str(path))[0]
        images = set(chosen.paths)
        splits = [
            row.split
            for row in rows
            if row.split is not None
            and row.image in images
            and (self.subset is None or self.subset in row.subsets)
        ]
        self._splits = [] if self.split is not None else list(dict.fromkeys(splits))
        return chosen

    def _units(self) -> str | None:
        """Unit of the coordinates by the argument or the file; None if neither states it."""
        stated = self.units or self._header()["units"]
        return None if stated is None else str(stated)

    def _rows(self, faces: Iterable[Any], problems: list[UserError]) -> list[Row]:
        """The good faces of the split; what is wrong with others is added to `problems`."""
        path, n_points = self._path(), get_scheme(self.scheme).n_points
        folder = (path.parent if self.images is None else self.resolve(self.images)).resolve()
        rows: list[Row] = []
        units = self._units()
        for number, value in enumerate(faces):
            where = f"{path}:faces[{number}]"
            try:
                if units in ("relative", "percent") and isinstance(value, dict):
                    picture = inside(folder, str(value.get("image")), where)
                    height, width = read_image(picture, self.grid).shape[:2]
                    value = to_pixels(value, (width, height), units)
                row = read_row(value, n_points, self.boxes == "annotated", where)
                if self.split is not None and row.split != self.split:
                    continue
                image = inside(folder, row.image, where)
                if not image.is_file():
                    raise missing_image(image)
            except UserError as error:
                problems.append(error)
                continue
            row.image = str(image)
            rows.append(row)
        return rows
