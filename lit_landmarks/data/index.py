"""Where faces come from: `FaceIndex` (the labels of a data set, in columns) and `FaceDataset`.

Adding a data set on disk (one file to write):
    1. Write `readers/<name>.py` with a subclass of `readers.listed.ListedFaces`; its `__init__`
       takes plain values only (str, int, float, bool, None, lists of them), so that a YAML file can
       spell it. All modules of the folder are imported: `DATASETS` and YAML know the class.
    2. Set the class attributes `scheme`, `convention` and `primary_norm`; `source` and
       `licence` for the reader's error texts; `files`, by which `data check --all` recognizes a
       folder; and `subset_names`.
    3. Implement `_entries(root)`, which lists the faces (files, rows), and `_face(entry)`, which
       reads one. It raises a bad one as `UserError("<what>, <file:row>; <cure>")`: `index()` stops
       at the first, `data check` collects them all.

What is not a list of faces subclasses `FaceDataset` and implements `_read(report)`. A rendered set
overrides `load(rows)` and `content_key(rows)`, and sets `rendered = True`. A set whose files may
declare a scheme of their own overrides `declare`. A new convention is one more file
(`schemes/conventions.py`).
"""

from __future__ import annotations

import hashlib
import os
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from lit_landmarks.data.finding import match_files
from lit_landmarks.data.picture_size import picture_size
from lit_landmarks.errors import UserError
from lit_landmarks.geometry.crops import whole_box
from lit_landmarks.labels import LABEL_TABLE, LABELS, sizes
from lit_landmarks.pictures import Grid, decode_image

Report = Callable[[UserError], None]
Arguments = dict[str, Any]

#: Concrete data sets by class name; filled by `FaceDataset.__init_subclass__`.
DATASETS: dict[str, type[FaceDataset]] = {}
#: Share of a whole picture's longer side from which on a normalizer is expected to see a face.
LARGE_FACE = 0.15


