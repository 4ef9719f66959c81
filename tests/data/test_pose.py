"""Pose labels: one definition, whether a data set gives them or POSIT makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lit_landmarks.data import FaceIndex, LandmarkDataModule
from lit_landmarks.data.augment import AugmentationParams
from lit_landmarks.data.ict import IctFaces
from lit_landmarks.data.pose import CAMERA_DISTANCE, posit_angles
from lit_landmarks.data.readers.aflw2000 import Aflw2000
from lit_landmarks.data.synthetic import SyntheticFaces
from lit_landmarks.geometry import (
    FACE_MIDDLE,
    euler_to_matrix,
    flip_pose,
    geodesic_degrees,
    matrix_to_euler,
)
from lit_landmarks.schemes import get_scheme
from lit_landmarks.types import POSE_KINDS, FaceBatch, Prediction
from tests.support.posed import look_at, pose_faces

GIVEN, POSIT = POSE_KINDS.index("given"), POSE_KINDS.index("posit")
SCHEMES = ["ibug68", "wflw98", "cofw29"]


def apart(a: Tensor, b: Tensor) -> Tensor:
    """Angles (B,) in degrees between rotations given as yaw, pitch, roll."""
    return geodesic_degrees(euler_to_matrix(a[:, :3].double()), euler_to_matrix(b[:, :3].double()))


def random_angles(count: int, seed: int) -> Tensor:
    unit = torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return unit.double() * torch.tensor([70.0, 35.0, 45.0]).double()


@pytest.fixture
def crops(dot_faces: Any, tmp_path: Path) -> Callable[..., FaceBatch]:
    """A function that cuts six posed faces, whose poses POSIT makes, by parameters and boxes."""
    dataset = dot_faces(n=6, dots=68)
    pose_faces(dataset, 6.0)
    module = LandmarkDataModule(
        train={"dots": dataset}, cache_dir=str(tmp_path), frame_size=96, frame_scale=1.5
    )
    faces = module.faces("train")
    assert faces is not None
    source = faces.__getitems__(range(6))

    def cut(boxes: Tensor | None = None, **changes: Any) -> FaceBatch:
        params = replace(AugmentationParams.neutral(6), **changes)
        moved = source if boxes is None else replace(source, box=source.box + boxes)
        return module.transform(moved, random=False, params=params)

    return cut


@pytest.mark.parametrize(
    "changes",
    [
        {"shift": torch.tensor([[0.11, -0.07]]).expand(6, 2)},
        {"scale": torch.full((6,), 0.8)},
        {"boxes": torch.tensor([-9.0, 4.0, 15.0, 8.0])},
    ],
)
def test_where_the_crop_lies_does_not_turn_the_label(
    crops: Callable[..., FaceBatch], changes: dict[str, Tensor]
) -> None:
    still, moved = crops(), crops(**changes)
    assert float((still.points - moved.points).abs().max()) > 2
    assert moved.pose_kind.tolist() == [POSIT] * 6
    assert bool(moved.has_pose.all())
    assert float(apart(still.pose, moved.pose).max()) < 0.01


@pytest.mark.parametrize("degrees", [25.0, -8.0])
def test_a_turned_or_mirrored_crop_turns_the_label(
    crops: Callable[..., FaceBatch], degrees: float
) -> None:
    still = crops()
    turned = crops(rotation=torch.full((6,), degrees))
    roll = euler_to_matrix(torch.tensor([0.0, 0.0, degrees]))
    expected = matrix_to_euler(roll @ euler_to_matrix(still.pose[:, :3]))
    assert float(apart(turned.pose, expected).max()) < 0.01
    # A prediction that is moved from one image to another turns in the same way.
    linear = torch.cat([roll[:2, :2], torch.tensor([[3.0], [-7.0]])], 1).expand(6, 2, 3)
    moved = Prediction(still.points, pose=still.pose).transform(linear, (96, 96))
    assert moved.pose is not None
    assert float(apart(moved.pose, expected).max()) < 0.01
    mirror = crops(flip=torch.ones(6, dtype=torch.bool))
    assert float(apart(mirror.pose, flip_pose(still.pose)).max()) < 0.01


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("distance", [3.0, 5.0, 40.0])
def test_a_known_camera_gives_the_exact_pose(scheme: str, distance: float) -> None:
    angles = random_angles(60, 1)
    points = 300 * look_at(scheme, angles, distance)
    mask = torch.ones(points.shape[:2], dtype=torch.bool)
    focal = torch.full((60,), 300.0).double()
    found, ok = posit_angles(points + 1000, mask, scheme, focal)
    assert bool(ok.all())
    assert float(apart(found, angles).max()) < 0.05 + 6 / distance**2
    # Without the focal length the assumed distance is off, and the pose with it.
    blind, ok = posit_angles(points, mask, scheme, focal * torch.nan)
    assert bool(ok.all())
    assert float(apart(blind, angles).mean()) > float(apart(found, angles).mean())


@pytest.mark.parametrize("scale", [0.4, 30.0])
def test_the_size_of_the_picture_does_not_matter(scale: float) -> None:
    angles = random_angles(40, 2)
    points = (scale * 100 * look_at("ibug68", angles, CAMERA_DISTANCE) + 4000).float()
    found, ok = posit_angles(points, torch.ones(40, 68, dtype=torch.bool), "ibug68")
    assert bool(ok.all())
    assert float(apart(found, angles).max()) < 0.3


def test_rows_without_a_given_pose_get_one_of_the_same_meaning(
    dot_faces: Any, tmp_path: Path
) -> None:
    dataset = dot_faces(n=5, dots=68)
    angles = pose_faces(dataset)
    told = angles.copy()
    told[[1, 4]] = np.nan
    dataset._index = replace(dataset.index(), pose=told)
    module = LandmarkDataModule(train={"dots": dataset}, cache_dir=str(tmp_path), frame_size=64)
    faces = module.faces("train")
    assert faces is not None
    batch = module.transform(faces.__getitems__(range(5)), random=False)
    assert batch.pose_kind.tolist() == [GIVEN, POSIT, GIVEN, GIVEN, POSIT]
    assert bool(batch.has_pose.all())
    assert float(apart(batch.pose, torch.from_numpy(angles)).max()) < 0.3


def test_a_given_pose_is_kept_in_a_scheme_without_a_mean_face(
    dot_faces: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lit_landmarks.data.pose.has_mean_face", lambda scheme: False)
    dataset = dot_faces(n=3, dots=68, labels=True)
    dataset.index().pose[2] = np.nan
    module = LandmarkDataModule(train={"dots": dataset}, cache_dir=str(tmp_path), frame_size=64)
    faces = module.faces("train")
    assert faces is not None
    batch = module.transform(faces.__getitems__(range(3)), random=False)
    assert batch.has_pose.tolist() == [True, True, False]
    assert batch.pose[:2, :3].numpy() == pytest.approx(dataset.index().pose[:2], abs=1e-3)
    assert bool(batch.pose[:2, 3:].isnan().all())


@pytest.mark.parametrize("points", [[36, 39, 42, 45, 30], [17, 36, 39, 30, 31, 48]])
@pytest.mark.parametrize("noise", [0.0175, 0.035])
def test_points_that_leave_the_pose_open_have_none(points: list[int], noise: float) -> None:
    """One or two percent of the face off, such points give up to 97 % of the faces a wrong pose."""
    angles = random_angles(300, 3) * 0.5
    places = look_at("ibug68", angles, CAMERA_DISTANCE) * CAMERA_DISTANCE
    mask = torch.zeros(300, 68, dtype=torch.bool)
    mask[:, points] = True
    exact, ok = posit_angles(places, mask, "ibug68")
    assert bool(ok.all())
    assert float(apart(exact, angles).max()) < 1.5
    shift = noise * torch.randn(places.shape, generator=torch.Generator().manual_seed(4))
    found, ok = posit_angles(places + shift, mask, "ibug68")
    wrong = apart(found, angles) > 10
    assert float((wrong & ok).sum() / 300) < 0.05
    assert bool((found[~ok] == 0).all())


def camera_axes(dataset: SyntheticFaces) -> tuple[Tensor, Tensor]:
    """Rotations in the axes of the camera, and directions to the middle of the face."""
    drawn = dataset.faces(range(dataset.n))
    own = euler_to_matrix(drawn.angles)
    return own, own @ torch.tensor(FACE_MIDDLE).double() + drawn.translation


@pytest.mark.parametrize("image_size", [96, 300])
def test_rendered_faces_are_labeled_against_the_line_of_sight(image_size: int) -> None:
    """A camera that turns to the middle of the face finds the label, by another construction."""
    dataset = SyntheticFaces(n=30, seed=4, image_size=image_size, visibility=False)
    own, middle = camera_axes(dataset)
    label = euler_to_matrix(torch.from_numpy(dataset.index().pose).double())
    turn = own @ label.mT
    forward = torch.nn.functional.normalize(middle, dim=-1)
    assert turn[..., 2].numpy() == pytest.approx(forward.numpy(), abs=1e-5)
    # The shortest such turn: its axis lies in the image plane.
    assert (turn[:, 0, 1] - turn[:, 1, 0]).abs().max() < 1e-5
    assert float(geodesic_degrees(own, label).max()) > 0.5


def differences(index: FaceIndex, scheme: str = "ibug68", focal: bool = False) -> np.ndarray:
    """(n, 3) absolute differences of POSIT's angles from the given ones, degrees."""
    assert index.pose is not None
    points, mask = torch.from_numpy(index.points), torch.from_numpy(index.mask)
    length = torch.from_numpy(index.focal) if focal and index.focal is not None else None
    found, ok = posit_angles(points, mask, scheme, length)
    assert bool(ok.all())
    off = found.numpy() - index.pose
    return np.abs((off + 180) % 360 - 180)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("max_yaw", "seed"), [(30, 11), (80, 12)])
