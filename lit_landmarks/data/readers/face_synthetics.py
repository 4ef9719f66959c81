"""Reader for FaceSynthetics: rendered faces with 70 points, one text file each."""

from __future__ import annotations

from typing import ClassVar

from lit_landmarks.data.index import FaceDataset, FaceIndex, Report, missing_image
from lit_landmarks.data.readers.common import make_index, narrowed, tight_box
from lit_landmarks.data.readers.text import number_rows, read_lines
from lit_landmarks.errors import UserError

_POINTS = 70
_ENDING = "_ldmks.txt"
_TOLD = f"it holds 000000.png, 000000{_ENDING} and so on (the _seg.png are not read)"


class FaceSynthetics(FaceDataset):
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
    primary_normaliser: str = "interocular"
    source: ClassVar[str] = "https://github.com/microsoft/FaceSynthetics"
    licence: ClassVar[str] = "research only, non-commercial (Microsoft)"

    def __init__(self, root: str, first: int | None = None, last: int | None = None) -> None:
        self.root, self.first, self.last = root, first, last

    def _read(self, report: Report) -> FaceIndex:
        root = self.resolve(self.root)
        if not root.is_dir():
            raise UserError(
                f"no folder {root}; correct root, or fetch the data set: {self.source}; {_TOLD}"
            )
        files = sorted(root.glob(f"*{_ENDING}"))
        if not files:
            raise UserError(f"no *{_ENDING} in {root}; {_TOLD}; given out at {self.source}")
        points, boxes, paths = [], [], []
        for file in files:
            try:
                shape = number_rows(read_lines(file), _POINTS, file)
                box = tight_box(shape, str(file))
                image = file.with_name(f"{file.name.removesuffix(_ENDING)}.png")
                if not image.is_file():
                    raise missing_image(image)
            except UserError as error:
                report(error)
                continue
            points.append(shape)
            boxes.append(box)
            paths.append(str(image))
        index = make_index(points, boxes, _POINTS, paths=tuple(paths))
        return narrowed(index, None, self.first, self.last, str(root))[0]
