"""`SyntheticTracks`, `IctTracks`: rendered video of head turns, blinks and talk, labels exact.

A frame is a function of (seed, track, time): the same whatever the size of the set, the batch and
the order of calls. The frames of a track share identity, look, light, camera and background.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, cast

import numpy as np
import torch

from lit_landmarks.data.ict import IctFaces
from lit_landmarks.data.index import FaceIndex, FilePattern
from lit_landmarks.data.synthetic import SyntheticFaces
from lit_landmarks.errors import UserError
from lit_landmarks.rendering.faces import FaceParameters
from lit_landmarks.rendering.ict import follow_gaze
from lit_landmarks.rendering.motion import MOTION_VERSION, MOTIONS, Motion, move_faces
from lit_landmarks.rendering.rng import CounterRng

#: What tracks show if nothing else is asked for.
_MOTIONS: tuple[Motion, ...] = ("turn", "blink", "talk", "all")


class _Tracks(SyntheticFaces):
    """Faces that move; a subclass says whose.

    Attributes:
        frames: of a track.
        motions: what the tracks show, in turn.
    """

    frames: int
    motions: list[str]

    def _set_tracks(self, frames: int, motions: Sequence[str] | None) -> None:
        name = type(self).__name__
        if frames < 1:
            raise UserError(f"{name} needs tracks of one frame or more, frames={frames}; raise it")
        self.frames, self.motions = frames, list(_MOTIONS if motions is None else motions)
        unknown = [motion for motion in self.motions if motion not in MOTIONS]
        if unknown or not self.motions:
            raise UserError(f"{name}: motions {self.motions}; choose from {', '.join(MOTIONS)}")

    def _looks(self, rng: CounterRng) -> CounterRng:
        return CounterRng(self.seed, rng.index // self.frames)

    def _shown(self, track: torch.Tensor) -> list[Motion]:
        """The motion of each track."""
        return [cast(Motion, self.motions[k % len(self.motions)]) for k in track.tolist()]

    def _sample(self, rng: CounterRng) -> FaceParameters:
        track = self._looks(rng)
        return move_faces(
            super()._sample(track),
            track,
            rng.index % self.frames,
            self._shown(track.index),
            self._model.expression_names,
            self._ranges,
        )

    def _label_key(self) -> tuple[object, ...]:
        return *super()._label_key(), self.frames, self.motions

    def index_of(self, rows: Sequence[int]) -> FaceIndex:
        """The labels of some frames, with their track and time; each motion is a subset."""
        number = torch.as_tensor(list(rows), dtype=torch.int64)
        track, time = number // self.frames, number % self.frames
        shown = np.array(self._shown(track))
        return replace(
            super().index_of(rows),
            track=track.numpy(),
            time=time.numpy(),
            subsets={motion: shown == motion for motion in dict.fromkeys(self.motions)},
        )

    def content_key(self, rows: Sequence[int]) -> str:
        """A hash of all that the pixels depend on."""
        key = super().content_key(rows), MOTION_VERSION, self.frames, self.motions
        return hashlib.sha256(repr(key).encode()).hexdigest()


class SyntheticTracks(_Tracks):
    """Rendered video of the parametric head, with 2D, 3D, visibility, pose and camera labels.

    Track k shows `motions[k % len(motions)]`, which is a subset of the set too: "still" (only the
    camera's noise changes), "turn" (the head turns, slowly), "blink" (every one to two seconds),
    "talk" (jaw and lips) or "all" at once, at 30 frames a second. In the default convention labels
    move as smoothly as the head; "synthetic_visible" lets jaw points jump along the silhouette of
    a head that turns.

    Args:
        n: number of frames; with fewer than `frames` left the last track is shorter.
        frames: of a track.
        seed: of the set; sets of different seeds share no face.
        motions: what the tracks show, in turn; null for turn, blink, talk and all.
        max_yaw: largest yaw in degrees, up to 90.
        max_pitch: largest pitch in degrees.
        max_roll: largest roll in degrees.
        scheme: any scheme with points on the head.
        convention: "synthetic_3d" (the jaw is fixed to the skull), "synthetic_visible" or
            "300w_lp", as for `SyntheticFaces`.
        image_size: side of the rendered picture in pixels.
        face_scale: side of the picture in face widths.
        visibility: say of every point whether it is seen (the slow part of the labels).
        device: where to render; "auto" takes a GPU if there is one.

    Raises:
        UserError: an argument is out of range, or the scheme has no place on the head.

    Example:
        >>> index = SyntheticTracks(n=4, frames=2, image_size=64, visibility=False).index()
        >>> index.track.tolist(), index.time.tolist()
        ([0, 0, 1, 1], [0, 1, 0, 1])
    """

    def __init__(
        self,
        n: int = 480,
        frames: int = 60,
        seed: int = 0,
        motions: list[str] | None = None,
        max_yaw: float = 45.0,
        max_pitch: float = 25.0,
        max_roll: float = 20.0,
        scheme: str = "ibug68",
        convention: str = "synthetic_3d",
        image_size: int = 192,
        face_scale: float = 2.1,
        visibility: bool = True,
        device: str = "cpu",
    ) -> None:
        super().__init__(
            n,
            seed,
            max_yaw,
            max_pitch,
            max_roll,
            scheme,
            convention,
            image_size,
            face_scale,
            visibility,
            device,
        )
        self._set_tracks(frames, motions)


class IctTracks(_Tracks, IctFaces):
    """Rendered video of ICT heads, with 2D, 3D, visibility, pose and camera labels.

    What tracks show is said of `SyntheticTracks`, what heads look like of `IctFaces`.

    Args:
        n: number of frames; with fewer than `frames` left the last track is shorter.
        frames: of a track.
        seed: of the set; sets of different seeds share no face.
        head: the head file.
        motions: what the tracks show, in turn; null for turn, blink, talk and all.
        max_yaw: largest yaw in degrees, up to 90.
        max_pitch: largest pitch in degrees.
        max_roll: largest roll in degrees.
        scheme: any scheme with points on the head.
        convention: "synthetic_3d" (the jaw is fixed to the skull), "synthetic_visible" or
            "300w_lp", as for `IctFaces`.
        image_size: side of the rendered picture in pixels.
        face_scale: side of the picture in face widths.
        backgrounds: folder of photographs to stand behind the faces; null paints walls.
        visibility: say of every point whether it is seen (the slow part of the labels).
        device: where to render; "auto" takes a GPU if there is one.
        bare: bald heads that wear and hold nothing.

    Raises:
        UserError: an argument is out of range, a file is missing or broken, or the scheme has no
            place on the head.
    """

    source = IctFaces.source
    licence = IctFaces.licence
    files: ClassVar[tuple[FilePattern, ...]] = ()  # a head file is recognized as `IctFaces`

    def __init__(
        self,
        n: int = 480,
        frames: int = 60,
        seed: int = 0,
        head: str = "ict_facekit.npz",
        motions: list[str] | None = None,
        max_yaw: float = 45.0,
        max_pitch: float = 25.0,
        max_roll: float = 20.0,
        scheme: str = "ibug68",
        convention: str = "synthetic_3d",
        image_size: int = 256,
        face_scale: float = 2.1,
        backgrounds: str | None = None,
        visibility: bool = True,
        device: str = "cpu",
        bare: bool = False,
    ) -> None:
        super().__init__(
            n,
            seed,
            head,
            max_yaw,
            max_pitch,
            max_roll,
            scheme,
            convention,
            image_size,
            face_scale,
            backgrounds,
            visibility,
            device,
            bare,
        )
        self._set_tracks(frames, motions)

    def _sample(self, rng: CounterRng) -> FaceParameters:
        faces = super()._sample(rng)
        names = self._model.expression_names
        return replace(faces, expression=follow_gaze(names, faces.expression, faces.gaze))
