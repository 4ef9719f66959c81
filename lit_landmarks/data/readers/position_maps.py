"""Reader for UV position maps beside their pictures, as PRNet's generator writes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lit_landmarks.data.finding import IMAGE_SUFFIXES, image_files, image_of, match_files
from lit_landmarks.data.index import FilePattern, missing_image
from lit_landmarks.data.readers.common import (
    Numbers,
    check_points,
    choice,
    load_array,
    tight_box,
)
from lit_landmarks.data.readers.large_pose import check_depth
from lit_landmarks.data.readers.listed import FaceRow, ListedFaces
from lit_landmarks.data.readers.text import numbers, read_ascii
from lit_landmarks.errors import UserError
from lit_landmarks.geometry.position_map import vertex_pixels
from lit_landmarks.schemes import CONVENTIONS
from lit_landmarks.schemes.dense520 import N_DENSE, published_order
from lit_landmarks.template.dense import on_position_maps

#: Columns and rows of a map, or numbers of its pixels.
MapPixels = NDArray[np.int64]

#: Side of the published maps.
MAP_SIZE = 256
_SCHEMES = ("ibug68", "dense520", "dense520_published")
_FIRST_LAYOUT = "layout"
#: In the layout's folder: the convention of the points, where it is not that of published maps.
CONVENTION_FILE = "convention.txt"


class PositionMaps(ListedFaces["tuple[MapLookup, Path, dict[str, list[Path]]]"]):
    """Position maps: 256 x 256 x 3 float arrays that say where each bit of a face lies.

    Layout: `<name>.npy` beside `<name>.jpg`, in `root` or in folders right below it, as face3d and
    Basak et al. (arXiv 2308.15170) write them; `<name>_posmap.jpg` is for looking at only. Channels
    are x (column) and y (row) of the picture and, in the same pixels, depth towards the camera; a
    pixel without surface is (0, 0, 0). Pixels count from 0: the generator's crop takes the corners
    of the picture to 0 and 255.

    Which pixel is which point say the files in `layout_dir`, as their owners ship them:

    - `ibug68`: `uv_kpt_ind.txt` of PRNet, a row of 68 columns and a row of 68 rows.
    - `dense520_published`: `face_ind.txt` of PRNet (43,867 pixels, row * 256 + column) with
      `vertices_520_sel_from_blender.txt` and `vertices_68_fil_520.txt` of dense3DFaceLandmarks.
    - `dense520` (ours, which can be mirrored): `face_ind.txt`, `uv_kpt_ind.txt` and
      `canonical_vertices.npy` of PRNet, on whose face the points are found once; or
      `dense520_ind.txt`, like `uv_kpt_ind.txt`, in maps that this package wrote. Published maps
      have the 68 where the fits of 300W-LP have them, maps that this package wrote where they are
      fixed to the skull: `convention.txt` says so.

    `points3d` counts depth away from the camera, from the mean of the points.

    Args:
        root: folder of the maps.
        layout_dir: folder of the files above; `root/layout` if null.
        scheme: "ibug68", "dense520" or "dense520_published".
        first, last: keep only so many faces from the start or the end of the list sorted by path.
    """

    primary_norm: str = "box"
    source: ClassVar[str] = (
        "made from 300W-LP by https://github.com/yfeng95/face3d; layout files from"
        " https://github.com/yfeng95/PRNet (Data/uv-data) and"
        " https://github.com/shubhajitbasak/dense3DFaceLandmarks (data)"
    )
    licence: ClassVar[str] = "layout files MIT; maps and pictures as 300W-LP: research only"
    files: ClassVar[tuple[FilePattern, ...]] = (FilePattern(("layout/uv_kpt_ind.txt",)),)

    def __init__(
        self,
        root: str,
        layout_dir: str | None = None,
        scheme: Literal["ibug68", "dense520", "dense520_published"] = "ibug68",
        first: int | None = None,
        last: int | None = None,
    ) -> None:
        choice("scheme", scheme, _SCHEMES)
        super().__init__(root, None, first, last)
        self.layout_dir, self.scheme = layout_dir, scheme

    @property
    def convention(self) -> str:  # type: ignore[override]
        """That of published maps, or what the layout's folder says."""
        path = self._layout_folder() / CONVENTION_FILE
        if not path.is_file():
            return "position_map"
        name = read_ascii(path).strip()
        if name not in CONVENTIONS:
            raise UserError(f"unknown convention {name[:40]!r}, {path}; write the maps again")
        return name

    def _layout_folder(self) -> Path:
        own = self.resolve(self.root) / _FIRST_LAYOUT
        return own if self.layout_dir is None else self.resolve(self.layout_dir)

    def _entries(self, root: Path) -> Iterator[tuple[MapLookup, Path, dict[str, list[Path]]]]:
        if not root.is_dir():
            raise UserError(f"no folder {root}; correct root; the maps are {self.source}")
        folder = self._layout_folder()
        places = MapLookup.of(folder, self.scheme, self.source)
        images: dict[Path, dict[str, list[Path]]] = {}
        files = [
            file
            for file in sorted((*match_files(root, "*.npy"), *match_files(root, "*/*.npy")))
            if file.parent.resolve() != folder.resolve()
        ]
        if not files:
            raise UserError(
                f"no .npy file in {root} or in a folder right below it; correct root; the maps are"
                f" {self.source}"
            )
        for file in files:
            if file.parent not in images:
                images[file.parent] = image_files(file.parent)
            yield places, file, images[file.parent]

    def _face(self, entry: tuple[MapLookup, Path, dict[str, list[Path]]]) -> FaceRow:
        places, file, images = entry
        shape, mask = places.read(file)
        image = image_of(file, images)
        if image is None:
            raise missing_image(file, IMAGE_SUFFIXES)
        return FaceRow(
            points=shape[:, :2],
            # That of the 68 points in every scheme, so that crops agree.
            box=tight_box(shape[:68][mask[:68], :2], str(file)),
            image=image,
            mask=mask,
            points3d=shape,
        )


