"""`Layout`: writes labelled faces in the files that a data set is published in.

`data synthesize` writes rendered heads with it, and tests make small copies of gated data sets.
Adding a layout (one file, one import line): a subclass in `layouts/<name>.py` with `name`, `scheme`
and `write`; `finish` where some file lists all faces; import it in `layouts/__init__.py`.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.index import FaceDataset, FaceIndex
from lit_landmarks.draw.files import encode_image
from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic

Contour = Literal["visible", "3d", "300w_lp"]

#: Every layout by its name; filled by `Layout.__init_subclass__`.
LAYOUTS: dict[str, type[Layout]] = {}


@dataclass(frozen=True)
class LabelledFace:
    """One labelled picture to be written.

    Attributes:
        number: of the face in its set, from 0; file names follow it.
        image: (H, W, 3) uint8 RGB; None where only the labels are needed (`Layout.finish`).
        points: (N, 2) float32 in the layout's scheme, 0-based pixels.
        box: (4,) float32 face box x0, y0, x1, y1, 0-based pixels.
        visible: (N,) int8: -1 unknown, 0 occluded, 1 visible, 2 self-occluded.
        points3d: (N, 3) float32; x, y as `points`, z in pixels away from the camera; or None.
        pose: (3,) float32 yaw, pitch, roll in degrees, signs as in `geometry`; or None.
        focal: focal length in pixels, or None.
        subsets: names of those to which the face belongs.
    """

    number: int
    image: NDArray[np.uint8] | None
    points: NDArray[np.float32]
    box: NDArray[np.float32]
    visible: NDArray[np.int8]
    points3d: NDArray[np.float32] | None = None
    pose: NDArray[np.float32] | None = None
    focal: float | None = None
    subsets: tuple[str, ...] = ()

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The image.

        Raises:
            ValueError: the face came without one.
        """
        if self.image is None:
            raise ValueError(f"face {self.number} has labels only")
        return self.image


def index_faces(faces: Sequence[LabelledFace]) -> FaceIndex:
    """Faces as columns; a label has one if every face has it."""

    def column(name: str) -> Any:
        values = [getattr(face, name) for face in faces]
        return None if any(v is None for v in values) else np.asarray(values, np.float32)

    points = column("points")
    names = dict.fromkeys(name for face in faces for name in face.subsets)
    return FaceIndex(
        points=points,
        mask=np.ones(points.shape[:2], np.bool_),
        box=column("box"),
        visible=np.stack([face.visible for face in faces]),
        points3d=column("points3d"),
        pose=column("pose"),
        focal=column("focal"),
        subsets={name: np.array([name in face.subsets for face in faces]) for name in names},
    )


class Layout(ABC):
    """The files of one published data set.

    Attributes:
        name: what `data synthesize --layout` takes.
        scheme: the landmark scheme of its points; None for that of the faces.
        contour: whether its jaw line follows the visible contour or is fixed to the skull; None for
            whichever the faces have.
    """

    name: ClassVar[str]
    scheme: ClassVar[str | None]
    contour: ClassVar[Contour | None] = "visible"

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Register a layout under its name; a base for several layouts has none."""
        super().__init_subclass__(**kwargs)
        if "name" in vars(cls):
            LAYOUTS[cls.name] = cls

    @classmethod
    def of(cls, dataset: FaceDataset) -> Self:
        """The layout for faces of a data set, for one whose files say what these are."""
        return cls()

    @abstractmethod
    def write(self, root: Path, face: LabelledFace) -> None:
        """Write the files of one face below `root`, each atomically.

        Called from several processes, in any order, and again for the same face after a kill.

        Raises:
            UserError: a file cannot be written.
        """

    def picture_name(self, number: int) -> str | None:
        """File of a face's picture below the root, where its labels are not part of it."""
        return None

    def finish(self, root: Path, faces: Sequence[LabelledFace]) -> None:  # noqa: B027
        """Write the files that list all faces, in the order of their numbers.

        Args:
            root: as in `write`.
            faces: labels of every face; images may be None.
        """


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file through a temporary name; folders are made.

    Raises:
        UserError: it cannot be written.
    """
    write_atomic(path, data)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, text.encode())


def write_image(path: Path, image: NDArray[np.uint8], quality: int = 95) -> None:
    """Write (H, W, 3) uint8 RGB as the kind of file that the suffix names.

    Args:
        path: ends with .png, .jpg or .jpeg.
        image: the pixels.
        quality: of a JPEG, 1 to 100.

    Raises:
        UserError: another suffix, or the file cannot be written.
    """
    try:
        data = encode_image(image, path.suffix, quality)
    except UserError as error:
        what, _, cure = str(error).partition("; ")
        raise UserError(f"{what}, {path}; {cure}") from error
    write_bytes(path, data)


def write_mat(path: Path, variables: dict[str, Any], compress: bool = False) -> None:
    """Write variables as a MATLAB file of version 5.

    Args:
        path: the file.
        variables: by name.
        compress: pack them.

    Raises:
        UserError: it cannot be written.
    """
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, variables, do_compression=compress)
    write_bytes(path, buffer.getvalue())
