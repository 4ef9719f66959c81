"""Semantic correction that moves queries on the template (Infinite 3D Landmarks, CGF 2024)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.surfaces import Patches, heights_above
from lit_landmarks.nets.correction import SemanticCorrection
from lit_landmarks.nets.query_code import Encoding, QueryCode
from lit_landmarks.types import Prediction


class QueryCorrection(SemanticCorrection):
    """Moves each query by a small network of its place and of the annotation convention.

    Not of the image: a convention says where on the face a point lies, and may not hide the errors
    of a detector. Queries in the reference convention stay where they are; those of the others move
    by at most `limit`, and at a cost off the surface of the template: pictures from the front say
    little about depth. That a correction moves queries is the paper's, all else is ours.

    Args:
        conventions: see `SemanticCorrection`; the reference first.
        width: of the codes of points and of the layers.
        code: length of a convention's learned code.
        limit: longest displacement along each axis, in distances of the outer eye corners.
        weight: of the loss `correction`, the mean squared displacement of each convention.
        surface: how many times as much as a displacement a height above the surface counts.
        encoding: see `nets.query_code.QueryCode`.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        code: int = 16,
        limit: float = 0.15,
        weight: float = 0.1,
        surface: float = 100.0,
        encoding: Encoding = "fourier",
        **base: Any,
    ) -> None:
        super().__init__(**base)
        if not 0.0 < limit <= 1.0:
            raise UserError(f"correction.limit is {limit}; give a distance above 0, to 1")
        if not 0.0 <= weight < float("inf"):
            raise UserError(f"correction.weight is {weight}; give a number from 0")
        if not 0.0 <= surface < float("inf"):
            raise UserError(f"correction.surface is {surface}; give a number from 0")
        self.limit, self.weight, self.surface = limit, weight, surface
        self.places = QueryCode(width, encoding)
        self.codes = nn.Embedding(len(self.conventions), code)
        last = nn.Linear(width, 3, bias=False)
        nn.init.zeros_(last.weight)
        self.layers = nn.Sequential(nn.Linear(width + code, width), nn.GELU(), last)

    @property
    def moves_queries(self) -> bool:
        """See `SemanticCorrection.moves_queries`."""
        return True

    def displacements(self, queries: Tensor, rows: Tensor) -> Tensor:
        """See `SemanticCorrection.displacements`; 0 for the reference."""
        code = self.codes(rows)[:, None].expand(-1, queries.shape[1], -1)
        moved = self.limit * torch.tanh(self.layers(torch.cat((self.places(queries), code), -1)))
        return torch.where((rows == 0).view(-1, 1, 1), torch.zeros_like(moved), moved)

    def move_queries(self, queries: Tensor, convention: Tensor | None) -> Tensor:
        """See `SemanticCorrection.move_queries`."""
        if convention is None:
            return queries
        # A query without a place is no number, which may not reach the weights' gradients.
        moved = self.displacements(queries.nan_to_num(), self.rows[convention])
        return queries + torch.where(queries.isfinite(), moved, 0.0)

    def displace(self, prediction: Prediction, rows: Tensor) -> Tensor:
        """Nothing is left to do once queries have moved."""
        return torch.zeros_like(prediction.points)

    def loss(self, queries: Tensor, patches: Patches) -> Tensor:
        """Sum over conventions of the mean squared displacement, and height above the surface.

        Args:
            queries: (N, 3) head frame.
            patches: of the template's surface.
        """
        count = len(self.conventions)
        if count < 2:
            return queries.new_zeros(())
        rows = torch.arange(1, count, device=queries.device)
        moved = self.displacements(queries.expand(count - 1, -1, -1), rows)
        size = moved.square().sum((0, 2)).mean()
        if not self.surface:
            return size
        heights = heights_above(queries + moved, patches)
        return size + self.surface * heights.square().sum(0).mean()
