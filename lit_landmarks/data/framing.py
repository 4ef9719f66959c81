"""Framing: how a face is cut out of an image by its box, in training, checks and photos alike.

A face is cut in two steps. The *source crop*, a square on whole image pixels about the box, larger
than the crop, is resized without aliasing (`crop_boxes`); data sets keep it in the cache. The
*crop*, which a method receives, is sampled from it by one warp (`pixels.frames`). `BatchTransform`
starts from cached source crops, `cut_faces` from an image; the rest is the same code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.data.augment import AugmentationParams
from lit_landmarks.data.crop_boxes import check_box, cut_square, source_affines, source_squares
from lit_landmarks.data.pixels import frames
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import (
    affine_scale,
    box_crop,
    compose_affine,
    invert_affine,
    similarity,
    transform_points,
)
from lit_landmarks.labels import Label
from lit_landmarks.schemes import get_map, get_scheme
from lit_landmarks.types import CropSpec


@dataclass(frozen=True)
class CropPlacement:
    """Where crops lie in their images.

    Single precision holds a place in an image of 4000 pixels to 2e-4 only, so everything is
    computed from whole image pixels near each face, `origin`.

    Attributes:
        affine: (B, 2, 3) from crop pixels to image pixels, counted from `origin`. Mirrored crops
            have a negative determinant.
        origin: (B, 2) whole image pixels.
        inverse: (B, 2, 3) inverse of `affine`.
    """

    affine: Tensor
    origin: Tensor
    inverse: Tensor

    @classmethod
    def of(
        cls,
        boxes: Tensor,
        spec: CropSpec,
        origin: Tensor,
        params: AugmentationParams | None = None,
    ) -> CropPlacement:
        """The crops about face boxes.

        Args:
            boxes: (B, 4) x0 y0 x1 y1 in image pixels.
            spec: size and scale of the crops.
            origin: (B, 2) whole image pixels near the boxes.
            params: shift, zoom, turn and mirror of each face in its crop; None for none.
        """
        near = boxes - origin.repeat(1, 2)
        if params is None:
            affine = box_crop(near, spec.size, spec.scale)
        else:
            affine = _disturbed(near, spec, params)
        return cls(affine, origin, invert_affine(affine))

    @property
    def crop_to_image(self) -> Tensor:
        """(B, 2, 3) affines from crop pixels to image pixels."""
        return torch.cat([self.affine[..., :2], self.affine[..., 2:] + self.origin[..., None]], -1)

    def crop_to_source(self, source_to_image: Tensor) -> Tensor:
        """(B, 2, 3) affines from crop pixels to pixels of source crops."""
        source = source_to_image.clone()
        source[..., 2] -= self.origin
        return compose_affine(invert_affine(source), self.affine)

    def to_crop(self, points: Tensor) -> Tensor:
        """(B, N, 2) image pixels to crop pixels."""
        return transform_points(self.inverse, points - self.origin[:, None])

    def move(self, label: Label, values: Tensor) -> Tensor:
        """A label column from image pixels to crop pixels, as `Label.similarity` says.

        Args:
            label: its row of the label table.
            values: (B, ...).
        """
        if label.similarity == "crop":
            return self.crop_to_image
        if label.similarity == "length":
            step = affine_scale(self.affine)
            return values / step.view(-1, *[1] * (values.ndim - 1))
        if label.similarity == "points":
            places = self.to_crop(values[..., :2])
            if values.shape[-1] == 2:
                return places
            depth = values[..., 2:] / affine_scale(self.affine).view(-1, 1, 1)
            return torch.cat([places, depth], -1)
        return values


def _disturbed(boxes: Tensor, spec: CropSpec, params: AugmentationParams) -> Tensor:
    """(B, 2, 3) affines, crop -> image; a mirrored row has a negative x axis."""
    low, high = boxes[:, :2], boxes[:, 2:]
    middle = torch.full_like(low, (spec.size - 1) / 2)
    # A face that grows and turns right in the crop is read with smaller steps turned left.
    step = (high - low).amax(1) * (spec.scale / spec.size) / params.scale
    places = middle + params.shift * spec.size
    affine = similarity(step, -params.rotation, places, (low + high) / 2)
    mirror = torch.where(params.flip, -1.0, 1.0)
    offset = torch.where(params.flip, spec.size - 1.0, 0.0)
    x_axis = affine[:, :, 0]
    origin = affine[:, :, 2] + x_axis * offset[:, None]
    return torch.stack([x_axis * mirror[:, None], affine[:, :, 1], origin], 2)


def place_crops(
    boxes: Tensor, source_to_image: Tensor, spec: CropSpec, params: AugmentationParams | None
) -> CropPlacement:
    """Crops about face boxes, counted from the first pixel of each source crop.

    Args:
        boxes: (B, 4) in image pixels.
        source_to_image: (B, 2, 3) affines of the source crops.
        spec: size and scale of the crops.
        params: shift, zoom, turn and mirror; None for none.
    """
    return CropPlacement.of(boxes, spec, source_to_image[..., 2].round(), params)


def landmark_box(points: NDArray[Any], scheme: str) -> NDArray[np.float64]:
    """The box (4,) x0 y0 x1 y1 by which the face of some landmarks is cut: that of iBUG's 68.

    Args:
        points: (N, 2) pixels.
        scheme: of the points; one that iBUG's cannot be read off is boxed by all of them.
    """
    try:
        rows = get_map(scheme, "ibug68").source_index.numpy()
    except UserError:
        rows = np.arange(get_scheme(scheme).n_points)
    some = points[rows[rows >= 0]]
    return np.concatenate([some.min(0), some.max(0)]).astype(np.float64)


def cut_faces(
    image: NDArray[np.uint8] | Tensor,
    boxes: NDArray[Any] | Tensor,
    spec: CropSpec,
    image_of: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Cut faces out of an image by their boxes, with the very pixels that evaluation sees.

    Args:
        image: (H, W, 3) uint8 RGB, or a tensor (3, H, W) or (B, 3, H, W), uint8 or float in
            [0, 1], which is rounded to 8 bits, as source crops are.
        boxes: (F, 4) x0 y0 x1 y1 in pixels whose centres lie at integers.
        spec: how the method was trained to see faces.
        image_of: (F,) the image of each box; None: the one image, or box i is in image i.

    Returns:
        (F, 3, S, S) float32 RGB in [0, 1] and (F, 2, 3) affines from crop to image pixels, both
        on the device of the image. What lies outside the image is black.

    Raises:
        UserError: the image has another form, or a box has no area, lies wholly outside its image
            or is far larger than it.

    Example:
        >>> image, box = np.zeros((120, 160, 3), np.uint8), np.array([[40, 30, 72, 62]])
        >>> crops, crop_to_image = cut_faces(image, box, CropSpec(64, "tight", 1.5))
        >>> crops.shape, crop_to_image[0].tolist()
        (torch.Size([1, 3, 64, 64]), [[0.75, -0.0, 32.375], [0.0, 0.75, 22.375]])
    """
    images = as_pictures(image)
    device = image.device if isinstance(image, Tensor) else torch.device("cpu")
    box = torch.as_tensor(boxes).detach().cpu().float().reshape(-1, 4)
    rows = _image_numbers(len(images), len(box), image_of)
    squares = np.zeros((len(box), 3), np.int64)
    size = spec.source_size
    source = np.zeros((len(box), size, size, 3), np.uint8)
    for k, row in enumerate(rows):
        corners = box[k].numpy()
        if not np.isfinite(corners).all() or not (corners[2:] > corners[:2]).all():
            raise UserError(f"box {corners.tolist()} has no area, box {k}; give x0 < x1, y0 < y1")
        check_box(corners, images[row], f"box {k}")
        squares[k] = source_squares(box[k : k + 1].numpy(), spec.source_scale)[0]
        source[k] = cut_square(images[row], squares[k], size)
    to_image = torch.from_numpy(source_affines(squares, size)).to(device)
    placement = place_crops(box.to(device), to_image, spec, None)
    pixels = torch.from_numpy(source).permute(0, 3, 1, 2).to(device)
    crops = frames(pixels, placement.crop_to_source(to_image), spec.size, None, 0)
    return crops, placement.crop_to_image


