"""Outputs of SPIGA's backbones: features for the cascade, a pose, and landmarks of their own."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lit_landmarks.schemes import LandmarkScheme


@dataclass(frozen=True)
class BackboneLandmarks:
    """Landmarks that a backbone gives by itself, for losses and as a start of the cascade.

    Attributes:
        points: (B, N, 2) sides of the crop, from its top-left corner.
        heatmaps: (B, N, h, w) in [0, 1].
        pose: (B, 6) yaw, pitch, roll in degrees, tx, ty, tz, in the axes of the pose camera.
        edges: (B, E, h, w) in [0, 1] lines of the face; None from a backbone without.
    """

    points: Tensor
    heatmaps: Tensor
    pose: Tensor
    edges: Tensor | None = None


@dataclass(frozen=True)
class BackboneFeatures:
    """Feature maps, pooled features and head poses of B faces, for the cascade.

    Attributes:
        stacks: feature map (B, C, h, w) and pooled features (B, D) of each stack of hourglasses;
            one pair from other backbones.
        pose: (B, 6) as in `BackboneLandmarks`.
    """

    stacks: tuple[tuple[Tensor, Tensor], ...]
    pose: Tensor

    @property
    def features(self) -> Tensor:
        """(B, C, h, w) map of the last stack, which the cascade cuts its windows from."""
        return self.stacks[-1][0]

    @property
    def vector(self) -> Tensor:
        """(B, D) pooled features of the last stack."""
        return self.stacks[-1][1]


def edge_lines(scheme: LandmarkScheme) -> tuple[tuple[int, ...], ...]:
    """Lines of the face as lists of landmarks: open ones whole, rings in two halves.

    Both halves of a ring end at its middle landmark; a ring of an even number (lids, lips) has a
    corner at the first landmark too, where the second half ends. 13 lines of 68 points, 15 of 98.

    Example:
        >>> from lit_landmarks.schemes import get_scheme
        >>> lines = edge_lines(get_scheme("ibug68"))
        >>> len(lines), lines[5:7]
        (13, ((36, 37, 38, 39), (39, 40, 41, 36)))
    """
    lines: list[tuple[int, ...]] = []
    for indices, closed in scheme.polylines.values():
        if not closed:
            lines.append(tuple(indices))
            continue
        half = len(indices) // 2
        back = [] if len(indices) % 2 else [indices[0]]
        lines += [tuple(indices[: half + 1]), (*indices[half:], *back)]
    return tuple(lines)
