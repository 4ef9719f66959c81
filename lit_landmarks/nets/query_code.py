"""Codes of query points: how a network reads a place on the template."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError

Encoding = Literal["fourier", "learned"]


class QueryCode(nn.Module):
    """Points of the head frame to feature vectors, each point by itself.

    Args:
        width: E, length of a code.
        encoding: "fourier" gives the layers sines and cosines of the coordinates beside them
            (Tancik et al., NeurIPS 2020, axis by axis), "learned" the coordinates alone.
        frequencies: number of octaves, the lowest with a period of 4 head units.

    Example:
        >>> QueryCode(16)(torch.zeros(2, 5, 3)).shape
        torch.Size([2, 5, 16])
    """

    octaves: Tensor

    def __init__(
        self, width: int = 64, encoding: Encoding = "fourier", frequencies: int = 4
    ) -> None:
        super().__init__()
        if width < 1 or frequencies < 1:
            raise UserError(
                f"width {width} and frequencies {frequencies} of queries; give 1 or more"
            )
        if encoding not in ("fourier", "learned"):
            raise UserError(f"encoding of queries is '{encoding}'; choose fourier or learned")
        self.encoding = encoding
        octaves = math.pi / 2.0 * 2.0 ** torch.arange(frequencies)
        self.register_buffer("octaves", octaves, persistent=False)
        inputs = 3 + (6 * frequencies if encoding == "fourier" else 0)
        self.layers = nn.Sequential(
            nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU()
        )

    def forward(self, queries: Tensor) -> Tensor:
        """(..., N, E) of points (..., N, 3)."""
        if self.encoding == "fourier":
            phase = (queries[..., None] * self.octaves).flatten(-2)
            queries = torch.cat((queries, torch.sin(phase), torch.cos(phase)), -1)
        code: Tensor = self.layers(queries)
        return code
