"""Landmarks, polylines and head axes drawn on pictures of faces.

True points are green, predicted ones orange-red; dots and lines are sized by the face, whatever the
size of the picture. Everything is drawn at sub-pixel places in the
coordinates of the image (pixel centers at integers), also when the picture is enlarged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.draw.files import Image
from lit_landmarks.geometry.camera import pose_camera, project
from lit_landmarks.geometry.rotations import euler_to_matrix
from lit_landmarks.schemes import LandmarkScheme, get_scheme

Color = tuple[int, int, int]
TRUTH: Color = (60, 220, 90)
PREDICTED: Color = (255, 96, 40)
OCCLUDED: Color = (225, 225, 235)
#: What the colors of labels and predictions mean, for `contact_sheet`.
LEGEND: tuple[tuple[str, Color], ...] = (("label", TRUTH), ("prediction", PREDICTED))
RESIDUAL: Color = (235, 235, 90)
MESH: Color = (90, 200, 235)
#: Head axes: x to the image's right, y down, and the direction of the nose.
AXES: tuple[Color, ...] = ((230, 60, 60), (70, 200, 70), (80, 130, 255))
#: Length of a drawn axis in head units (outer eye corners 1 apart).
AXIS_LENGTH = 0.6
#: Radius of a dot in sides of the face: the first over the root of the number of points, so that 5
#: are seen and 520 do not run together, and at most the second.
_DOT, _LARGEST_DOT = 0.07, 0.03
_SMALLEST_DOT = 0.6  # pixels of the picture
_SHIFT = 4  # OpenCV's sub-pixel bits
_FAR = 1e6  # points beyond this are not drawn: OpenCV's integers would overflow


def to_image(image: Any) -> Image:
    """An RGB uint8 copy (H, W, 3) of a tensor (3, H, W) in [0, 1] or uint8, or of an array.

    Args:
        image: tensor (3, H, W) or (1, H, W), float in [0, 1] or uint8; or array (H, W, 3), (H, W).

    Raises:
        ValueError: another shape.
    """
    if isinstance(image, Tensor):
        pixels = image.detach().cpu()
        if pixels.is_floating_point():
            pixels = (pixels.float().nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8)
        array = pixels.permute(1, 2, 0).numpy()
    else:
        array = np.asarray(image)
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1):
        array = np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise ValueError(f"an image is (3, H, W) or (H, W, 3), not {array.shape} {array.dtype}")
    return np.array(array, dtype=np.uint8, order="C")


@dataclass(frozen=True)
class FaceAnnotator:
    """Draws the labels and the prediction of a face on its image.

    Attributes:
        scheme: its polylines join the points; None draws points only.
        zoom: enlarge the picture this many times before drawing.
        residuals: join each predicted point with its true one.
        triangles: (T, 3) a mesh between the points, clockwise seen from outside: the sides of
            those that face the camera are drawn below the points; None draws none.

    Example:
        >>> annotator = FaceAnnotator("ibug68", zoom=2)
        >>> annotator.annotate(torch.zeros(3, 64, 64), torch.full((68, 2), 32.0)).shape
        (128, 128, 3)
    """

    scheme: LandmarkScheme | str | None = None
    zoom: int = 1
    residuals: bool = False
    triangles: NDArray[np.int64] | None = None

    def annotate(
        self,
        image: Any,
        points: Any = None,
        *,
        mask: Any = None,
        visible: Any = None,
        predicted: Any = None,
        pose: Any = None,
    ) -> Image:
        """The image with everything drawn on it that is given; the image itself is not changed.

        Args:
            image: (3, H, W) tensor or (H, W, 3) array; see `to_image`.
            points: (N, 2) true landmarks in image pixels, or None.
            mask: (N,) bool, False where a true point is not annotated.
            visible: (N,) int, as in `FaceBatch`: occluded true points (0, 2) are white and open.
            predicted: (N, 2) predicted landmarks in image pixels, or None.
            pose: (6,) yaw pitch roll tx ty tz: head axes, for square crops in the pose camera;
                with a missing translation they stand at the middle of the points, without
                perspective.

        Returns:
            (zoom H, zoom W, 3) uint8 RGB.

        Raises:
            ValueError: what is given is no image.
        """
        canvas = _Canvas(to_image(image), self.zoom)
        scheme = get_scheme(self.scheme) if isinstance(self.scheme, str) else self.scheme
        truth = None if points is None else _drawable(points, mask)
        guess = None if predicted is None else _drawable(predicted, None)
        if self.residuals and truth is not None and guess is not None:
            for start, end in zip(truth, guess, strict=True):
                canvas.segment(start, end, RESIDUAL)
        shown = next((p for p in (truth, guess) if p is not None and np.isfinite(p).any()), None)
        canvas.size_dots(shown)
        if self.triangles is not None and shown is not None:
            canvas.mesh(guess if guess is not None else shown, self.triangles)
        if truth is not None:
            occluded = None if visible is None else np.isin(_array(visible), (0, 2))
            canvas.shape(truth, TRUTH, scheme, occluded)
        if guess is not None:
            canvas.shape(guess, PREDICTED, scheme)
        if pose is not None:
            ends = _axis_ends(
                torch.as_tensor(_array(pose), dtype=torch.float64),
                canvas.size,
                truth if truth is not None else guess,
            )
            for color, end in zip(AXES, ends[1:], strict=False):
                canvas.segment(ends[0], end, color, max(1, int(1.25 * canvas.radius)))
        return canvas.pixels


class _Canvas:
    """A picture to draw on, in the coordinates of the image before it was enlarged.

    Attributes:
        pixels: (zoom H, zoom W, 3) uint8 RGB.
        size: width of the image, W.
        radius: of a dot, in pixels of the picture.
    """

    def __init__(self, image: Image, zoom: int) -> None:
        self.size = image.shape[1]
        self._zoom = zoom
        self.radius = max(1.0, image.shape[1] * zoom / 160)
        if zoom != 1:
            shape = (image.shape[1] * zoom, image.shape[0] * zoom)
            image = np.asarray(cv2.resize(image, shape, interpolation=cv2.INTER_CUBIC), np.uint8)
        self.pixels = image

    def size_dots(self, points: NDArray[np.float64] | None) -> None:
        """Sizes dots by the face that the points (N, 2) span, NaN where there is none.

        A single point spans nothing: its dot keeps the size that goes with the picture.
        """
        if points is None:
            return
        finite = points[np.isfinite(points).all(axis=1)]
        side = float((finite.max(axis=0) - finite.min(axis=0)).max()) * self._zoom
        if side > 0:
            share = min(_LARGEST_DOT, _DOT / len(finite) ** 0.5)
            self.radius = max(_SMALLEST_DOT, share * side)

    def _fixed(self, point: NDArray[np.float64]) -> tuple[int, int]:
        """OpenCV's fixed-point place of a point in the enlarged picture."""
        x, y = np.rint(((point + 0.5) * self._zoom - 0.5) * (1 << _SHIFT)).astype(np.int32).tolist()
        return x, y

    def segment(
        self,
        start: NDArray[np.float64],
        end: NDArray[np.float64],
        color: Color,
        thickness: int = 1,
    ) -> None:
        """A straight line, where both ends are numbers."""
        if np.isfinite(start).all() and np.isfinite(end).all():
            ends = self._fixed(start), self._fixed(end)
            cv2.line(self.pixels, *ends, color, thickness, cv2.LINE_AA, _SHIFT)

    def mesh(self, points: NDArray[np.float64], triangles: NDArray[np.int64]) -> None:
        """Sides of the triangles that are seen from outside, each once."""
        a, b, c = (points[triangles[:, k]] for k in range(3))
        first, second = b - a, c - a
        front = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] > 0
        sides = triangles[front][:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
        for start, end in np.unique(np.sort(sides, axis=1), axis=0):
            self.segment(points[start], points[end], MESH)

    def shape(
        self,
        points: NDArray[np.float64],
        color: Color,
        scheme: LandmarkScheme | None,
        occluded: NDArray[np.bool_] | None = None,
    ) -> None:
        """Landmarks and, fainter below them, the polylines of their scheme."""
        if scheme is not None and len(points) >= scheme.n_points:
            faint = (int(0.6 * color[0]), int(0.6 * color[1]), int(0.6 * color[2]))
            for indices, closed in scheme.polylines.values():
                pairs = list(zip(indices, (*indices[1:], indices[0]), strict=True))
                for start, end in pairs if closed else pairs[:-1]:
                    thickness = max(1, round(0.6 * self.radius))
                    self.segment(points[start], points[end], faint, thickness)
        radius = round(self.radius * (1 << _SHIFT))
        for row, point in enumerate(points):
            if np.isfinite(point).all():
                is_occluded = occluded is not None and bool(occluded[row])
                ink, thickness = (OCCLUDED, 1) if is_occluded else (color, -1)
                place = self._fixed(point)
                cv2.circle(self.pixels, place, radius, ink, thickness, cv2.LINE_AA, _SHIFT)


def _array(values: Any) -> NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _drawable(points: Any, mask: Any) -> NDArray[np.float64]:
    """(N, 2) points with NaN where they are masked or too far away to draw."""
    drawable = np.array(_array(points), dtype=np.float64)[:, :2]
    if mask is not None:
        drawable[~_array(mask).astype(bool)] = np.nan
    drawable[~(np.abs(drawable) < _FAR).all(axis=1)] = np.nan
    return drawable


def _axis_ends(pose: Tensor, size: int, points: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """(4, 2) origin and tips of the head axes in image pixels; (1, 2) without angles."""
    if not bool(pose[:3].isfinite().all()):
        return np.full((1, 2), np.nan)
    tips = AXIS_LENGTH * torch.tensor(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, -1]], dtype=torch.float64
    )
    if len(pose) >= 6 and bool(pose[3:6].isfinite().all()) and float(pose[5]) > AXIS_LENGTH:
        focal, center = pose_camera(size)
        ends = project(tips.unsqueeze(0), pose[:6].unsqueeze(0), focal, center)[0].numpy()
    else:
        finite = np.empty((0, 2)) if points is None else points[np.isfinite(points).all(axis=1)]
        origin = finite.mean(axis=0) if len(finite) else np.full(2, (size - 1) / 2)
        rotated = tips @ euler_to_matrix(pose[:3]).mT
        ends = origin + rotated[:, :2].numpy() * size / 3
    return np.asarray(np.clip(ends, -_FAR, _FAR), dtype=np.float64)
