"""300W's layouts: the private test set, and plain pairs of picture and `.pts`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.layouts.base import LabelledFace, Layout, write_image, write_text


def pts_text(points: NDArray[np.float64]) -> str:
    """A `.pts` file of the numbers (N, 2) as they are."""
    rows = "".join(f"{x:.6f} {y:.6f}\n" for x, y in points)
    return f"version: 1\nn_points:  {len(points)}\n{{\n{rows}}}\n"


class IbugLayout(Layout):
    """Pairs `000000.jpg`, `000000.pts` in one folder, pixels from 1."""

    name: ClassVar[str] = "ibug"
    scheme: ClassVar[str] = "ibug68"

    def write(self, root: Path, face: LabelledFace) -> None:
        """Write the picture and its points."""
        write_image(root / f"{face.number:06d}.jpg", face.pixels)
        text = pts_text(face.points.astype(np.float64) + 1)
        write_text(root / f"{face.number:06d}.pts", text)


class Private300WLayout(Layout):
    """`01_Indoor/indoor_001.{png,pts}` and `02_Outdoor/outdoor_001.{png,pts}` by turns."""

    name: ClassVar[str] = "300w_private"
    scheme: ClassVar[str] = "ibug68"

    def write(self, root: Path, face: LabelledFace) -> None:
        """Write the picture and its points."""
        folder, name = (("01_Indoor", "indoor"), ("02_Outdoor", "outdoor"))[face.number % 2]
        stem = f"{name}_{face.number // 2 + 1:03d}"
        write_image(root / folder / f"{stem}.png", face.pixels)
        text = pts_text(face.points.astype(np.float64) + 1)
        write_text(root / folder / f"{stem}.pts", text)
