"""timm backbones by name, always with random weights, and what they need around them.

Nothing here touches the network or a hub: pre-training is done with this suite's own `fit` and
passed on with a method's `init_from`.
"""

from __future__ import annotations

import difflib
from typing import Any, Literal, cast

import timm
import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError

InputScale = Literal["unit", "symmetric", "imagenet"]

#: (mean, standard deviation) per RGB channel of an image in [0, 1].
INPUT_SCALES: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "symmetric": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


class InputNorm(nn.Module):
    """`(image - mean) / std` inside the net, so that an exported graph takes plain RGB in [0, 1].

    Args:
        scale: "unit" leaves [0, 1], "symmetric" gives [-1, 1], "imagenet" the usual statistics.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, scale: InputScale = "unit") -> None:
        super().__init__()
        if scale not in INPUT_SCALES:
            raise UserError(f"unknown input scale '{scale}'; choose one of {list(INPUT_SCALES)}")
        mean, std = INPUT_SCALES[scale]
        # Constants, not state: a checkpoint does not carry them.
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Normalise `image` (B, 3, H, W), RGB in [0, 1]."""
        return (image - self.mean) / self.std


def create_trunk(name: str, *, drop_path_rate: float = 0.0) -> nn.Module:
    """A timm classification network without its classifier and without pre-trained weights.

    Args:
        name: timm's name, such as `mobilenetv2_100`.
        drop_path_rate: stochastic depth, where the architecture has it.

    Raises:
        UserError: timm has no such architecture; the closest names are listed.
    """
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=4)
        raise UserError(f"timm has no backbone '{name}'; did you mean {' or '.join(close) or '-'}?")
    extra: dict[str, Any] = {"drop_path_rate": drop_path_rate} if drop_path_rate else {}
    return timm.create_model(name, pretrained=False, num_classes=0, **extra)


def set_batch_norm(
    module: nn.Module, *, eps: float | None = None, momentum: float | None = None
) -> None:
    """Set `eps` and torch's `momentum` (1 - Keras's) on every batch normalisation in `module`."""
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.eps = layer.eps if eps is None else eps
            layer.momentum = layer.momentum if momentum is None else momentum


class PooledBackbone(nn.Module):
    """Image to one pooled feature vector, whatever timm architecture is named.

    Args:
        name: timm's name of the architecture.
        input_scale: see `InputNorm`.
        bn_eps: batch-norm epsilon; None keeps timm's.
        bn_momentum: torch's batch-norm momentum; None keeps timm's.
        drop_path_rate: stochastic depth, where the architecture has it.

    Attributes:
        num_features: length of the vector.
    """

    def __init__(
        self,
        name: str,
        *,
        input_scale: InputScale = "unit",
        bn_eps: float | None = None,
        bn_momentum: float | None = None,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.normalise = InputNorm(input_scale)
        self.trunk = create_trunk(name, drop_path_rate=drop_path_rate)
        set_batch_norm(self.trunk, eps=bn_eps, momentum=bn_momentum)
        # Some families (MobileNetV3) put a wider layer after the pool than `num_features` says.
        wide = getattr(self.trunk, "head_hidden_size", None)
        self.num_features = cast(int, wide or self.trunk.num_features)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] to (B, num_features)."""
        features: Tensor = self.trunk(self.normalise(image))
        return features
