"""Mixed precision: what has to stay in single precision under autocast.

A coordinate in half precision has eight bits (bfloat16) or eleven: a quarter of a pixel of a frame
of 128. So the layers that give coordinates, and all that is computed from them, stay in single.
"""

from __future__ import annotations

import contextlib
from typing import cast

import torch
from torch import Tensor, nn


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Context without autocast; nothing at all where it is off, so that exporters see no context.

    Example:
        >>> with torch.autocast("cpu"), full_precision(torch.device("cpu")):
        ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        torch.float32
    """
    available = torch.amp.is_autocast_available(device.type)  # not on the meta device
    if available and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()


def apply_in_single(layer: nn.Module, inputs: Tensor) -> Tensor:
    """The output of a layer, in single precision under autocast too."""
    with full_precision(inputs.device):
        output: Tensor = layer(inputs.float() if is_half(inputs) else inputs)
    return output


class StridedDepthwise(nn.Conv2d):
    """Depthwise convolution with a stride, which autocast on a CPU leaves in single precision.

    The gradient of its input in bfloat16 takes oneDNN five times as long as in single precision,
    longer than all the other layers of a MobileNetV2 together.

    Example:
        >>> layer = StridedDepthwise(8, 8, 3, stride=2, groups=8)
        >>> with torch.autocast("cpu"):
        ...     layer(torch.zeros(1, 8, 4, 4, dtype=torch.bfloat16)).dtype
        torch.bfloat16
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, C, H', W') of (B, C, H, W), with the precision of the input."""
        if inputs.device.type != "cpu":
            return super().forward(inputs)
        with full_precision(inputs.device):
            if is_half(inputs):
                return super().forward(inputs.float()).to(inputs.dtype)
            return super().forward(inputs)


def replace_strided_depthwise(network: nn.Module) -> None:
    """Exchange each plain depthwise convolution with a stride for a `StridedDepthwise`, in place.

    Parameters stay the same objects under the same names.
    """
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if type(layer) is not nn.Conv2d or max(layer.stride) == 1:
                continue
            if layer.groups == layer.in_channels > 1:
                setattr(parent, name, _as_strided_depthwise(layer))


def _as_strided_depthwise(layer: nn.Conv2d) -> StridedDepthwise:
    with torch.device("meta"):  # draws no random numbers
        strided = StridedDepthwise(
            layer.in_channels,
            layer.out_channels,
            cast(tuple[int, int], layer.kernel_size),
            stride=cast(tuple[int, int], layer.stride),
            padding=cast(tuple[int, int], layer.padding),
            dilation=cast(tuple[int, int], layer.dilation),
            groups=layer.groups,
            bias=layer.bias is not None,
        )
    strided.weight, strided.bias = layer.weight, layer.bias
    return strided.train(layer.training)


def is_half(values: Tensor) -> bool:
    """Whether the values have 16 bits."""
    return values.dtype in (torch.float16, torch.bfloat16)
