"""The mean face by POSIT: exact where the face is the mean face, and a baseline for others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lit_landmarks.analysis.mean_shape import fit_mean_shape, measure_shapes
from lit_landmarks.data import LandmarkDataModule, SyntheticFaces
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import euler_to_matrix, geodesic_degrees
from lit_landmarks.geometry.camera import against_ray, pose_camera, project, to_camera
from lit_landmarks.methods import METHODS
from lit_landmarks.methods.infinite3d import Infinite3D
from lit_landmarks.template import mean_face


def test_mean_face_comes_back() -> None:
    face = mean_face("ibug68")
    pose = torch.tensor([[35.0, -10.0, 12.0, 0.2, -0.4, 5.0], [0.0, 0.0, 0.0, 0.0, -0.5, 6.0]])
    points = project(face.expand(2, -1, -1), pose, *pose_camera(128))
    fitted = fit_mean_shape(points, "ibug68", 128)
    rotation = against_ray(euler_to_matrix(pose[:, :3]), pose[:, 3:])
    assert geodesic_degrees(euler_to_matrix(fitted.pose[:, :3]), rotation).max() < 0.1
    torch.testing.assert_close(fitted.points3d[..., :2], points, atol=1e-2, rtol=0)
    depth = to_camera(face.expand(2, -1, -1), euler_to_matrix(pose[:, :3]), pose[:, 3:])[..., 2]
    scale = 192.0 / depth.mean(1, keepdim=True)
    expected = (depth - depth.mean(1, keepdim=True)) * scale
    torch.testing.assert_close(fitted.points3d[..., 2], expected, atol=1e-2, rtol=0)


def test_both_are_measured_on_the_same_points(tmp_path: Path) -> None:
    faces = SyntheticFaces(n=8, seed=5, max_yaw=40.0, convention="synthetic_3d", image_size=64)
    data = LandmarkDataModule(
        train={}, val={"synthetic": faces}, scheme=None, frame_size=64, cache_dir=str(tmp_path)
    )
    torch.manual_seed(0)
    figures = measure_shapes(Infinite3D.tiny(scheme=None), data, "val")
    assert {
        "val/synthetic/head3d_outer_eyes_rigid",
        "val/synthetic/pose_mae",
        "val/synthetic/visibility_auroc",
    } <= figures.keys()
    # What an untrained network sees in its map is no face; the mean face is one wherever it lies.
    own, mean = figures["val/synthetic/head3d_outer_eyes_rigid"]
    assert mean < 8.0 < own
    with pytest.raises(UserError, match="predicts no 3D shape"):
        measure_shapes(METHODS["ASMNet"].tiny(), data, "val")