def as_pictures(
    image: NDArray[np.uint8] | Tensor, name: str = "cut_faces"
) -> list[NDArray[np.uint8]]:
    """Every image as (H, W, 3) uint8 on the host.

    Args:
        image: (H, W, 3) uint8 RGB, or a tensor (3, H, W) or (B, 3, H, W), uint8 or float in
            [0, 1], which is rounded to 8 bits.
        name: what it is, or who asks, for the error.

    Raises:
        UserError: another shape or type.
    """
    if isinstance(image, Tensor):
        batch = image[None] if image.ndim == 3 else image
        if batch.ndim == 4 and batch.shape[1] == 3:
            if batch.is_floating_point():
                batch = batch.detach().float().clamp(0, 1).mul(255).round().byte()
            if batch.dtype == torch.uint8:
                return list(batch.permute(0, 2, 3, 1).contiguous().cpu().numpy())
    elif image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8:
        return [image]
    raise UserError(
        f"an image of {image.dtype} {tuple(image.shape)} is neither (H, W, 3) uint8 nor a tensor"
        f" (3, H, W) or (B, 3, H, W) of uint8 or float, {name}; convert it to RGB"
    )


def _image_numbers(images: int, boxes: int, image_of: Tensor | None) -> list[int]:
    """The image of each box.

    Raises:
        UserError: there are neither one image nor as many as boxes, or a number has no image.
    """
    if image_of is not None:
        rows = [int(row) for row in image_of.tolist()]
    elif images == 1:
        rows = [0] * boxes
    else:
        rows = list(range(images))
    if len(rows) != boxes or not all(0 <= row < images for row in rows):
        raise UserError(
            f"{boxes} boxes for {images} images, cut_faces; give one box per image, or image_of"
        )
    return rows
