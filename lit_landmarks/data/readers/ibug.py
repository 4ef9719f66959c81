"""Reader for iBUG `.pts` annotations beside their images: 300W, or any folder of such pairs.

Layout of 300W as its owners ship it (any part may be absent):

    root/helen/{trainset,testset}  root/lfpw/{trainset,testset}  root/afw  root/ibug

Subsets: the folder names; `challenging` (ibug), `common` (the test sets of helen and lfpw) and
`full` (both). The private test set of 300W is another root:

    root/01_Indoor/indoor_001.{png,pts}  root/02_Outdoor/outdoor_001.{png,pts}

(folders `indoor` and `outdoor` will do) with the subsets `indoor`, `outdoor` and `private` (both).
Where one root has folders of both, the private ones are read only when a subset asks for them. A
root without these folders is searched for `.pts` files at any depth.

The files count pixels from 1, as MATLAB does, with which they were made; 1 is subtracted.
"""

from __future__ import annotations

import math
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lit_landmarks.data.counter_rng import uniform
from lit_landmarks.data.finding import (
    IMAGE_SUFFIXES,
    composed,
    files_below,
    image_files,
    image_of,
)
from lit_landmarks.data.index import FaceIndex, FilePattern, Report, missing_image, read_image
from lit_landmarks.data.plausibility import drop_implausible
from lit_landmarks.data.readers.common import LARGEST, Numbers, choice, tight_box
from lit_landmarks.data.readers.detector_boxes import DetectedBoxes, best_box, read_detector_boxes
from lit_landmarks.data.readers.json_rows import ASK_UNITS, UNITS, Units
from lit_landmarks.data.readers.listed import FaceRow, ListedFaces
from lit_landmarks.data.readers.text import number, read_ascii
from lit_landmarks.errors import UserError
from lit_landmarks.pictures import GRIDS, Grid
from lit_landmarks.schemes import get_scheme

BoxSource = Literal["ground_truth", "detector", "jittered"]

_FOLDERS = ("helen", "lfpw", "afw", "ibug")
#: Folders of the private test set by subset.
_PRIVATE = {"indoor": ("01_Indoor", "indoor"), "outdoor": ("02_Outdoor", "outdoor")}
_PRIVATE_SUBSETS = (*_PRIVATE, "private")


class _Entry(NamedTuple):
    """A `.pts` file.

    Attributes:
        file: the file.
        name: its path below the root.
        images: pictures of its folder by stem.
        labels: label files of its folder with its stem.
        subsets: those to which it belongs.
        detected: all detector boxes by image.
    """

    file: Path
    name: str
    images: dict[str, list[Path]]
    labels: int
    subsets: list[str]
    detected: DetectedBoxes | None


