"""Plane and space geometry, batched in torch on any device.

`crops` similarity crops and their inverses; `rotations` yaw-pitch-roll, 6D, matrix (the signs are
drawn there); `camera` the pinhole camera; `posit` head pose from 2D points; `shape_model` PCA of
shapes; `procrustes` alignment of shapes; `surfaces` heights above a mesh.
"""

from lit_landmarks.geometry.camera import (
    FACE_MIDDLE,
    POSE_FOCAL,
    against_ray,
    pose_camera,
    project,
    project_rt,
    to_camera,
)
from lit_landmarks.geometry.crops import (
    affine_scale,
    box_crop,
    compose_affine,
    flip_affine,
    from_centered,
    from_unit,
    invert_affine,
    points_box,
    sampling_theta,
    similarity,
    to_centered,
    to_unit,
    transform_points,
)
from lit_landmarks.geometry.posit import focal_at_distance, posit
from lit_landmarks.geometry.procrustes import procrustes, procrustes_mean
from lit_landmarks.geometry.rotations import (
    euler_to_matrix,
    flip_pose,
    geodesic_degrees,
    matrix_to_euler,
    matrix_to_six_d,
    six_d_to_matrix,
)
from lit_landmarks.geometry.shape_model import ShapeModel, pca

__all__ = [
    "FACE_MIDDLE",
    "POSE_FOCAL",
    "ShapeModel",
    "affine_scale",
    "against_ray",
    "box_crop",
    "compose_affine",
    "euler_to_matrix",
    "flip_affine",
    "flip_pose",
    "focal_at_distance",
    "from_centered",
    "from_unit",
    "geodesic_degrees",
    "invert_affine",
    "matrix_to_euler",
    "matrix_to_six_d",
    "pca",
    "points_box",
    "pose_camera",
    "posit",
    "procrustes",
    "procrustes_mean",
    "project",
    "project_rt",
    "sampling_theta",
    "similarity",
    "six_d_to_matrix",
    "to_camera",
    "to_centered",
    "to_unit",
    "transform_points",
]