@dataclass(frozen=True)
class MapLookup:
    """Where the points of a scheme stand in a map: each is a blend of three pixels.

    Attributes:
        pixels: (N, 3, 2) column, row.
        weights: (N, 3), rows sum to 1.
    """

    pixels: MapPixels
    weights: Numbers

    @classmethod
    def of(cls, folder: Path, scheme: str, source: str) -> MapLookup:
        """Read the layout files for a scheme.

        Raises:
            UserError: a file is missing or they contradict each other.
        """
        if not folder.is_dir():
            raise UserError(
                f"no folder {folder} with uv_kpt_ind.txt and face_ind.txt; set layout_dir; {source}"
            )
        if scheme == "ibug68":
            return cls.single(_columns_and_rows(folder / "uv_kpt_ind.txt", 68))
        if scheme == "dense520" and (folder / "dense520_ind.txt").exists():
            return cls.single(_columns_and_rows(folder / "dense520_ind.txt", N_DENSE))
        face = _whole(folder / "face_ind.txt", None, MAP_SIZE**2)
        if scheme == "dense520_published":
            chosen = _whole(folder / "vertices_520_sel_from_blender.txt", N_DENSE, len(face))
            order = published_order(
                _whole(folder / "vertices_68_fil_520.txt", 68, N_DENSE).tolist()
            )
            return cls.single(_pixels_of(face, chosen[list(order)]))
        sparse = _columns_and_rows(folder / "uv_kpt_ind.txt", 68)
        canonical = load_array(folder / "canonical_vertices.npy", (len(face), 3))
        places = on_position_maps(canonical, face, sparse, MAP_SIZE)
        return cls(_pixels_of(face, places.vertices.reshape(-1)).reshape(-1, 3, 2), places.weights)

    @classmethod
    def single(cls, pixels: MapPixels) -> MapLookup:
        """Points that stand at one pixel each, (N, 2)."""
        return cls(np.repeat(pixels[:, None], 3, 1), np.tile([1.0, 0.0, 0.0], (len(pixels), 1)))

    def read(self, file: Path) -> tuple[Numbers, NDArray[np.bool_]]:
        """Points (N, 3), depth away from the camera and of mean 0, and (N,) bool which are there.

        Raises:
            UserError: the file is missing, damaged or no map, or a point is no pixel.
        """
        column, row = self.pixels[..., 0], self.pixels[..., 1]
        # Of 786 kB only the pages that hold points are read.
        corners = load_array(file, (MAP_SIZE, MAP_SIZE, 3), (row, column))
        filled = ((corners != 0).any(-1) | (self.weights == 0)).all(-1)
        shape = (corners * self.weights[..., None]).sum(1)
        shape[~filled] = 0
        check_points(shape[:, :2], str(file))
        check_depth(shape[:, 2], str(file))
        shape[filled, 2] = shape[filled, 2].mean() - shape[filled, 2] if filled.any() else 0
        return shape, filled


def _pixels_of(face: MapPixels, chosen: MapPixels) -> MapPixels:
    return vertex_pixels(torch.from_numpy(face), torch.from_numpy(chosen), MAP_SIZE).numpy()


def _columns_and_rows(path: Path, n_points: int) -> MapPixels:
    return _whole(path, 2 * n_points, MAP_SIZE).reshape(2, n_points).T


def _whole(path: Path, count: int | None, limit: int) -> MapPixels:
    """Whole numbers from 0 below `limit`, written in any way, from a text file.

    Raises:
        UserError: the file is missing, or holds anything else or another count.
    """
    try:
        values = np.array(numbers(read_ascii(path).split()))
    except OSError as error:
        raise UserError(f"no file {path}; restore it or set layout_dir") from error
    except ValueError as error:
        raise UserError(f"no numbers, {path}; fetch the file again") from error
    if not len(values) or (count is not None and len(values) != count):
        raise UserError(f"{len(values)} numbers, not {count}, {path}; fetch the file again")
    if not ((values >= 0) & (values < limit) & (values % 1 == 0)).all():
        raise UserError(f"a number is not one of 0..{limit - 1}, {path}; fetch the file again")
    return values.astype(np.int64)
