"""Mixed precision: what has to stay in single precision under autocast.

A coordinate in half precision has eight bits (bfloat16) or eleven: a quarter of a pixel of a frame
of 128. So the layers that give coordinates, and all that is computed from them, stay in single.
"""

from __future__ import annotations

import contextlib

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


def is_half(values: Tensor) -> bool:
    """Whether the values have 16 bits."""
    return values.dtype in (torch.float16, torch.bfloat16)