class Ibug300W(ListedFaces[_Entry]):
    """Faces annotated in iBUG `.pts` files.

    Args:
        root: folder of the data set.
        boxes: "ground_truth" is the tight box of the points; "detector" reads `detector_csv`;
            "jittered" moves the tight box by up to `jitter_shift` of its side along each axis and
            scales it by a factor in [1 - jitter_scale, 1 + jitter_scale], uniformly, fixed by the
            file's name.
        detector_csv: CSV with the columns image,x0,y0,x1,y1, 0-based pixels; its image paths start
            at the folder in which the CSV lies.
        subset: keep only this subset (helen, lfpw, afw, ibug, common, challenging, full; indoor,
            outdoor, private).
        first, last: keep only so many faces from the start or the end of the list sorted by path.
        jitter_shift, jitter_scale: see `boxes`.
        convention: who placed the points, if it was not the owners of 300W.
        pixel_grid: pixels on which the points lie: "shown" as viewers turn pictures by their
            orientation tag, or "stored" without it. If null, "stored" for the parts of 300W, which
            are known by the names of their folders, and "shown" for other folders.
        units: of the coordinates: "pixels", or shares of the picture, "relative" (0 to 1) or
            "percent". If null, they are pixels, and points in folders other than those of 300W
            that look like another unit are refused.
    """

    scheme: str = "ibug68"
    primary_norm: str = "interocular"
    source: ClassVar[str] = "https://ibug.doc.ic.ac.uk/resources/300-W/"
    licence: ClassVar[str] = "research only; images stay with their owners"
    files: ClassVar[tuple[FilePattern, ...]] = (
        FilePattern(("01_Indoor/*.pts", "02_Outdoor/*.pts", "300W/01_Indoor/*.pts")),
        FilePattern(
            tuple(f"{folder}{deeper}/*.pts" for folder in _FOLDERS for deeper in ("", "/*")),
            covers=_FOLDERS,
        ),
        FilePattern(("*.pts",), general=True),
    )
    subset_names: ClassVar[tuple[str, ...]] = (
        *_FOLDERS,
        "common",
        "challenging",
        "full",
        *_PRIVATE_SUBSETS,
    )
    selects_entries: ClassVar[bool] = True
    #: True if the folder holds parts of 300W; set by `_entries`.
    _published: bool

    def __init__(
        self,
        root: str,
        boxes: BoxSource = "ground_truth",
        detector_csv: str | None = None,
        subset: str | None = None,
        first: int | None = None,
        last: int | None = None,
        jitter_shift: float = 0.08,
        jitter_scale: float = 0.1,
        convention: str = "300w",
        pixel_grid: Grid | None = None,
        units: Units | None = None,
    ) -> None:
        super().__init__(root, subset, first, last)
        self.units = None if units is None else choice("units", units, UNITS)
        self.boxes = boxes
        self.detector_csv = detector_csv
        self.jitter_shift = jitter_shift
        self.jitter_scale = jitter_scale
        self.convention = convention
        self.pixel_grid = None if pixel_grid is None else choice("pixel_grid", pixel_grid, GRIDS)
        if (boxes == "detector") != (detector_csv is not None):
            raise UserError("boxes: detector and detector_csv go together; give both or neither")

    @property
    def grid(self) -> Grid:
        """The argument `pixel_grid`, or what it is taken for."""
        if self.pixel_grid is None:
            self.index()
        return self._grid_as_read()

    def _grid_as_read(self) -> Grid:
        """The grid, once the entries were listed."""
        return self.pixel_grid or ("stored" if self._published else "shown")

    def _entries(self, root: Path) -> Iterator[_Entry]:
        private = self.subset in _PRIVATE_SUBSETS
        annotations = _annotations(root, self.source, private)
        self._published = bool(_subsets(root, annotations))
        files = self._select(root, annotations)
        detected = (
            read_detector_boxes(self.resolve(self.detector_csv)) if self.detector_csv else None
        )
        images = {folder: image_files(folder) for folder in {f.parent for f in files}}
        count = Counter(map(_stem, files))
        members = _subsets(root, files)
        for k, file in enumerate(files):
            subsets = [name for name, column in members.items() if column[k]]
            name = file.relative_to(root).as_posix()
            yield _Entry(file, name, images[file.parent], count[_stem(file)], subsets, detected)

    def _read(self, report: Report) -> FaceIndex:
        index = super()._read(report)
        wheres = [str(Path(path).with_suffix(".pts")) for path in index.paths]
        names = get_scheme(self.scheme).point_names
        grid = self._grid_as_read()
        ask_units = None if self.units or self._published else ASK_UNITS
        return drop_implausible(index, wheres, report, names, ask_units, False, grid)

    def photo_names(self) -> list[str]:
        """The photo of 300W by its part and name, as 300W-LP keeps them; "" in other folders."""
        names = []
        for path in map(Path, self.index().paths):
            above = [part.lower() for part in path.parts[-3:-1]]
            part = next((folder for folder in _FOLDERS if folder in above), "")
            split = next((s for s in ("train", "test") if f"{s}set" in above), "")
            stem = path.stem.replace("image_", f"image_{split}_") if part == "lfpw" else path.stem
            names.append(f"{part}/{stem}" if part else "")
        return names

    def _face(self, entry: _Entry) -> FaceRow:
        points = read_pts_rows(entry.file, 68)
        if entry.labels > 1:
            raise UserError(f"{entry.labels} label files of one name, {entry.file}; keep one")
        image = image_of(entry.file, entry.images)
        if image is None:
            raise missing_image(entry.file, IMAGE_SUFFIXES)
        if self.units in ("relative", "percent"):
            sides = read_image(image, self._grid_as_read()).shape[1::-1]
            points = points * sides / (1 if self.units == "relative" else 100)
        else:
            points = points - 1
        box = self._box(points, image, entry)
        return FaceRow(points=points, box=box, image=image, subsets=entry.subsets)

    def _select(self, root: Path, files: list[Path]) -> list[Path]:
        if self.subset is not None:
            members = _subsets(root, files)
            if self.subset not in members:
                there = ", ".join(members) or "none"
                raise UserError(f"no subset {self.subset!r} in {root}; the folders give: {there}")
            files = [f for f, keep in zip(files, members[self.subset], strict=True) if keep]
        for name, count in (("first", self.first), ("last", self.last)):
            if count is not None and not 0 < count <= len(files):
                raise UserError(
                    f"{name}: {count} faces of {root}, which has {len(files)}; choose fewer"
                )
        files = files[: self.first]
        return files[-self.last :] if self.last is not None else files

    def _box(self, points: Numbers, image: Path, entry: _Entry) -> Numbers:
        box = tight_box(points, str(entry.file))
        if entry.detected is not None:
            detected = best_box(entry.detected, image, box)
            if detected is None:
                raise UserError(
                    f"no detector box for {image} in {self.detector_csv};"
                    " add its row or choose boxes: ground_truth"
                )
            return detected
        if self.boxes == "jittered":
            key = torch.tensor([zlib.crc32(os.fsencode(entry.name))])
            u = uniform(0, 0, torch.zeros(1, dtype=torch.int64), key, 3)[0].double().numpy() * 2 - 1
            side = (box[2:] - box[:2]).max()
            center = (box[2:] + box[:2]) / 2 + u[:2] * self.jitter_shift * side
            half = (box[2:] - box[:2]) / 2 * (1 + u[2] * self.jitter_scale)
            return np.concatenate([center - half, center + half])
        return box


