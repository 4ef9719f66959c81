"""Procedural backgrounds: gradients, clouds of noise, shapes, stripes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_landmarks.heads.draws import Draws


def background(draws: Draws, size: int, device: torch.device) -> Tensor:
    """(B, size, size, 3) linear RGB."""
    n = len(draws)
    ends = (draws.uniform("wall", 6) ** 1.6).float().to(device).reshape(n, 2, 3)
    gray = ends.mean(-1, keepdim=True)
    ends = gray + (ends - gray) * draws.uniform("wall colour").float().to(device)[:, None, None]
    axis = torch.linspace(-1.0, 1.0, size, device=device)
    y, x = axis[:, None], axis[None, :]
    turn = draws.uniform("wall turn", 1, 0.0, 6.2832).float().to(device)[:, None, None]
    ramp = (0.5 + 0.45 * (x * torch.cos(turn) + y * torch.sin(turn))).clamp(0.0, 1.0)[..., None]
    picture = ends[:, None, None, 0] * (1 - ramp) + ends[:, None, None, 1] * ramp
    picture = picture + _clouds(draws, size, device)
    picture = _shapes(draws, picture, x, y)
    return picture.clamp(0.0, 1.0)


def _clouds(draws: Draws, size: int, device: torch.device) -> Tensor:
    """Smooth coloured noise at three scales."""
    n = len(draws)
    total = torch.zeros(n, size, size, 3, device=device)
    power = draws.uniform("clouds", 3).float().to(device) ** 2 * 0.55
    for k, cells in enumerate((3, 7, 19)):
        grid = draws.uniform(f"cloud {cells}", cells * cells * 4, -1.0, 1.0).float()
        grid = grid.reshape(n, 4, cells, cells).to(device)
        grid = 0.75 * grid[:, 3:] + 0.25 * grid[:, :3]
        smooth = F.interpolate(grid, size=(size, size), mode="bicubic", align_corners=False)
        total = total + smooth.permute(0, 2, 3, 1) * power[:, k, None, None, None]
    return total


def _shapes(draws: Draws, picture: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Boxes, discs and stripes with soft edges, as out-of-focus things are."""
    device = picture.device
    count = draws.choice("shapes", (2.0, 1.0, 1.0, 1.0, 1.0, 1.0))
    for k in range(5):
        place = draws.uniform(f"shape {k}", 6, -1.0, 1.0).float().to(device)[..., None, None]
        colour = (draws.uniform(f"shape colour {k}", 3) ** 1.5).float().to(device)[:, None, None]
        cx, cy, wide, high, turn, soft = place.unbind(1)
        cos, sin = torch.cos(turn * 1.6), torch.sin(turn * 1.6)
        u, v = (x - cx) * cos + (y - cy) * sin, (y - cy) * cos - (x - cx) * sin
        u, v = u / (0.15 + 0.5 * wide.abs()), v / (0.15 + 0.9 * high.abs())
        disc = draws.chance(f"disc {k}", 0.35).to(device)[:, None, None]
        far = torch.where(disc, (u * u + v * v).sqrt(), torch.maximum(u.abs(), v.abs()))
        share = ((1.0 - far) / (0.04 + 0.35 * soft.abs())).clamp(0.0, 1.0)
        share = share * (count > k).to(device)[:, None, None] * 0.9
        picture = picture + (colour - picture) * share[..., None]
    return picture
