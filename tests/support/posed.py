"""Exact images of the mean face: points whose pose is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.data import FaceDataset
from lit_landmarks.geometry import FACE_MIDDLE, euler_to_matrix, project_rt
from lit_landmarks.template import mean_face


def look_at(scheme: str, angles: Tensor, distance: float | Tensor) -> Tensor:
    """(B, N, 2) the mean face by a camera of focal length 1 that looks at the middle of it.

    Args:
        scheme: of the points.
        angles: (B, 3) degrees against the line of sight.
        distance: of the camera, head units.
    """
    rotation = euler_to_matrix(angles.double())
    ahead = torch.zeros(len(angles), 3, dtype=torch.float64)
    ahead[:, 2] = distance
    place = ahead - rotation @ rotation.new_tensor(FACE_MIDDLE)
    return project_rt(mean_face(scheme).double(), rotation, place, 1.0, 0.0)


def pose_faces(dataset: FaceDataset, distance: float = 10.0) -> NDArray[np.float32]:
    """Put posed mean faces in the place of a data set's points, each into its box.

    Returns:
        (n, 3) yaw, pitch, roll in degrees.
    """
    index = dataset.index()
    angles = np.random.default_rng(len(index)).uniform(-30, 30, (len(index), 3))
    points = look_at(dataset.scheme, torch.from_numpy(angles), distance).numpy()
    low, high = points.min(1), points.max(1)
    scale = (index.box[:, 2:] - index.box[:, :2]).max(1) / (high - low).max(1)
    middle = (index.box[:, 2:] + index.box[:, :2]) / 2
    points = (points - (low + high)[:, None] / 2) * scale[:, None, None] + middle[:, None]
    dataset._index = replace(index, points=points.astype(np.float32))
    return angles.astype(np.float32)
