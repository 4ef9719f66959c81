"""Light backbones (ours): one feature map of a timm network, with heat maps and a head pose."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lit_landmarks.methods.spiga.fields import BackboneFeatures, BackboneLandmarks
from lit_landmarks.nets.backbone import InputScale
from lit_landmarks.nets.fused_map import FusedMap
from lit_landmarks.nets.heatmaps import mean_places, spatial_softmax
from lit_landmarks.nets.precision import apply_in_single, full_precision

#: Logarithm of the odds that a pixel is a landmark, before anything is learnt.
_FIRST_LOGIT = -4.0


class LightBackbone(nn.Module):
    """Image to one feature map, a head pose, and heat maps with offsets.

    Args:
        name: timm's name of the architecture.
        n_points: N.
        strides: of the maps that are brought together; the finest is that of the result.
        channels: C of the feature map.
        blocks: residual blocks on it.
        input_scale: see `nets.backbone.InputNorm`.

    Attributes:
        channels: of the feature map.
        num_features: length of the vector.
        stride: of the map.

    Example:
        >>> network = LightBackbone("mobilenetv3_small_050", 5, strides=(8, 32), channels=16).eval()
        >>> field = network(torch.zeros(1, 3, 64, 64))
        >>> field.features.shape, network.answer(field)[0].points.shape
        (torch.Size([1, 16, 8, 8]), torch.Size([1, 5, 2]))
    """

    def __init__(
        self,
        name: str,
        n_points: int,
        *,
        strides: Sequence[int] = (4, 8, 16, 32),
        channels: int = 64,
        blocks: int = 0,
        input_scale: InputScale = "unit",
    ) -> None:
        super().__init__()
        self.trunk = FusedMap(
            name, strides=strides, channels=channels, blocks=blocks, input_scale=input_scale
        )
        self.stride, self.channels = self.trunk.stride, channels
        self.num_features = self.trunk.num_features
        self.heatmaps = nn.Conv2d(channels, n_points, 1)
        self.offsets = nn.Linear(channels, 2 * n_points)
        self.pose = nn.Linear(self.num_features, 6)
        nn.init.constant_(self.heatmaps.bias, _FIRST_LOGIT)  # type: ignore[arg-type]
        nn.init.zeros_(self.offsets.weight)

    def forward(self, image: Tensor) -> BackboneFeatures:
        """Features and pose of (B, 3, S, S) RGB in [0, 1]; the largest stride divides S."""
        features, vector = self.trunk(image)
        pose = apply_in_single(self.pose, vector)
        return BackboneFeatures(((features, vector),), pose)

    def answer(
        self, field: BackboneFeatures, *, last: bool = False
    ) -> tuple[BackboneLandmarks, ...]:
        """Landmarks of the heat maps, in single precision; there is one stack, the last."""
        logits = apply_in_single(self.heatmaps, field.features)
        with full_precision(logits.device):
            features = field.features.float()
            points = expected_points(logits, features, self.offsets.weight, self.offsets.bias)
            return (BackboneLandmarks(points, torch.sigmoid(logits), field.pose),)


def expected_points(logits: Tensor, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Mean over pixels, under the softmax of each map, of the place that a pixel points to.

    Pixels point by an offset that is linear in their features, so the mean of the offsets is the
    offset of the mean features: no maps of offsets are made.

    Args:
        logits: (B, N, h, w).
        features: (B, C, h, w).
        weight: (2 N, C) of the offsets from the middle of a pixel, in pixels of the map: x and y of
            the first landmark, then of the second.
        bias: (2 N,).

    Returns:
        (B, N, 2) sides of the map, from its top-left corner.

    Example:
        >>> logits = torch.zeros(1, 1, 4, 4)
        >>> logits[..., 1, 2] = 99.0
        >>> features = torch.ones(1, 3, 4, 4)
        >>> expected_points(logits, features, torch.zeros(2, 3), torch.tensor([0.5, 0.0]))
        tensor([[[0.7500, 0.3750]]])
    """
    height, width = logits.shape[-2:]
    weights = spatial_softmax(logits)
    means = weights.flatten(2) @ features.flatten(2).mT
    offset = torch.einsum("bnc,nkc->bnk", means, weight.reshape(-1, 2, weight.shape[1]))
    places = mean_places(weights, first=0.5) + offset + bias.reshape(-1, 2)
    return places / torch.tensor([width, height], device=logits.device)
