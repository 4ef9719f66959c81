"""The mean face fitted by POSIT to predicted 2D points: what a predicted 3D shape is compared with.

Whoever has 2D landmarks has this for nothing. A canonical 3D head is worth its cost where shape,
pose and visibility are better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from rich.console import Console
from torch import Tensor

from lit_landmarks.analysis.batches import iterate_faces
from lit_landmarks.console import print_figures
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import euler_to_matrix, matrix_to_euler
from lit_landmarks.geometry.camera import against_ray, pose_camera, to_camera
from lit_landmarks.geometry.posit import posit
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.metrics import FaceMetrics
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template import has_mean_face, mean_face
from lit_landmarks.types import FaceBatch, Prediction, Role

#: Names of the figures that both have: shape, depth, pose and visibility.
_NAMES = ("head3d_outer_eyes_rigid", "nme3d", "pose_mae", "visibility_auroc")


def fit_mean_shape(points: Tensor, scheme: str, size: int) -> Prediction:
    """Mean face, pose and projection that fit 2D points best.

    Args:
        points: (B, N, 2) pixels of the frame.
        scheme: of the points, with a mean face.
        size: side of the frame in pixels.

    Returns:
        The points as they are, with the mean face's depth (`points3d`), shape and pose; where
        POSIT finds no pose, the head looks ahead.
    """
    face, rows = mean_face(scheme).to(points), get_scheme(scheme).pose_mask(points.device)
    focal, middle = pose_camera(size)
    pose, fits = posit(points, rows.expand(len(points), -1), face, focal, middle)
    ahead = pose.new_tensor([0.0, 0.0, 0.0, 0.0, 0.0, 4.0])
    pose = torch.where(fits[:, None], pose, ahead)
    rotation, translation = euler_to_matrix(pose[:, :3]), pose[:, 3:]
    solid = face.expand(len(points), -1, -1)
    depth = to_camera(solid, rotation, translation)[..., 2]
    away = (depth - depth.mean(1, keepdim=True)) * (focal / depth.mean(1, keepdim=True))
    angles = matrix_to_euler(against_ray(rotation, translation))
    return Prediction(
        points=points,
        head3d=solid,
        points3d=torch.cat((points, away[..., None]), -1),
        pose=torch.cat((angles, translation), 1),
    )


def measure_shapes(
    method: LandmarkModule, data: LandmarkDataModule, role: Role, device: torch.device | str = "cpu"
) -> dict[str, tuple[float, float]]:
    """Figures of the method's own 3D shape, and of the mean face fitted to its 2D points.

    Args:
        method: weights loaded, with a 3D head.
        data: whose faces; figures are measured where labels are.
        role: of the sets.
        device: where to run.

    Returns:
        Key of the figure -> the method's, and the mean face's.

    Raises:
        UserError: the method predicts no 3D shape.
    """
    method.to(device).eval()
    both = tuple(FaceMetrics(data.spec, role).to(device) for _ in range(2))
    with torch.inference_mode():
        for _, faces in iterate_faces(data, role, device):
            own = method.answer_with_visibility(faces.inputs)[1]
            if own.head3d is None:
                raise UserError(
                    f"the {type(method).__name__} predicts no 3D shape; give a run with"
                    " model.head3d, or of Infinite3D"
                )
            own = replace(own, stages=None)
            both[0].update(own, faces)
            both[1].update(_fit_batch(own, faces, data, method), faces)
    own_figures, fitted = (metrics.compute() for metrics in both)
    return {
        key: (float(value), float(fitted[key]))
        for key, value in own_figures.items()
        if key in fitted and any(f"/{name}" in key for name in _NAMES)
    }


def _fit_batch(
    own: Prediction, faces: FaceBatch, data: LandmarkDataModule, method: LandmarkModule
) -> Prediction:
    """The mean face fitted to a batch, each data set in its scheme."""
    shape = (*own.points.shape[:2], 3)
    solid, placed = own.points.new_full(shape, torch.nan), own.points.new_full(shape, torch.nan)
    pose = own.points.new_full((len(faces), 6), torch.nan)
    for number in torch.unique(faces.dataset_id).tolist():
        scheme = data.spec.datasets[number].scheme
        if not has_mean_face(scheme):
            continue
        rows, count = faces.dataset_id == number, get_scheme(scheme).n_points
        fitted = fit_mean_shape(own.points[rows, :count], scheme, faces.image.shape[-1])
        assert fitted.head3d is not None
        assert fitted.points3d is not None
        assert fitted.pose is not None
        solid[rows, :count], placed[rows, :count] = fitted.head3d, fitted.points3d
        pose[rows] = fitted.pose
    baseline = Prediction(own.points, head3d=solid, points3d=placed, pose=pose)
    with_numbers = replace(baseline, head3d=solid.nan_to_num(), points3d=placed.nan_to_num())
    visible = method.add_visibility(with_numbers, faces.inputs).visibility
    return replace(baseline, visibility=visible)


def print_shapes(figures: Mapping[str, tuple[float, float]], console: Console) -> None:
    """A row for each figure: the method's, and the mean face's."""
    rows = [(key, f"{own:.2f}", f"{mean:.2f}") for key, (own, mean) in figures.items()]
    title = "3D shape, and the mean face fitted by POSIT to the same 2D points"
    print_figures(title, ("figure", "predicted", "mean face"), rows, console=console)