def read_pts(path: Path, n_points: int) -> Numbers:
    """Read one `.pts` file of iBUG.

    Args:
        path: file whose pixels count from 1.
        n_points: number of points it must hold.

    Returns:
        (n_points, 2) float64 pixels that count from 0.

    Raises:
        UserError: the file is no `.pts` file or holds another number of points, text or NaN.
    """
    return read_pts_rows(path, n_points) - 1


def read_pts_rows(path: Path, n_points: int) -> Numbers:
    """As `read_pts`, but the numbers as they stand in the file."""
    try:
        lines = read_ascii(path).splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"no readable text, {path}; fetch the file again") from error
    try:
        opening = next(i for i, line in enumerate(lines) if line.strip() == "{")
        closing = next(i for i, line in enumerate(lines) if line.strip() == "}")
    except StopIteration:
        raise UserError(f"no {{ }} around the points, {path}; fetch the file again") from None
    for row, line in enumerate(lines[:opening], start=1):
        key, _, value = line.partition(":")
        if key.strip() == "n_points" and value.strip() != str(n_points):
            raise UserError(
                f"n_points is {value.strip()}, not {n_points}, {path}:{row};"
                f" annotate all {n_points} points or remove the file"
            )
    body = [(i + 1, lines[i].split()) for i in range(opening + 1, closing) if lines[i].strip()]
    if len(body) != n_points:
        raise UserError(
            f"{len(body)} points, not {n_points}, {path}:{closing + 1};"
            f" annotate all {n_points} points or remove the file"
        )
    points = np.empty((n_points, 2))
    for k, (row, cells) in enumerate(body):
        try:
            x, y = map(number, cells)
        except ValueError:
            raise UserError(
                f"{' '.join(cells)!r} is no point x y, {path}:{row}; correct the row"
            ) from None
        if not (math.isfinite(x) and math.isfinite(y) and max(abs(x), abs(y)) < LARGEST):
            raise UserError(f"point ({x}, {y}) is no pixel, {path}:{row}; correct the row")
        points[k] = x, y
    return points


def _annotations(root: Path, source: str, private: bool = False) -> list[Path]:
    """The `.pts` files to read, sorted by path below the root; mirrored copies are left out."""
    if not root.is_dir():
        raise UserError(f"no folder {root}; correct root, or fetch the data set from {source}")
    public = [root / name for name in _FOLDERS if (root / name).is_dir()]
    secret = [root / name for names in _PRIVATE.values() for name in names]
    secret = [folder for folder in secret if folder.is_dir()]
    folders = secret if private or not public else public
    files = [f for folder in folders or [root] for f in files_below(folder, (".pts",))]
    # Some copies of 300W ship a flipped twin of every face; we flip on the device.
    files = [f for f in files if not f.stem.endswith("_mirror")]
    if not files:
        raise UserError(f"no .pts file below {root}; correct root (.pts lie beside their images)")
    return sorted(files, key=lambda f: f.relative_to(root).as_posix())


def _stem(file: Path) -> tuple[Path, str]:
    """By which a label and its picture belong together."""
    return file.parent, composed(file.stem)


def _subsets(root: Path, files: list[Path]) -> dict[str, NDArray[np.bool_]]:
    """Membership by folder name; the root's own last folders count, so a part can be a root."""
    above = root.resolve().parts[-2:]
    parts = [{*above, *PurePosixPath(f.relative_to(root).as_posix()).parts[:-1]} for f in files]
    member = {name: np.array([name in p for p in parts], bool) for name in _FOLDERS}
    test = np.array(["testset" in p for p in parts], bool)
    member["common"] = (member["helen"] | member["lfpw"]) & test
    member["challenging"] = member["ibug"]
    member["full"] = member["common"] | member["challenging"]
    for name, folders in _PRIVATE.items():
        member[name] = np.array([any(folder in p for folder in folders) for p in parts], bool)
    member["private"] = member["indoor"] | member["outdoor"]
    return {name: column for name, column in member.items() if column.any()}
