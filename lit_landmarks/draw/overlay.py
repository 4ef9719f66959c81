"""Landmarks, polylines and head axes on an image.

Truth is green, the prediction is orange-red. Everything is drawn with sub-pixel places in the
frame's own coordinates (pixel centres at integers), also when the picture is enlarged.
"""

from __future__ import annotations

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

Colour = tuple[int, int, int]
TRUTH: Colour = (60, 220, 90)
PREDICTED: Colour = (255, 96, 40)
HIDDEN: Colour = (225, 225, 235)
#: Head axes: x to the image's right, y down, and the direction of the nose.
AXES: tuple[Colour, ...] = ((230, 60, 60), (70, 200, 70), (80, 130, 255))
#: Length of a drawn axis in head units (outer eye corners 1 apart).
AXIS_LENGTH = 0.6
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


def overlay(
    image: Any,
    points: Any = None,
    mask: Any = None,
    scheme: LandmarkScheme | str | None = None,
    predicted: Any = None,
    pose: Any = None,
    *,
    visible: Any = None,
    zoom: int = 1,
    residuals: bool = False,
) -> Image:
    """Draw labels and a prediction on an image.

    Args:
        image: (3, H, W) tensor or (H, W, 3) array; see `to_image`. It is not changed.
        points: (N, 2) true landmarks in image pixels, or None.
        mask: (N,) bool, False where a true point is not annotated.
        scheme: its polylines join the points; None draws points only.
        predicted: (N, 2) predicted landmarks, or None.
        pose: (6,) yaw pitch roll tx ty tz: head axes, for square frames in the pose camera; with a
            missing translation they stand at the middle of the points, without perspective.
        visible: (N,) int, as in `FaceBatch`: occluded true points (0, 2) are drawn white and open.
        zoom: enlarge the picture this many times before drawing.
        residuals: join each predicted point with its true one.

    Returns:
        (zoom H, zoom W, 3) uint8 RGB.
    """
    canvas = to_image(image)
    size = canvas.shape[1]
    if zoom != 1:
        shape = (canvas.shape[1] * zoom, canvas.shape[0] * zoom)
        canvas = np.asarray(cv2.resize(canvas, shape, interpolation=cv2.INTER_CUBIC), np.uint8)
    lines = get_scheme(scheme) if isinstance(scheme, str) else scheme
    truth = _points(points, mask)
    guess = _points(predicted, None)
    if residuals and truth is not None and guess is not None:
        for a, b in zip(truth, guess, strict=True):
            _polyline(canvas, np.stack([a, b]), False, (235, 235, 90), zoom)
    hidden = None if visible is None else np.isin(_array(visible), (0, 2))
    for shape_points, colour, away in ((truth, TRUTH, hidden), (guess, PREDICTED, None)):
        if shape_points is not None:
            _shape(canvas, shape_points, colour, lines, away, zoom)
    if pose is not None:
        anchor = truth if truth is not None else guess
        _axes(canvas, torch.as_tensor(_array(pose), dtype=torch.float64), size, anchor, zoom)
    return canvas


def _array(values: Any) -> NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _points(points: Any, mask: Any) -> NDArray[np.float64] | None:
    """(N, 2) float64 with NaN where nothing is to be drawn."""
    if points is None:
        return None
    found = np.array(_array(points), dtype=np.float64)[:, :2]
    if mask is not None:
        found[~_array(mask).astype(bool)] = np.nan
    found[~(np.abs(found) < _FAR).all(axis=1)] = np.nan
    return found


def _fixed(points: NDArray[np.float64], zoom: int) -> NDArray[np.int32]:
    """Image pixels to OpenCV's fixed-point places in the enlarged picture."""
    place = (points + 0.5) * zoom - 0.5
    return np.rint(place * (1 << _SHIFT)).astype(np.int32)


def _polyline(
    canvas: Image, points: NDArray[np.float64], closed: bool, colour: Colour, zoom: int
) -> None:
    """Segments between neighbours that both exist."""
    after = np.roll(points, -1, axis=0)
    pairs = list(zip(points, after, strict=True))
    for pair in pairs if closed else pairs[:-1]:
        ends = np.stack(pair)
        if np.isfinite(ends).all():
            (x0, y0), (x1, y1) = _fixed(ends, zoom).tolist()
            cv2.line(canvas, (x0, y0), (x1, y1), colour, 1, cv2.LINE_AA, _SHIFT)


def _shape(
    canvas: Image,
    points: NDArray[np.float64],
    colour: Colour,
    scheme: LandmarkScheme | None,
    hidden: NDArray[np.bool_] | None,
    zoom: int,
) -> None:
    if scheme is not None and len(points) >= scheme.n_points:
        faint: Colour = (int(0.6 * colour[0]), int(0.6 * colour[1]), int(0.6 * colour[2]))
        for indices, closed in scheme.polylines.values():
            _polyline(canvas, points[list(indices)], closed, faint, zoom)
    radius = max(1.0, canvas.shape[1] / 160)
    for row, point in enumerate(points):
        if not np.isfinite(point).all():
            continue
        x, y = _fixed(point, zoom).tolist()
        away = hidden is not None and bool(hidden[row])
        paint, thickness = (HIDDEN, 1) if away else (colour, -1)
        radius_bits = round(radius * (1 << _SHIFT))
        cv2.circle(canvas, (x, y), radius_bits, paint, thickness, cv2.LINE_AA, _SHIFT)


def _axes(
    canvas: Image, pose: Tensor, size: int, points: NDArray[np.float64] | None, zoom: int
) -> None:
    """The three head axes; nothing if the angles are not numbers."""
    if not bool(pose[:3].isfinite().all()):
        return
    tips = AXIS_LENGTH * torch.tensor(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, -1]], dtype=torch.float64
    )
    if len(pose) >= 6 and bool(pose[3:6].isfinite().all()) and float(pose[5]) > AXIS_LENGTH:
        focal, centre = pose_camera(size)
        ends = project(tips.unsqueeze(0), pose[:6].unsqueeze(0), focal, centre)[0].numpy()
    else:
        known = None if points is None else points[np.isfinite(points).all(axis=1)]
        middle = np.full(2, (size - 1) / 2) if known is None or not len(known) else known.mean(0)
        turned = tips @ euler_to_matrix(pose[:3]).mT
        ends = middle + turned[:, :2].numpy() * size / 3
    thickness = max(1, canvas.shape[1] // 128)
    start = _fixed(np.clip(ends[0], -_FAR, _FAR), zoom).tolist()
    for colour, end in zip(AXES, ends[1:], strict=True):
        stop = _fixed(np.clip(end, -_FAR, _FAR), zoom).tolist()
        cv2.line(canvas, tuple(start), tuple(stop), colour, thickness, cv2.LINE_AA, _SHIFT)
