"""Motion of heads in rendered video: turns, blinks and talk, as smooth functions of time.

A frame is a function of (seed, track, time), whatever the other frames. Times are counted as those
of 30 frames a second. A change that alters a picture must raise `MOTION_VERSION`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from lit_landmarks.geometry.camera import FACE_MIDDLE
from lit_landmarks.geometry.rotations import euler_to_matrix
from lit_landmarks.rendering.faces import BODY_SHARE, FaceParameters, Ranges, sample_gaze
from lit_landmarks.rendering.rng import CounterRng

#: Raise when the frames of the same track change: caches of rendered tracks are keyed by it.
MOTION_VERSION = 1

Motion = Literal["still", "turn", "blink", "talk", "all"]
#: What a track can show; "still" moves nothing, so that only the camera's noise changes.
MOTIONS: tuple[Motion, ...] = ("still", "turn", "blink", "talk", "all")

#: Frames in which lids close, and in which they open again.
_CLOSING, _OPENING = 4.0, 6.0
#: Weights of two waves whose sum stays within one.
_WAVES = (0.65, 0.35)

#: Muscles of either head by what they do here.
_LIDS = ("blink_left", "blink_right", "eyeBlink_L", "eyeBlink_R")
_EYES_WIDE = ("eyes_wide", "squint", "eyeWide_L", "eyeWide_R", "eyeSquint_L", "eyeSquint_R")
_JAW = ("jaw_open", "jawOpen")
_LIPS = ("pucker", "mouthPucker")


def move_faces(
    faces: FaceParameters,
    rng: CounterRng,
    time: Tensor,
    motions: Sequence[Motion],
    names: tuple[str, ...],
    ranges: Ranges,
) -> FaceParameters:
    """Faces at a time of their track.

    Args:
        faces: B faces as they are without motion, those of one track alike.
        rng: draws of each one's track.
        time: (B,) frame number.
        motions: of each face.
        names: of the head's expressions.
        ranges: how far heads turn.

    Returns:
        The same identities, looks and cameras; the middle of the face stays where it is.
    """
    at = time.double()

    def shows(motion: Motion) -> Tensor:
        return torch.tensor([shown in (motion, "all") for shown in motions])

    angles = torch.where(shows("turn")[:, None], turn_angles(rng, at, ranges), faces.angles)
    expression = _blink(faces.expression, names, close_lids(rng, at) * shows("blink"))
    expression = _talk(rng, at, expression, names, shows("talk"))
    middle = torch.tensor(FACE_MIDDLE, dtype=torch.float64)
    moved = (euler_to_matrix(angles) - euler_to_matrix(faces.angles)) @ middle
    body = faces.body_angles + (angles - faces.angles) * torch.tensor(BODY_SHARE).double()
    return replace(
        faces,
        angles=angles,
        body_angles=body,
        translation=faces.translation - moved,
        expression=expression,
        gaze=sample_gaze(rng, angles),
    )


def turn_angles(rng: CounterRng, time: Tensor, ranges: Ranges) -> Tensor:
    """(B, 3) yaw, pitch, roll in degrees: slow waves of 2 to 5 seconds within the ranges."""
    most = torch.tensor([ranges.max_yaw, 0.7 * ranges.max_pitch, 0.6 * ranges.max_roll]).double()
    size = rng.uniform("turn size", 3, 0.6, 1.0) * most
    waves = [_wave(rng, f"turn {axis}", time, 60.0, 150.0) for axis in ("yaw", "pitch", "roll")]
    return size * torch.stack(waves, -1)


def close_lids(rng: CounterRng, time: Tensor) -> Tensor:
    """(B,) how far the lids are closed, 0 to 1: a blink every 1 to 2 seconds."""
    period = rng.uniform("blink period", 1, 30.0, 60.0)
    start = rng.uniform("blink start", 1) * period
    since = torch.remainder(time - start + period / 2, period) - period / 2
    share = torch.where(since < 0, since / _CLOSING, since / _OPENING).clamp(-1.0, 1.0)
    return 0.5 * (1.0 + torch.cos(math.pi * share))


def _wave(rng: CounterRng, name: str, time: Tensor, shortest: float, longest: float) -> Tensor:
    """(B,) sum of two waves within [-1, 1], with periods of so many frames."""
    period = rng.uniform(f"{name} period", 2, shortest, longest)
    phase = rng.uniform(f"{name} phase", 2, 0.0, 2.0 * math.pi)
    both = torch.sin(2.0 * math.pi * time[:, None] / period + phase)
    return (both * torch.tensor(_WAVES).double()).sum(-1)


def _columns(names: tuple[str, ...], muscles: tuple[str, ...]) -> list[int]:
    return [number for number, name in enumerate(names) if name in muscles]


def _blink(expression: Tensor, names: tuple[str, ...], closed: Tensor) -> Tensor:
    """Close the lids; what else moves them lets go."""
    expression = expression.clone()
    lids, others = _columns(names, _LIDS), _columns(names, _EYES_WIDE)
    expression[:, lids] += (1.0 - expression[:, lids]) * closed[:, None]
    expression[:, others] *= 1.0 - closed[:, None]
    return expression


def _talk(
    rng: CounterRng, time: Tensor, expression: Tensor, names: tuple[str, ...], talks: Tensor
) -> Tensor:
    """Open and close the jaw a few times a second, louder and softer, and round the lips."""
    syllable = 0.5 + 0.5 * _wave(rng, "syllable", time, 7.0, 12.0)
    loud = 0.6 + 0.4 * _wave(rng, "loud", time, 40.0, 80.0)
    rounded = 0.5 + 0.5 * _wave(rng, "round", time, 14.0, 28.0)
    most = rng.uniform("talk size", 1, 0.3, 0.5)
    for muscles, value in ((_JAW, most * loud * syllable), (_LIPS, 0.4 * loud * rounded)):
        for column in _columns(names, muscles):
            expression[:, column] = torch.where(talks, value, expression[:, column])
    return expression
