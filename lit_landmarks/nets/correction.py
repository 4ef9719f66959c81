"""Semantic correction: offsets of the landmarks for each annotation convention.

Data sets disagree about where a point lies (a jaw line on the visible contour or on the head, a
brow's upper or middle edge). Any method takes a correction by configuration
(`model.init_args.correction`): it displaces answers per annotation convention and leaves those in
the reference convention alone.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.surfaces import Patches
from lit_landmarks.nets.component import Component
from lit_landmarks.schemes import CONVENTIONS
from lit_landmarks.types import Prediction


class SemanticCorrection(Component):
    """Displaces points by annotation convention; zero for the reference by construction.

    Args:
        conventions: names of the conventions that it knows; the first is the reference. A face of
            another convention is answered as the reference.

    Attributes:
        rows: (len(CONVENTIONS),) int64 row of each convention in `conventions`; 0 where unknown.
    """

    rows: Tensor

    def __init__(self, *, conventions: Sequence[str]) -> None:
        super().__init__()
        names = list(conventions)
        unknown = sorted(set(names) - set(CONVENTIONS))
        if not names or unknown or len(set(names)) != len(names):
            raise UserError(
                f"correction.conventions is {names}; list different ones of {list(CONVENTIONS)}, "
                "the reference first"
            )
        self.conventions = tuple(names)
        rows = [names.index(name) if name in names else 0 for name in CONVENTIONS]
        # A constant of the constructor's argument, not state.
        self.register_buffer("rows", torch.tensor(rows), persistent=False)

    #: Of the loss `correction`; 0 where nothing is learned.
    weight: float = 0.0

    def connect(self, scheme: str | None, template: Tensor | None) -> None:
        """Take the points of the method that has this correction, once, as it is built.

        Args:
            scheme: of the method; None for queries.
            template: (N, 3) mean face of the scheme; None where there is none.

        Raises:
            UserError: the correction does not know these points.
        """

    @property
    def moves_queries(self) -> bool:
        """Whether it displaces what is asked for instead of what is answered."""
        return False

    def move_queries(self, queries: Tensor, convention: Tensor | None) -> Tensor:
        """Queries (B, N, 3) displaced by convention (B,); most corrections displace answers."""
        return queries

    def displacements(self, queries: Tensor, rows: Tensor) -> Tensor:
        """How far points lie from where the reference has them, on the template.

        Args:
            queries: (B, N, 3) points of the reference, head frame; those of the method's scheme
                where it has fixed ones.
            rows: (B,) int64 index into `conventions`.

        Returns:
            (B, N, 3) head units.

        Raises:
            UserError: the correction has no displacements on the template.
        """
        raise UserError(
            f"{type(self).__name__} has no displacements on the template; give a run with"
            " QueryCorrection or CanonicalCorrection"
        )

    def loss(self, queries: Tensor, patches: Patches) -> Tensor:
        """Size of the displacements, for which `weight` is meant.

        Args:
            queries: (N, 3) template points, head frame.
            patches: of the template's surface.
        """
        return queries.new_zeros(())

    @abstractmethod
    def displace(self, prediction: Prediction, rows: Tensor) -> Tensor:
        """Offsets of the points from those of the reference convention.

        Args:
            prediction: the answer in the reference convention.
            rows: (B,) int64 index into `conventions`.

        Returns:
            (B, N, 2) pixels of the input.
        """

    def forward(self, prediction: Prediction, convention: Tensor | None) -> Prediction:
        """Points in the convention of each face, those in 3D moved across as those in 2D.

        Args:
            prediction: in the reference convention.
            convention: (B,) int64 index into `schemes.CONVENTIONS`; None: the reference.
        """
        if convention is None:
            return prediction
        rows = self.rows[convention]
        offset = self.displace(prediction, rows)
        offset = torch.where((rows == 0).view(-1, 1, 1), torch.zeros_like(offset), offset)
        return prediction.shift(offset)
