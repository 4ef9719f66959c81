"""Reader for FaceSynthetics: rendered faces with 70 points, one text file each."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from lit_landmarks.data.finding import locate, match_files
from lit_landmarks.data.index import FilePattern
from lit_landmarks.data.readers.common import tight_box
from lit_landmarks.data.readers.listed import FaceRow, ListedFaces
from lit_landmarks.data.readers.text import number_rows, read_lines
from lit_landmarks.errors import UserError

_POINTS = 70
_ENDING = "_ldmks.txt"
_LAYOUT = f"it holds 000000.png, 000000{_ENDING} and so on (the _seg.png are not read)"


class FaceSynthetics(ListedFaces[Path]):
    """FaceSynthetics: 100,000 rendered faces of 512 x 512 pixels; no official split.

    Layout: `root/NNNNNN.png` and `root/NNNNNN_ldmks.txt`, 70 rows `x y`: the 68 of iBUG with the
    jaw line fixed to the skull, then the right and the left pupil. The owners do not say from what
    pixels count; they are read as counting from 0.

    Args:
        root: folder of the data set.
        first, last: keep only so many faces from the start or the end of the list sorted by name;
            hold out the last ones for validation.
    """

    scheme: str = "face_synthetics70"
    convention: str = "face_synthetics"
    primary_norm: str = "interocular"
    source: ClassVar[str] = "https://github.com/microsoft/FaceSynthetics"
    licence: ClassVar[str] = "research only, non-commercial (Microsoft)"
    files: ClassVar[tuple[FilePattern, ...]] = (FilePattern((f"*{_ENDING}",)),)

    def __init__(self, root: str, first: int | None = None, last: int | None = None) -> None:
        super().__init__(root, None, first, last)

    def _entries(self, root: Path) -> list[Path]:
        if not root.is_dir():
            raise UserError(
                f"no folder {root}; correct root, or fetch the data set: {self.source}; {_LAYOUT}"
            )
        files = sorted(match_files(root, f"*{_ENDING}"))
        if not files:
            raise UserError(f"no *{_ENDING} in {root}; {_LAYOUT}; given out at {self.source}")
        return files

    def _face(self, entry: Path) -> FaceRow:
        shape = number_rows(read_lines(entry), _POINTS, entry)
        image = locate(entry.parent, f"{entry.name[: -len(_ENDING)]}.png")
        return FaceRow(points=shape, box=tight_box(shape, str(entry)), image=image)
