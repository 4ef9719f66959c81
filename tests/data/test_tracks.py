"""Rendered video: determinism, exact labels, smooth motion, and who moves what."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lit_landmarks.data import IctTracks, SyntheticFaces, SyntheticTracks
from lit_landmarks.errors import UserError
from lit_landmarks.geometry.camera import FACE_MIDDLE, project_rt
from lit_landmarks.geometry.rotations import euler_to_matrix
from lit_landmarks.rendering.faces import Ranges
from lit_landmarks.rendering.motion import close_lids, turn_angles
from lit_landmarks.rendering.rng import CounterRng

SIZE, FRAMES = 64, 40
EYES = list(range(36, 48))
MOUTH = list(range(48, 68))


@cache
def tracks(*motions: str, **settings: Any) -> SyntheticTracks:
    settings = {"n": 4 * FRAMES, "frames": FRAMES, "seed": 3, "image_size": SIZE, **settings}
    return SyntheticTracks(motions=list(motions) or None, visibility=False, **settings)


def of(motion: str) -> NDArray[np.float32]:
    """(FRAMES, 68, 2) points of the track that shows a motion."""
    index = tracks().index()
    return index.points[index.subsets[motion]]


def test_tracks_times_and_motions() -> None:
    index = tracks("talk", "still", n=2 * FRAMES + 3).index()
    assert index.track is not None
    assert index.time is not None
    assert index.track.tolist() == [0] * FRAMES + [1] * FRAMES + [2] * 3
    assert index.time.tolist() == [*range(FRAMES)] * 2 + [0, 1, 2]
    assert index.subsets.keys() == {"talk", "still"}
    assert index.subsets["talk"].tolist() == [True] * FRAMES + [False] * FRAMES + [True] * 3
    assert index.track.dtype == index.time.dtype == np.int64


def test_a_frame_does_not_depend_on_its_batch_or_on_the_size_of_the_set() -> None:
    whole, rows = tracks(), [5, FRAMES + 7, 3 * FRAMES]
    together = whole.render(rows)
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(whole.render([row])[0], together[place])
    longer = tracks(n=5 * FRAMES)
    np.testing.assert_array_equal(longer.render(rows), together)
    some, index = longer.index_of(rows), whole.index()
    np.testing.assert_array_equal(some.points, index.points[rows])
    other = tracks(seed=4)
    assert np.abs(other.index().points - index.points).mean() > 1.0


def test_points_are_the_projected_head_points() -> None:
    faces, rows = tracks(), range(0, 4 * FRAMES, 9)
    labels, drawn = faces.labels(rows), faces.faces(rows)
    rotation = euler_to_matrix(drawn.angles)
    pixels = project_rt(
        labels.head3d.double(), rotation, drawn.translation, drawn.focal, (SIZE - 1) / 2
    )
    assert (pixels - labels.points).norm(dim=-1).max() < 1e-3


def test_the_picture_moves_as_the_labels_do() -> None:
    """The eye that moves most is found where its label says, by matching patches of two frames."""
    faces = tracks("turn", image_size=128)
    eyes = faces.index().points[:, EYES].reshape(-1, 2, 6, 2).mean(2)
    steps = np.linalg.norm(eyes[8:] - eyes[:-8], axis=-1)
    steps[np.arange(len(steps)) % FRAMES >= FRAMES - 8] = 0  # to the next track
    row, eye = (int(place) for place in np.unravel_index(steps.argmax(), steps.shape))
    before, after = (frame.astype(float).mean(-1) for frame in faces.render([row, row + 8]))
    x, y = eyes[row, eye].round().astype(int)
    patch = before[y - 5 : y + 6, x - 8 : x + 9]
    costs = {
        (dx, dy): np.abs(after[y + dy - 5 : y + dy + 6, x + dx - 8 : x + dx + 9] - patch).sum()
        for dx in range(-7, 8)
        for dy in range(-7, 8)
    }
    nearest = np.array(min(costs, key=lambda shift: costs[shift]))
    assert steps.max() > 2.5
    assert np.abs(nearest - (eyes[row + 8, eye] - eyes[row, eye])).max() <= 1.0


def test_motion_is_smooth() -> None:
    face = np.ptp(of("turn")[0], axis=0).max()
    for motion, step, change in (
        ("turn", 0.03, 0.004),
        ("blink", 0.03, 0.02),
        ("talk", 0.04, 0.03),
    ):
        first, second = (np.diff(of(motion), k, axis=0) / face for k in (1, 2))
        assert 0 < np.linalg.norm(first, axis=-1).max() < step
        assert np.linalg.norm(second, axis=-1).max() < change


def test_each_motion_moves_its_own_part() -> None:
    moved = {name: np.ptp(of(name), axis=0).max(-1) for name in ("turn", "blink", "talk", "all")}
    others = sorted(set(range(68)) - set(EYES))
    assert moved["turn"].min() > 0.5
    assert moved["blink"][[37, 38, 43, 44]].min() > 1.0  # upper lids
    assert moved["blink"][others].max() < 1e-4
    assert moved["talk"][[57, 66, 8]].min() > 1.0  # lower lip, chin
    assert moved["talk"][EYES].max() < 1e-4
    assert moved["all"].min() > 0.5


def test_eyes_close_and_open() -> None:
    points = of("blink")
    gap = (points[:, [41, 40]] - points[:, [37, 38]])[..., 1].mean(1)
    assert gap.min() < 0.35 * gap.max()
    rng, time = CounterRng(0, torch.zeros(300, dtype=torch.int64)), torch.arange(300).double()
    closed = close_lids(rng, time)
    assert float(closed.max()) > 0.9
    assert (closed[1:] - closed[:-1]).abs().max() < 0.4
    assert 0.5 < float((closed == 0).double().mean()) < 0.9


def test_angles_stay_in_range_and_the_face_in_its_place() -> None:
    ranges = Ranges(max_yaw=50, max_pitch=20, max_roll=10)
    rng = CounterRng(1, torch.arange(200) // 50)
    angles = turn_angles(rng, torch.arange(200) % 50, ranges).abs().amax(0)
    assert 20 < angles[0] <= 50
    assert angles[1] <= 14
    assert angles[2] <= 6
    drawn = tracks().faces(range(FRAMES))
    middle = torch.tensor(FACE_MIDDLE).double()
    place = (euler_to_matrix(drawn.angles) @ middle) + drawn.translation
    assert (place - place[0]).abs().max() < 1e-6
    assert (drawn.identity == drawn.identity[0]).all()
    assert (drawn.angles[1:] != drawn.angles[:-1]).any(dim=1).all()


def test_frames_of_a_still_face_share_all_but_the_noise() -> None:
    faces = tracks("still", n=6 * FRAMES)
    index = faces.index()
    assert np.ptp(index.points[:FRAMES], axis=0).max() == 0
    rows = [track * FRAMES + time for track in range(6) for time in (0, 9)]
    pictures = faces.render(rows).astype(int).reshape(6, 2, SIZE, SIZE, 3)
    apart = np.abs(pictures[:, 0] - pictures[:, 1]).mean((1, 2, 3))
    assert (apart < 12).all()
    assert (apart > 0).sum() >= 4
    assert np.abs(pictures[0, 0] - pictures[1, 0]).mean() > 12


def test_what_does_not_move_stays_as_it_was() -> None:
    """Without motion the first track is the face of `SyntheticFaces`, up to its noise."""
    more: dict[str, Any] = {"max_yaw": 45, "max_pitch": 25, "max_roll": 20, "seed": 3}
    still = tracks("still").index_of([FRAMES, 2 * FRAMES])
    faces = SyntheticFaces(n=3, image_size=SIZE, visibility=False, convention="3d", **more)
    np.testing.assert_allclose(still.points, faces.index_of([1, 2]).points, atol=1e-4)


def test_keys_of_the_caches_change_with_the_motion() -> None:
    keys = [
        tracks().content_key([1]),
        tracks(frames=30).content_key([1]),
        tracks("turn").content_key([1]),
        SyntheticFaces(n=2, seed=3, image_size=SIZE).content_key([1]),
    ]
    assert len(set(keys)) == 4
    assert tracks()._label_key() != tracks(frames=30)._label_key()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames": 0}, "frames=0"),
        ({"motions": ["nod"]}, r"\['nod'\]; choose from still, turn, blink, talk, all"),
        ({"motions": []}, "choose from"),
        ({"n": 0}, "n=0"),
    ],
)
def test_bad_arguments(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SyntheticTracks(**settings)


def test_ict_heads_move_too(real_data: Path) -> None:
    head = real_data / "ict_facekit.npz"
    if not head.is_file():
        pytest.skip("no ict_facekit.npz; make it with `data convert ict-facekit`")
    faces = IctTracks(
        n=36, frames=12, head=str(head), image_size=64, visibility=False, motions=["all"], bare=True
    )
    index = faces.index()
    points = index.points.reshape(3, 12, 68, 2)
    face = np.ptp(points[0, 0], axis=0).max()
    steps = np.linalg.norm(np.diff(points, axis=1), axis=-1) / face
    assert 0.002 < steps.max() < 0.06
    assert index.track is not None
    assert index.track.tolist() == [0] * 12 + [1] * 12 + [2] * 12
    np.testing.assert_array_equal(faces.render([13])[0], faces.render([12, 13])[1])
    # Lids follow the gaze, which goes back to the camera while the head turns.
    names = faces._model.expression_names
    look = [k for k, name in enumerate(names) if name.startswith("eyeLook")]
    lids = faces.faces(range(36)).expression[:, look].reshape(3, 12, -1)
    assert (lids >= 0).all()
    assert lids.std(1).max() > 0.01
