"""`Sites`: points attached to the mesh, at which hair, clothes and other wear are built.

A site is a blend of three mesh vertices plus an offset at rest; identity and expression move it as
they move the surface below it.

A change that alters a picture must raise `ict.renderer.ICT_VERSION`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from lit_landmarks.rendering.ict.model import SKIN_END, Array, IctModel, Indices
from lit_landmarks.rendering.ict.surface import Surface, Warp
from lit_landmarks.template import loft
from lit_landmarks.template.head import template_head
from lit_landmarks.template.surface_points import SurfacePoints, blend

#: Inside of the skull from which rays towards the scalp start.
CENTER: Array = np.array([0.0, -0.15, 0.85])
#: The scalp lattice: angles round the head from -pi, and half rows of the loft from the crown.
SCALP_ANGLES, SCALP_ROWS, SCALP_LAST = 72, 27, 13.0
#: The lattice of throat and chest: angles from -pi, heights.
BODY_ANGLES, BODY_ROWS = 72, 33
BODY_TOP, BODY_BOTTOM = 1.15, 3.05


@dataclass(frozen=True)
class Sites:
    """S places.

    Attributes:
        rest: (S, 3) at rest.
        vertices, weights: (S, 3) mesh vertices that carry each, and their shares.
    """

    rest: Array
    vertices: Indices
    weights: Array


class Places:
    """Finds sites on a model by surface queries, when the head is built."""

    def __init__(self, model: IctModel) -> None:
        self.model = model
        skin = model.triangles[(model.triangles < SKIN_END).all(1)]
        self.skin = Surface(model.mean, skin)
        template = template_head()
        self._template = template.neutral[None]
        source = blend(self._template, template.points("ibug68"))[0].numpy()
        self.warp = Warp(source, model.mean[model.ibug68])

    @cached_property
    def outer(self) -> Surface:
        """Skin without the inside of mouth, nostrils and eyes: what a silhouette can show."""
        mean, triangles = self.model.mean, self.skin.triangles
        middle = mean[triangles].mean(1)
        back = np.array([0.0, 0.15, 0.9])
        away = (self.skin.normals * (middle - back)).sum(-1) > 0
        return Surface(mean, triangles[away])

    def transfer_points(self, scheme: str) -> SurfacePoints:
        """The template's points of a scheme, moved to corresponding places of this head."""
        points = template_head().points(scheme)
        places = self.warp(blend(self._template, points)[0].numpy())
        vertices, weights = self.outer.closest(places)
        return SurfacePoints(vertices, weights)

    def attach(self, rest: Array) -> Sites:
        """Sites at places (S, 3) near the skin, which move with the skin nearest to them."""
        vertices, weights = self.outer.closest(rest)
        return Sites(rest, vertices, weights)

    def _make_sites(self, vertices: Indices, weights: Array) -> Sites:
        rest = (weights[..., None] * self.model.mean[vertices]).sum(-2)
        return Sites(rest, vertices, weights)

    def scalp(self) -> Sites:
        """(SCALP_ROWS * SCALP_ANGLES) sites on the skull below ears; rows first."""
        angle = np.linspace(-np.pi, np.pi, SCALP_ANGLES, endpoint=False)
        rows = np.linspace(0.0, SCALP_LAST, SCALP_ROWS)
        a, t = (g.reshape(-1) for g in np.meshgrid(angle, rows))
        ways = loft.surface(a, np.maximum(t, 0.05)) - CENTER
        # An auricle is left below hair at the sides: the nearest way out is the skull.
        side = np.abs(a) > np.radians(60.0)
        vertices, weights = self.skin.rays(CENTER, ways, outermost=False)
        front = self.outer.rays(CENTER, ways[~side], outermost=True)
        vertices[~side], weights[~side] = front
        return self._make_sites(vertices, weights)

    def body(self) -> Sites:
        """(BODY_ROWS * BODY_ANGLES) sites round throat and chest, outside the mesh of the head.

        Below and beside the bust of the model the shoulders of the template go on.
        """
        angle = np.linspace(-np.pi, np.pi, BODY_ANGLES, endpoint=False)
        heights = np.linspace(BODY_TOP, BODY_BOTTOM, BODY_ROWS)
        a, y = (g.reshape(-1) for g in np.meshgrid(angle, heights))
        own = self._measure_bust(a, y)
        shoulder = _measure_template(a, y)
        radius = np.maximum(own, np.where(y > 1.75, shoulder, 0.0))
        middle = spine_of(y)
        rest = middle + radius[:, None] * np.stack([np.sin(a), 0 * a, -np.cos(a)], -1)
        return self.attach(rest)

    def _measure_bust(self, angle: Array, y: Array) -> Array:
        """Distance from the spine to the outside of the model's throat and shoulders."""
        triangles = self.skin.triangles
        low = self.model.mean[triangles][..., 1].min(1) > BODY_TOP - 0.25
        bust = Surface(self.model.mean, triangles[low])
        ways = np.stack([np.sin(angle), 0 * angle, -np.cos(angle)], -1)
        bottom = np.minimum(y, 2.30)
        origin = spine_of(bottom)
        vertices, weights = bust.rays(origin, ways, outermost=True)
        outside = (weights[..., None] * self.model.mean[vertices]).sum(-2)
        return np.asarray(np.linalg.norm((outside - origin)[:, [0, 2]], axis=-1), dtype=np.float64)


def spine_of(y: Array) -> Array:
    """(N, 3) middle of throat and chest at heights y."""
    z = np.interp(y, [1.1, 1.5, 2.0, 3.0], [0.95, 1.02, 1.15, 1.15])
    return np.stack([0 * y, y, z], -1)


def _measure_template(angle: Array, y: Array) -> Array:
    """Distance from the spine to the template's shoulders."""
    fine_a, fine_t = np.meshgrid(np.linspace(-np.pi, np.pi, 181), np.linspace(18.0, 22.0, 81))
    place = loft.surface(fine_a, fine_t)
    away = place - spine_of(place[..., 1].reshape(-1)).reshape(place.shape)
    turn = np.arctan2(away[..., 0], -away[..., 2]).reshape(-1)
    size = np.hypot(away[..., 0], away[..., 2]).reshape(-1)
    height = place[..., 1].reshape(-1)
    # Nearest in (angle, height) of a fine sampling; angles go round.
    samples = np.stack(
        [np.concatenate([turn - 2 * np.pi, turn, turn + 2 * np.pi]), np.tile(2.0 * height, 3)], -1
    )
    near = cKDTree(samples).query(np.stack([angle, 2.0 * y], -1), k=4)[1]
    return np.asarray(np.tile(size, 3)[near].mean(-1), dtype=np.float64)
