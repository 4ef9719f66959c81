"""A spatial normalizer that predicts a similarity and resamples from an antialiased pyramid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from kornia.geometry.transform import pyrdown
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.crops import affine_scale, compose_affine, similarity
from lit_landmarks.nets.normalizer import SpatialNormalizer
from lit_landmarks.nets.precision import apply_in_single, full_precision
from lit_landmarks.nets.spatial_softmax import SpatialSoftmaxFeatures

#: Sides of the crop that can be predicted, in sides of the image.
_SMALLEST, _LARGEST = 0.1, 1.6


class SimilarityNormalizer(SpatialNormalizer):
    """Predicts shift, scale and roll of the crop from a thumbnail of a wide image (ours).

    Scale is bounded, a mirror is not possible, and before training every crop is the same. Pixels
    come from a Gaussian pyramid at the resolution of the crop, since a bilinear sample of a large
    image aliases; the choice of the level has no gradient. A second look is a thumbnail about the
    crop of the first, as wide beside it as the image is beside the crop before training, from which
    a network of its own predicts what is left.

    Args:
        backbone: timm's name of the network that looks at the thumbnail.
        thumbnail: its side in pixels; divides that of the image.
        channels, maps: see `nets.spatial_softmax.SpatialSoftmaxFeatures`.
        side: of the crop before training, in sides of the image.
        levels: of the pyramid; 1 for none.
        looks: how often it looks; each costs the same, and all but the last learn from the loss
            `normalizer` alone.
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
        looks: int = 1,
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
        if looks < 1:
            raise UserError(f"normalizer.looks is {looks}; give 1 or more")
        if looks > 1 and not self.weight:
            raise UserError(
                f"normalizer.weight is 0 with {looks} looks, of which only the last learns from the"
                " landmarks; give a weight above 0, or set normalizer.looks to 1"
            )
        self.thumbnail, self.levels, self.side = thumbnail, levels, side
        self.looks = nn.ModuleList(_Look(backbone, channels, maps) for _ in range(looks))
        share = math.log(side / _SMALLEST) / math.log(_LARGEST / _SMALLEST)
        self._start = math.log(share / (1.0 - share))
        self.pyramid = _Pyramid(levels)

    def locate(self, image: Tensor) -> Tensor:
        """See `SpatialNormalizer.locate`."""
        return self.locate_in_looks(self.resolutions(image))[-1]

    def resolutions(self, image: Tensor) -> Sequence[Tensor]:
        """See `SpatialNormalizer.resolutions`: a Gaussian pyramid."""
        images: list[Tensor] = self.pyramid(image)
        return images

    def locate_in_looks(self, images: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """See `SpatialNormalizer.locate_in_looks`: a look has no gradient for the one before it."""
        image = images[0]
        size = image.shape[-1]
        if size % self.thumbnail:
            raise UserError(
                f"normalizer.thumbnail is {self.thumbnail}, which does not divide an image of"
                f" {size} pixels; set it to a divisor of data.init_args.frame_size"
            )
        first, *others = self.looks
        small = F.avg_pool2d(image, size // self.thumbnail)
        crops = [self._predict(first, small, size)]
        for look in others:
            with full_precision(image.device):
                view = compose_affine(crops[-1].detach(), self._widen(crops[-1]))
                small = self.resample(images, view, self.thumbnail)
            inner = self._predict(look, small, self.thumbnail)
            crops.append(compose_affine(view, inner))
        return tuple(crops)

    def _predict(self, look: nn.Module, small: Tensor, size: int) -> Tensor:
        """(B, 2, 3) from pixels of the crop to those of a picture `size` wide, of a thumbnail."""
        values = look(small)
        with full_precision(small.device):
            scale, roll, across, down = values.unbind(-1)
            share = torch.sigmoid(scale + self._start)
            side = _SMALLEST * torch.exp(share * math.log(_LARGEST / _SMALLEST)) * size
            middle = torch.stack((across, down), -1) * size + (size - 1) / 2
            origin = torch.full_like(middle, (self.crop_size - 1) / 2)
            return similarity(side / self.crop_size, torch.rad2deg(roll), origin, middle)

    def _widen(self, like: Tensor) -> Tensor:
        """(2, 3) from pixels of a thumbnail to those of the crop in its middle."""
        scale = self.crop_size / (self.side * self.thumbnail)
        shift = (self.crop_size - 1) / 2 - scale * (self.thumbnail - 1) / 2
        return like.new_tensor([[scale, 0.0, shift], [0.0, scale, shift]])

    def resample(self, images: Sequence[Tensor], to_input: Tensor, size: int) -> Tensor:
        """See `SpatialNormalizer.resample`: blended from the two nearest levels of the pyramid."""
        # Pixels of the image in one of the crop; an enlarged face needs no filter.
        level = affine_scale(to_input.detach()).log2().clamp(0.0, len(images) - 1.0)
        total: Tensor | None = None
        for number, smaller in enumerate(images):
            # Pixel u of a level has its middle at (u + 0.5) 2^level - 0.5 of the image.
            ratio = smaller.shape[-1] / images[0].shape[-1]
            linear, shift = to_input[..., :2] * ratio, to_input[..., 2:] * ratio
            affine = torch.cat((linear, shift + (ratio - 1.0) / 2), -1)
            share = (1.0 - (level - number).abs()).clamp(min=0.0)
            part = self.sample(smaller, affine, size) * share[:, None, None, None]
            total = part if total is None else total + part
        assert total is not None
        return total


class _Look(nn.Module):
    """Thumbnails (B, 3, s, s) to (B, 4): log of the side, roll in radians, and middle in sides."""

    def __init__(self, backbone: str, channels: int, maps: int) -> None:
        super().__init__()
        self.features = SpatialSoftmaxFeatures(
            backbone, strides=(4, 8, 16), channels=channels, maps=maps
        )
        self.linear = nn.Linear(self.features.num_features, 4)
        nn.init.normal_(self.linear.weight, std=1e-4)  # at 0, features would have no gradient
        nn.init.zeros_(self.linear.bias)

    def forward(self, thumbnail: Tensor) -> Tensor:
        values: Tensor = apply_in_single(self.linear, self.features(thumbnail))
        return values


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
