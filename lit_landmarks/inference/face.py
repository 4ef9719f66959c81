"""`Face`: what a method says of one face of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.errors import UserError
from lit_landmarks.inference.meshes import write_mesh

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Face:
    """Result for one face of a picture; what the method does not predict is None.

    Attributes:
        points: (N, 2) landmarks in pixels of the picture, pixel centres at integers.
        scheme: name of the scheme whose points they are, None for a user's queries.
        convention: in which they lie, of a method that answers in several.
        box: (4,) x0 y0 x1 y1 that the face was cut by.
        error: predicted NME in percent.
        pose: (3,) yaw, pitch, roll in degrees against the line of sight to the face.
        visibility: (N,) probability that each point is visible.
        points3d: (N, 3) pixels of the picture, z away from the camera, mean 0.
        mma: multiply-adds that were spent, in millions, where the cost depends on the face.
    """

    points: Array
    scheme: str | None
    box: Array
    error: float | None = None
    pose: Array | None = None
    visibility: Array | None = None
    points3d: Array | None = None
    mma: float | None = None
    convention: str | None = None

    def save_mesh(self, path: str | Path) -> None:
        """Write the 3D points as a mesh, .ply or .obj; see `write_mesh`.

        Raises:
            UserError: there are none, or as `write_mesh`.
        """
        if self.points3d is None or self.scheme is None:
            raise UserError(f"no 3D points of a scheme for {path}; ask a method that predicts them")
        write_mesh(path, self.points3d, self.scheme, self.convention)