@dataclass(frozen=True)
class FaceIndex:
    """The labels of n faces of one scheme (N points), in columns; no pixels.

    122,000 faces of 68 points take about 90 MB. Optional columns are None where a set lacks them;
    a row that lacks one holds NaN (`visible`: -1).

    Attributes:
        points: (n, N, 2) float32 landmarks in pixels of the image file.
        mask: (n, N) bool, True where a point is annotated.
        box: (n, 4) float32 face box x0, y0, x1, y1 in image pixels.
        paths: n image paths, absolute or from the working folder; empty for rendered sets.
        visible: (n, N) int8: -1 unknown, 0 occluded, 1 visible, 2 self-occluded.
        points3d: (n, N, 3) float32; x, y as `points`, z in the same pixels, away from the camera.
        head3d: (n, N, 3) float32 head frame.
        pose: (n, 3) float32 yaw, pitch, roll in degrees against the line of sight from the camera
            to the middle of the face. A reader whose files give the rotation in the axes of the
            camera turns it by `geometry.against_ray`; fits under weak perspective are such already.
        focal: (n,) float32 focal length in image pixels.
        subsets: name -> (n,) bool membership.
        track, time: (n,) int64 video track and frame number.
    """

    points: NDArray[np.float32]
    mask: NDArray[np.bool_]
    box: NDArray[np.float32]
    paths: tuple[str, ...] = ()
    visible: NDArray[np.int8] | None = None
    points3d: NDArray[np.float32] | None = None
    head3d: NDArray[np.float32] | None = None
    pose: NDArray[np.float32] | None = None
    focal: NDArray[np.float32] | None = None
    subsets: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    track: NDArray[np.int64] | None = None
    time: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Check that every column has the shape and type that its name promises."""
        n, k = self.points.shape[:2]
        checks = [
            (label.name, getattr(self, label.name), sizes(label.index_shape, {"N": k}), label.dtype)
            for label in LABEL_TABLE
            if label.index_shape is not None
        ]
        checks += [(f"subset {name}", c, (), torch.bool) for name, c in self.subsets.items()]
        for name, column, shape, torch_dtype in checks:
            dtype = np.dtype(str(torch_dtype).removeprefix("torch."))
            if column is not None and (column.shape != (n, *shape) or column.dtype != dtype):
                raise ValueError(
                    f"FaceIndex.{name} is {column.dtype}{column.shape}, not {dtype}{(n, *shape)}"
                )
        if self.paths and len(self.paths) != n:
            raise ValueError(f"FaceIndex has {len(self.paths)} paths for {n} faces")

    def __len__(self) -> int:
        """Number of faces n."""
        return len(self.points)

    @property
    def labels(self) -> frozenset[str]:
        """The optional labels (`labels.LABELS`) that this set carries."""
        return frozenset(name for name in LABELS if getattr(self, name) is not None)

    def select(self, rows: NDArray[Any]) -> FaceIndex:
        """The faces named by `rows`: int indices or an (n,) bool mask."""
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        changes: dict[str, Any] = {
            f.name: value[rows]
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), np.ndarray)
        }
        changes["subsets"] = {name: column[rows] for name, column in self.subsets.items()}
        changes["paths"] = tuple(self.paths[i] for i in rows) if self.paths else ()
        return replace(self, **changes)


@dataclass(frozen=True)
class FilePattern:
    """The files by which a folder is recognized as a data set, see `recognize`.

    Attributes:
        marks: glob patterns below its root; one that matches is enough.
        splits: `split` argument -> patterns of which one must match for the split to be there; a
            class that takes `split` and says nothing here is tried with all of its values.
        covers: names of the folders that it reads; empty if it reads all of them.
        general: matches so much that it counts only where nothing else matches.
        loose: each file is a data set of its own; others may lie beside and below it.
    """

    marks: tuple[str, ...]
    splits: dict[str, tuple[str, ...]] = field(default_factory=dict)
    covers: tuple[str, ...] = ()
    general: bool = False
    loose: bool = False

    def matches(self, folder: Path) -> bool:
        """True if a file below the folder matches."""
        return any(True for mark in self.marks for _ in match_files(folder, mark))


class FaceDataset(ABC):
    """One data set on disk, or one made by a renderer, in one scheme and one convention.

    Attributes:
        scheme: name of its `LandmarkScheme`.
        convention: how it places the points, from `schemes.CONVENTIONS`.
        primary_norm: the norm of NME under which it is compared.
        source: where its owner gets it; told when its folder is missing.
        licence: terms of use, one line.
        files: by which files a folder is recognized; a row for each layout.
    """

    scheme: str = "ibug68"
    convention: str = "custom"
    primary_norm: str = "interocular"
    source: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    files: ClassVar[tuple[FilePattern, ...]] = ()
    #: True if `load` renders: it is then called with whole blocks of rows, from one thread.
    rendered: ClassVar[bool] = False

    #: Folder from which relative paths of the arguments start; the data module sets it.
    base: Path = Path()
    #: Cache folder of labels that take long to make; the data module sets it (`cache_folder`).
    cache_dir: str | None = None
    #: Side of a frame in box sides, for boxes that let the frame hold the whole picture; None
    #: for boxes about faces. The data module sets it.
    whole_scale: float | None = None
    _index: FaceIndex | None = None

    @property
    def grid(self) -> Grid:
        """The pixel grid of the points: of the pictures as stored, or as viewers show them.

        Published data sets are read as stored, as their owners' tools do; readers of faces of
        one's own override this.
        """
        return "stored"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Register a data set under its class name, unless it is abstract or private."""
        super().__init_subclass__(**kwargs)
        # Asked of each attribute: `inspect.isabstract` does not know before the class is made.
        methods = (getattr(cls, name, None) for name in dir(cls))
        abstract = any(getattr(method, "__isabstractmethod__", False) for method in methods)
        if not abstract and not cls.__name__.startswith("_"):
            DATASETS[cls.__name__] = cls

    @classmethod
    def recognize(cls, folder: Path, pattern: FilePattern) -> Iterator[tuple[Path, Arguments]]:
        """The data sets of this class in a folder that `pattern` matches.

        Args:
            folder: the root of the data set.
            pattern: one of `files`.

        Returns:
            The folder or file of each, and its arguments.
        """
        if pattern.splits:
            names = [
                split
                for split, marks in pattern.splits.items()
                if any(True for mark in marks for _ in match_files(folder, mark))
            ]
        else:
            hints = typing.get_type_hints(cls.__init__)
            names = [v for v in typing.get_args(hints.get("split")) if isinstance(v, str)]
            if not names:
                yield folder, {"root": str(folder)}
        yield from ((folder, {"root": str(folder), "split": name}) for name in names)

    @abstractmethod
    def _read(self, report: Report) -> FaceIndex:
        """Read all labels; hand each bad row to `report` and leave it out."""

    @classmethod  # noqa: B027 - a set that declares nothing has nothing to do
    def declare(cls, base: str | Path, **arguments: Any) -> None:
        """Make known the schemes that the files of a set declare; most sets declare none.

        The command line calls it before the method is built, which asks for its scheme then.

        Args:
            base: as for `start_from`.
            **arguments: of the class.

        Raises:
            UserError: the declaration cannot be read.
        """

    def start_from(self, base: str | Path) -> None:
        """Let relative paths start at `base` (`data.init_args.root`); call before `index`."""
        if Path(base) != self.base:
            self.base, self._index = Path(base), None

    def resolve(self, path: str | Path) -> Path:
        """A path argument, seen from `base`."""
        return self.base / Path(path).expanduser()

    def index(self) -> FaceIndex:
        """The labels of all faces, read once.

        Raises:
            UserError: a row is bad or no face is left; names file and row, and the cure.
        """
        if self._index is None:

            def stop(error: UserError) -> None:
                raise error

            self._index = self._read(stop)
            if not len(self._index):
                raise UserError(f"{self!r} selects no face; widen first, last, limit or subset")
            if self.whole_scale is not None:
                box = whole_boxes(self._index.paths, self.grid, self.whole_scale)
                sides = [(b[:, 2:] - b[:, :2]).max(1) for b in (self._index.box, box)]
                large = sides[0] >= LARGE_FACE * self.whole_scale * sides[1]
                subsets = self._index.subsets | {"face_from_15": large, "face_below_15": ~large}
                self._index = replace(self._index, box=box, subsets=subsets)
        return self._index

    def show_whole(self, frame_scale: float) -> None:
        """Let frames hold the whole picture instead of a face's surroundings.

        Subsets `face_from_15` and `face_below_15` then part the faces by `LARGE_FACE`.

        Args:
            frame_scale: side of a frame in sides of a box.

        Raises:
            UserError: the set is rendered about its faces and has no whole pictures.
        """
        if self.rendered:
            raise UserError(f"{self!r} is rendered about its faces; leave it out of data.whole")
        if frame_scale != self.whole_scale:
            self.whole_scale, self._index = frame_scale, None

    def index_of(self, rows: Sequence[int]) -> FaceIndex:
        """The labels of some faces; a rendered set need not make those of the others."""
        return self.index().select(np.asarray(rows, np.int64))

    def scan(self) -> tuple[FaceIndex, list[UserError]]:
        """The labels of all good rows and what is wrong with the others, for `data check`.

        From then on `index` gives the good rows.
        """
        problems: list[UserError] = []
        self._index = self._read(problems.append)
        return self._index, problems

    def load(self, rows: Sequence[int]) -> list[NDArray[np.uint8]]:
        """The images of some faces, each (H, W, 3) uint8 RGB; a rendered set overrides this.

        Raises:
            UserError: a file is missing or cannot be decoded.
        """
        paths = self.index().paths
        return [read_image(paths[row], self.grid) for row in rows]

    def content_key(self, rows: Sequence[int]) -> str:
        """A hash that changes when the pixels of `rows` do: file names, sizes and times.

        A rendered set overrides this with a hash of all that its pixels depend on (arguments and
        a version number of the renderer).
        """
        digest = hashlib.sha256()
        paths = self.index().paths
        if self.grid != "stored":
            digest.update(f"{self.grid}\n".encode())
        for row in rows:
            try:
                stat = Path(paths[row]).stat()
            except OSError as error:
                raise missing_image(paths[row]) from error
            # The change time too: copying tools can give a new file the old time and size.
            times = f"{stat.st_mtime_ns}\0{stat.st_ctime_ns}"
            digest.update(os.fsencode(f"{paths[row]}\0{stat.st_size}\0{times}\n"))
        return digest.hexdigest()

    def parts(self) -> dict[str, FaceDataset]:
        """The splits that the files of this set name, if it was asked for all of them together."""
        return {}

    def person_names(self) -> list[str]:
        """The person of each face of the index, "" where the data set does not tell."""
        return [""] * len(self.index())

    def photo_names(self) -> list[str]:
        """The photo that each face was cut from, "" where the names of files do not tell.

        The same name in two data sets means the same photo, also where one of them has turned,
        resized or cropped it.
        """
        return [""] * len(self.index())

    def __repr__(self) -> str:
        """Class and plain arguments."""
        plain = (str, int, float, bool, type(None), list, tuple, dict)
        args = [
            f"{k}={v!r}"
            for k, v in vars(self).items()
            if isinstance(v, plain) and not k.startswith("_")
        ]
        return f"{type(self).__name__}({', '.join(args)})"


