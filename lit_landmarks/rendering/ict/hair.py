"""Hair of ICT heads: a cap on the scalp, locks that grow over it, a curtain of long hair.

Locks are tapered strips, combed over the scalp lattice; they give the soft edge and the streaks
that tell hair from a helmet. All shapes are functions of the scalp's sites, so identity moves them.

A change that alters a picture must raise `ict.renderer.ICT_VERSION`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lit_landmarks.rendering.hair import CURTAIN_COLUMNS, HairStyle, hairline, sample_hair
from lit_landmarks.rendering.ict.sites import SCALP_ANGLES, SCALP_LAST, SCALP_ROWS
from lit_landmarks.rendering.parts import grid_triangles
from lit_landmarks.rendering.rng import CounterRng

#: Locks, vertices along each and across it.
LOCKS, ALONG, ACROSS = 400, 6, 3
#: A point inside the head.
HIDDEN = (0.0, 0.0, 0.9)
#: Lattice of long hair: columns from temple to temple round the back, rows downwards.
CURTAIN_ROWS = 10
#: Rows of the scalp from which long hair hangs freely, at the temple and at the nape.
_FREE_SIDE, _FREE_BACK = 7.4, 9.2


@dataclass(frozen=True)
class IctStyle(HairStyle):
    """Hair and wear of B faces.

    Attributes:
        comb: (B, 4) how far the front is swept back (0 falls, 1 back), to which side (-1 to 1),
            length of locks in rows, spread of their directions.
        lift: (B, 2) height of locks over the cap, unruliness.
        hat: (B, 4) kind (0 none, 1 knitted, 2 with a visor, 3 brimmed), lowest row, tilt, size.
        prop: (B, 10) what is before the face, see `wear.Props`.
        collar: (B, 4) see `wear.Clothes`.
        lashes: (B,) length.
    """

    comb: Tensor
    lift: Tensor
    hat: Tensor
    prop: Tensor
    collar: Tensor
    lashes: Tensor


def sample_locks(rng: CounterRng) -> tuple[HairStyle, dict[str, Tensor]]:
    """Styles of cap and curtain, and those of the locks."""
    base = sample_hair(rng)
    bald = base.thickness <= 0
    base = replace(base, thickness=torch.where(bald, base.thickness, base.thickness * 0.8 + 0.02))
    swept = torch.where(rng.chance("swept", 0.55), rng.uniform("sweep", 1, 0.45, 1.0), 0.15)
    long = base.length > 0
    reach = torch.where(
        long, rng.uniform("lock long", 1, 3.5, 6.0), rng.uniform("lock short", 1, 0.9, 3.0)
    )
    wild = torch.where(rng.chance("wild hair", 0.25), 1.0, 0.35)
    afro = base.thickness > 0.15
    reach = torch.where(afro, 0.7 * torch.ones_like(reach), reach)
    return base, {
        "comb": torch.stack(
            [
                swept,
                rng.uniform("comb side", 1, -1.0, 1.0),
                reach,
                rng.uniform("comb spread", 1, 0.06, 0.35),
            ],
            1,
        ),
        "lift": torch.stack([rng.uniform("lock lift", 1, 0.015, 0.07), wild], 1),
    }


class IctHair:
    """Meshes of cap, locks and curtain; `place` makes them from the scalp's sites and a style."""

    def __init__(self) -> None:
        angle = np.linspace(-np.pi, np.pi, SCALP_ANGLES, endpoint=False)
        rows = np.linspace(0.0, SCALP_LAST, SCALP_ROWS)
        a, t = (torch.from_numpy(g.reshape(-1)) for g in np.meshgrid(angle, rows))
        self.angle, self.row = a, t
        self._top = torch.exp(-(((t - 0.5) / 3.0) ** 2)) * (0.6 + 0.4 * torch.cos(a))
        cap = grid_triangles(SCALP_ROWS, SCALP_ANGLES, closed=True)
        self.cap_vertices = SCALP_ROWS * SCALP_ANGLES
        strip = grid_triangles(ALONG, ACROSS, flip=True)
        size = ALONG * ACROSS
        locks = np.concatenate([strip + k * size for k in range(LOCKS)]) + self.cap_vertices
        after = self.cap_vertices + LOCKS * size
        curtain = grid_triangles(CURTAIN_ROWS, CURTAIN_COLUMNS)
        sheet = CURTAIN_ROWS * CURTAIN_COLUMNS
        # Its inner side has vertices, and so normals, of its own.
        self.triangles = np.concatenate(
            [cap, locks, curtain + after, curtain[:, ::-1] + after + sheet]
        )
        self.count = after + 2 * sheet
        turn = torch.linspace(0.87, 2 * torch.pi - 0.87, CURTAIN_COLUMNS).double()
        self._turn = torch.where(turn > torch.pi, turn - 2 * torch.pi, turn)
        self._fall = torch.tensor([-0.2, -0.1, *torch.linspace(0, 1, CURTAIN_ROWS - 2)]).double()
        self._place_roots()
        self.texture = self._build_texture()

    def _place_roots(self) -> None:
        """Places of the roots, even over the scalp (R2 sequence), and fixed numbers of each."""
        n = np.arange(1, LOCKS + 1)
        g = 1.32471795724474602596
        u, v = (0.5 + n / g) % 1.0, (0.5 + n / g**2) % 1.0
        # Rows near the crown are short.
        row = 11.2 * np.sqrt(0.004 + 0.996 * v)
        row = np.where(row < 7.0, row, 7.0 + (row - 7.0) * 0.9)
        self._root = torch.from_numpy(np.stack([(2 * u - 1) * np.pi, row], -1))
        noise = np.stack([np.sin(n * k * 12.9898) * 43758.5453 % 1.0 for k in range(1, 7)], -1)
        self._own = torch.from_numpy(noise * 2 - 1)
        self._share = torch.linspace(0.0, 1.0, ALONG, dtype=torch.float64)

    def _build_texture(self) -> Tensor:
        """(H, 2): across (hair grows along the second)."""
        cap = torch.stack([self.angle, self.row], -1)
        across = torch.linspace(-0.5, 0.5, ACROSS, dtype=torch.float64) * 0.11
        u = self._root[:, :1, None] + 3.0 * self._own[:, 5, None, None] + across
        u = u.expand(-1, ALONG, -1)
        v = (self._root[:, 1, None] + 2.0 * self._share)[:, :, None].expand(-1, -1, ACROSS)
        locks = torch.stack([u, v], -1).reshape(-1, 2)
        down = 7.0 + 5.0 * self._fall
        sheet = torch.stack(torch.meshgrid(self._turn, down, indexing="xy"), -1).reshape(-1, 2)
        return torch.cat([cap, locks, sheet, sheet + torch.tensor([0.0, 7.0])])

    def place(self, scalp: Tensor, style: IctStyle) -> Tensor:
        """(B, H, 3) from sites (B, S, 3)."""
        device = scalp.device
        grid = scalp.reshape(len(scalp), SCALP_ROWS, SCALP_ANGLES, 3)
        out = _scalp_normals(grid)
        line = hairline(style.line.to(device), style.skew.to(device), self.angle.to(device))
        cap, height = self._place_cap(grid, out, line, style)
        table = torch.cat([grid, out, height[..., None].clamp_min(0.0)], -1)
        locks = self._place_locks(table, style)
        curtain = self._place_curtain(table, style)
        return torch.cat([cap, locks, curtain, curtain], 1)

    def _place_curtain(self, table: Tensor, style: IctStyle) -> Tensor:
        """Long hair as a sheet that hangs from the scalp (B, rows * columns, 3)."""
        device = table.device
        turn, fall = self._turn.to(device), self._fall.to(device)
        length = style.length.to(device)[:, None, None]
        free = _FREE_SIDE + (_FREE_BACK - _FREE_SIDE) * ((turn.abs() - 1.2) / 1.2).clamp(0, 1)
        row = free + 6.0 * fall.clamp_max(0.0)[:, None]
        row = row.expand(len(table), -1, -1)
        at = _sample_bilinear(table, turn.expand_as(row), row)
        base, normal, thick = at[..., :3], at[..., 3:6], at[..., 6:]
        start = torch.deg2rad(style.start.to(device))[:, None, None]
        present = ((turn.abs() - start) / 0.25).clamp(0.0, 1.0)
        down = fall.clamp_min(0.0)[:, None]
        wave = style.wave.to(device)[..., None]
        swing = wave[:, :1] * torch.sin(down * wave[:, 1:2] * 0.5 + turn * 9.0 + wave[:, 2:])
        wide = 0.02 + 0.6 * thick[..., 0] + (style.flare.to(device)[:, None, None] + swing) * down
        flat = normal * normal.new_tensor([1.0, 0.0, 1.0])
        place = base + wide[..., None] * flat
        drop = 0.9 * length * down * present * style.ragged.to(device)[:, None]
        place = place + drop[..., None] * drop.new_tensor([0.0, 1.0, 0.0])
        gone = (length <= 0) | (present <= 0)
        return torch.where(gone[..., None], place.new_tensor(HIDDEN), place).flatten(1, 2)

    def _place_cap(
        self, grid: Tensor, out: Tensor, line: Tensor, style: IctStyle
    ) -> tuple[Tensor, Tensor]:
        """The cap (B, S, 3), and its height over the scalp (B, rows, angles)."""
        device = grid.device
        row, angle = self.row.to(device), self.angle.to(device)
        rise = ((line - row) / 1.5).clamp(-0.6, 1.0)
        rise = torch.where(rise > 0, rise * (2.0 - rise), rise)
        thick = style.thickness[:, None].to(device)
        wave, curl = style.wave.to(device), style.curl.to(device)
        ripple = 1.0 + 3.0 * wave[:, :1] * torch.sin(angle * 7.0 + wave[:, 2:] + row * 0.9)
        lumps = torch.sin(angle * 19.0 + curl[:, 1:] + 2.0 * torch.sin(row * 2.9 + curl[:, 1:]))
        ripple = ripple + curl[:, :1] * lumps * torch.sin(row * 4.3 + 2.0 * curl[:, 1:])
        height = (thick + style.top[:, None].to(device) * self._top.to(device)) * ripple * rise
        hatted = (style.hat[:, :1].to(device) > 0.5).double()
        height = torch.where(height > 0, height * (1.0 - 0.75 * hatted), height)
        height = torch.where((rise < 0) | (thick <= 0), 0.16 * rise.clamp_max(0) - 0.012, height)
        height = torch.where(thick <= 0, torch.full_like(height, -0.09), height)
        cap = (grid + height.reshape(grid.shape[:-1])[..., None] * out).flatten(1, 2)
        # Far below the line it is folded away: what nobody sees need not be drawn.
        below = (row > line + 1.1) | (thick <= 0)
        cap = torch.where(below[..., None], cap.new_tensor(HIDDEN), cap)
        return cap, height.reshape(grid.shape[:-1])

    def _trace_locks(self, style: IctStyle) -> tuple[Tensor, Tensor]:
        """Angle and row (B, L, ALONG) of each lock on the scalp."""
        device = style.comb.device
        root, own = self._root.to(device), self._own.to(device)
        a, t = root[:, 0], root[:, 1]
        swept, side, reach, spread = (c[:, None] for c in style.comb.unbind(1))
        # Near the brow the sweep decides; sides and back always fall.
        brow = torch.exp(-((a / 0.95) ** 4)) * (t > 1.2)
        down = 1.0 - brow * 1.9 * swept
        aside = side * brow * (0.35 + 0.65 * swept) + spread * 1.6 * own[:, 0]
        length = reach * (0.8 + 0.3 * own[:, 1])
        s = self._share.to(device)
        # On the crown a step of angle is a small step on the scalp.
        wide = 0.26 * aside * length / (0.25 + torch.sin((t / 4.5).clamp(0.0, 1.57)))
        row = t[:, None] + (down * length)[..., None] * s
        angle = a[:, None] + wide[..., None] * s * (0.6 + 0.4 * s)
        # Past the crown a lock goes down the other side of it.
        low = 0.25
        return angle, torch.where(row < low, 2 * low - row, row)

    def _place_locks(self, table: Tensor, style: IctStyle) -> Tensor:
        """(B, L * ALONG * ACROSS, 3), from places, normals and heights of the cap."""
        device = table.device
        own = self._own.to(device)
        angle, row = self._trace_locks(style)
        free = _FREE_SIDE + (_FREE_BACK - _FREE_SIDE) * ((angle.abs() - 1.2) / 1.2).clamp(0, 1)
        long = (style.length.to(device) > 0)[:, None, None]
        free = torch.where(long, free, torch.full_like(free, 12.0))
        hang = (row - free).clamp_min(0.0)
        at = _sample_bilinear(table, angle, torch.minimum(row, free))
        base, normal, thick = at[..., :3], at[..., 3:6], at[..., 6:]
        s = self._share.to(device)
        lift, wild = (c[:, None, None] for c in style.lift.unbind(1))
        hatted = (style.hat[:, 0] > 0.5)[:, None, None]
        lift = torch.where(hatted, 0.3 * lift, lift)
        rise = lift * (0.35 + 0.5 * (own[:, 2, None] + 1)) * (0.4 + 1.2 * s * (1.25 - s))
        curl, phase = (c[:, None, None] for c in style.curl.to(device).unbind(1))
        turn = 9.0 * s + phase + 3.0 * own[:, 3, None]
        rise = rise + 0.16 * curl * torch.sin(turn) + 0.10 * wild * own[:, 4, None] * s * s * lift
        middle = base + (thick + rise.clamp_min(0.006)[..., None]) * normal
        scale = style.length.to(device)[:, None, None] / 2.2
        drop = hang * (0.10 + 0.42 * scale)
        flare = hang * 0.035 * (1.0 + own[:, 2, None])
        flat = normal * normal.new_tensor([1.0, 0.0, 1.0])
        middle = middle + flare[..., None] * flat
        middle = middle + drop[..., None] * drop.new_tensor([0.0, 1.0, 0.0])
        return self._widen_locks(middle, normal, turn, curl, style)

    def _widen_locks(
        self, middle: Tensor, normal: Tensor, turn: Tensor, curl: Tensor, style: IctStyle
    ) -> Tensor:
        device = middle.device
        way = torch.gradient(middle, dim=2)[0]
        across = F.normalize(torch.linalg.cross(way, normal, dim=-1), dim=-1)
        middle = middle + (0.05 * curl * torch.cos(turn))[..., None] * across
        s, own = self._share.to(device), self._own.to(device)
        width = 0.030 + 0.030 * (own[:, 5] + 1)
        long = (style.length.to(device) > 0)[:, None, None]
        taper = (1.0 - s ** torch.where(long, 5.0, 2.5)) * torch.where(long, 1.5, 1.0)
        taper = taper * (0.55 + 0.45 * (s * 4).clamp_max(1.0))
        # A lock whose root is bare skin, or below a hat, is folded to a point.
        root = self._root.to(device)
        line = hairline(style.line.to(device), style.skew.to(device), root[:, 0].contiguous())
        grows = (root[:, 1] < line - 0.15) & (style.thickness.to(device) > 0.012)[:, None]
        covered = style.hat[:, :1].to(device) > 0.5
        grows &= ~covered | (root[:, 1] > style.hat[:, 1:2].to(device) + 0.3)
        half = width[:, None] * taper * grows[..., None]
        edge = torch.linspace(-1.0, 1.0, ACROSS, dtype=torch.float64, device=device)
        bulge = 0.35 * (1.0 - edge**2)
        offset = half[..., None, None] * (
            edge[:, None] * across[..., None, :] + bulge[:, None] * normal[..., None, :]
        )
        strip = middle[..., None, :] + offset
        folded = middle[:, :, :1, None].expand_as(strip)
        return torch.where(grows[:, :, None, None, None], strip, folded).flatten(1, 3)


