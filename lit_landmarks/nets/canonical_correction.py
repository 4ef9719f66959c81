"""Semantic correction of fixed landmarks, in the frame of the head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.surfaces import Patches
from lit_landmarks.nets.correction import SemanticCorrection
from lit_landmarks.types import Prediction

#: Numbers by which displacements depend on how the head is turned: none, and those of `_turns`.
_TURNS = 3


class CanonicalCorrection(SemanticCorrection):
    """Displaces each landmark of a scheme by convention, in 3D, as the head is turned.

    What `QueryCorrection` is to queries, for methods with fixed landmarks (ours). A convention's
    displacements are a table in the head frame; the picture shows them under the affine camera
    that fits the mean face to the predicted landmarks best. Landmarks that slide over the head as
    it turns (a jaw line on the visible contour) have displacements that depend on the turn.

    Args:
        conventions: see `SemanticCorrection`; the reference first.
        weight: of the loss `correction`, the mean squared displacement in head units.
        turning: let displacements depend on yaw and pitch, linearly and on |yaw|.
    """

    inverse: Tensor

    def __init__(self, *, weight: float = 0.1, turning: bool = False, **base: Any) -> None:
        super().__init__(**base)
        if not 0.0 <= weight < float("inf"):
            raise UserError(f"correction.weight is {weight}; give a number from 0")
        self.weight, self.turning = weight, turning
        self.table: nn.Parameter | None = None

    def connect(self, scheme: str | None, template: Tensor | None) -> None:
        """See `SemanticCorrection.connect`: makes the table."""
        if scheme is None or template is None:
            what = "a method of queries" if scheme is None else f"scheme '{scheme}'"
            raise UserError(
                f"CanonicalCorrection needs fixed points with a 3D mean face, which {what} does"
                " not have; set model.correction null, or QueryCorrection for queries"
            )
        parts = 1 + (_TURNS if self.turning else 0)
        self.table = nn.Parameter(torch.zeros(len(self.conventions), parts, len(template), 3))
        centered = template - template.mean(0)
        self.register_buffer("inverse", torch.linalg.pinv(centered), persistent=False)

    def displace(self, prediction: Prediction, rows: Tensor) -> Tensor:
        """See `SemanticCorrection.displace`."""
        assert self.table is not None
        points = prediction.points.detach()
        centered = points - points.mean(1, keepdim=True)
        axes = self.inverse @ centered  # (B, 3, 2): pixels per head unit along each axis
        parts = self.table[rows]
        offset = parts[:, 0]
        if self.turning:
            weights = torch.stack(_turns(axes), -1)
            offset = offset + (parts[:, 1:] * weights[:, :, None, None]).sum(1)
        return offset @ axes

    def displacements(self, queries: Tensor, rows: Tensor) -> Tensor:
        """See `SemanticCorrection.displacements`; of a head that looks ahead."""
        assert self.table is not None
        table = self.table[rows, 0]
        return torch.where((rows == 0).view(-1, 1, 1), torch.zeros_like(table), table)

    def loss(self, queries: Tensor, patches: Patches) -> Tensor:
        """Mean squared displacement over the conventions but the reference, head units."""
        assert self.table is not None
        if len(self.table) < 2:
            return self.table.new_zeros(())
        return self.table[1:].square().sum((1, 3)).mean()


def _turns(axes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sines of yaw and pitch and |sine of yaw| of an affine camera (B, 3, 2), each (B,)."""
    across, down = axes[..., 0], axes[..., 1]
    sight = nn.functional.normalize(torch.linalg.cross(across, down), dim=-1)
    yaw, pitch = sight[:, 0], -sight[:, 1]
    return yaw, pitch, yaw.abs()
