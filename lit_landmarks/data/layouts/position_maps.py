"""The layout of position maps: `.npy` beside `.jpg`, and files that say which pixel is which point.

The maps lie in the texture plane of this package's head: they hold its 520 points exactly, and
between them the surface is made of triangles. Read them with `PositionMaps` alone; the layout files
beside them are in the published form, so other programs can read them too.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from lit_landmarks.data.layouts.base import (
    Contour,
    LabelledFace,
    Layout,
    write_bytes,
    write_image,
    write_text,
)
from lit_landmarks.data.readers.position_maps import CONVENTION_FILE
from lit_landmarks.geometry.position_map import UvTable, toward_camera
from lit_landmarks.template.position_maps import face_layout


class PositionMapLayout(Layout):
    """`000000.jpg`, `000000.npy`, `000000_posmap.jpg`, and `layout/*.txt`."""

    name: ClassVar[str] = "position_maps"
    scheme: ClassVar[str] = "dense520"
    contour: ClassVar[Contour] = "3d"

    def write(self, root: Path, face: LabelledFace) -> None:
        """Write the picture, its map, and the map as a picture to look at."""
        table, _ = _surface()
        depth = np.zeros(len(face.points)) if face.points3d is None else face.points3d[:, 2]
        solid = np.concatenate([face.points, depth[:, None]], 1, dtype=np.float64)
        whole = table.render(toward_camera(torch.from_numpy(solid)[None]))[0].float().numpy()
        stem = root / f"{face.number:06d}"
        write_image(stem.with_suffix(".jpg"), face.pixels)
        buffer = io.BytesIO()
        np.save(buffer, whole, allow_pickle=False)
        write_bytes(stem.with_suffix(".npy"), buffer.getvalue())
        picture = (whole / max(face.pixels.shape) * 255).clip(0, 255).astype(np.uint8)
        write_image(root / f"{face.number:06d}_posmap.jpg", picture)

    def finish(self, root: Path, faces: Sequence[LabelledFace]) -> None:
        """Write the layout."""
        table, pixels = _surface()
        _write(root, "face_ind.txt", table.pixels.numpy()[:, None])
        _write(root, "uv_kpt_ind.txt", pixels[:68].T)
        _write(root, "dense520_ind.txt", pixels.T)
        # Published maps have the 68 where the fits have them; these are fixed to the skull.
        write_text(root / "layout" / CONVENTION_FILE, "synthetic_3d\n")


@lru_cache(maxsize=1)
def _surface() -> tuple[UvTable, NDArray[np.int64]]:
    """A texture plane whose only vertices are the 520 points, and their pixels (520, 2)."""
    from scipy.spatial import Delaunay

    pixels = face_layout("dense520").pixels
    triangles = torch.from_numpy(Delaunay(pixels.numpy()).simplices.astype(np.int64))
    table = UvTable.of(pixels.double(), triangles)
    number = torch.arange(len(pixels))[:, None].expand(-1, 3)
    exact = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64).expand(len(pixels), 3)
    return table.with_anchors(pixels, number, exact), pixels.numpy()


def _write(root: Path, name: str, rows: NDArray[np.int64]) -> None:
    text = "".join(" ".join(f"{v:.18e}" for v in row) + "\n" for row in rows)
    write_text(root / "layout" / name, text)
