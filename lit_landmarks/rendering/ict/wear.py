"""Clothes, hats, hands and things before the face, spectacles: what a head wears.

Each class makes a block of mesh once and places it per face; what a face does not wear is folded
into a point inside the head.

A change that alters a picture must raise `ict.renderer.ICT_VERSION`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lit_landmarks.rendering.ict.hair import HIDDEN, IctStyle
from lit_landmarks.rendering.ict.model import Array, Indices
from lit_landmarks.rendering.ict.sites import (
    BODY_ANGLES,
    BODY_BOTTOM,
    BODY_ROWS,
    BODY_TOP,
    SCALP_ANGLES,
    SCALP_LAST,
    SCALP_ROWS,
)
from lit_landmarks.rendering.parts import grid_triangles
from lit_landmarks.rendering.rng import CounterRng

#: A usual collar.
_COLLAR = (1.62, 0.2, 0.1, 0.03)
_CLOTH_ROWS, _HAT_ROWS, _VISOR_ROWS = 22, 9, 4


class Clothes:
    """A garment with a rim at the neck, on the lattice of throat and chest.

    A style is (B, 4): height of the rim at the nape, how much lower in front, depth of a V,
    distance from the skin.
    """

    def __init__(self) -> None:
        self.triangles = grid_triangles(_CLOTH_ROWS, BODY_ANGLES, closed=True)
        self.count = _CLOTH_ROWS * BODY_ANGLES
        angle = np.linspace(-np.pi, np.pi, BODY_ANGLES, endpoint=False)
        share = np.concatenate([[0.0, 0.0, 0.02], np.linspace(0.05, 1.0, _CLOTH_ROWS - 3) ** 1.3])
        self._angle = torch.from_numpy(angle)
        self._share = torch.from_numpy(share)
        grid = np.meshgrid(angle, 2.0 * share)
        self.texture = torch.from_numpy(np.stack([g.reshape(-1) for g in grid], -1))

    def at_rest(self, body: Tensor) -> Tensor:
        """(C, 3) with a usual collar, which says how far each vertex follows the body."""
        return self.place(body[None], body.new_tensor([_COLLAR]))[0]

    def place(self, body: Tensor, collar: Tensor) -> Tensor:
        """(B, C, 3) from sites (B, rows * angles, 3) and styles (B, 4)."""
        device = body.device
        grid = body.reshape(len(body), BODY_ROWS, BODY_ANGLES, 3)
        angle, loose = self._angle.to(device), collar[:, 3:].to(device)
        rim = self.rim(angle, collar)
        share = self._share.to(device)[:, None]
        y = rim[:, None] + share * (BODY_BOTTOM - rim[:, None])
        at = ((y - BODY_TOP) * ((BODY_ROWS - 1) / (BODY_BOTTOM - BODY_TOP))).clamp(
            0.0, BODY_ROWS - 1.001
        )
        low = at.floor()
        index = low.long()[..., None].expand(-1, -1, -1, 3)
        above, below = grid.gather(1, index), grid.gather(1, index + 1)
        place = torch.lerp(above, below, (at - low)[..., None])
        out = torch.stack([angle.sin(), 0 * angle, -angle.cos()], -1)
        away = loose[:, None] * (1.0 - 0.4 * share)
        away = away + torch.cat([-0.06 - 0 * share[:1], 0.015 + 0 * share[:1], 0 * share[2:]])
        return (place + away[..., None] * out).flatten(1, 2)

    @staticmethod
    def rim(angle: Tensor, collar: Tensor) -> Tensor:
        """Heights (B, N) of the rim at angles (N,) round the spine."""
        nape, scoop, vee, _ = (c[:, None].to(angle.device) for c in collar.unbind(1))
        front = torch.cos(0.5 * angle) ** 8
        return nape + scoop * front + vee * (1.0 - 1.6 * angle.abs()).clamp_min(0.0)


class Hats:
    """A shell over the hair, with a visor or a brim.

    A style is (B, 4): kind (0 none, 1 knitted, 2 with a visor, 3 brimmed), lowest row of the shell
    at the brow, tilt, roominess.
    """

    def __init__(self) -> None:
        shell = grid_triangles(_HAT_ROWS, SCALP_ANGLES, closed=True)
        brim = grid_triangles(_VISOR_ROWS, SCALP_ANGLES, closed=True) + _HAT_ROWS * SCALP_ANGLES
        # Its lower side has vertices, and so normals, of its own.
        below = brim[:, ::-1] + _VISOR_ROWS * SCALP_ANGLES
        self.triangles = np.concatenate([shell, brim, below])
        self.count = (_HAT_ROWS + 2 * _VISOR_ROWS) * SCALP_ANGLES
        self._angle = torch.linspace(-torch.pi, torch.pi, SCALP_ANGLES + 1).double()[:-1]
        self._share = torch.linspace(0.0, 1.0, _HAT_ROWS).double()
        brim_v = 1.0 + torch.arange(_VISOR_ROWS) / 10.0
        v = torch.cat([self._share, brim_v, brim_v])
        u, w = torch.meshgrid(self._angle, v, indexing="xy")
        self.texture = torch.stack([u.reshape(-1), w.reshape(-1)], -1)

    def place(self, scalp: Tensor, style: IctStyle) -> Tensor:
        """(B, H, 3) from the scalp's sites."""
        device = scalp.device
        grid = scalp.reshape(len(scalp), SCALP_ROWS, SCALP_ANGLES, 3)
        kind, low, tilt, room = (c[:, None] for c in style.hat.to(device).unbind(1))
        angle = self._angle.to(device)
        back = ((angle.abs() - 0.4) / 2.2).clamp(0.0, 1.0)
        line = low + back * (8.6 - low) * torch.where(kind > 2.5, 0.75, 0.9) + tilt * angle.sin()
        row = self._share.to(device)[:, None] * line[:, None]
        at = (row * ((SCALP_ROWS - 1) / SCALP_LAST)).clamp(0.0, SCALP_ROWS - 1.001)
        floor = at.floor()
        index = floor.long()[..., None].expand(-1, -1, -1, 3)
        place = torch.lerp(
            grid.gather(1, index), grid.gather(1, index + 1), (at - floor)[..., None]
        )
        way = F.normalize(place - place.new_tensor([0.0, -0.10, 0.85]), dim=-1)
        rim = (self._share.to(device)[:, None] > 0.99) * 0.012
        puff = (1.0 - self._share.to(device)[:, None]) * torch.where(kind > 2.5, 0.10, 0.05)[
            :, None
        ]
        shell = place + (room[:, None] + puff + rim)[..., None] * way
        brim = self._place_brim(shell[:, -1], kind, angle)
        whole = torch.cat([shell, brim, brim + brim.new_tensor([0.0, 0.012, 0.0])], 1).flatten(1, 2)
        gone = (kind < 0.5)[..., None]
        return torch.where(gone, whole.new_tensor(HIDDEN), whole)

    @staticmethod
    def _place_brim(edge: Tensor, kind: Tensor, angle: Tensor) -> Tensor:
        """(B, rows, angles, 3) of a brim or visor that goes on from the rim `edge` of the shell.

        Its reach is in head units: 0.62 over the brow for a visor, 0.42 all round for a brim.
        """
        flat = torch.stack([angle.sin(), 0.35 * angle.cos() ** 2, -angle.cos()], -1)
        front = torch.exp(-((angle / 0.85) ** 6))
        reach = torch.where(kind > 2.5, torch.full_like(angle, 0.42), 0.62 * front)
        reach = torch.where(kind < 1.5, 0.0 * angle, reach)
        step = torch.linspace(0.0, 1.0, _VISOR_ROWS, device=edge.device, dtype=edge.dtype)
        return edge[:, None] + (step[:, None] * reach[:, None])[..., None] * flat


