"""Canonical 3D head: exact projection, and pose, shape and focal length from 2D labels alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from lit_landmarks.errors import UserError
from lit_landmarks.geometry import euler_to_matrix, geodesic_degrees
from lit_landmarks.geometry.camera import against_ray, project
from lit_landmarks.geometry.crops import to_centered
from lit_landmarks.nets.head3d import (
    LANDMARK_MIDDLE,
    CameraHead,
    Head3d,
    Head3dOptions,
    HeadCamera,
    add_head,
    measure_offsets,
)
from lit_landmarks.template import mean_face
from lit_landmarks.types import FaceBatch, Prediction

FACE = mean_face("ibug68")


def random_cameras(count: int) -> HeadCamera:
    generator = torch.Generator().manual_seed(0)
    angles = (torch.rand(count, 3, generator=generator) - 0.5) * torch.tensor([120.0, 60.0, 60.0])
    translation = torch.rand(count, 3, generator=generator) + torch.tensor([-0.5, -1.0, 3.0])
    return HeadCamera(euler_to_matrix(angles), translation, torch.full((count,), 1.3))


def test_what_is_projected_comes_back() -> None:
    camera = random_cameras(5)
    solid = FACE.expand(5, -1, -1)
    places = camera.project(solid)
    back = camera.unproject(places, camera.depth(solid))
    torch.testing.assert_close(back, solid, atol=1e-5, rtol=0)


def test_first_camera_sees_the_mean_face_in_the_middle() -> None:
    head = CameraHead(4)
    torch.nn.init.zeros_(head.linear.weight)
    camera, log_focal = head(torch.rand(2, 4))
    places = camera.project(FACE.expand(2, -1, -1))
    box = places.amax(1) - places.amin(1)
    # The outer points of the jaw lie behind the middle of the face, and look a little smaller.
    assert float(box.max()) == pytest.approx(1 / 1.35, abs=0.06)
    assert camera.rotation[0].equal(torch.eye(3))
    assert log_focal.tolist() == [0.0, 0.0]
    assert camera.pose()[0, :3].abs().max() < 1e-5


def test_pose_is_that_of_labels() -> None:
    """In a camera of the pose camera's focal length the pose projects as the camera does."""
    camera = random_cameras(4)._replace(focal=torch.full((4,), 1.5))
    pose = camera.pose()
    torch.testing.assert_close(pose[:, 3:], camera.translation)
    turned = against_ray(camera.rotation, camera.translation)
    assert geodesic_degrees(euler_to_matrix(pose[:, :3]), turned).max() < 1e-2


def test_lifted_points_stay_where_they_are() -> None:
    head = Head3d(6, FACE)
    torch.nn.init.normal_(head.camera.linear.weight)
    points = torch.rand(3, 68, 2) * 100
    lifted = head(Prediction(points, features=torch.rand(3, 6)), 100)
    assert torch.equal(lifted.points, points)
    assert torch.equal(lifted.points3d[..., :2], points)
    assert lifted.focal.shape == (3,)


def test_depth_counts_from_one_place_of_the_head() -> None:
    camera = random_cameras(2)
    nose, middle = FACE[30], torch.tensor(LANDMARK_MIDDLE)
    solid = torch.stack((nose, middle)).expand(2, -1, -1)
    flat = Prediction((camera.project(solid) + 0.5) * 64 - 0.5)
    both = add_head(flat, solid, camera, 64).points3d[..., 2]
    assert both[:, 1].abs().max() < 1e-4
    alone = replace(flat, points=flat.points[:, :1])
    torch.testing.assert_close(
        add_head(alone, solid[:, :1], camera, 64).points3d[..., 2], both[:, :1]
    )
    assert (FACE.mean(0) - middle).abs().max() < 2e-3


def test_terms_of_offsets() -> None:
    """A shift and a turn are rigid; the same offsets, random in sign, are not."""
    template = FACE[None]
    mask = torch.ones(1, 68, dtype=torch.bool)
    shift = torch.tensor([0.1, 0.0, 0.0]).expand(1, 68, 3)
    assert measure_offsets(shift, template, mask).rigid.item() == pytest.approx(0.01, abs=1e-5)
    centered = template - template.mean(1, keepdim=True)
    turn = torch.linalg.cross(torch.tensor([0.0, 0.0, 0.2]).expand_as(centered), centered)
    rigid = measure_offsets(turn, template, mask).rigid.item()
    weight = (centered[..., :2].square().sum() / centered.square().sum()).item()
    across = (centered[..., 2:] * centered[..., :2]).sum((0, 1)) / centered.square().sum()
    expected = (0.2 * weight) ** 2 + (0.2 * across).square().sum().item()
    assert rigid == pytest.approx(expected, rel=1e-4)
    # Huber's rule: c^2 (sqrt(1 + (|d| / c)^2) - 1) with c = 0.1.
    assert measure_offsets(shift, template, mask).offset.item() == pytest.approx(
        0.01 * (2**0.5 - 1), rel=1e-5
    )
    nothing = measure_offsets(shift, template, ~mask)
    assert nothing.offset.item() == nothing.rigid.item() == 0.0