def _scalp_normals(grid: Tensor) -> Tensor:
    """Unit normals (B, rows, angles, 3) of the scalp, out of the skull."""
    across = grid.roll(-1, 2) - grid.roll(1, 2)
    down = torch.gradient(grid, dim=1)[0]
    normal = F.normalize(torch.linalg.cross(across, down, dim=-1), dim=-1)
    middle = grid.new_tensor([0.0, -0.15, 0.85])
    way = F.normalize(grid - middle, dim=-1)
    normal = normal * torch.sign((normal * way).sum(-1, keepdim=True))
    # The crown, where all angles meet, and folds of the auricle's root.
    steady = F.normalize(normal + 0.5 * way, dim=-1)
    crown = grid.new_zeros(grid.shape[1])
    crown[0] = 1.0
    return torch.lerp(steady, way, crown[:, None, None])


def _sample_bilinear(table: Tensor, angle: Tensor, row: Tensor) -> Tensor:
    """Bilinear reading of (B, rows, angles, C) at (B, L, K) angles and rows."""
    batch, rows, angles, channels = table.shape
    x = (angle + torch.pi) * (angles / (2 * torch.pi))
    y = (row * ((rows - 1) / SCALP_LAST)).clamp(0.0, rows - 1.001)
    x0, y0 = x.floor(), y.floor()
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    left, top = x0.long() % angles, y0.long()
    right = (left + 1) % angles
    flat = table.reshape(batch, rows * angles, channels)

    def at(i: Tensor, j: Tensor) -> Tensor:
        index = (j * angles + i).flatten(1)[..., None].expand(-1, -1, channels)
        return flat.gather(1, index).reshape(*angle.shape, channels)

    upper = torch.lerp(at(left, top), at(right, top), fx)
    lower = torch.lerp(at(left, top + 1), at(right, top + 1), fx)
    return torch.lerp(upper, lower, fy)