class _Block(NamedTuple):
    points: Array
    triangles: Indices


def _make_tube(path: Array, radius: Array, flat: float = 1.0, around: int = 10) -> _Block:
    """A closed tube through (K, 3) points with (K,) half widths; `flat` squeezes its depth."""
    a = np.linspace(0, 2 * np.pi, around, endpoint=False)
    way = np.gradient(path, axis=0)
    way /= np.linalg.norm(way, axis=-1, keepdims=True)
    side = np.cross(way, np.array([0.0, 0.0, 1.0]))
    side /= np.maximum(np.linalg.norm(side, axis=-1, keepdims=True), 1e-9)
    deep = np.cross(side, way)
    ring = np.cos(a)[:, None] * side[:, None] + flat * np.sin(a)[:, None] * deep[:, None]
    points = (path[:, None] + radius[:, None, None] * ring).reshape(-1, 3)
    return _Block(points, grid_triangles(len(path), around, closed=True))


def _rounded_profile(k: int) -> Array:
    """Half widths of a tube with rounded ends, as shares."""
    s = np.linspace(-1.0, 1.0, k)
    return np.asarray((1.0 - np.abs(s) ** 8) ** 0.5 * 0.98 + 0.02, dtype=np.float64)


#: Place across, root, length and lean of the four fingers.
_FINGERS = (
    (-0.30, -0.42, 0.70, -0.10),
    (-0.10, -0.48, 0.82, -0.02),
    (0.10, -0.46, 0.76, 0.05),
    (0.29, -0.38, 0.58, 0.14),
)
#: Half sizes of a phone, a card, and two poles.
_BARS = ((0.40, 0.80, 0.04), (0.50, 0.32, 0.01), (0.07, 3.0, 0.07), (0.16, 3.5, 0.10))