def test_pose_is_learned_from_2d_labels_alone() -> None:
    """Features that hold a rotation in some code: the camera learns to read it, told 2D points."""
    torch.manual_seed(0)
    angles = (torch.rand(64, 3) - 0.5) * torch.tensor([90.0, 40.0, 40.0])
    pose = torch.cat((angles, torch.tensor([0.0, -0.45, 3.3]).expand(64, -1)), 1)
    points = project(FACE.expand(64, -1, -1), pose, 150.0, 49.5)
    code = torch.linalg.qr(torch.randn(9, 9))[0]
    features = euler_to_matrix(angles).flatten(1) @ code
    head = Head3d(9, FACE)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.003)
    batch = FaceBatch.of(torch.zeros(64, 3, 8, 8), points)
    for _ in range(500):
        flat = Prediction(points, features=features)
        loss = head.losses(head(flat, 100), batch, 100)["head3d"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    lifted = head(Prediction(points, features=features), 100)
    error = geodesic_degrees(euler_to_matrix(lifted.pose[:, :3]), euler_to_matrix(angles))
    assert error.mean() < 3.5
    assert to_centered(points, 100).abs().max() < 0.6


def test_depth_of_the_mean_shape_is_learned_from_many_poses() -> None:
    """Faces a quarter flatter than the template: the mean shape gets half of the way and more."""
    torch.manual_seed(0)
    middle = FACE.mean(0)
    face = middle + (FACE - middle) * torch.tensor([1.0, 1.0, 0.75])
    angles = (torch.rand(64, 3) - 0.5) * torch.tensor([90.0, 40.0, 40.0])
    pose = torch.cat((angles, torch.tensor([0.0, -0.45, 3.3]).expand(64, -1)), 1)
    points = project(face.expand(64, -1, -1), pose, 150.0, 49.5)
    flat = Prediction(points, features=euler_to_matrix(angles).flatten(1))
    batch = FaceBatch.of(torch.zeros(64, 3, 8, 8), points)
    head = Head3d(9, FACE)
    rest = [*head.camera.parameters(), *head.relief.parameters()]
    optimizer = torch.optim.Adam([{"params": [head.offset]}, {"params": rest}])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [0.1, 0.01], total_steps=1200)
    for _ in range(1200):
        loss = head.losses(head(flat, 100), batch, 100)["head3d"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    depth = head.mean_shape[:, 2].std() / face[:, 2].std()
    assert 0.95 < depth < 1.16  # the template's is 1.33


@pytest.mark.parametrize(
    "options",
    [{"weight": 0.0}, {"prior": -1.0}, {"mean": -1.0}, {"focal": float("inf")}, {"posit": -0.1}],
)
def test_weights_that_mean_nothing_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"model\.head3d"):
        Head3dOptions(**options)


def test_a_camera_is_led_by_posit() -> None:
    """A camera that looks straight at a face that is turned by 40 degrees, labelled in part."""
    angles = torch.tensor([[40.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    pose = torch.cat((angles, torch.tensor([0.0, -0.45, 3.3]).expand(2, -1)), 1)
    points = project(FACE.expand(2, -1, -1), pose, 150.0, 49.5)
    batch = FaceBatch.of(torch.zeros(2, 3, 8, 8), points)
    batch.mask[0, :9] = False
    batch.mask[1, 3:] = False  # too few labels for a pose
    losses = []
    for weight in (0.0, 2.0):
        head = Head3d(6, FACE, options=Head3dOptions(posit=weight))
        torch.nn.init.zeros_(head.camera.linear.weight)
        flat = head(Prediction(points, features=torch.zeros(2, 6)), 100)
        losses.append(head.losses(flat, batch, 100)["head3d"].item())
    apart = 2.0 * 4.0 * (1.0 - math.cos(math.radians(40.0)))
    assert losses[1] - losses[0] == pytest.approx(apart, rel=0.05)


@pytest.mark.parametrize("detach", [True, False])
def test_features_may_be_left_to_the_method(detach: bool) -> None:
    head = Head3d(6, FACE, options=Head3dOptions(detach=detach, prior=0.0))
    features = torch.rand(2, 6, requires_grad=True)
    points = torch.rand(2, 68, 2) * 64
    prediction = head(Prediction(points, features=features), 64)
    batch = FaceBatch.of(torch.zeros(2, 3, 64, 64), points)
    head.losses(prediction, batch, 64)["head3d"].backward()
    assert head.relief.weight.grad.abs().max() > 0
    assert (features.grad is None) is detach


def test_long_features_are_shortened() -> None:
    """The first steps of a training would turn the camera too far to come back."""
    head = Head3d(6, FACE)
    torch.nn.init.normal_(head.camera.linear.weight)
    way = torch.nn.functional.normalize(torch.rand(2, 6), dim=-1)
    points = torch.rand(2, 68, 2) * 64
    far, near, short = (
        head(Prediction(points, features=length * way), 64).pose for length in (50.0, 1.0, 0.5)
    )
    torch.testing.assert_close(far, near)
    assert (near - short).abs().max() > 1e-3
