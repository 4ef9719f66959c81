"""MERL-RAV's layout: folders by view, `.pts` beside `.jpg`, visibility in the signs."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from lit_landmarks.data.layouts.base import LabelledFace, Layout, write_image, write_text
from lit_landmarks.data.layouts.ibug import pts_text

#: Degrees of yaw from which a view is half profile and profile.
_HALF, _PROFILE = 30.0, 60.0
_TEST_EVERY = 5


class MerlRavLayout(Layout):
    """`merl_rav_organized/<view>/{trainset,testset}/image00000.{jpg,pts}`; every fifth tests."""

    name: ClassVar[str] = "merl_rav"
    scheme: ClassVar[str] = "ibug68"

    def write(self, root: Path, face: LabelledFace) -> None:
        """Write the picture and its points."""
        split = "testset" if face.number % _TEST_EVERY == _TEST_EVERY - 1 else "trainset"
        stem = root / "merl_rav_organized" / _view(face) / split / f"image{face.number:05d}"
        write_image(stem.with_suffix(".jpg"), face.pixels)
        rows = face.points.astype(np.float64)
        rows = np.where((face.visible == 0)[:, None], -rows, rows)
        rows = np.where((face.visible == 2)[:, None], -1.0, rows)
        write_text(stem.with_suffix(".pts"), pts_text(rows))


def _view(face: LabelledFace) -> str:
    """The owners' name of the view: the side is the subject's, so yaw > 0 is left."""
    yaw = 0.0 if face.pose is None else float(face.pose[0])
    side = "left" if yaw > 0 else "right"
    if abs(yaw) < _HALF:
        return "frontal"
    return side if abs(yaw) >= _PROFILE else f"{side}half"
