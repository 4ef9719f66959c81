"""`Face`: what a method says of one face of a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lit_landmarks.data.framing import landmark_box
from lit_landmarks.documents import parse_json
from lit_landmarks.errors import UserError, needs_extra
from lit_landmarks.inference.meshes import write_mesh

if TYPE_CHECKING:
    from supervision import KeyPoints

Array = NDArray[np.float32]

#: Decimals of pixels, degrees and shares that text keeps.
_DECIMALS = 4
#: Probability from which on a point counts as visible.
VISIBLE = 0.5


@dataclass(frozen=True)
class Face:
    """Result for one face of a picture; what the method does not predict is None.

    Attributes:
        points: (N, 2) landmarks in pixels of the picture, pixel centres at integers.
        scheme: name of the scheme whose points they are, None for a user's queries.
        convention: in which they lie, of a method that answers in several.
        box: (4,) x0 y0 x1 y1 that the face was cut by; about its landmarks where the whole picture
            was shown.
        error: predicted NME in percent.
        pose: (3,) yaw, pitch, roll in degrees against the line of sight to the face.
        visibility: (N,) probability that each point is visible.
        points3d: (N, 3) pixels of the picture, z away from the camera.
        mma: multiply-adds that were spent, in millions, where the cost depends on the face.
        confidence: score of the detector that has found the face, in [0, 1].
        track: number of the person in a video, from 0.

    Example:
        >>> face = Face(np.ones((1, 2), np.float32), None, np.float32([0, 0, 2, 2]), error=3.5)
        >>> Face.from_json(face.to_json()).error
        3.5
    """

    points: Array
    scheme: str | None
    box: Array
    error: float | None = None
    pose: Array | None = None
    visibility: Array | None = None
    points3d: Array | None = None
    mma: float | None = None
    convention: str | None = None
    confidence: float | None = None
    track: int | None = None

    def save_mesh(self, path: str | Path) -> None:
        """Write the 3D points as a mesh, .ply or .obj; see `write_mesh`.

        Raises:
            UserError: there are none, or as `write_mesh`.
        """
        if self.points3d is None or self.scheme is None:
            raise UserError(f"no 3D points of a scheme for {path}; ask a method that predicts them")
        write_mesh(path, self.points3d, self.scheme, self.convention)

    def record(self) -> dict[str, Any]:
        """Plain values by the names of the attributes, without what is None.

        Numbers keep four decimals; a number that is not finite becomes None.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: _plain(value) for name, value in values.items() if value is not None}

    def to_json(self) -> str:
        """The record as JSON; files of many faces are in another form, see `FACES_JSON.md`."""
        return json.dumps(self.record(), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Face:
        """The face that `to_json` has written, to four decimals.

        Raises:
            UserError: the text is something else.
        """
        try:
            content: dict[str, Any] = {"scheme": None} | dict(parse_json(text, Path("face")))
            for name in ("points", "box", "pose", "visibility", "points3d"):
                if name in content:
                    content[name] = np.asarray(content[name], np.float32)  # null becomes NaN
            face = cls(**content)
            shapes = {"points": (len(face.points), 2), "box": (4,), "pose": (3,)}
            shapes |= {"visibility": (len(face.points),), "points3d": (len(face.points), 3)}
            for name, shape in shapes.items():
                value = getattr(face, name)
                if value is not None and value.shape != shape:
                    raise ValueError(f"{name} of shape {value.shape}")
        except (TypeError, ValueError) as error:
            raise UserError(f"no face: {error}; give what Face.to_json has written") from error
        return face


def to_keypoints(faces: Sequence[Face]) -> KeyPoints:
    """Faces of one picture as `supervision.KeyPoints`, for its annotators and trackers.

    Args:
        faces: of one scheme.

    Returns:
        `xy` (F, N, 2); `detection_confidence` and `visible` where the faces have them; `data` with
        `box`, and `predicted_error` where there is one.

    Raises:
        UserError: supervision is not installed, or the faces have different points.
    """
    with needs_extra("to_keypoints", "supervision"):
        from supervision import KeyPoints
    if len({(face.scheme, len(face.points)) for face in faces}) > 1:
        raise UserError("faces of different schemes in one picture; convert them one by one")
    if not faces:
        return KeyPoints.empty()

    def column(name: str) -> Any:
        values = [getattr(face, name) for face in faces]
        return None if any(value is None for value in values) else np.stack(values)

    visibility, errors = column("visibility"), column("error")
    data = {"box": column("box")} | ({} if errors is None else {"predicted_error": errors})
    return KeyPoints(
        xy=column("points"),
        keypoint_confidence=visibility,
        detection_confidence=column("confidence"),
        visible=None if visibility is None else visibility >= VISIBLE,
        data=data,
    )


def _plain(value: Any) -> Any:
    """A value of a face as JSON has it."""
    if isinstance(value, np.ndarray):
        return [_plain(entry) for entry in value.tolist()]
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return round(value, _DECIMALS) if np.isfinite(value) else None
    return value


def face_box(face: Face) -> NDArray[np.float64]:
    """The box (4,) about the landmarks of a face, by which it is cut in the next frame."""
    if face.scheme is None:
        return np.concatenate([face.points.min(0), face.points.max(0)]).astype(np.float64)
    return landmark_box(face.points, face.scheme)


def with_own_box(face: Face) -> Face:
    """The face with the box about its landmarks, which was found in a whole picture."""
    return replace(face, box=face_box(face).astype(np.float32))
