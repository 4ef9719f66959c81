"""Operators that exporters of graphs lack, by others that they have."""

from __future__ import annotations

import torch
from torch import Tensor


def hypot(x: Tensor, y: Tensor) -> Tensor:
    """`torch.hypot`, which ONNX does not have; outside of an export its last bit is kept.

    Example:
        >>> hypot(torch.tensor(3.0), torch.tensor(4.0))
        tensor(5.)
    """
    return torch.sqrt(x * x + y * y) if torch.compiler.is_exporting() else torch.hypot(x, y)


def add_scaled(total: Tensor, values: Tensor, factor: float) -> Tensor:
    """`total.add(values, alpha=factor)`, which LiteRT's converter does not have.

    Example:
        >>> add_scaled(torch.tensor(1.0), torch.tensor(4.0), 0.5)
        tensor(3.)
    """
    if torch.compiler.is_exporting():
        return total + values * factor
    return total.add(values, alpha=factor)


def identity_matrix(size: int, like: Tensor) -> Tensor:
    """`torch.eye` with the type and device of a tensor; a constant in graphs, which LiteRT needs.

    Example:
        >>> identity_matrix(2, torch.zeros(1))
        tensor([[1., 0.],
                [0., 1.]])
    """
    if torch.compiler.is_exporting():
        places = range(size)
        return like.new_tensor([[float(row == column) for column in places] for row in places])
    return torch.eye(size, dtype=like.dtype, device=like.device)
