"""Reader for large sets whose labels are the columns of one `.npz` file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.columns import read_arrays, read_columns
from lit_landmarks.data.index import FaceIndex, FilePattern, Report, missing_image
from lit_landmarks.data.readers.common import LARGEST, check_name, inside, select_faces
from lit_landmarks.data.readers.declared import DeclaredFaces
from lit_landmarks.data.readers.json_file import check_header
from lit_landmarks.documents import parse_json
from lit_landmarks.errors import UserError
from lit_landmarks.pictures import Grid
from lit_landmarks.schemes import get_scheme

_CURE = "write it with `data synthesize --layout columns`"


class ColumnFaces(DeclaredFaces):
    """Rendered faces on disk in any scheme: 100,000 heads of 520 points are read in seconds.

    Layout: `root/faces.npz`, as `data synthesize --layout columns` writes it, and pictures below
    `root`. Arrays of the file: `header`, the JSON object that `faces.json` has (`JsonFaces`)
    without its faces; `image` (n,) text, paths below `root`; and the columns of `FaceIndex` under
    their names: `box`, `mask`, `points` or `points3d` (whose first two are the points), and where
    they are known `visible`, `pose`, `focal` and `subset/NAME`. Files of other programs may also
    have `head3d`, `track` and `time`.

    Args:
        root: folder of the file.
        subset: keep only this subset.
        first, last: keep only so many faces from the start or the end of the list.
    """

    source: ClassVar[str] = "your own; `data synthesize --layout columns` writes it"
    licence: ClassVar[str] = "that of the head which was rendered"
    files: ClassVar[tuple[FilePattern, ...]] = (FilePattern(("faces.npz",)),)

    def __init__(
        self,
        root: str,
        subset: str | None = None,
        first: int | None = None,
        last: int | None = None,
    ) -> None:
        self.root, self.subset, self.first, self.last = root, subset, first, last
        self._head: tuple[Path, dict[str, Any]] | None = None

    @property
    def grid(self) -> Grid:
        """As the file says."""
        grid: Grid = self._header()["pixel_grid"]
        return grid

    def _path(self) -> Path:
        return self.resolve(self.root) / "faces.npz"

    def _header(self) -> dict[str, Any]:
        """What the file says of all faces, read at most once."""
        path = self._path()
        if self._head is None or self._head[0] != path:
            try:
                arrays = read_arrays(path, ("header",))
                text = str(arrays["header"]) if "header" in arrays else "{}"
                document = parse_json(text, path, finite=True)
            except FileNotFoundError as error:
                raise UserError(f"no file {path}; {_CURE}") from error
            except (OSError, ValueError, RecursionError) as error:
                raise UserError(f"no readable columns, {path}; {_CURE}") from error
            if not isinstance(document, dict):
                raise UserError(f"the header is no JSON object, {path}; {_CURE}")
            header = check_header(document, path)
            if header["units"] not in (None, "pixels"):
                raise UserError(f"units are pixels in columns, {path}; {_CURE}")
            self._head = path, header
        return self._head[1]

    def _read(self, report: Report) -> FaceIndex:
        path = self._path()
        header = self._header()
        try:
            index, more = read_columns(path)
        except (OSError, ValueError) as error:
            raise UserError(f"no readable columns: {error}, {path}; {_CURE}") from error
        if odd := sorted(more.keys() - {"header", "image"}):
            raise UserError(f"unknown column {odd[0]!r}, {path}; {_CURE}")
        scheme, images = get_scheme(header["scheme"]), more.get("image")
        if index.points.shape[1] != scheme.n_points:
            raise UserError(
                f"{index.points.shape[1]} points, not {scheme.n_points} of {scheme.name}, {path};"
                f" {_CURE}"
            )
        if images is None or images.dtype.kind != "U" or images.shape != (len(index),):
            raise UserError(f"image is no column of {len(index)} names, {path}; {_CURE}")
        for name in index.subsets:
            check_name("subset", name, str(path))
        good = self._check_labels(index, report)
        root, folders = path.parent.resolve(), dict[str, Path]()
        paths = [""] * len(index)
        for row in np.flatnonzero(good):
            try:
                paths[row] = _find_image(root, str(images[row]), folders)
            except UserError as error:
                what, _, cure = str(error).partition("; ")
                report(UserError(f"{what} ({path}:{row}); {cure}"))
                good[row] = False
        index = replace(index, paths=tuple(paths))
        if not good.all():
            index = index.select(good)
        return select_faces(index, self.subset, self.first, self.last, str(path))[0]

    def _check_labels(self, index: FaceIndex, report: Report) -> NDArray[np.bool_]:
        """(n,) which faces have possible labels; the others are reported.

        Points that are not annotated become 0.
        """
        masked = ~index.mask
        for values in (index.points, index.points3d):
            if values is not None and masked.any():
                values[masked] = 0
        possible = np.all(np.abs(index.points) < LARGEST, axis=2)
        box = np.isfinite(index.box).all(1) & (index.box[:, 2:] > index.box[:, :2]).all(1)
        low = np.where(index.mask[..., None], index.points, np.inf).min(1)
        high = np.where(index.mask[..., None], index.points, -np.inf).max(1)
        checks = {
            "a point is no pixel": np.all(possible, axis=1),
            "no point is annotated": index.mask.any(axis=1),
            "the box has no area": box,
            "the box does not meet the points": (
                (index.box[:, :2] < high) & (index.box[:, 2:] > low)
            ).all(1),
        }
        if index.visible is not None:
            checks["visible is none of -1, 0, 1, 2"] = np.isin(index.visible, (-1, 0, 1, 2)).all(1)
        if index.focal is not None:
            checks["the focal length is not above 0"] = ~(index.focal <= 0) & ~np.isinf(index.focal)
        for name in ("pose", "head3d"):
            if (column := getattr(index, name)) is not None:
                checks[f"{name} is infinite"] = ~np.isinf(column).reshape(len(column), -1).any(1)
        if index.points3d is not None:
            solid = np.abs(index.points3d[..., 2]) < LARGEST
            checks["a depth is not finite or far too large"] = np.all(solid, axis=1)
        good = np.ones(len(index), np.bool_)
        for reason, fine in checks.items():
            for row in np.flatnonzero(good & ~fine):
                report(UserError(f"{reason}, {self._path()}:{row}; {_CURE}"))
            good &= fine
        return good


def _find_image(root: Path, name: str, folders: dict[str, Path]) -> str:
    """The path of a picture; what its folder is is asked once.

    Raises:
        UserError: it is missing, or not below `root`.
    """
    above, _, last = name.rpartition("/")
    if above not in folders:
        folders[above] = inside(root, name, name).parent
    path = folders[above] / last
    if last in ("", ".", "..") or path.is_symlink():
        path = inside(root, name, name)
    if not path.is_file():
        raise missing_image(path)
    return str(path)
