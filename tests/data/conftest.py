"""Small fake data sets, written where the tests may write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lit_landmarks.data import FaceDataset, FaceIndex
from lit_landmarks.data.index import Report
from tests.support.images import smooth_noise, write_image, write_pts

MakeFaces = Callable[..., Path]


def face_points(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """68 points that spread like a face over the middle of an image."""
    return rng.uniform(0.3 * size, 0.7 * size, (68, 2))


@pytest.fixture
def make_faces(tmp_path: Path) -> MakeFaces:
    """A function that writes n faces in each of some folders below a root and returns the root."""

    def make(
        folders: Sequence[str] = ("",), n: int = 3, size: int = 96, root: str = "faces"
    ) -> Path:
        rng = np.random.default_rng(7)
        for folder in folders:
            where = tmp_path / root / folder
            for i in range(n):
                write_image(where / f"face_{i:02d}.jpg", smooth_noise(rng, size, size))
                write_pts(where / f"face_{i:02d}.pts", face_points(rng, size))
        return tmp_path / root

    return make


class DotFaces(FaceDataset):
    """Rendered faces: a soft white dot on black at each of the first few points.

    Args:
        n: number of faces.
        dots: dots per face; the other points are not annotated.
        sigma: width of a dot in image pixels.
        scheme: landmark scheme.
        labels: carry 3D points, pose, visibility and focal length too.
    """

    rendered = True

    def __init__(
        self,
        n: int = 4,
        dots: int = 4,
        sigma: float = 4.0,
        scheme: str = "ibug68",
        n_points: int = 68,
        labels: bool = False,
        size: int = 240,
    ) -> None:
        self.n, self.dots, self.sigma = n, dots, sigma
        self.scheme, self.n_points, self.labels, self.size = scheme, n_points, labels, size
        self.loads = 0

    def _read(self, report: Report) -> FaceIndex:
        rng = np.random.default_rng(self.n)
        points = rng.uniform(0.35, 0.65, (self.n, self.n_points, 2)) * self.size
        # One dot per quadrant, well apart from the others.
        corner = np.array([[0.38, 0.38], [0.62, 0.38], [0.38, 0.62], [0.62, 0.62]]) * self.size
        points[:, :4] = corner + rng.uniform(-0.04, 0.04, (self.n, 4, 2)) * self.size
        mask = np.ones(points.shape[:2], bool)
        if self.dots < self.n_points:
            mask[:, self.dots :] = False
        box = np.tile(np.array([0.3, 0.3, 0.7, 0.7], np.float32) * self.size, (self.n, 1))
        extra = {}
        if self.labels:
            depth = rng.uniform(-20, 20, points.shape[:2])
            extra = {
                "points3d": np.dstack([points, depth - depth.mean(1, keepdims=True)]).astype("f4"),
                "head3d": rng.normal(size=(*points.shape[:2], 3)).astype("f4"),
                "pose": rng.uniform(-40, 40, (self.n, 3)).astype("f4"),
                "visible": rng.integers(0, 3, points.shape[:2]).astype(np.int8),
                "focal": rng.uniform(200, 400, self.n).astype("f4"),
            }
        subsets = {"even": np.arange(self.n) % 2 == 0}
        return FaceIndex(
            points.astype("f4"),
            mask,
            box + rng.uniform(-3, 3, box.shape).astype("f4"),
            subsets=subsets,
            **extra,
        )

    def load(self, rows: Sequence[int]) -> list[NDArray[np.uint8]]:
        self.loads += len(rows)
        y, x = np.mgrid[: self.size, : self.size]
        images = []
        for row in rows:
            image = np.zeros((self.size, self.size))
            for u, v in self.index().points[row, : min(self.dots, 4)]:
                image += np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * self.sigma**2))
            images.append(np.repeat((image * 250).clip(0, 255).astype(np.uint8)[..., None], 3, 2))
        return images

    def content_key(self, rows: Sequence[int]) -> str:
        return f"{self.n} {self.dots} {self.sigma} {self.size} {self.n_points} {list(rows)}"


@pytest.fixture
def dot_faces() -> type[DotFaces]:
    """The class, for tests that choose its arguments."""
    return DotFaces
