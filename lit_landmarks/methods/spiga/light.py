"""Light backbones (ours): one feature map of a timm network, with heat maps and a head pose."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lit_landmarks.methods.spiga.fields import Answer, VisualField
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
        input_scale: InputScale = "unit",
    ) -> None:
        super().__init__()
        self.trunk = FusedMap(name, strides=strides, channels=channels, input_scale=input_scale)
        self.stride, self.channels = self.trunk.stride, channels
        self.num_features = self.trunk.num_features
        self.heatmaps = nn.Conv2d(channels, n_points, 1)
        self.offsets = nn.Conv2d(channels, 2 * n_points, 1)
        self.pose = nn.Linear(self.num_features, 6)
        nn.init.constant_(self.heatmaps.bias, _FIRST_LOGIT)  # type: ignore[arg-type]
        nn.init.zeros_(self.offsets.weight)

    def forward(self, image: Tensor) -> VisualField:
        """Features and pose of (B, 3, S, S) RGB in [0, 1]; the largest stride divides S."""
        features, vector = self.trunk(image)
        pose = apply_in_single(self.pose, vector)
        return VisualField(((features, vector),), pose)

    def answer(self, field: VisualField, *, last: bool = False) -> tuple[Answer, ...]:
        """Landmarks of the heat maps, in single precision; there is one stack, the last."""
        logits = apply_in_single(self.heatmaps, field.features)
        offsets = apply_in_single(self.offsets, field.features)
        with full_precision(logits.device):
            points = expected_points(logits, offsets)
            return (Answer(points, torch.sigmoid(logits), field.pose),)


def expected_points(logits: Tensor, offsets: Tensor) -> Tensor:
    """Mean over pixels, under the softmax of each map, of the place that a pixel points to.

    Args:
        logits: (B, N, h, w).
        offsets: (B, 2 N, h, w) from the middle of each pixel, in pixels of the map: x and y of the
            first landmark, then of the second.

    Returns:
        (B, N, 2) sides of the map, from its top-left corner.

    Example:
        >>> logits = torch.zeros(1, 1, 4, 4)
        >>> logits[..., 1, 2] = 99.0
        >>> expected_points(logits, torch.full((1, 2, 4, 4), 0.5))
        tensor([[[0.7500, 0.5000]]])
    """
    height, width = logits.shape[-2:]
    weights = spatial_softmax(logits)
    middle = mean_places(weights, first=0.5)
    offset = (weights[:, :, None] * torch.unflatten(offsets, 1, (-1, 2))).sum((-1, -2))
    places: Tensor = (middle + offset) / torch.tensor([width, height], device=logits.device)
    return places
