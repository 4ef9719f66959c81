"""Poses and depth of the morphable-model fits in 300W-LP and AFLW2000-3D, in this package's axes.

`Pose_Para` holds pitch, yaw, roll in radians, a shift of three pixels and a scale. The owners'
rotation is R = X(pitch) Y(yaw) Z(roll), each factor the transpose of the usual right-handed matrix,
in axes x right, y up, z towards the camera. Checked on 16 faces of AFLW2000-3D: of all orders and
signs this one alone agrees with the turns between their stored 3D points (2.2 degrees in the mean;
the others are off by 7.7 and more). Turning both axes about x gives ours, whose yaw, pitch and roll
are other numbers, since their order is another.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lit_landmarks.data.readers.common import LARGEST, Numbers, table
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import euler_to_matrix, matrix_to_euler

#: From the owners' axes to ours and back: y and z change sign.
_AXES = np.diag([1.0, -1.0, -1.0])
#: Bins of the published protocol by |yaw| as it stands in the file, in degrees; the last has no
#: upper end (a few fits say more than 90).
YAW_BINS = {"yaw_0_30": (-1.0, 30.0), "yaw_30_60": (30.0, 60.0), "yaw_60_90": (60.0, np.inf)}


def pose_numbers(values: Any, path: Path) -> Numbers:
    """`Pose_Para` as (7,) float64.

    Raises:
        UserError: another shape, or a number that is not finite.
    """
    numbers: Numbers = table(values, (1, 7), "Pose_Para", path)[0]
    if not np.isfinite(numbers).all():
        raise UserError(f"Pose_Para holds {numbers}, {path}; fetch the file again")
    return numbers


def check_depth(depth: Numbers, where: str) -> None:
    """Refuse depths (N,) that no face in a picture can have.

    Raises:
        UserError: one is not finite or as large as no picture.
    """
    if not (np.abs(depth) < LARGEST).all():
        raise UserError(f"a depth is not finite or far too large, {where}; fetch the file again")


def to_our_pose(angles: NDArray[Any]) -> Numbers:
    """Pitch, yaw, roll of the files in radians to our yaw, pitch, roll in degrees; (n, 3) both."""
    x, y, z = np.asarray(angles, np.float64).reshape(-1, 3).T
    rotation = _axis(x, 0) @ _axis(y, 1) @ _axis(z, 2)
    return matrix_to_euler(torch.from_numpy(_AXES @ rotation @ _AXES)).numpy()


def to_file_angles(pose: NDArray[Any]) -> Numbers:
    """Our yaw, pitch, roll in degrees to pitch, yaw, roll of the files in radians; (n, 3) both."""
    ours = torch.from_numpy(np.asarray(pose, np.float64).reshape(-1, 3))
    r = _AXES @ euler_to_matrix(ours).numpy() @ _AXES
    pitch = np.arctan2(r[:, 1, 2], r[:, 2, 2])
    yaw = np.arctan2(-r[:, 0, 2], np.hypot(r[:, 1, 2], r[:, 2, 2]))
    return np.stack([pitch, yaw, np.arctan2(r[:, 0, 1], r[:, 0, 0])], 1)


def yaw_subsets(angles: NDArray[Any]) -> tuple[str, ...]:
    """The bin of `YAW_BINS` of a face, from its (3,) angles as they stand in the file, radians."""
    yaw = abs(float(np.rad2deg(np.float64(angles[1]))))
    return tuple(name for name, (low, high) in YAW_BINS.items() if low < yaw <= high)


def _axis(angle: Numbers, axis: int) -> Numbers:
    """(n, 3, 3) transposes of right-handed rotations about a coordinate axis."""
    matrix = np.zeros((len(angle), 3, 3))
    one, two = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, axis, axis] = 1
    matrix[:, one, one] = matrix[:, two, two] = np.cos(angle)
    matrix[:, one, two], matrix[:, two, one] = np.sin(angle), -np.sin(angle)
    return matrix
