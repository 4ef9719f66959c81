"""Targets of SPIGA that are made on the device: edge maps, and head poses by POSIT."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import Tensor

from lit_landmarks.geometry.camera import pose_camera
from lit_landmarks.geometry.posit import posit

#: Straight pieces that stand for the curve through the landmarks of an edge.
_PIECES = 24
#: An edge map is 0 from this many standard deviations on (authors' code).
_CUT = 3.0


def draw_edges(
    points: Tensor,
    mask: Tensor,
    lines: Sequence[Sequence[int]],
    side: int,
    sigma: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Lines of faces as maps: a Gaussian of the distance to the curve through their landmarks.

    The curve is a natural cubic spline; its parameter is the number of the landmark.

    Args:
        points: (B, N, 2) pixels of the maps; undefined where masked out.
        mask: (B, N) bool.
        lines: landmarks of each of E lines.
        side: of the maps in pixels.
        sigma: standard deviation in pixels of the maps.

    Returns:
        (B, E, side, side) with peak 1, and (B, E) bool: all landmarks of the line are annotated.

    Example:
        >>> points = torch.tensor([[[1.0, 2.0], [3.0, 2.0]]])
        >>> maps, drawn = draw_edges(points, torch.ones(1, 2, dtype=torch.bool), [(0, 1)], side=5)
        >>> maps[0, 0, :, 2]
        tensor([0.1353, 0.6065, 1.0000, 0.6065, 0.1353])
    """
    axis = torch.arange(side, device=points.device, dtype=points.dtype)
    pixels = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).view(1, -1, 1, 2)
    points = points.nan_to_num()
    maps, drawn = [], []
    for line in lines:  # a line at a time: distances to all of them would fill the memory
        weights = torch.from_numpy(_spline(len(line))).to(points)
        curve = weights @ points[:, list(line)]
        begin, way = curve[:, None, :-1], curve[:, None].diff(dim=2)
        share = ((pixels - begin) * way).sum(-1) / way.square().sum(-1).clamp(min=1e-9)
        nearest = begin + share.clamp(0.0, 1.0)[..., None] * way
        squared = (pixels - nearest).square().sum(-1).amin(-1) / sigma**2
        values = torch.exp(-0.5 * squared).masked_fill(squared > _CUT**2, 0.0)
        maps.append(values.view(-1, side, side))
        drawn.append(mask[:, list(line)].all(1))
    whole = torch.stack(drawn, 1)
    return torch.stack(maps, 1) * whole[..., None, None], whole


@lru_cache
def _spline(count: int) -> np.ndarray:
    """(pieces + 1, count) weights of the landmarks in points along their spline."""
    at = np.linspace(0, count - 1, _PIECES + 1)
    if count < 3:
        return np.stack((1 - at, at), 1)
    weights: np.ndarray = CubicSpline(np.arange(count), np.eye(count), bc_type="natural")(at)
    return weights


def pose_targets(
    points: Tensor, mask: Tensor, template: Tensor, pose_points: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """Head poses by POSIT in the pose camera of the crop, whose image of the mean face fits.

    Args:
        points: (B, N, 2) pixels of the crop.
        mask: (B, N) bool.
        template: (N, 3) mean face.
        pose_points: (N,) bool, landmarks that hardly move with expression.
        size: side of the crop in pixels.

    Returns:
        (B, 6) yaw, pitch, roll in degrees and translation, in the axes of the camera; (B,) bool,
        whether there is a pose.
    """
    focal, center = pose_camera(size)
    return posit(points, mask & pose_points, template, focal, center)