def _make_hand() -> _Block:
    """A right hand, fingers up, its palm towards the face (+z), about 2 head units long."""
    blocks = []
    for x, base, length, lean in _FINGERS:
        s = np.linspace(0.0, 1.0, 9)
        path = np.stack([x + lean * s, base + 0.30 - (length + 0.30) * s, 0.10 * s**2], -1)
        blocks.append(_make_tube(path, 0.096 * _rounded_profile(9) * (1.0 - 0.18 * s), 0.85))
    s = np.linspace(0.0, 1.0, 9)
    thumb = np.stack([-0.34 - 0.36 * s, 0.30 - 0.62 * s, 0.06 * s], -1)
    blocks.append(_make_tube(thumb, 0.125 * _rounded_profile(9) * (1.0 - 0.2 * s), 0.9))
    palm = np.stack([0 * s, 0.62 - 1.15 * s, 0.02 * s], -1)
    blocks.append(
        _make_tube(
            palm, 0.43 * (0.62 + 0.38 * np.minimum(1, 2 * s)) * _rounded_profile(9), 0.34, 14
        )
    )
    arm = np.stack([0.05 * s, 3.2 - 2.75 * s, 0.0 * s], -1)
    blocks.append(_make_tube(arm, 0.30 + 0 * s, 0.8, 14))
    return _join_blocks(blocks)


def _join_blocks(blocks: list[_Block]) -> _Block:
    """One block of several."""
    starts = np.cumsum([0] + [len(b.points) for b in blocks])
    return _Block(
        np.concatenate([b.points for b in blocks]),
        np.concatenate([b.triangles + s for b, s in zip(blocks, starts, strict=False)]),
    )


def _make_box() -> _Block:
    """A box of half sizes 1 whose faces share no vertex, so that its edges stay sharp."""
    points: list[Array] = []
    triangles: list[Indices] = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            corners = np.zeros((4, 3))
            corners[:, axis] = sign
            corners[:, (axis + 1) % 3] = [-1, 1, 1, -1]
            corners[:, (axis + 2) % 3] = [-1, -1, 1, 1]
            order = np.array([[0, 1, 2], [0, 2, 3]])
            triangles.append((order[:, ::-1] if sign > 0 else order) + 4 * len(points))
            points.append(corners)
    return _Block(np.concatenate(points), np.concatenate(triangles))


