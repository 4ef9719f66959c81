"""Patches of other pictures behind a picture that ends within its frame.

Photos that were cut about their faces end in black in a wide frame, and where they end says where
their faces lie. A method that learns to look for faces in such frames learns that, and fails on
whole photos. Behind these pictures are put squares from beside the faces of other ones, some large,
some small, so that edges of pictures are everywhere and only faces are faces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.data.augment import AugmentationParams
from lit_landmarks.errors import UserError

Pixels = NDArray[np.uint8]

#: Squares that are kept, and their sides in pixels.
_COUNT, _SIDE = 256, 128
#: A face reaches so many of its box sides beyond the box; squares of fewer pixels are too blurred.
_BEYOND, _SMALLEST = 0.2, 24
#: Share of a square's side that a patch shows at least; pixels of a square for one of a frame, at
#: most, as nothing is averaged.
_ZOOM, _COARSEST = 0.3, 1.5


def collect_surroundings(parts: Sequence[tuple[Pixels, NDArray[np.float64]]]) -> Tensor:
    """Squares from beside the faces of source crops.

    Args:
        parts: of each data set its crops (n, S, S, 3) and the boxes (n, 4) of the faces in pixels
            of the crops.

    Returns:
        (K, T, T, 3) uint8, K at most 256.

    Raises:
        UserError: the crops show next to nothing beside the faces.
    """
    faces = [(crops, boxes, row) for crops, boxes in parts for row in range(len(boxes))]
    # Evenly over all faces; half of them may show too little.
    chosen = faces[:: max(1, len(faces) // (2 * _COUNT))]
    squares = (_cut_square(np.asarray(crops[row]), boxes[row]) for crops, boxes, row in chosen)
    enough = [square for square in squares if square is not None][:_COUNT]
    if not enough:
        raise UserError(
            "no training picture shows anything beside its face, for augmentation.surround; take a"
            " larger data.init_args.source_scale, or set it to 0"
        )
    return torch.from_numpy(np.stack(enough))


def _cut_square(crop: Pixels, box: NDArray[np.float64]) -> Pixels | None:
    """The largest square of a picture left, right, above or below its face."""
    x0, y0, x1, y1 = content_rectangle(crop)
    beyond = _BEYOND * float((box[2:] - box[:2]).max())
    left, top = (int(v) for v in np.floor(box[:2] - beyond))
    right, bottom = (int(v) for v in np.ceil(box[2:] + beyond))
    bands = [(x0, y0, left, y1), (right, y0, x1, y1), (x0, y0, x1, top), (x0, bottom, x1, y1)]
    u0, v0, u1, v1 = max(bands, key=lambda b: min(b[2] - b[0], b[3] - b[1]))
    side = min(u1 - u0, v1 - v0)
    if side < _SMALLEST:
        return None
    u, v = u0 + (u1 - u0 - side) // 2, v0 + (v1 - v0 - side) // 2
    square = np.ascontiguousarray(crop[v : v + side, u : u + side])
    return np.asarray(cv2.resize(square, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def content_rectangle(crop: Pixels) -> tuple[int, int, int, int]:
    """x0 y0 x1 y1 of a crop (S, S, 3) without the black rows and columns at its edges.

    Where there are any, the row beside them, into which they are mixed, is left out too.
    """
    ends = []
    for axes in ((0, 2), (1, 2)):  # columns, rows
        lines: NDArray[np.bool_] = np.any(crop, axis=axes)
        bright = np.flatnonzero(lines)
        if not len(bright):
            return 0, 0, 0, 0
        first, last = int(bright[0]), int(bright[-1]) + 1
        ends.append((first + (first > 0), max(last - (last < len(lines)), first + (first > 0))))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]


def content_rectangles(source: Tensor) -> Tensor:
    """(B, 4) `content_rectangle` of crops (B, 3, S, S), on their device."""
    bright = source.amax(1) > 0
    place = torch.arange(source.shape[-1], device=source.device)
    ends = []
    for lines in (bright.any(1), bright.any(2)):  # columns, rows
        first = torch.where(lines, place, place.numel()).amin(1)
        last = torch.where(lines, place, -1).amax(1) + 1
        low = first + (first > 0)
        high = torch.maximum(last - (last < place.numel()).long(), low)
        empty = last == 0
        ends.append((low.masked_fill(empty, 0), high.masked_fill(empty, 0)))
    return torch.stack([ends[0][0], ends[1][0], ends[0][1], ends[1][1]], 1)


def texture_steps(params: AugmentationParams, count: int, side: int) -> tuple[Tensor, Tensor]:
    """Which square each patch shows, and where: for a pixel p of it, offset + step * p.

    Args:
        params: with patches.
        count: of squares.
        side: of a square in pixels.

    Returns:
        (B, P) int64 numbers and (B, P, 3) step, x and y of the offset.
    """
    assert params.patches is not None
    assert params.textures is not None
    longer = (params.patches[..., 2:] - params.patches[..., :2]).amax(-1).clamp(min=1)
    which, zoom, place = params.textures[..., 0], params.textures[..., 1], params.textures[..., 2:]
    step = (side * (_ZOOM + (1 - _ZOOM) * zoom) / longer).clamp(max=_COARSEST)
    offset = place * (side - 1 - step * (longer - 1)).clamp(min=0)[..., None]
    number = (which * count).long()
    return number, torch.cat([step[..., None], offset], -1)


def paint_patches(
    frame: Pixels,
    patches: Iterable[Sequence[int]],
    numbers: Sequence[int],
    steps: Sequence[Sequence[float]],
    squares: Pixels,
) -> None:
    """Paint the patches of one face into its frame (S, S, 3), the first one lowest."""
    for (x0, y0, x1, y1), number, (step, x, y) in zip(patches, numbers, steps, strict=True):
        if x1 > x0:
            affine = np.array([[step, 0, x], [0, step, y]])
            frame[y0:y1, x0:x1] = cv2.warpAffine(
                squares[number],
                affine,
                (x1 - x0, y1 - y0),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )


def patches_on_device(image: Tensor, params: AugmentationParams, squares: Tensor) -> Tensor:
    """Frames (B, 3, S, S) in [0, 1] with the patches of their faces painted into them.

    Args:
        image: what is behind the patches.
        params: with patches.
        squares: (K, T, T, 3) uint8.
    """
    assert params.patches is not None
    side = squares.shape[1]
    numbers, steps = texture_steps(params, len(squares), side)
    place = torch.arange(image.shape[-1], device=image.device)
    for k in range(numbers.shape[1]):
        x0, y0 = params.patches[:, k, :2].unsqueeze(-1).unbind(1)
        step, x, y = steps[:, k].unsqueeze(-1).unbind(1)
        columns, rows = x + (place - x0) * step, y + (place - y0) * step
        grid = torch.stack(
            [
                columns[:, None].expand(-1, len(place), -1),
                rows[:, :, None].expand(-1, -1, len(place)),
            ],
            -1,
        )
        texture = squares[numbers[:, k]].permute(0, 3, 1, 2).float().div(255)
        patch = F.grid_sample(
            texture,
            (2 * grid + 1) / side - 1,
            padding_mode="border",
            align_corners=False,
        )
        image = torch.where(inside_rectangles(params.patches[:, k], len(place)), patch, image)
    return image


def inside_rectangles(corners: Tensor, size: int) -> Tensor:
    """(B, 1, size, size) which pixels lie in a rectangle (B, 4) x0 y0 x1 y1, end excluded."""
    place = torch.arange(size, device=corners.device)
    x0, y0, x1, y1 = corners.unsqueeze(-1).unbind(1)
    columns, rows = (place >= x0) & (place < x1), (place >= y0) & (place < y1)
    return (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)
