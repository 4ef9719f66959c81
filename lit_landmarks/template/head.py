"""`TemplateHead`: the neutral 3D face mesh on whose surface every scheme has its named points."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from lit_landmarks.template import features, loft
from lit_landmarks.template.fitted_points import move_to_fits
from lit_landmarks.template.outlines import EYE_CENTER, EYE_RADIUS
from lit_landmarks.template.surface_points import SurfaceFinder, SurfacePoints
from lit_landmarks.template.topology import build_skin

#: (2, 3) front pole of each eyeball, image's left eye first.
PUPILS = EYE_CENTER * np.array([[-1.0, 1, 1], [1.0, 1, 1]]) - np.array([0, 0, EYE_RADIUS])


class TemplateHead:
    """The neutral skin with both pupils, and where the points of each scheme lie on it.

    Attributes:
        skin: topology and loft coordinates of the mesh, from the crown to the shoulders.
        base: (S, 3) float64 the skull without features, head frame.
        neutral: (S + 2, 3) float64 the neutral face, then the pupils, head frame.

    Example:
        >>> template_head().points("ibug68").vertices.shape
        (68, 3)
    """

    def __init__(self) -> None:
        skin = build_skin()
        self.skin = skin
        self.base = loft.surface(skin.angle, skin.row)
        self.neutral = torch.from_numpy(np.concatenate([features.neutral(self.base), PUPILS]))
        self._finder = SurfaceFinder(skin, (len(skin.angle), len(skin.angle) + 1))

    def points(self, scheme: str) -> SurfacePoints:
        """The points of a scheme on the surface.

        Raises:
            UserError: unknown scheme, or a point without a place on the head.
        """
        return self._finder.points(scheme)

    def placed_points(self, scheme: str) -> tuple[SurfacePoints, NDArray[np.bool_]]:
        """The points of a scheme that have a place, and which of its N points they are.

        Raises:
            UserError: unknown scheme.
        """
        return self._finder.find_placed(scheme)

    def fitted_points(self, scheme: str) -> SurfacePoints:
        """The points of a scheme, iBUG's 68 where the fits of 300W-LP have them.

        Raises:
            UserError: the scheme does not hold the 68 points, or a point has no place.
        """
        skin = self.neutral.numpy()
        return move_to_fits(scheme, self.points(scheme), skin, self.skin.triangles)


@lru_cache(maxsize=1)
def template_head() -> TemplateHead:
    """The one instance; building it takes about half a second."""
    with torch.device("cpu"):  # and not where its first user builds a network
        return TemplateHead()