class Props:
    """A hand or a bar (phone, card, pole) before the face.

    A style is (B, 10): kind (0 none, 1 hand, 2 bar), place x, y, z, turn and tilt in radians, half
    sizes of a bar, which hand (-1 or 1).
    """

    def __init__(self) -> None:
        hand, bar = _make_hand(), _make_box()
        n = len(hand.points)
        mirrored = hand.points * np.array([-1.0, 1.0, 1.0])
        whole = np.concatenate([hand.points, mirrored, bar.points])
        self._rest, self.count = torch.from_numpy(whole), len(whole)
        self.hand_triangles = np.concatenate([hand.triangles, hand.triangles[:, ::-1] + n])
        self.bar_triangles = bar.triangles + 2 * n
        self.texture = torch.from_numpy(whole[:, :2].copy())
        #: -1 and 1 for the hands, 0 for the bar.
        self._which = torch.tensor([1.0] * n + [-1.0] * n + [0.0] * len(bar.points)).double()

    def place(self, style: IctStyle, device: torch.device) -> Tensor:
        """(B, P, 3) head frame."""
        prop = style.prop.to(device)
        kind, turn, tilt = prop[:, 0], prop[:, 4], prop[:, 5]
        rest = self._rest.to(device)
        which = self._which.to(device)[None, :, None]
        bar = which == 0
        size = torch.where(bar, prop[:, None, 6:9], prop.new_tensor(0.88))
        points = rest * size
        x, y, z = points.unbind(-1)
        c, s = torch.cos(tilt)[:, None], torch.sin(tilt)[:, None]
        y, z = y * c - z * s, y * s + z * c
        c, s = torch.cos(turn)[:, None], torch.sin(turn)[:, None]
        points = torch.stack([x * c - y * s, x * s + y * c, z], -1) + prop[:, None, 1:4]
        hand = (kind.round() == 1)[:, None, None] & (which == prop[:, 9, None, None])
        shown = torch.where(bar, (kind > 1.5)[:, None, None], hand)
        return torch.where(shown, points, points.new_tensor(HIDDEN))


def sample_wear(rng: CounterRng) -> dict[str, Tensor]:
    """Sample what the faces of `rng` wear, as columns of `IctStyle`."""
    hat = rng.choice("hat", (0.84, 0.08, 0.05, 0.03)).double()
    kind = rng.choice("prop", (0.86, 0.09, 0.05)).double()
    hand = kind == 1
    which = torch.where(rng.chance("left hand", 0.5), 1.0, -1.0).double()
    spot = rng.choice("hand place", (3.0, 2.0, 1.0, 1.0))
    places = torch.tensor([[0.0, 1.25], [0.55, 1.15], [0.42, 0.55], [0.30, -0.10]]).double()[spot]
    at = torch.stack([places[:, 0] * which, places[:, 1]], -1)
    at = at + 0.12 * rng.normal("hand jitter", 2)
    loose = torch.stack(
        [rng.uniform("bar x", 1, -0.9, 0.9), rng.uniform("bar y", 1, -0.5, 1.2)], -1
    )
    at = torch.where(hand[:, None], at, loose)
    depth = torch.where(hand, -0.50 + 0.35 * at[:, 0].abs() ** 2, -0.75 + 0.0 * at[:, 0])
    turn = torch.where(
        hand,
        0.35 * rng.normal("hand turn") - 0.35 * at[:, 0],
        rng.uniform("bar turn", 1, -1.6, 1.6),
    )
    shapes = torch.tensor(_BARS).double()[rng.choice("bar", (2.0, 1.0, 1.0, 1.0))]
    vee = rng.chance("open collar", 0.35) * rng.uniform("open depth", 1, 0.1, 0.5)
    high = rng.chance("high collar", 0.12)
    nape = torch.where(
        high, rng.uniform("nape high", 1, 1.35, 1.5), rng.uniform("nape", 1, 1.55, 1.72)
    )
    scoop = torch.where(high, 0.05, rng.uniform("neckline", 1, 0.12, 0.42))
    return {
        "hat": torch.stack(
            [
                hat,
                rng.uniform("hat line", 1, 3.9, 4.9),
                0.25 * rng.normal("hat tilt"),
                rng.uniform("hat room", 1, 0.07, 0.15),
            ],
            1,
        ),
        "prop": torch.cat(
            [
                kind[:, None],
                at,
                depth[:, None],
                turn[:, None],
                0.12 * rng.normal("prop tilt")[:, None],
                shapes,
                which[:, None],
            ],
            1,
        ),
        "collar": torch.stack([nape, scoop, vee, rng.uniform("loose", 1, 0.015, 0.05)], 1),
        "lashes": rng.uniform("lashes", 1, 0.0, 1.0),
    }
