"""`ParametricHead`: the parametric head made in code, as one linear deformable mesh.

A change that alters a picture must raise `renderer.RENDER_VERSION`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from lit_landmarks.rendering import parts
from lit_landmarks.rendering.glasses import Glasses
from lit_landmarks.rendering.hair import Hair, HairStyle
from lit_landmarks.rendering.paint import build_paint
from lit_landmarks.rendering.parameters import EXPRESSION, IDENTITY
from lit_landmarks.rendering.parts import Block, Material
from lit_landmarks.template import features, loft
from lit_landmarks.template.fitted_points import move_to_fits
from lit_landmarks.template.head import PUPILS
from lit_landmarks.template.loft import Array
from lit_landmarks.template.outlines import EYE_RADIUS
from lit_landmarks.template.surface_points import ContourPaths, SurfaceFinder, SurfacePoints
from lit_landmarks.template.topology import Skin, build_skin

#: Lids may not come closer to the centre of an eyeball than this share of its radius.
_LID_CLEARANCE = 1.045


class ParametricHead:
    """A head with named identity and expression parameters.

    Vertices of a face: `neutral + identity @ identity_basis + expression @ expression_basis`, then
    lids are lifted off the eyeballs. The last two vertices are the pupils, which follow the gaze.

    Attributes:
        neutral: (V, 3) float64 head frame.
        identity_basis, expression_basis: (K, V, 3) float64, in the order of `identity_names` and
            `expression_names`.
        triangles: (T, 3) int64, clockwise in the image when seen from outside.
        material: (T,) int64 `Material`.
        texture: (V, 2) float64 texture coordinates.
        eyes: (2,) vertex index of the front pole of each eyeball; image's left eye first.
    """

    def __init__(self) -> None:
        skin = build_skin()
        self.skin = skin
        self.hair, self.glasses = Hair(), Glasses()
        base = loft.surface(skin.angle, skin.row)
        face = features.neutral(base)
        blocks = [self._skin_block(skin, base, face)]
        blocks += [*parts.lid_rims(skin, face), *parts.mouth_cavity(skin, face), *parts.teeth()]
        blocks += [parts.tongue(), *parts.eyeballs(), *parts.ears()]
        self.hair_start = sum(len(b.points) for b in blocks)
        blocks += self.hair.blocks()
        self.glasses_start = sum(len(b.points) for b in blocks)
        blocks += self.glasses.blocks()
        self._assemble(blocks, PUPILS)
        lift = [i for i, ring in enumerate(skin.ring) if 0 <= ring <= 4]
        rim_start = len(skin.angle)
        rims = list(range(rim_start, rim_start + 4 * len(skin.eye_loops[0])))
        self.lids = torch.tensor(lift + rims)
        self._lid_side = (self.neutral[self.lids, 0] > 0).long()
        self.finder = SurfaceFinder(skin, (len(self.neutral) - 2, len(self.neutral) - 1))

    @staticmethod
    def _skin_block(skin: Skin, base: Array, face: Array) -> Block:
        texture = loft.unroll(skin.angle, skin.row)
        # Features are read at frontal template positions, depth from the finished face.
        source = np.stack([base[:, 0], base[:, 1], face[:, 2]], -1)
        return Block(face, skin.triangles, Material.SKIN, texture, source, skin.lip)

    def _assemble(self, blocks: list[Block], pupils: Array) -> None:
        start, triangles, material = 0, [], []
        starts = []
        for block in blocks:
            triangles.append(block.triangles + start)
            material.append(np.full(len(block.triangles), int(block.material)))
            starts.append(start)
            start += len(block.points)
        points = np.concatenate([*(b.points for b in blocks), pupils])
        source = np.concatenate([*(b.source for b in blocks), pupils])
        lower = np.concatenate([*(b.lower for b in blocks), np.zeros(2, dtype=np.int64)])
        texture = np.concatenate([*(b.texture for b in blocks), np.zeros((2, 2))])
        cloth = self._mark_torso(texture, np.concatenate(triangles), np.concatenate(material))
        self.neutral = torch.from_numpy(points)
        self.triangles = torch.from_numpy(np.concatenate(triangles))
        self.material = torch.from_numpy(cloth)
        self.texture = torch.from_numpy(texture)
        eye = [s for s, b in zip(starts, blocks, strict=True) if b.material is Material.EYE]
        self.eyes = torch.tensor(eye)
        self.side = (self.neutral[self.triangles].mean(1)[:, 0] > 0).long()
        self.paint = build_paint()
        low = torch.from_numpy(source[:, 1] + 0.30 * np.clip(source[:, 2] - 0.6, 0.0, 1.0))
        share = ((low - 1.36) / 0.62).clamp(0.0, 1.0)
        self.body = share * share * (3.0 - 2.0 * share)
        self.identity_names, self.expression_names = tuple(IDENTITY), tuple(EXPRESSION)
        bases = [
            torch.from_numpy(np.stack([direction(source, lower) for direction in table.values()]))
            for table in (IDENTITY, EXPRESSION)
        ]
        self.identity_basis, self.expression_basis = bases

    @staticmethod
    def _mark_torso(texture: Array, triangles: Array, material: Array) -> Array:
        """Skin triangles from the neck down are the torso, where the shader draws a collar."""
        torso = loft.unroll(np.zeros(1), np.array([loft.ROW_THROAT + 0.6]))[0, 1]
        below = (texture[triangles][..., 1].min(1) > torso) & (material == int(Material.SKIN))
        return np.where(below, int(Material.CLOTH), material).astype(np.int64)

    def vertices(
        self,
        identity: Tensor,
        expression: Tensor,
        gaze: Tensor,
        hair: HairStyle | None = None,
        glasses: Tensor | None = None,
    ) -> Tensor:
        """Meshes of B faces.

        Args:
            identity: (B, K) float64 in the order of `identity_names`.
            expression: (B, E) float64 in the order of `expression_names`.
            gaze: (B, 2, 3) unit directions of both eyes, head frame, (0, 0, -1) straight ahead.
            hair: style of each face; without one the hair is left out.
            glasses: (B, 3) style of each face, see `Glasses.place`; none without.

        Returns:
            (B, V, 3) float64 head frame.
        """
        neutral, ids, exps = (
            t.to(identity.device)
            for t in (self.neutral, self.identity_basis, self.expression_basis)
        )
        # Whole matrix products: in float64 their rounding is far below a float32 pixel.
        moved = identity @ ids.flatten(1) + expression @ exps.flatten(1)
        points = neutral + moved.reshape(len(moved), -1, 3)
        pole = points[:, self.eyes]
        center = pole + pole.new_tensor([0.0, 0.0, EYE_RADIUS])
        points = self._lift_lids(points, center)
        start, end = self.hair_start, self.glasses_start
        scalp = points[:, start:end]
        points[:, start:end] = (
            self.hair.sink(scalp) if hair is None else self.hair.place(scalp, hair)
        )
        worn = points.new_zeros(len(points), 3) if glasses is None else glasses
        points[:, end:-2] = self.glasses.place(points[:, end:-2], worn)
        points[:, -2:] = center + EYE_RADIUS * gaze
        return points

    def _lift_lids(self, points: Tensor, center: Tensor) -> Tensor:
        lids = self.lids.to(points.device)
        middle = center[:, self._lid_side.to(points.device)]
        away = points[:, lids] - middle
        # Only depth changes: a lid slides over the eyeball where the eyeball would come through.
        square = (_LID_CLEARANCE * EYE_RADIUS) ** 2 - (away[..., :2] ** 2).sum(-1)
        front = -square.clamp_min(0.0).sqrt()
        depth = torch.where(square > 0, torch.minimum(away[..., 2], front), away[..., 2])
        points = points.clone()
        points[:, lids, 2] = middle[..., 2] + depth
        return points

    def points(self, scheme: str) -> SurfacePoints:
        """The points of a scheme on the surface.

        Raises:
            UserError: unknown scheme, or a point without a place on the head.
        """
        return self.finder.points(scheme)

    def fitted_points(self, scheme: str) -> SurfacePoints:
        """The points of a scheme, iBUG's 68 where the fits of 300W-LP have them."""
        neutral = self.neutral.numpy()
        return move_to_fits(scheme, self.points(scheme), neutral, self.skin.triangles)

    def contour(self, scheme: str) -> ContourPaths:
        """The silhouette paths of the jaw points of a scheme."""
        return self.finder.contour(scheme)


@lru_cache(maxsize=1)
def parametric_head() -> ParametricHead:
    """The one instance (building takes about a second)."""
    with torch.device("cpu"):  # and not where its first user builds a network
        return ParametricHead()
