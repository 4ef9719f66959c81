"""timm backbones by name, with random weights, input normalization and pooling.

Nothing here touches the network or a hub: pre-training is done with this suite's own `fit` and
passed on with a method's `init_from`, also to another method (`backbone_tensors`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, cast

import timm
import torch
from timm.layers.format import Format
from timm.models import FeatureInfo
from timm.models.efficientnet import EfficientNetFeatures
from timm.models.mobilenetv3 import MobileNetV3Features
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.nets.precision import replace_strided_depthwise

#: All batch normalizations of torch; timm's are subclasses.
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)

InputScale = Literal["unit", "symmetric", "imagenet"]
#: Order of the channels that a network is given; images are RGB.
ColorOrder = Literal["rgb", "bgr"]

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

    Example:
        >>> InputNorm("symmetric")(torch.ones(1, 3, 1, 1)).flatten()
        tensor([1., 1., 1.])
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


def create_backbone(
    name: str, *, drop_path_rate: float = 0.0, features_only: bool = False, **more: Any
) -> nn.Module:
    """A timm network without its classifier and without pre-trained weights.

    Args:
        name: timm's name, such as `mobilenetv2_100`.
        drop_path_rate: stochastic depth, where the architecture has it.
        features_only: the maps after each stage instead of a pooled vector.
        **more: passed on to timm.

    Raises:
        UserError: timm has no such architecture (the closest names are listed), or the architecture
            has no stochastic depth.
    """
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=4)
        guess = f"did you mean {' or '.join(close)}?"
        cure = guess if close else "give one of timm.list_models()"
        raise UserError(f"timm has no backbone '{name}'; {cure}")
    more |= {"features_only": True} if features_only else {"num_classes": 0}
    more |= {"drop_path_rate": drop_path_rate} if drop_path_rate else {}
    try:
        network: nn.Module = timm.create_model(name, pretrained=False, **more)
    except TypeError as error:
        if not drop_path_rate:
            raise
        raise UserError(
            f"backbone '{name}' has no stochastic depth; set drop_path_rate to 0"
        ) from error
    replace_strided_depthwise(network)
    return network


def set_batch_norm(
    module: nn.Module, *, eps: float | None = None, momentum: float | None = None
) -> None:
    """Set `eps` and torch's `momentum` (1 - Keras's) on every batch normalisation in `module`."""
    for layer in module.modules():
        if isinstance(layer, BATCH_NORMS):
            layer.eps = layer.eps if eps is None else eps
            layer.momentum = layer.momentum if momentum is None else momentum


class TimmParts(Protocol):
    """A module that holds a timm network, or parts of one.

    Attributes:
        architecture: timm's name of the network.
        timm_parts: name of a child module -> its name in the network, "" for the whole network.
    """

    architecture: str
    timm_parts: Mapping[str, str]


def backbone_tensors(module: nn.Module) -> dict[str, tuple[str, str]]:
    """Where the tensors of timm networks are in the state of a module.

    Args:
        module: holds `TimmParts` at any depth.

    Returns:
        name in `module.state_dict()` -> architecture, and the tensor's name in timm's network.

    Example:
        >>> names = backbone_tensors(PooledBackbone("mobilenetv3_small_050"))
        >>> names["trunk.conv_stem.weight"]
        ('mobilenetv3_small_050', 'conv_stem.weight')
    """
    tensors: dict[str, tuple[str, str]] = {}
    for prefix, holder in module.named_modules():
        for part, original in getattr(holder, "timm_parts", {}).items():
            for name in holder.get_submodule(part).state_dict():
                own = ".".join(filter(None, (prefix, part, name)))
                architecture = cast(TimmParts, holder).architecture
                tensors[own] = (architecture, ".".join(filter(None, (original, name))))
    return tensors


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

    Example:
        >>> backbone = PooledBackbone("mobilenetv3_small_050")
        >>> backbone(torch.zeros(2, 3, 32, 32)).shape == (2, backbone.num_features)
        True
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
        self.architecture, self.timm_parts = name, {"trunk": ""}
        self.normalize = InputNorm(input_scale)
        # `trunk` is part of the parameters' names in every checkpoint so far.
        self.trunk = create_backbone(name, drop_path_rate=drop_path_rate)
        set_batch_norm(self.trunk, eps=bn_eps, momentum=bn_momentum)
        # Some families (MobileNetV3) put a wider layer after the pool than `num_features` says.
        wide = getattr(self.trunk, "head_hidden_size", None)
        self.num_features = cast(int, wide or self.trunk.num_features)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] to (B, num_features)."""
        features: Tensor = self.trunk(self.normalize(image))
        return features


