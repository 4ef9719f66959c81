"""Synthetic faces: determinism, exact labels, both conventions of the jaw."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from lit_landmarks.data import DATASETS, SyntheticFaces
from lit_landmarks.errors import UserError
from lit_landmarks.geometry import FACE_MIDDLE, against_ray, posit
from lit_landmarks.geometry.camera import project_rt
from lit_landmarks.geometry.rotations import euler_to_matrix, geodesic_degrees
from lit_landmarks.schemes import CONVENTIONS, get_scheme

SIZE = 64
SCHEMES = ("ibug68", "wflw98", "cofw29", "face_synthetics70")


@cache
def _set(**settings: str | float) -> SyntheticFaces:
    return SyntheticFaces(**{"n": 24, "seed": 5, "image_size": SIZE, **settings})  # type: ignore[arg-type]


def test_pixels_of_a_face_do_not_depend_on_its_batch() -> None:
    faces = _set()
    together = faces.render([3, 4, 5])
    assert together.shape == (3, SIZE, SIZE, 3)
    assert together.dtype == np.uint8
    for place, row in enumerate((3, 4, 5)):
        np.testing.assert_array_equal(faces.render([row])[0], together[place])
    np.testing.assert_array_equal(
        SyntheticFaces(n=500, seed=5, image_size=SIZE).load([4])[0], together[1]
    )


def test_pixels_show_something_and_differ_between_faces_and_seeds() -> None:
    faces = _set()
    pictures = faces.render(range(4)).astype(float)
    assert (pictures.std((1, 2, 3)) > 12).all()
    assert np.abs(pictures[0] - pictures[1]).mean() > 8
    other = SyntheticFaces(n=1, seed=6, image_size=SIZE).render([0]).astype(float)
    assert np.abs(other[0] - pictures[0]).mean() > 8


def test_labels_of_a_face_do_not_depend_on_its_set() -> None:
    whole = _set().index()
    alone = _set().labels([7])
    np.testing.assert_array_equal(alone.points[0].numpy(), whole.points[7])
    np.testing.assert_array_equal(alone.visible[0].numpy(), whole.visible[7])
    longer = SyntheticFaces(n=40, seed=5, image_size=SIZE).index()
    np.testing.assert_array_equal(longer.points[:24], whole.points)


@pytest.mark.parametrize("convention", ["visible", "3d"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_points_are_the_projected_head_points(scheme: str, convention: str) -> None:
    faces = _set(scheme=scheme, convention=convention)
    labels, drawn = faces.labels(range(8)), faces.faces(range(8))
    rotation = euler_to_matrix(drawn.angles)
    pixels = project_rt(
        labels.head3d.double(), rotation, drawn.translation, drawn.focal, (SIZE - 1) / 2
    )
    assert (pixels - labels.points).norm(dim=-1).max() < 1e-3


def test_pose_is_what_posit_finds_from_the_points_and_the_camera() -> None:
    """Of the head against the line of sight: the camera's own axes are degrees away from it."""
    faces = _set(convention="3d", max_yaw=90)
    labels, drawn = faces.labels(range(12)), faces.faces(range(12))
    mask = torch.ones(1, 68, dtype=torch.bool)
    for row in range(12):
        pose, ok = posit(
            labels.points[row : row + 1].double(),
            mask,
            labels.head3d[row].double(),
            labels.focal[row : row + 1].double(),
            (SIZE - 1) / 2,
        )
        assert bool(ok[0])
        found = euler_to_matrix(pose[:, :3])
        own = euler_to_matrix(drawn.angles[row])
        assert float(geodesic_degrees(found[0], own)) < 0.05
        sight = against_ray(found, pose[:, 3:])[0]
        truth = euler_to_matrix(labels.pose[row].double())
        assert float(geodesic_degrees(sight, truth)) < 0.05
        # The middle of the face lies so far from the optical axis, and the pose differs by it.
        place = own @ torch.tensor(FACE_MIDDLE).double() + drawn.translation[row]
        beside = torch.rad2deg(torch.atan2(place[:2].norm(), place[2]))
        assert float(geodesic_degrees(truth, own)) == pytest.approx(float(beside), abs=1e-3)


