"""Targets of SPIGA that are made on the device: edge maps, and head poses by POSIT."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lit_landmarks.geometry.camera import pose_camera
from lit_landmarks.geometry.posit import posit

#: At least this many straight pieces stand for the curve through the landmarks of an edge.
_PIECES = 24
#: An edge map is 0 from this many standard deviations on (authors' code).
_CUT = 3.0
#: Shortest distance of neighboring landmarks, pixels: a curve has a direction everywhere.
_LEAST_CHORD = 1e-3


def draw_edges(
    points: Tensor,
    mask: Tensor,
    lines: Sequence[Sequence[int]],
    side: int,
    sigma: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Lines of faces as maps: a Gaussian of the distance to the curve through their landmarks.

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
        >>> maps, _ = draw_edges(points, torch.ones(1, 2, dtype=torch.bool), [(0, 1)], side=5)
        >>> maps[0, 0, :, 2]
        tensor([0.1353, 0.6065, 1.0000, 0.6065, 0.1353])
    """
    axis = torch.arange(side, device=points.device, dtype=points.dtype)
    pixels = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).view(1, -1, 1, 2)
    points = points.masked_fill(~mask[..., None], 0.0)
    maps, complete = [], []
    for line in lines:  # a line at a time: distances to all of them would fill the memory
        curve = sample_spline(points[:, list(line)])
        begin, piece = curve[:, None, :-1], curve[:, None].diff(dim=2)
        length = piece.square().sum(-1).clamp(min=_LEAST_CHORD**2)
        share = (((pixels - begin) * piece).sum(-1) / length).clamp(0.0, 1.0)
        nearest = begin + share[..., None] * piece
        squared = (pixels - nearest).square().sum(-1).amin(-1) / sigma**2
        values = torch.exp(-0.5 * squared).masked_fill(squared > _CUT**2, 0.0)
        maps.append(values.view(-1, side, side))
        complete.append(mask[:, list(line)].all(1))
    whole = torch.stack(complete, 1)
    return torch.where(whole[..., None, None], torch.stack(maps, 1), 0.0), whole


def sample_spline(points: Tensor) -> Tensor:
    """Points along cubic splines through landmarks, with chord lengths as parameter, natural ends.

    Args:
        points: (B, n, 2) landmarks in order.

    Returns:
        (B, k (n - 1) + 1, 2), k from each landmark to the next, such that there are 24 or more.

    Example:
        >>> sample_spline(torch.tensor([[[0.0, 0.0], [12.0, 24.0]]]))[0, :3]
        tensor([[0.0000, 0.0000],
                [0.5000, 1.0000],
                [1.0000, 2.0000]])
    """
    batch, count, _ = points.shape
    rise = points.diff(dim=1)
    chord = torch.linalg.vector_norm(rise, dim=-1).clamp(min=_LEAST_CHORD)  # (B, n - 1)
    second = torch.zeros_like(points)  # second derivatives, 0 at both ends
    if count > 2:
        slope = rise / chord[..., None]
        matrix = torch.diag_embed(2.0 * (chord[:, :-1] + chord[:, 1:]))
        beside = chord[:, 1:-1]
        matrix = matrix + torch.diag_embed(beside, 1) + torch.diag_embed(beside, -1)
        second[:, 1:-1] = torch.linalg.solve(matrix, 6.0 * slope.diff(dim=1))
    pieces = -(-_PIECES // (count - 1))
    share = torch.arange(pieces, device=points.device, dtype=points.dtype)[:, None] / pieces
    rest = 1.0 - share
    at = points[:, :-1, None] * rest + points[:, 1:, None] * share
    bend = second[:, :-1, None] * (rest**3 - rest) + second[:, 1:, None] * (share**3 - share)
    curve = at + bend * chord[:, :, None, None].square() / 6.0
    return torch.cat((curve.reshape(batch, -1, 2), points[:, -1:]), 1)


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
