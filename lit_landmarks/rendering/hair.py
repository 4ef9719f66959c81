"""Hair: a cap that rises from the scalp behind a hairline, and a curtain that hangs from it.

Both are lattices on the skull, so identity moves them like the skin. A style (per face) says where
the hairline runs, how thick the cap is and how long the curtain hangs; where the cap is thinner
than nothing it lies under the skin and the z-buffer hides it.

A change that alters a picture must raise `renderer.RENDER_VERSION`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lit_landmarks.rendering.parts import Block, Material, grid_triangles
from lit_landmarks.rendering.rng import CounterRng
from lit_landmarks.template import loft
from lit_landmarks.template.loft import Array

CAP_COLUMNS, CAP_ROWS = 48, 22
CURTAIN_COLUMNS, CURTAIN_ROWS = 41, 9
#: Row numbers of the loft that the cap covers.
_CAP_FIRST, _CAP_LAST = 0.0, 13.0
#: Angles (degrees) at which a hairline is given by its row number.
LINE_ANGLES = (0.0, 22.0, 42.0, 58.0, 72.0, 84.0, 100.0, 130.0, 180.0)
#: Hairlines without variation: short back and sides.
_LINE = (3.55, 3.45, 3.60, 5.20, 8.00, 7.80, 9.60, 11.2, 11.8)


@dataclass(frozen=True)
class HairStyle:
    """Hair of B faces.

    Attributes:
        line: (B, 9) row number of the hairline at `LINE_ANGLES`.
        thickness: (B,) of the cap over the skull, head units; 0 is bald.
        top: (B,) extra thickness on top.
        length: (B,) of the curtain; 0 is none.
        start: (B,) angle in degrees at which the curtain begins.
        flare: (B,) how much the curtain widens downwards.
        wave: (B, 3) amplitude, frequency and phase of waves.
        skew: (B,) how much lower the line is on the image's right of the forehead.
        curl: (B, 2) size and phase of lumps, for curly hair.
        ragged: (B, 41) relative length of each column of the curtain.
    """

    line: Tensor
    thickness: Tensor
    top: Tensor
    length: Tensor
    start: Tensor
    flare: Tensor
    wave: Tensor
    skew: Tensor
    curl: Tensor
    ragged: Tensor


def sample_hair(rng: CounterRng) -> HairStyle:
    """Styles from bald to long, with and without a fringe."""
    n = len(rng)
    line = torch.tensor(_LINE, dtype=torch.float64).repeat(n, 1)
    high = rng.uniform("hairline", 1, -0.45, 0.35)
    corner = rng.uniform("hair corners", 1, 0.0, 1.0)
    weight = torch.tensor([1.0, 1.0, 1.0, 0.5, 0, 0, 0, 0, 0], dtype=torch.float64)
    line = line + high[:, None] * weight
    # Receding corners of the forehead.
    recede = torch.tensor([0.0, 0.5, 1.0, 0.9, 0, 0, 0, 0, 0], dtype=torch.float64)
    line = line - (0.9 * corner * rng.chance("recede", 0.4))[:, None] * recede
    fringe = rng.chance("fringe", 0.22)
    depth = rng.uniform("fringe depth", 1, 4.6, 5.75)
    lean = rng.normal("fringe lean") * 0.3
    low = torch.stack([depth, depth + lean, depth + 0.1, depth + 0.5], 1)
    line[:, :4] = torch.where(fringe[:, None], low, line[:, :4])
    bald = rng.chance("bald", 0.05)
    low_high = torch.tensor([[0.006, 0.02], [0.03, 0.09], [0.08, 0.16], [0.16, 0.34]]).double()
    kind = rng.choice("hair kind", (0.8, 3.5, 2.5, 0.8))
    low_high = low_high[kind]
    thickness = low_high[:, 0] + (low_high[:, 1] - low_high[:, 0]) * rng.uniform("hair thickness")
    thickness = torch.where(bald, torch.zeros_like(thickness), thickness)
    long = rng.chance("long hair", 0.40) & ~bald & (kind > 0) & (kind < 3)
    length = torch.where(long, rng.uniform("hair length", 1, 0.5, 2.6), 0.0 * thickness)
    curly = rng.chance("curly", 0.25) | (kind == 3)
    side = rng.uniform("sideburn", 1, -0.6, 1.0)
    line[:, 4] += side
    line[:, 3:6] = torch.where(long[:, None], line[:, 3:6].clamp_min(7.0), line[:, 3:6])
    return HairStyle(
        line=line,
        thickness=thickness,
        top=rng.uniform("hair top", 1, 0.0, 0.16) * ~bald * (kind > 0),
        length=length,
        start=rng.uniform("curtain start", 1, 58.0, 100.0),
        flare=rng.uniform("flare", 1, -0.08, 0.22),
        wave=torch.stack(
            [
                rng.uniform("wave", 1, 0.0, 0.035),
                rng.uniform("wave frequency", 1, 4.0, 16.0),
                rng.uniform("wave phase", 1, 0.0, 6.3),
            ],
            1,
        ),
        skew=rng.normal("hair skew") * torch.where(rng.chance("skewed", 0.6), 0.45, 0.05),
        curl=torch.stack(
            [
                curly * rng.uniform("curl", 1, 0.10, 0.35),
                rng.uniform("curl phase", 1, 0.0, 6.3),
            ],
            1,
        ),
        ragged=rng.uniform("ragged", CURTAIN_COLUMNS, 0.85, 1.0),
    )


def _cap_lattice() -> tuple[Array, Array]:
    angle = np.linspace(-np.pi, np.pi, CAP_COLUMNS, endpoint=False)
    share = np.linspace(0.0, 1.0, CAP_ROWS)
    t = _CAP_FIRST + (_CAP_LAST - _CAP_FIRST) * share
    return np.meshgrid(angle, t)[0], np.meshgrid(angle, t)[1]


def _curtain_lattice() -> tuple[Array, Array]:
    angle = np.linspace(np.radians(50.0), 2 * np.pi - np.radians(50.0), CURTAIN_COLUMNS)
    angle = np.where(angle > np.pi, angle - 2 * np.pi, angle)
    share = np.linspace(0.0, 1.0, CURTAIN_ROWS)
    return np.meshgrid(angle, share)[0], np.meshgrid(angle, share)[1]


def _skull_normals(angle: Array, t: Array) -> Array:
    """Unit vectors that point out of the skull."""
    h = 1e-3
    across = loft.surface(angle + h, t) - loft.surface(angle - h, t)
    down = loft.surface(angle, t + h) - loft.surface(angle, np.maximum(t - h, 0.0))
    normal = np.cross(across, down)
    middle = np.array([0.0, -0.15, 0.85])
    normal *= np.sign(((loft.surface(angle, t) - middle) * normal).sum(-1, keepdims=True))
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    up = np.array([0.0, -1.0, 0.0])
    return np.where(length > 1e-9, normal / np.maximum(length, 1e-9), up)


class Hair:
    """Meshes of cap and curtain: `blocks` join a head, `place` moves them into a style."""

    def __init__(self) -> None:
        self.angle, self.row = (v.reshape(-1) for v in _cap_lattice())
        self.curtain_angle, self.share = (v.reshape(-1) for v in _curtain_lattice())
        self._cap_out = torch.from_numpy(_skull_normals(self.angle, self.row))
        top = np.exp(-(((self.row - 0.5) / 3.0) ** 2)) * (0.6 + 0.4 * np.cos(self.angle))
        self._top = torch.from_numpy(top)
        out = np.stack(
            [np.sin(self.curtain_angle), 0 * self.share, -np.cos(self.curtain_angle)], -1
        )
        self._curtain_out = torch.from_numpy(out)

    def blocks(self) -> list[Block]:
        """Cap and curtain on the bare skull."""
        cap = loft.surface(self.angle, self.row)
        texture = np.stack([self.angle, self.row], -1)
        zeros = np.zeros(len(cap), dtype=np.int64)
        triangles = grid_triangles(CAP_ROWS, CAP_COLUMNS, closed=True)
        root = loft.surface(self.curtain_angle, np.full_like(self.share, 6.6))
        hanging = np.stack([self.curtain_angle, 7.0 + 6.0 * self.share], -1)
        curtain = grid_triangles(CURTAIN_ROWS, CURTAIN_COLUMNS)
        none = np.zeros(len(root), dtype=np.int64)
        # The curtain is seen from both sides; its inner side is darker, as if deep in the hair.
        inner = hanging + np.array([0.0, 7.0])
        return [
            Block(cap, triangles, Material.HAIR, texture, cap, zeros),
            Block(root, curtain, Material.HAIR, hanging, root, none),
            Block(root, curtain[:, ::-1], Material.HAIR, inner, root, none),
        ]

    def sink(self, skull: Tensor) -> Tensor:
        """No hair at all: the lattice lies inside the skull."""
        out = torch.cat([self._cap_out, self._curtain_out, self._curtain_out]).to(skull.device)
        return skull - 0.1 * out

    def place(self, skull: Tensor, style: HairStyle) -> Tensor:
        """Moves the lattice points (B, H, 3) from the scalp to where the style wants them."""
        n = len(self.angle)
        m = n + len(self.curtain_angle)
        curtain = self._place_curtain(skull[:, n:m], style)
        return torch.cat([self._place_cap(skull[:, :n], style), curtain, curtain], 1)

    def _place_cap(self, points: Tensor, style: HairStyle) -> Tensor:
        device = points.device
        angle = torch.from_numpy(self.angle).to(device)
        row = torch.from_numpy(self.row).to(device)
        line = hairline(style.line.to(device), style.skew.to(device), angle)
        rise = ((line - row) / 1.3).clamp(-0.6, 1.0)
        rise = torch.where(rise > 0, rise * (2.0 - rise), rise)
        thick = style.thickness[:, None].to(device)
        wave = style.wave.to(device)
        ripple = 1.0 + 3.0 * wave[:, :1] * torch.sin(angle * 7.0 + wave[:, 2:] + row * 0.9)
        size, phase = style.curl.to(device)[:, :1], style.curl.to(device)[:, 1:]
        lumps = torch.sin(angle * 19.0 + phase + 2.0 * torch.sin(row * 2.9 + phase))
        ripple = ripple + size * lumps * torch.sin(row * 4.3 + 2.0 * phase)
        height = (thick + style.top[:, None].to(device) * self._top.to(device)) * ripple * rise
        # Below the line the cap dives under the skin, deep enough for its hollows.
        height = torch.where((rise < 0) | (thick <= 0), 0.16 * rise.clamp_max(0.0) - 0.004, height)
        height = torch.where(thick <= 0, torch.full_like(height, -0.09), height)
        return points + height[..., None] * self._cap_out.to(device)

    def _place_curtain(self, points: Tensor, style: HairStyle) -> Tensor:
        device = points.device
        angle = torch.from_numpy(self.curtain_angle).to(device)
        share = torch.from_numpy(self.share).to(device)
        out = self._curtain_out.to(device)
        start = torch.deg2rad(style.start.to(device))[:, None]
        present = ((angle.abs() - start) / 0.25).clamp(0.0, 1.0)
        length = style.length.to(device)[:, None] * style.ragged.to(device).repeat(1, CURTAIN_ROWS)
        fall = length * share * present**0.3
        wave = style.wave.to(device)
        swing = wave[:, :1] * torch.sin(share * wave[:, 1:2] * 0.5 + angle * 5.0 + wave[:, 2:])
        thick = style.thickness.to(device)[:, None] + 0.035
        wide = thick + (style.flare.to(device)[:, None] * share + swing) * present
        hidden = (style.length.to(device)[:, None] <= 0) | (present <= 0)
        wide = torch.where(hidden, torch.full_like(wide, -0.10), wide)
        moved = points + wide[..., None] * out
        drop = torch.stack([torch.zeros_like(fall), fall, torch.zeros_like(fall)], -1)
        # The nape is further in than the back of the head; hair hangs, it does not follow.
        return moved + drop


def hairline(line: Tensor, skew: Tensor, angle: Tensor) -> Tensor:
    """Row number of the hairline: (B, 9) knots and (B,) skew at angles (P,) radians -> (B, P)."""
    knots = torch.tensor(LINE_ANGLES, dtype=line.dtype, device=line.device)
    at = torch.rad2deg(angle.abs()).to(line.dtype).clamp(0.0, 180.0)
    k = torch.searchsorted(knots, at.contiguous(), right=True).clamp(1, len(knots) - 1)
    share = (at - knots[k - 1]) / (knots[k] - knots[k - 1])
    share = share * share * (3.0 - 2.0 * share)
    front = torch.sin(2.2 * angle.clamp(-1.42, 1.42)).to(line.dtype)
    return line[:, k - 1] * (1.0 - share) + line[:, k] * share + skew[:, None] * front