class FeatureMaps(nn.Module):
    """Image to feature maps at chosen strides and one pooled vector.

    The backbone ends at the deepest stage that is asked for; what lies behind it is neither built
    nor computed.

    Args:
        name: timm's name of the architecture: any MobileNet, ConvNeXt, GhostNet, ResNet, ...
        strides: pixels of the image per pixel of each map.
        vector_stride: stride of the map whose mean is the vector; None: that of the last stage.
        input_scale: see `InputNorm`.
        bn_eps: batch-norm epsilon; None keeps timm's.
        bn_momentum: torch's batch-norm momentum; None keeps timm's.
        drop_path_rate: stochastic depth, where the architecture has it.

    Attributes:
        strides: as given, in rising order.
        channels: channels of the map of each stride.
        num_features: length of the vector.

    Raises:
        UserError: a stride that the backbone does not have, or no stride at all.

    Example:
        >>> backbone = FeatureMaps("mobilenetv3_small_050", strides=(4, 8)).eval()
        >>> backbone.channels
        {4: 8, 8: 16}
        >>> maps, vector = backbone(torch.rand(1, 3, 64, 64))
        >>> maps[4].shape, maps[8].shape, vector.shape
        (torch.Size([1, 8, 16, 16]), torch.Size([1, 16, 8, 8]), torch.Size([1, 288]))
    """

    def __init__(
        self,
        name: str,
        strides: Sequence[int] = (8, 16),
        *,
        vector_stride: int | None = None,
        input_scale: InputScale = "unit",
        bn_eps: float | None = None,
        bn_momentum: float | None = None,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        with torch.device("meta"):
            stages = _feature_info(create_backbone(name, features_only=True)).reduction()
        # Where several stages have one stride, the deepest of them.
        stage_of = {stride: stage for stage, stride in enumerate(stages)}
        vector_stride = max(stage_of) if vector_stride is None else vector_stride
        missing = [stride for stride in (*strides, vector_stride) if stride not in stage_of]
        if missing or not strides:
            asked = f"no feature map of stride {missing[0]}" if missing else "no stride to give"
            raise UserError(
                f"backbone '{name}' has {asked}; choose among {', '.join(map(str, stage_of))}"
            )
        self.strides = tuple(sorted(set(strides)))
        self.vector_stride = vector_stride
        self._order = tuple(sorted({*strides, vector_stride}, key=stage_of.__getitem__))
        self.architecture, self.timm_parts = name, {"backbone": ""}
        self.normalize = InputNorm(input_scale)
        self.backbone = create_backbone(
            name,
            features_only=True,
            drop_path_rate=drop_path_rate,
            out_indices=tuple(stage_of[stride] for stride in self._order),
        )
        _cut_after_last_stage(self.backbone)
        set_batch_norm(self.backbone, eps=bn_eps, momentum=bn_momentum)
        channels = dict(zip(self._order, _feature_info(self.backbone).channels(), strict=True))
        self.channels = {stride: channels[stride] for stride in self.strides}
        self.num_features = channels[vector_stride]
        self._channels_last = getattr(self.backbone, "output_fmt", None) == Format.NHWC

    def forward(self, image: Tensor) -> tuple[dict[int, Tensor], Tensor]:
        """Maps by stride, and the pooled vector.

        Args:
            image: (B, 3, H, W) RGB in [0, 1]; H and W are multiples of the largest stride.

        Returns:
            maps (B, channels[s], H / s, W / s) by stride s, and a vector (B, num_features).
        """
        maps = self.backbone(self.normalize(image))
        if self._channels_last:
            maps = [each.permute(0, 3, 1, 2) for each in maps]
        by_stride = dict(zip(self._order, maps, strict=True))
        vector = by_stride[self.vector_stride].mean(dim=(2, 3))
        return {stride: by_stride[stride] for stride in self.strides}, vector


def _feature_info(backbone: nn.Module) -> FeatureInfo:
    """Channels and strides of the maps that a `features_only` network returns."""
    return cast(FeatureInfo, backbone.feature_info)


def _cut_after_last_stage(backbone: nn.Module) -> None:
    """Drop the blocks behind the last map, which timm keeps in the MobileNets alone."""
    module = _feature_info(backbone).module_name()[-1]
    if isinstance(backbone, EfficientNetFeatures | MobileNetV3Features):
        last = int(module.removeprefix("blocks.")) if module.startswith("blocks.") else -1
        backbone.blocks = backbone.blocks[: last + 1]