def test_posit_agrees_with_the_exact_poses_of_rendered_faces(
    scheme: str, max_yaw: float, seed: int
) -> None:
    """What is left is the difference between a person and the mean face."""
    dataset = SyntheticFaces(150, seed, max_yaw, scheme=scheme, visibility=False)
    index = dataset.index()
    assert differences(index, scheme).mean() < 1.9
    assert differences(index, scheme, focal=True).mean() < 1.7
    assert get_scheme(scheme).n_points == index.points.shape[1]


@pytest.mark.real
@pytest.mark.parametrize(("folder", "count"), [("aflw2000", 16), ("aflw2000_more", 79)])
def test_posit_agrees_with_published_poses(real_data: Path, folder: str, count: int) -> None:
    index = Aflw2000(str(real_data / folder)).index()
    assert len(index) == count
    assert differences(index).mean() < 1.9
    assert differences(index)[:, 0].mean() < 1.9  # yaw


@pytest.mark.real
def test_posit_agrees_with_the_exact_poses_of_ict_heads(real_data: Path) -> None:
    dataset = IctFaces(100, 3, str(real_data / "ict_facekit.npz"), visibility=False)
    assert differences(dataset.index()).mean() < 1.7
    assert differences(dataset.index(), focal=True).mean() < 1.6
    own, middle = camera_axes(dataset)
    label = euler_to_matrix(torch.from_numpy(dataset.index().pose).double())
    beside = torch.rad2deg(torch.atan2(middle[:, :2].norm(dim=1), middle[:, 2]))
    assert geodesic_degrees(own, label).numpy() == pytest.approx(beside.numpy(), abs=1e-3)
