"""Rotations of a head: yaw-pitch-roll in degrees, 6D, matrix. The signs are written once, here.

A rotation takes head-frame points to camera points, `x_cam = R x_head + t`. Both frames have x to
the image's right, y down and z away from the camera, so a frontal face has R = identity and its
nose tip points along (0, 0, -1)::

         the image, as you look at it          yaw   +  the face turns to the image's right:
                                                        the nose tip moves to +x
      (0,0) ------------------> x                          .-----.
        |        .-----.                                  |  o  o |
        |       |  o o  |    frontal                      |     > |  yaw = +30
        |       |   v   |    R = I                        |   __  |
        |       |  ___  |                                  '-----'
        |        '-----'                       pitch +  the face looks up: the nose tip moves
        v y                                             to -y
               (z into the page)               roll  +  the head tilts clockwise: the eye on the
                                                        image's right goes down, +y

    R = Y(yaw) P(pitch) L(roll): roll is applied first, about the head's own z axis.

              | cos y  0 -sin y |         | 1    0      0   |         | cos r -sin r  0 |
          Y = |   0    1    0   |     P = | 0  cos p  sin p |     L = | sin r  cos r  0 |
              | sin y  0  cos y |         | 0 -sin p  cos p |         |   0      0    1 |

    Y(30) takes the nose direction (0, 0, -1) to (+0.5, 0, -0.87); P(30) to (0, -0.5, -0.87);
    L(30) takes the direction of the eye on the image's right, (1, 0, 0), to (0.87, +0.5, 0).

These are also the angles of SPIGA's poses (Prados-Torreblanca et al., BMVC 2022), whose other axes
cancel out: its Ry(90 - yaw) Rz(-pitch) Rx(-(roll + 90)) on (z, -x, -y) is the product above.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_landmarks.exportable import hypot

# Below this cosine of pitch, yaw and roll turn about the same axis (float32 noise is about 1e-7).
_GIMBAL = 1e-6


def euler_to_matrix(ypr_deg: Tensor) -> Tensor:
    """Rotation matrices from yaw, pitch, roll in degrees: (..., 3) -> (..., 3, 3).

    Example:
        >>> euler_to_matrix(torch.tensor([0.0, 0.0, 90.0])).round().int()
        tensor([[ 0, -1,  0],
                [ 1,  0,  0],
                [ 0,  0,  1]], dtype=torch.int32)
    """
    yaw, pitch, roll = torch.deg2rad(ypr_deg).unbind(-1)
    cy, cp, cr = torch.cos(yaw), torch.cos(pitch), torch.cos(roll)
    sy, sp, sr = torch.sin(yaw), torch.sin(pitch), torch.sin(roll)
    rows = (
        (cy * cr + sy * sp * sr, -cy * sr + sy * sp * cr, -sy * cp),
        (cp * sr, cp * cr, sp),
        (sy * cr - cy * sp * sr, -sy * sr - cy * sp * cr, cy * cp),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def matrix_to_euler(matrix: Tensor) -> Tensor:
    """Yaw, pitch, roll in degrees from rotation matrices: (..., 3, 3) -> (..., 3).

    Yaw and roll lie in (-180, 180], pitch in [-90, 90]. At |pitch| = 90 only yaw and roll together
    are defined: roll is then 0.
    """
    cos_pitch = hypot(matrix[..., 0, 2], matrix[..., 2, 2])
    pitch = torch.atan2(matrix[..., 1, 2], cos_pitch)
    locked = cos_pitch < _GIMBAL
    yaw = torch.where(
        locked,
        torch.atan2(matrix[..., 2, 0], matrix[..., 0, 0]),
        torch.atan2(-matrix[..., 0, 2], matrix[..., 2, 2]),
    )
    roll = torch.atan2(matrix[..., 1, 0], matrix[..., 1, 1]).masked_fill(locked, 0.0)
    return torch.rad2deg(torch.stack((yaw, pitch, roll), -1))


def six_d_to_matrix(six_d: Tensor) -> Tensor:
    """Rotation matrices from the continuous 6D form: (..., 6) -> (..., 3, 3).

    The first two columns, made orthonormal by Gram-Schmidt (Zhou et al., CVPR 2019, Eq. 15).
    """
    a, b = six_d[..., :3], six_d[..., 3:]
    x = F.normalize(a, dim=-1)
    y = F.normalize(b - (x * b).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack((x, y, torch.linalg.cross(x, y)), -1)


def matrix_to_six_d(matrix: Tensor) -> Tensor:
    """The first two columns, one after the other: (..., 3, 3) -> (..., 6)."""
    return torch.cat((matrix[..., 0], matrix[..., 1]), -1)


def geodesic_degrees(a: Tensor, b: Tensor) -> Tensor:
    """Angle in degrees of the rotation that takes `a` to `b`: (..., 3, 3) twice -> (...,).

    Exact for small angles too, where the arc cosine of the trace loses half of the digits.

    Example:
        >>> turned = euler_to_matrix(torch.tensor([30.0, 0.0, 0.0]))
        >>> round(float(geodesic_degrees(turned, torch.eye(3))), 2)
        30.0
    """
    # |a - b|_F = 2 sqrt(2) sin(angle / 2) and trace(a^T b) = 4 cos(angle / 2)^2 - 1.
    sine = torch.linalg.matrix_norm(a - b) / 8**0.5
    cosine = ((a * b).sum((-2, -1)) + 1).clamp_min(0.0).sqrt() / 2
    return torch.rad2deg(2 * torch.atan2(sine, cosine))


def flip_pose(pose: Tensor) -> Tensor:
    """The pose of the mirrored image: yaw, roll and tx change sign; (..., 3) or (..., 6)."""
    signs = pose.new_tensor([-1.0, 1.0, -1.0, -1.0, 1.0, 1.0])
    return pose * signs[: pose.shape[-1]]
