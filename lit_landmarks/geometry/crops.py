"""Similarity crops as 2x3 affines: making, inverting, composing, applying.

Every affine is a (..., 2, 3) tensor that takes points of a *source* to points of a *destination*,
both in pixels whose centres lie at integers. A crop of side `a` resampled to `size` pixels covers
the half-open square [-0.5, size - 0.5) of its own frame; this is the rule that
`grid_sample(align_corners=False)` uses, so nothing here is ever half a pixel off.

A positive angle turns clockwise as seen in the image (x towards y), like `roll` of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

Size = int | tuple[int, int]


def _width_height(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def similarity(scale: Tensor, angle_deg: Tensor, src_center: Tensor, dst_center: Tensor) -> Tensor:
    """Similarities that take `src_center` to `dst_center`: p -> s R (p - src) + dst.

    Args:
        scale: (B,) destination pixels per source pixel.
        angle_deg: (B,) degrees, clockwise in the image.
        src_center: (B, 2) fixed point in the source.
        dst_center: (B, 2) where it lands.

    Returns:
        (B, 2, 3) affines, source -> destination.

    Example:
        >>> center = torch.zeros(1, 2)
        >>> affine = similarity(torch.tensor([2.0]), torch.tensor([0.0]), center, center + 10.0)
        >>> transform_points(affine, torch.ones(1, 1, 2))
        tensor([[[12., 12.]]])
    """
    angle = torch.deg2rad(angle_deg)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    x, y = src_center.unbind(-1)
    u, v = dst_center.unbind(-1)
    row_u = torch.stack((cos, -sin, u - cos * x + sin * y), -1)
    row_v = torch.stack((sin, cos, v - sin * x - cos * y), -1)
    return torch.stack((row_u, row_v), -2)


def invert_affine(affine: Tensor) -> Tensor:
    """The inverse of each (..., 2, 3) affine, in closed form.

    Example:
        >>> invert_affine(torch.tensor([[2.0, 0.0, 10.0], [0.0, 2.0, 10.0]]))[:, 2]
        tensor([-5., -5.])
    """
    (a, b, c), (d, e, f) = (row.unbind(-1) for row in affine.unbind(-2))
    det = a * e - b * d
    a_, b_, d_, e_ = e / det, -b / det, -d / det, a / det
    row_x = torch.stack((a_, b_, -(a_ * c + b_ * f)), -1)
    row_y = torch.stack((d_, e_, -(d_ * c + e_ * f)), -1)
    return torch.stack((row_x, row_y), -2)


def compose_affine(after: Tensor, before: Tensor) -> Tensor:
    """`after` applied to the result of `before`; both (..., 2, 3), broadcast."""
    linear = after[..., :2] @ before[..., :2]
    shift = after[..., :2] @ before[..., 2:] + after[..., 2:]
    return torch.cat((linear, shift), -1)


def transform_points(affine: Tensor, points: Tensor) -> Tensor:
    """(B, N, 2) points under (B, 2, 3) affines; leading axes broadcast.

    Example:
        >>> affine = torch.tensor([[[2.0, 0.0, 1.0], [0.0, 2.0, 0.0]]])
        >>> transform_points(affine, torch.ones(1, 1, 2))
        tensor([[[3., 2.]]])
    """
    return points @ affine[..., :2].mT + affine[..., 2].unsqueeze(-2)


def points_in_crop(points: Tensor, crop: Tensor | None) -> Tensor:
    """Points of an input in pixels of the crop that a normalizer chose; its place has no gradient.

    Args:
        points: (..., B, N, 2) pixels of the input.
        crop: (B, 2, 3) from crop pixels to input pixels; None where the input is the crop.
    """
    return points if crop is None else transform_points(invert_affine(crop.detach()), points)


def affine_scale(affine: Tensor) -> Tensor:
    """(...,) length scale of each affine: the square root of its |determinant|.

    Example:
        >>> affine_scale(torch.tensor([[2.0, 0.0, 1.0], [0.0, 2.0, 0.0]]))
        tensor(2.)
    """
    det = affine[..., 0, 0] * affine[..., 1, 1] - affine[..., 0, 1] * affine[..., 1, 0]
    return det.abs().sqrt()


def flip_affine(width: int, like: Tensor) -> Tensor:
    """(2, 3) mirror of a frame, x -> width - 1 - x, with dtype and device of `like`."""
    return like.new_tensor([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])


def box_crop(box: Tensor, size: int, scale: float | Tensor) -> Tensor:
    """The square crop of side `scale * max(w, h)` about the centre of each box.

    Args:
        box: (B, 4) x0 y0 x1 y1 in image pixels, for example from `points_box`.
        size: side of the frame in pixels.
        scale: side of the crop in box sides; a number or (B,).

    Returns:
        (B, 2, 3) affines, frame -> image.
    """
    low, high = box[..., :2], box[..., 2:]
    side = (high - low).amax(-1) * scale
    frame_center = box.new_full((*box.shape[:-1], 2), (size - 1) / 2)
    return similarity(side / size, torch.zeros_like(side), frame_center, (low + high) / 2)


def whole_box(width: int, height: int, scale: float) -> tuple[float, float, float, float]:
    """The box x0 y0 x1 y1 about which a crop just holds a whole picture.

    Args:
        width: of the picture, pixels.
        height: of the picture, pixels.
        scale: side of a crop in box sides.

    Example:
        >>> whole_box(201, 101, 2.0)
        (49.75, -0.25, 150.25, 100.25)
    """
    x, y, half = (width - 1) / 2, (height - 1) / 2, max(width, height) / scale / 2
    return x - half, y - half, x + half, y + half


def points_box(points: Tensor, mask: Tensor | None = None) -> Tensor:
    """(B, 4) tight box x0 y0 x1 y1 of the annotated points of each face.

    Args:
        points: (B, N, 2).
        mask: (B, N) bool, or None if all points count. A face without points gets NaN.

    Example:
        >>> points_box(torch.tensor([[[1.0, 5.0], [4.0, 2.0]]]))
        tensor([[1., 2., 4., 5.]])
    """
    if mask is None:
        return torch.cat((points.amin(-2), points.amax(-2)), -1)
    hidden = ~mask.unsqueeze(-1)
    low = points.masked_fill(hidden, torch.inf).amin(-2)
    high = points.masked_fill(hidden, -torch.inf).amax(-2)
    box = torch.cat((low, high), -1)
    return box.masked_fill(~mask.any(-1, keepdim=True), torch.nan)


def to_unit(points: Tensor, size: Size) -> Tensor:
    """Frame pixels to [-1, 1]: 2 (p + 0.5) / size - 1 (`align_corners=False`).

    Args:
        points: (..., 2).
        size: side of a square frame, or (width, height).
    """
    return (2 * points + 1) / points.new_tensor(_width_height(size)) - 1


def from_unit(points: Tensor, size: Size) -> Tensor:
    """[-1, 1] to frame pixels: the inverse of `to_unit`."""
    return (points + 1) * points.new_tensor(_width_height(size)) / 2 - 0.5


def to_centered(points: Tensor, size: int) -> Tensor:
    """Pixels (..., 2) of a square crop of side `size` to [-0.5, 0.5].

    Example:
        >>> to_centered(torch.tensor([-0.5, 31.5, 63.5]), 64)
        tensor([-0.5000,  0.0000,  0.5000])
    """
    return (points + 0.5) / size - 0.5


def from_centered(points: Tensor, size: int) -> Tensor:
    """[-0.5, 0.5] to pixels of a square crop: the inverse of `to_centered`."""
    return (points + 0.5) * size - 0.5


def sampling_theta(dst_to_src: Tensor, src_size: Size, dst_size: Size) -> Tensor:
    """The `theta` of `torch.nn.functional.affine_grid(align_corners=False)` for a pixel affine.

    Args:
        dst_to_src: (B, 2, 3) from pixels of the output (frame) to pixels of the input (image).
        src_size: input side or (width, height).
        dst_size: output side or (width, height).

    Returns:
        (B, 2, 3) in unit coordinates; `grid_sample` with this grid resamples the input.
    """
    src = dst_to_src.new_tensor(_width_height(src_size))
    dst = dst_to_src.new_tensor(_width_height(dst_size))
    # unit -> dst pixel is p = (u + 1) dst / 2 - 0.5; src pixel -> unit is (2 q + 1) / src - 1.
    linear = dst_to_src[..., :2]
    center = linear @ ((dst - 1) / 2) + dst_to_src[..., 2]
    shift = (2 * center + 1) / src - 1
    return torch.cat((linear * dst / src.unsqueeze(-1), shift.unsqueeze(-1)), -1)
