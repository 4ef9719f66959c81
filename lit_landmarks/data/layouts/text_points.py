"""Layouts of points in plain text: FaceSynthetics, LaPa and the YouTube Faces keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from lit_landmarks.data.layouts.base import Contour, LabelledFace, Layout, write_image, write_text

#: Of ten faces of LaPa's layout the last but one validates and the last tests.
_LAPA_SPLITS = (*["train"] * 8, "val", "test")
#: Of five videos the last validates; a video has three frames.
_VIDEOS, _FRAMES = 5, 3


class FaceSyntheticsLayout(Layout):
    """`000000.png` and `000000_ldmks.txt` in one folder."""

    name: ClassVar[str] = "face_synthetics"
    scheme: ClassVar[str] = "face_synthetics70"
    contour: ClassVar[Contour] = "3d"

    def write(self, root: Path, face: LabelledFace) -> None:
        """Write the picture and its points."""
        write_image(root / f"{face.number:06d}.png", face.pixels)
        text = "".join(f"{x:.3f} {y:.3f}\n" for x, y in face.points)
        write_text(root / f"{face.number:06d}_ldmks.txt", text)


class LaPaLayout(Layout):
    """`{train,val,test}/images/000000_0.jpg` and `.../landmarks/000000_0.txt`."""

    name: ClassVar[str] = "lapa"
    scheme: ClassVar[str] = "lapa106"

    def write(self, root: Path, face: LabelledFace) -> None:
        """Write the picture and its points."""
        folder = root / _LAPA_SPLITS[face.number % len(_LAPA_SPLITS)]
        name = f"{face.number:06d}_0"
        write_image(folder / "images" / f"{name}.jpg", face.pixels)
        rows = "".join(f"{x:.6f} {y:.6f}\n" for x, y in face.points)
        write_text(folder / "landmarks" / f"{name}.txt", f"106\n{rows}")


class YouTubeFacesLayout(Layout):
    """`{train,val}/<person>_<video><frame>.jpg`, and a CSV of points for each split."""

    name: ClassVar[str] = "youtube_faces"
    scheme: ClassVar[str] = "ibug68"

    def write(self, root: Path, face: LabelledFace) -> None:
        """Write the picture."""
        split, name = _frame(face)
        write_image(root / split / name, face.pixels)

    def finish(self, root: Path, faces: Sequence[LabelledFace]) -> None:
        """Write the lists; the published ones are rounded to whole pixels, these are not."""
        header = ",".join(["", *map(str, range(136))])
        for split in ("train", "val"):
            rows = [header]
            for face in faces:
                own, name = _frame(face)
                if own == split:
                    cells = (f"{v:.4f}" for v in face.points.ravel())
                    rows.append(",".join([name, *cells]))
            if len(rows) > 1:
                write_text(root / f"{split}_frames_keypoints.csv", "\n".join(rows) + "\n")


def _frame(face: LabelledFace) -> tuple[str, str]:
    """Split and name of the frame."""
    video, frame = divmod(face.number, _FRAMES)
    split = "val" if video % _VIDEOS == _VIDEOS - 1 else "train"
    return split, f"Synthetic_Person_{video:05d}_0{frame}.jpg"
