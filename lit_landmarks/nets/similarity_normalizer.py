"""A spatial normalizer that predicts a similarity and resamples from an antialiased pyramid."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from kornia.geometry.transform import pyrdown
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.crops import affine_scale, similarity
from lit_landmarks.nets.normalizer import SpatialNormalizer
from lit_landmarks.nets.precision import apply_in_single, full_precision
from lit_landmarks.nets.spatial_softmax import SpatialSoftmaxFeatures

#: Sides of the crop that can be predicted, in sides of the image.
_SMALLEST, _LARGEST = 0.1, 1.6


class SimilarityNormalizer(SpatialNormalizer):
    """Predicts shift, scale and roll of the crop from a thumbnail of a wide image (ours).

    Scale is bounded, a mirror is not possible, and before training every crop is the same. Pixels
    come from a Gaussian pyramid at the resolution of the crop, since a bilinear sample of a large
    image aliases; the choice of the level has no gradient.

    Args:
        backbone: timm's name of the network that looks at the thumbnail.
        thumbnail: its side in pixels; divides that of the image.
        channels, maps: see `nets.spatial_softmax.SpatialSoftmaxFeatures`.
        side: of the crop before training, in sides of the image.
        levels: of the pyramid; 1 for none.
        **base: see `SpatialNormalizer`.

    Example:
        >>> normalizer = SimilarityNormalizer(crop_size=64, thumbnail=32, side=0.5).eval()
        >>> normalizer.locate(torch.zeros(1, 3, 128, 128))[0]
        tensor([[ 1.0000, -0.0000, 32.0000],
                [ 0.0000,  1.0000, 32.0000]], grad_fn=<SelectBackward0>)
    """

    def __init__(
        self,
        *,
        backbone: str = "mobilenetv3_small_050",
        thumbnail: int = 64,
        channels: int = 32,
        maps: int = 32,
        side: float = 0.6,
        levels: int = 3,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        if thumbnail < 32 or thumbnail % 16:
            raise UserError(f"normalizer.thumbnail is {thumbnail}; give a multiple of 16 from 32")
        if not _SMALLEST < side < _LARGEST:
            raise UserError(
                f"normalizer.side is {side}; give a share of the image between {_SMALLEST} and"
                f" {_LARGEST}"
            )
        if levels < 1:
            raise UserError(f"normalizer.levels is {levels}; give 1 or more")
        self.thumbnail, self.levels = thumbnail, levels
        self.features = SpatialSoftmaxFeatures(
            backbone, strides=(4, 8, 16), channels=channels, maps=maps
        )
        #: Log of the side, roll in radians, middle x and y in sides of the image.
        self.similarity = nn.Linear(self.features.num_features, 4)
        nn.init.normal_(self.similarity.weight, std=1e-4)  # at 0, features would have no gradient
        nn.init.zeros_(self.similarity.bias)
        share = math.log(side / _SMALLEST) / math.log(_LARGEST / _SMALLEST)
        self._start = math.log(share / (1.0 - share))
        self.pyramid = _Pyramid(levels)

    def locate(self, image: Tensor) -> Tensor:
        """See `SpatialNormalizer.locate`."""
        size = image.shape[-1]
        if size % self.thumbnail:
            raise UserError(
                f"normalizer.thumbnail is {self.thumbnail}, which does not divide an image of"
                f" {size} pixels; set it to a divisor of data.init_args.frame_size"
            )
        small = F.avg_pool2d(image, size // self.thumbnail)
        values = apply_in_single(self.similarity, self.features(small))
        with full_precision(image.device):
            scale, roll, across, down = values.unbind(-1)
            share = torch.sigmoid(scale + self._start)
            side = _SMALLEST * torch.exp(share * math.log(_LARGEST / _SMALLEST)) * size
            middle = torch.stack((across, down), -1) * size + (size - 1) / 2
            origin = torch.full_like(middle, (self.crop_size - 1) / 2)
            return similarity(side / self.crop_size, torch.rad2deg(roll), origin, middle)

    def resample(self, image: Tensor, to_input: Tensor) -> Tensor:
        """See `SpatialNormalizer.resample`: blended from the two nearest levels of the pyramid."""
        # Pixels of the image in one of the crop; an enlarged face needs no filter.
        images = self.pyramid(image)
        level = affine_scale(to_input.detach()).log2().clamp(0.0, len(images) - 1.0)
        total: Tensor | None = None
        for number, smaller in enumerate(images):
            # Pixel u of a level has its middle at (u + 0.5) 2^level - 0.5 of the image.
            ratio = smaller.shape[-1] / image.shape[-1]
            linear, shift = to_input[..., :2] * ratio, to_input[..., 2:] * ratio
            affine = torch.cat((linear, shift + (ratio - 1.0) / 2), -1)
            share = (1.0 - (level - number).abs()).clamp(min=0.0)
            part = super().resample(smaller, affine) * share[:, None, None, None]
            total = part if total is None else total + part
        assert total is not None
        return total


class _Pyramid(nn.Module):
    """Gaussian pyramid: the image, and levels of half the side (Burt and Adelson, 1983)."""

    is_preprocess = True

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, S, S), (B, 3, S / 2, S / 2), ...; stops before a level of less than 8 pixels."""
        images = [image]
        while len(images) < self.levels and images[-1].shape[-1] >= 16:
            images.append(pyrdown(images[-1], border_type="replicate", align_corners=False))
        return images