def test_depth_is_in_pixels_of_mean_zero_and_grows_away() -> None:
    labels = _set(max_yaw=1, max_pitch=1, max_roll=1, convention="3d").labels(range(4))
    z = labels.points3d[..., 2]
    assert z.mean(1).abs().max() < 1e-3
    assert (z.argmin(1) == 30).all()
    # Same unit as x and y: nearly frontal heads are as deep as their own 3D points say.
    unit = (labels.points[:, 45] - labels.points[:, 36]).norm(dim=-1)
    eyes = (labels.head3d[:, 45] - labels.head3d[:, 36]).norm(dim=-1)
    deep = (labels.head3d[..., 2].amax(1) - labels.head3d[..., 2].amin(1)) / eyes
    assert ((z.amax(1) - z.amin(1)) / unit / deep - 1).abs().max() < 0.12


@pytest.mark.parametrize("scheme", ["ibug68", "wflw98"])
def test_the_two_contours_differ_at_the_jaw_only_and_only_when_turned(scheme: str) -> None:
    contour = list(get_scheme(scheme).contour)
    inner = list(get_scheme(scheme).inner)
    seen, fixed = (_set(scheme=scheme, convention=c).labels(range(32)) for c in ("visible", "3d"))
    assert torch.equal(seen.points[:, inner], fixed.points[:, inner])
    apart = (seen.points - fixed.points)[:, contour].norm(dim=-1)
    face = (fixed.points.amax(1) - fixed.points.amin(1)).amax(-1)
    yaw = seen.pose[:, 0]
    share = apart.amax(1) / face
    assert (share[yaw.abs() > 25] > 0.03).all()
    half = len(contour) // 2
    turned_right, turned_left = yaw > 25, yaw < -25
    # The far side moves, the near side stays.
    assert (apart[turned_right][:, : half - 2] == 0).all()
    assert (apart[turned_left][:, half + 3 :] == 0).all()
    assert (apart[:, half] == 0).all()  # the chin
    frontal = SyntheticFaces(n=8, seed=1, image_size=SIZE, max_yaw=0, max_pitch=0, max_roll=5)
    still = SyntheticFaces(
        n=8, seed=1, image_size=SIZE, max_yaw=0, max_pitch=0, max_roll=5, convention="3d"
    )
    apart = frontal.labels(range(8)).points - still.labels(range(8)).points
    assert apart.norm(dim=-1).max() < 0.02 * SIZE / 2


def test_visibility_hides_the_far_side_of_a_turned_head() -> None:
    labels = _set(convention="3d", max_yaw=90).labels(range(48))
    yaw = labels.pose[:, 0]
    assert set(labels.visible.unique().tolist()) <= {0, 1, 2}
    profile = yaw > 65
    assert profile.any()
    assert (labels.visible[yaw > 75][:, 45] == 2).all()  # outer corner of the far eye
    assert (labels.visible[profile][:, 13:15] == 2).all()  # far jaw, fixed to the skull
    front = yaw.abs() < 12
    assert (labels.visible[front][:, 27:31] == 1).float().mean() > 0.95  # the nose


def test_angles_stay_in_range_and_fill_it() -> None:
    angles = _set(max_yaw=45, max_roll=10).faces(range(400)).angles.abs().amax(0)
    assert 35 < angles[0] <= 45
    assert angles[2] <= 10


def test_the_index_holds_boxes_and_every_label() -> None:
    index = _set().index()
    assert index.pose is not None
    box = index.box[:, 2:] - index.box[:, :2]
    assert (box > 0.25 * SIZE).all()
    assert index.labels == {"visible", "points3d", "head3d", "pose", "focal"}


def test_the_set_says_what_it_is() -> None:
    assert DATASETS["SyntheticFaces"] is SyntheticFaces
    assert _set().convention in CONVENTIONS
    assert _set(convention="3d").convention == "synthetic_3d"
    keys = {
        _set().content_key([1, 2]),
        _set(seed=9).content_key([1, 2]),
        _set().content_key([1, 3]),
        _set(max_yaw=30).content_key([1, 2]),
    }
    assert len(keys) == 4
    # The jaw's convention changes labels, not pixels: one cache serves both.
    assert _set(convention="3d").content_key([1, 2]) == _set().content_key([1, 2])


@pytest.mark.parametrize(
    "settings",
    [{"n": 0}, {"max_yaw": 120}, {"convention": "300w"}, {"scheme": "nobody"}, {"image_size": 4}],
)
def test_bad_arguments_are_told_in_one_line(settings: dict[str, int | str]) -> None:
    with pytest.raises(UserError) as error:
        SyntheticFaces(**settings)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
