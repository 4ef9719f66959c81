"""`IctFaces`: rendered faces of the ICT FaceKit morphable head, with exact labels.

More realistic than `SyntheticFaces`, at the price of a head file that the user makes once:
`data convert ict-facekit CLONE head.npz` (see `make_head_file`). A face is a function of
(seed, row), in any batch and order.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.compute import default_device
from lit_landmarks.data.finding import files_below
from lit_landmarks.data.index import Arguments, FilePattern
from lit_landmarks.data.synthetic import SyntheticFaces
from lit_landmarks.errors import UserError
from lit_landmarks.rendering.faces import FaceParameters, Head
from lit_landmarks.rendering.ict import (
    ICT_VERSION,
    IctRenderer,
    bare_faces,
    convert_facekit,
    load_ict_head,
    sample_ict,
)
from lit_landmarks.rendering.renderer import RENDER_VERSION
from lit_landmarks.rendering.rng import CounterRng

_IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


#: Faces of a head file that are rendered when a folder is looked through.
_SHOWN = 64
#: Arrays that an ICT FaceKit head file has.
_HEAD = {"mean", "quads", "identity", "expression"}


def make_head_file(source: Path, target: Path) -> None:
    """Convert ICT FaceKit's files to the head file that `IctFaces` reads.

    Args:
        source: a clone of ICT-FaceKit, or its FaceXModel folder.
        target: the `.npz` file to write.

    Raises:
        UserError: a file of the clone is missing or broken, or `target` cannot be written.
    """
    convert_facekit(source, target)


class IctFaces(SyntheticFaces):
    """Rendered ICT heads with 2D, 3D, visibility, pose and camera labels.

    All conventions label the same pictures: sets that differ only in `convention` show
    the same faces.

    Args:
        n: number of faces.
        seed: of the set; sets of different seeds share no face.
        head: the head file.
        max_yaw: largest yaw in degrees, up to 90.
        max_pitch: largest pitch in degrees.
        max_roll: largest roll in degrees.
        scheme: any scheme with points on the head.
        convention: "synthetic_visible" (the jaw follows the silhouette, as in 300W),
            "synthetic_3d" (fixed to the skull) or "300w_lp" (iBUG's points where 300W-LP and
            AFLW2000-3D have them). "visible" and "3d" are short for the first two.
        image_size: side of the rendered picture in pixels.
        face_scale: side of the picture in face widths.
        backgrounds: folder of photographs to stand behind the faces; null paints walls.
        visibility: say of every point whether it is seen (the slow part of the labels).
        device: where to render; "auto" takes a GPU if there is one.
        bare: bald heads that wear and hold nothing; else some have hair, hats, glasses, or a hand
            before the face.

    Raises:
        UserError: an argument is out of range, a file is missing or broken, or the scheme has no
            place on the head.
    """

    source = "https://github.com/ICT-VGL/ICT-FaceKit, then `data convert ict-facekit`"
    licence = "head: MIT, USC Institute for Creative Technologies; pictures: our own renders"
    files: ClassVar[tuple[FilePattern, ...]] = (FilePattern(("*.npz",), loose=True),)

    @classmethod
    def recognize(cls, folder: Path, pattern: FilePattern) -> Iterator[tuple[Path, Arguments]]:
        """A few faces of every head file in a folder."""
        for file in sorted(folder.glob("*.npz")):
            if _is_head(file):
                yield file, {"head": str(file), "n": _SHOWN}

    def __init__(
        self,
        n: int = 2000,
        seed: int = 0,
        head: str = "ict_facekit.npz",
        max_yaw: float = 60.0,
        max_pitch: float = 30.0,
        max_roll: float = 30.0,
        scheme: str = "ibug68",
        convention: str = "synthetic_visible",
        image_size: int = 256,
        face_scale: float = 2.1,
        backgrounds: str | None = None,
        visibility: bool = True,
        device: str = "cpu",
        bare: bool = False,
    ) -> None:
        super().__init__(
            n,
            seed,
            max_yaw,
            max_pitch,
            max_roll,
            scheme,
            convention,
            image_size,
            face_scale,
            visibility,
            device,
        )
        self.head, self.backgrounds, self.bare = head, backgrounds, bare
        self._drawn: IctRenderer | None = None

    def start_from(self, base: str | Path) -> None:
        """Let relative paths start at `base`; call before `index`."""
        if Path(base) != self.base:
            self._drawn = None
        super().start_from(base)

    @property
    def _model(self) -> Head:
        return load_ict_head(self.resolve(self.head))

    def _label_key(self) -> tuple[object, ...]:
        return *super()._label_key(), _digest_head(self.resolve(self.head)), self.bare

    def _photos(self) -> list[Path]:
        """Background files in the order of their names.

        Raises:
            UserError: the folder is missing or holds no image.
        """
        if self.backgrounds is None:
            return []
        folder = self.resolve(self.backgrounds)
        if not folder.is_dir():
            raise UserError(f"no folder of backgrounds, {folder}; name one or set it to null")
        files = files_below(folder, _IMAGES)
        if not files:
            raise UserError(f"no jpg or png backgrounds, {folder}; add some or set it to null")
        return files

    def _sample(self, rng: CounterRng) -> FaceParameters:
        faces = sample_ict(rng, self._model, self._ranges)
        return bare_faces(faces) if self.bare else faces

    def render(self, rows: Sequence[int]) -> NDArray[np.uint8]:
        """(B, S, S, 3) uint8 RGB pictures of some faces."""
        if self._drawn is None:
            device = default_device() if self.device == "auto" else self.device
            self._drawn = IctRenderer(self._model, device, self._photos())
        rng = self._draws(rows)
        return self._drawn(rng, self._sample, self._looks(rng)).cpu().numpy()

    def content_key(self, rows: Sequence[int]) -> str:
        """A hash of all that the pixels depend on."""
        photos = [
            (str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in self._photos()
        ]
        files = _digest_head(self.resolve(self.head)), photos
        key = (RENDER_VERSION, ICT_VERSION, self.seed, self._ranges, files, self.bare, list(rows))
        return hashlib.sha256(repr(key).encode()).hexdigest()


def _digest_head(path: Path) -> str:
    """A hash of a head file: the same wherever it lies and whenever it was copied.

    Raises:
        UserError: there is none.
    """
    try:
        stat = path.stat()
        return _digest_file(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise UserError(
            f"cannot find {path}; `data convert ict-facekit` makes a head file"
        ) from error


@lru_cache(maxsize=8)
def _digest_file(path: Path, size: int, time: int) -> str:
    """A hash of a file, made anew when its size or time have changed."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_head(file: Path) -> bool:
    """True for a morphable head in our format; reads the names of its arrays only."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            return set(arrays.files) >= _HEAD
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError):
        return False