def missing_image(path: str | Path, suffixes: Sequence[str] = ()) -> UserError:
    """The error for an image that an annotation names but that is not there.

    Args:
        path: the image; its suffix does not count if there are `suffixes`.
        suffixes: those that it may have, where the annotation does not say.
    """
    name = f"{Path(path).with_suffix('')} ({', '.join(suffixes)})" if suffixes else str(path)
    return UserError(f"no image, {name}; restore the file or remove its annotation")


def read_image(path: str | Path, grid: Grid = "stored") -> NDArray[np.uint8]:
    """Decode an image file to (H, W, 3) uint8 RGB; `pictures` says how, and what is refused.

    Args:
        path: the file.
        grid: "stored" pixels whatever the orientation tag says, or "shown" as viewers turn them.

    Raises:
        UserError: the file is missing, damaged or no picture that is read.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise missing_image(path) from error
    return decode_image(data, path, grid)


def whole_boxes(paths: Sequence[str], grid: Grid, frame_scale: float) -> NDArray[np.float32]:
    """Boxes in the middle of pictures whose frames just hold the whole picture.

    Args:
        paths: of n pictures.
        grid: of their pixels.
        frame_scale: side of a frame in box sides.

    Returns:
        (n, 4) squares, image pixels.

    Raises:
        UserError: a picture is missing or cannot be read.
    """
    boxes = np.empty((len(paths), 4), np.float32)
    for row, path in enumerate(paths):
        size = picture_size(path, grid)
        if size is None:
            raise missing_image(path)
        boxes[row] = whole_box(*size, frame_scale)
    return boxes
