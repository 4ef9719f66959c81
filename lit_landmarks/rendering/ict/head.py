"""`IctHead`: the ICT FaceKit morphable head as a `faces.Head`, with hair, clothes and wear.

A change that alters a picture must raise `ict.renderer.ICT_VERSION`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.rendering.glasses import Glasses
from lit_landmarks.rendering.hair import HairStyle
from lit_landmarks.rendering.ict.hair import IctHair, IctStyle
from lit_landmarks.rendering.ict.landmarks import Landmarks
from lit_landmarks.rendering.ict.model import (
    GUM_END,
    MOUTH_END,
    SCLERAS,
    SKIN_END,
    SOCKET_END,
    TEETH_END,
    Array,
    IctModel,
    Indices,
    load_model,
)
from lit_landmarks.rendering.ict.paint import COLUMNS, Column, skin_columns
from lit_landmarks.rendering.ict.sites import (
    BODY_TOP,
    SCALP_ANGLES,
    SCALP_LAST,
    SCALP_ROWS,
    Places,
    Sites,
    spine_of,
)
from lit_landmarks.rendering.ict.wear import Clothes, Hats, Props
from lit_landmarks.rendering.parts import Material, grid_triangles
from lit_landmarks.template.surface_points import ContourPaths, SurfacePoints

#: Where the regions of the model's vertices end, and what each and the rest are made of.
_REGION_ENDS = (SKIN_END, MOUTH_END, SOCKET_END, GUM_END, TEETH_END)
_REGION_MATERIALS = (
    *(Material.SKIN, Material.MOUTH, Material.RIM),
    *(Material.TONGUE, Material.TEETH, Material.EYE),
)
#: Parts of the mouth further back than this are never seen (head units from the eye corners).
_MOUTH_BACK, _TEETH_BACK = 0.16, 0.06
#: Lips that part by less, in head units, show no teeth.
_CLOSED = 0.006
#: The eyeball is a little smaller than the sclera of the file, so that lids close over it.
_EYE_SHARE = 0.985
_EYE_RINGS, _EYE_AROUND = np.radians([0.0, 10, 20, 30, 42, 56, 72, 90]), 20


class _Part(NamedTuple):
    """Extra vertices: places at rest, what moves them, triangles, material and texture."""

    sites: Sites
    triangles: Indices
    material: Material
    texture: Array


class _Worn(NamedTuple):
    """Extra vertices that a style places: triangles by material, texture, number of vertices."""

    triangles: list[tuple[Indices, Material]]
    texture: Tensor
    size: int


class IctHead:
    """A head of identity and expression offsets; see `faces.Head` for what it gives.

    Vertices come in this order: those of the model that can be seen, eyeballs, lashes, glasses,
    hair, clothes, hat, hand and bar, two pupils.

    Args:
        path: the head file, made by `convert`.
    """

    def __init__(self, path: str | Path) -> None:
        model = load_model(path)
        self.model = model
        places = Places(model)
        self.hair, self.glasses = IctHair(), Glasses()
        self.clothes, self.hats, self.props = Clothes(), Hats(), Props()
        scalp, body = places.scalp(), places.body()
        angle = np.linspace(-np.pi, np.pi, SCALP_ANGLES, endpoint=False)
        rows = np.linspace(0.0, SCALP_LAST, SCALP_ROWS)
        a, t = (g.reshape(-1) for g in np.meshgrid(angle, rows))
        self._fit_eyeballs(model)
        self._build_mesh(model, places, skin_columns(model, scalp.rest, t, a).numpy())
        self._build_bases(model, scalp, body)
        self.side = (self.rest[self.triangles].mean(1)[:, 0] > 0).long()
        self.landmarks = Landmarks(places, self.vertex_numbers, self.pupil_start)
        self.identity_names = tuple(f"mode_{k + 1}" for k in range(len(model.identity)))
        self.expression_names = model.expression_names
        worn = self.rest.clone()
        first = self.clothes_start
        worn[first : first + self.clothes.count] = self.clothes.at_rest(torch.from_numpy(body.rest))
        low = worn[:, 1] + 0.30 * (worn[:, 2] - 0.6).clamp(0.0, 1.0)
        share = ((low - 1.36) / 0.62).clamp(0.0, 1.0)
        share[self.props_start :] = 0.0
        self.body = share * share * (3.0 - 2.0 * share)

    def _fit_eyeballs(self, model: IctModel) -> None:
        """Centres and radius of spheres through the scleras."""
        centers, sizes = [], []
        for first, end in SCLERAS[::-1]:
            v = model.mean[first:end]
            system = np.concatenate([2 * v, np.ones((len(v), 1))], 1)
            x = np.linalg.lstsq(system, (v**2).sum(1), rcond=None)[0]
            centers.append(x[:3])
            sizes.append(np.sqrt(x[3] + x[:3] @ x[:3]))
        # The image's left eye, which is the subject's right one, comes first.
        self.eye_center = np.stack(centers)
        self.eye_radius = float(np.mean(sizes)) * _EYE_SHARE

    def _build_mesh(self, model: IctModel, places: Places, columns: Array) -> None:
        """Triangles, materials and textures of what can be seen, block after block."""
        region = np.searchsorted(_REGION_ENDS, model.triangles.max(1), side="right")
        near = model.mean[model.triangles][..., 2].min(1)
        deep = (near > np.where(region == 4, _TEETH_BACK, _MOUTH_BACK)) & (region > 2)
        shown = (region < 5) & ~deep
        used = np.unique(model.triangles[shown])
        self.vertex_numbers = np.full(len(model.mean), -1)
        self.vertex_numbers[used] = np.arange(len(used))
        self._used = used
        triangles = [self.vertex_numbers[model.triangles[shown]]]
        material = [np.array(_REGION_MATERIALS)[region[shown]]]
        textures = [columns[used]]
        lips = model.mean[model.ibug68[60:68], 2].mean()
        inner = used >= SKIN_END
        textures[0][inner, 1] = np.clip((model.mean[used, 2] - lips) / 0.4, 0.0, 1.0)[inner]
        textures[0][inner, 0] = model.mean[used, 0][inner]
        self._parts, start = self._build_parts(places), len(used)
        for part in self._parts:
            triangles.append(part.triangles + start)
            material.append(np.full(len(part.triangles), int(part.material)))
            textures.append(_pad_texture(part.texture))
            start += len(part.sites.rest)
        self.clothes_start = start + self.hair.count
        self.props_start = self.clothes_start + self.clothes.count + self.hats.count
        for worn in self._worn_blocks():
            for faces, kind in worn.triangles:
                triangles.append(faces + start)
                material.append(np.full(len(faces), int(kind)))
            textures.append(_pad_texture(worn.texture.numpy()))
            start += worn.size
        self.pupil_start = start
        textures.append(np.zeros((2, textures[0].shape[1])))
        self.triangles = torch.from_numpy(np.concatenate(triangles))
        self.material = torch.from_numpy(np.concatenate(material).astype(np.int64))
        self.texture = torch.from_numpy(np.concatenate(textures))
        self.paint = torch.zeros(16, 16, 8)

    def _worn_blocks(self) -> list[_Worn]:
        """Hair, clothes, hat, hand and bar, in the order of their vertices."""
        hair, clothes, hats, props = self.hair, self.clothes, self.hats, self.props
        sides = [(props.hand_triangles, Material.HAND), (props.bar_triangles, Material.PROP)]
        return [
            _Worn([(hair.triangles, Material.HAIR)], hair.texture, hair.count),
            _Worn([(clothes.triangles, Material.CLOTH)], clothes.texture, clothes.count),
            _Worn([(hats.triangles, Material.HAT)], hats.texture, hats.count),
            _Worn(sides, props.texture, props.count),
        ]

    def _build_parts(self, places: Places) -> list[_Part]:
        """Eyeballs, lashes, glasses."""
        parts = []
        t, p = np.meshgrid(
            _EYE_RINGS, np.linspace(0, 2 * np.pi, _EYE_AROUND, endpoint=False), indexing="ij"
        )
        way = np.stack([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), -np.cos(t)], -1)
        way = way.reshape(-1, 3)
        ball = grid_triangles(len(_EYE_RINGS), _EYE_AROUND, closed=True, flip=True)
        for center, (first, end) in zip(self.eye_center, SCLERAS[::-1], strict=True):
            # A ball rides on three of its own vertices, far apart.
            third = (end - first) // 3
            transfer_points = np.tile(
                np.array([first, first + third, first + 2 * third]), (len(way), 1)
            )
            sites = Sites(
                center + self.eye_radius * way, transfer_points, np.full((len(way), 3), 1 / 3)
            )
            parts.append(_Part(sites, ball, Material.EYE, way[:, :2]))
        block = self.glasses.blocks()[0]
        bridge = self.model.mean[self.model.ibug68[27]]
        sites = places.attach(np.tile(bridge, (len(block.points), 1)))
        sites = Sites(block.points + np.array([0.0, 0.0, -0.012]), sites.vertices, sites.weights)
        self._glasses = (len(self._used) + 2 * len(way), len(block.points))
        parts.append(_Part(sites, block.triangles, Material.GLASSES, block.texture))
        return parts

    def _build_bases(self, model: IctModel, scalp: Sites, body: Sites) -> None:
        """Build one basis for all that moves linearly: seen vertices, parts, scalp, body."""
        sites = [p.sites for p in self._parts] + [scalp, body]
        rest = np.concatenate([model.mean[self._used]] + [s.rest for s in sites])

        def basis(offsets: NDArray[np.float32]) -> Tensor:
            rows = [offsets[:, self._used]]
            for s in sites:
                moved = (offsets[:, s.vertices] * s.weights[..., None]).sum(2)
                rows.append(moved.astype(np.float64))
            return torch.from_numpy(np.concatenate(rows, 1, dtype=np.float64)).flatten(1)

        self._linear = torch.from_numpy(rest)
        self._identity = basis(model.identity)
        self._expression = basis(model.expression)
        # Glasses, scalp and clothes follow the skull, not the muscles.
        still = self._expression.view(len(model.expression), -1, 3)
        still[:, len(self._used) :] = 0.0
        start = len(self._used) + sum(len(p.sites.rest) for p in self._parts)
        self._ends = (start, start + len(scalp.rest), len(rest))
        #: Inner edges of the upper and lower lip, from the image's left.
        ibug = torch.from_numpy(self.vertex_numbers[model.ibug68])
        self._lips = torch.stack([ibug[[61, 62, 63]], ibug[[67, 66, 65]]])
        self._teeth = torch.from_numpy(np.flatnonzero(self._used >= SOCKET_END))
        low = self._linear[: len(self._used), 1] > BODY_TOP
        self._bust = low.nonzero()[:, 0]
        away = self._linear[self._bust] - _spine_points(self._linear[self._bust, 1])
        self._bust_angle = torch.atan2(away[:, 0], -away[:, 2])
        neutral = self._assemble(self._linear[None], None, None)
        self.rest = neutral[0]

    def vertices(
        self,
        identity: Tensor,
        expression: Tensor,
        gaze: Tensor,
        hair: HairStyle | None = None,
        glasses: Tensor | None = None,
    ) -> Tensor:
        """Meshes of B faces: (B, V, 3) float64, as `ParametricHead.vertices`.

        `hair` is an `IctStyle`, or None for a bald head that wears nothing.
        """
        rest, ids, exps = (
            t.to(identity.device) for t in (self._linear, self._identity, self._expression)
        )
        moved = identity @ ids + expression @ exps
        linear = rest + moved.reshape(len(moved), -1, 3)
        self._fold_closed_mouth(linear)
        style = hair if isinstance(hair, IctStyle) else None
        points = self._assemble(linear, style, glasses)
        points[:, -2:] = points[:, -2:] + self.eye_radius * gaze
        return points

    def _fold_closed_mouth(self, linear: Tensor) -> None:
        """Fold gums, teeth and tongue of faces with closed lips into a point inside the head."""
        upper, lower = (linear[:, self._lips[k]] for k in (0, 1))
        rest = self._linear.to(linear.device)[self._lips]
        gap = (lower - upper)[..., 1] - (rest[1] - rest[0])[..., 1]
        closed = gap.amax(1) < _CLOSED
        inner = self._teeth.to(linear.device)
        linear[closed.nonzero(), inner] = linear.new_tensor([0.0, 0.0, 0.9])

    def _assemble(self, linear: Tensor, style: IctStyle | None, glasses: Tensor | None) -> Tensor:
        """All vertices of B faces; the last two are the centres of the eyes."""
        parts, scalp_end, end = self._ends
        batch, device = len(linear), linear.device
        start, count = self._glasses
        worn = linear.new_zeros(batch, 3) if glasses is None else glasses.to(device)
        placed = self.glasses.place(linear[:, start : start + count], worn)
        scalp, body = linear[:, parts:scalp_end], linear[:, scalp_end:end]
        skin = (
            linear[:, :start]
            if style is None
            else self._tuck_under_collar(linear[:, :start], style)
        )
        blocks = [skin, placed, linear[:, start + count : parts]]
        extra = (self.hair.count, self.clothes.count, self.hats.count, self.props.count)
        if style is None:
            blocks += [linear.new_tensor([0.0, 0.0, 0.9]).expand(batch, sum(extra), 3)]
        else:
            blocks += [
                self.hair.place(scalp, style),
                self.clothes.place(body, style.collar),
                self.hats.place(scalp, style),
                self.props.place(style, device),
            ]
        n = len(_EYE_RINGS) * _EYE_AROUND
        first = len(self._used)
        poles = linear[:, [first, first + n]]
        centers = poles + poles.new_tensor([0.0, 0.0, self.eye_radius])
        return torch.cat([*blocks, centers], 1)

    def _tuck_under_collar(self, skin: Tensor, style: IctStyle) -> Tensor:
        """Move skin below the rim of the clothes inwards, so that it cannot come through."""
        skin = skin.clone()
        bust = self._bust.to(skin.device)
        rim = self.clothes.rim(self._bust_angle.to(skin.device), style.collar)
        rest = self._linear[self._bust].to(skin.device)
        share = ((rest[:, 1] - rim - 0.01) / 0.10).clamp(0.0, 1.0)[..., None]
        inwards = _spine_points(rest[:, 1]) - rest
        skin[:, bust] += 0.5 * share * inwards
        return skin

    def points(self, scheme: str) -> SurfacePoints:
        """The points of a scheme.

        Raises:
            UserError: unknown scheme, or a point without a place on a head.
        """
        return self.landmarks.points(scheme)

    def fitted_points(self, scheme: str) -> SurfacePoints:
        """The points of a scheme, iBUG's 68 where the fits of 300W-LP have them."""
        return self.landmarks.fitted_points(scheme)

    def contour(self, scheme: str) -> ContourPaths:
        """The silhouette paths of the jaw points of a scheme."""
        return self.landmarks.contour(scheme)


def _spine_points(y: Tensor) -> Tensor:
    """(N, 3) middle of throat and chest at heights (N,)."""
    return torch.from_numpy(spine_of(y.cpu().numpy())).to(y)


def _pad_texture(texture: Array) -> Array:
    """(V, COLUMNS) texture from (V, 2): the columns of the skin are empty."""
    table = np.zeros((len(texture), COLUMNS))
    table[:, :2] = texture[:, :2]
    table[:, Column.OPEN] = 1.0
    return table


@lru_cache(maxsize=2)
def _cached_head(path: str, stamp: tuple[int, int]) -> IctHead:
    with torch.device("cpu"):
        return IctHead(path)


def load_ict_head(path: str | Path) -> IctHead:
    """The head of a file, built once (some seconds) and again when the file changes.

    Raises:
        UserError: no file, or no head file.
    """
    try:
        stat = Path(path).stat()
    except OSError:
        return IctHead(path)  # says what is wrong
    return _cached_head(str(Path(path).resolve()), (stat.st_size, stat.st_mtime_ns))
