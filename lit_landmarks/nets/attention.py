"""Attention among landmarks: layers on the complete graph, and their dense form.

The layers are torch-geometric's, self loops included: "dot" is `TransformerConv` (scaled dot
products; Shi et al., IJCAI 2021), "additive" is `GATConv` (Velickovic et al., ICLR 2018). Their
parameters serve both forms:

    pyg      messages along N x N edges, as torch-geometric computes them
    dense    the same function by products of matrices: several times as fast, and what cost
             counters and exporters can read
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_landmarks.errors import UserError

AttentionKind = Literal["dot", "additive", "uniform"]
AttentionForm = Literal["dense", "pyg"]


class LandmarkAttention(nn.Module):
    """Multi-head attention among the landmarks of a face.

    Args:
        features: C, of a landmark, in and out.
        heads: H, a divisor of C.
        kind: "dot" or "additive"; "uniform" gives each landmark the same weight, to measure what
            attention is worth.
        form: "dense" or "pyg"; on the meta device and in traced graphs always "dense".

    Raises:
        UserError: heads do not divide the features.

    Example:
        >>> messages, weights = LandmarkAttention(8, heads=2)(torch.randn(3, 68, 8))
        >>> messages.shape, weights.shape
        (torch.Size([3, 68, 8]), torch.Size([3, 2, 68, 68]))
    """

    def __init__(
        self,
        features: int,
        *,
        heads: int = 4,
        kind: AttentionKind = "dot",
        form: AttentionForm = "dense",
    ) -> None:
        super().__init__()
        if heads < 1 or features % heads:
            raise UserError(
                f"{heads} attention heads do not divide {features} features; give a divisor"
            )
        self.heads, self.kind, self.form = heads, kind, form
        self.conv = _build_layer(features, heads, kind)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Messages to each landmark, and the weights they were gathered with.

        Args:
            features: (B, N, C).

        Returns:
            (B, N, C) and (B, H, N, N): row i holds the weights of the landmarks that i attends to,
            with sum 1.
        """
        traced = features.is_meta or torch.compiler.is_compiling()
        if self.kind == "uniform":
            return self._average(features)
        if self.form == "pyg" and not traced:
            return self._pass_messages(features)
        return self._additive(features) if self.kind == "additive" else self._dot(features)

    def _dot(self, features: Tensor) -> tuple[Tensor, Tensor]:
        query, key, value = (
            self._split(layer(features))
            for layer in (self.conv.lin_query, self.conv.lin_key, self.conv.lin_value)
        )
        # Scaled before the product: N times fewer values than after it.
        logits = (query * query.shape[-1] ** -0.5) @ key.mT
        return self._gather(logits.softmax(-1), value)

    def _additive(self, features: Tensor) -> tuple[Tensor, Tensor]:
        value = self._split(self.conv.lin(features))
        # (1, H, D) as the layer has it, to (1, H, D, 1).
        sent, received = (
            value @ vector[..., None] for vector in (self.conv.att_src, self.conv.att_dst)
        )
        logits = F.leaky_relu(received + sent.mT, self.conv.negative_slope)
        messages, weights = self._gather(logits.softmax(-1), value)
        return messages + self.conv.bias, weights

    def _average(self, features: Tensor) -> tuple[Tensor, Tensor]:
        batch, count, _ = features.shape
        messages = self.conv(features).mean(1, keepdim=True).expand_as(features)
        return messages, features.new_full((batch, self.heads, count, count), 1.0 / count)

    def _split(self, values: Tensor) -> Tensor:
        """(B, N, H D) to (B, H, N, D)."""
        return torch.unflatten(values, -1, (self.heads, -1)).transpose(1, 2)

    @staticmethod
    def _gather(weights: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        return (weights @ value).transpose(1, 2).flatten(2), weights

    def _pass_messages(self, features: Tensor) -> tuple[Tensor, Tensor]:
        batch, count, _ = features.shape
        edges = complete_graph(batch, count, features.device)
        messages, (_, weights) = self.conv(
            features.flatten(0, 1), edges, return_attention_weights=True
        )
        # Edges run over targets first, so each landmark's weights are a row.
        rows = weights.view(batch, count, count, self.heads)
        return messages.view(batch, count, -1), rows.permute(0, 3, 1, 2)


def complete_graph(batch: int, count: int, device: torch.device | str = "cpu") -> Tensor:
    """Edges of B graphs in which every node is joined to all, also to itself.

    Args:
        batch: B.
        count: nodes N of a graph.
        device: of the result.

    Returns:
        (2, B N N) int64 sources and targets; sources run fastest.

    Example:
        >>> complete_graph(1, 2)
        tensor([[0, 1, 0, 1],
                [0, 0, 1, 1]])
    """
    nodes = torch.arange(batch * count, device=device).view(batch, count)
    shape = (batch, count, count)
    sources, targets = nodes[:, None].expand(shape), nodes[:, :, None].expand(shape)
    return torch.stack((sources.flatten(), targets.flatten()))


def _build_layer(features: int, heads: int, kind: AttentionKind) -> Any:
    """The layer that holds the parameters; of "uniform" only that of the values."""
    if kind == "uniform":
        return nn.Linear(features, features)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*")
        from torch_geometric.nn.conv import GATConv, TransformerConv
    if kind == "additive":
        return GATConv(features, features // heads, heads, add_self_loops=False)
    layer = TransformerConv(features, features // heads, heads, root_weight=False)
    # Made without being asked for: parameters that nothing reads.
    del layer.lin_skip
    return layer
