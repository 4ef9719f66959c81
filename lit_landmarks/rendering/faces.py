"""`FaceParameters`: identity, expression, gaze, pose and camera of faces, and their projection.

A change that alters a picture must raise `renderer.RENDER_VERSION`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from lit_landmarks.geometry.camera import FACE_MIDDLE
from lit_landmarks.geometry.rotations import euler_to_matrix
from lit_landmarks.rendering.glasses import sample_glasses
from lit_landmarks.rendering.hair import HairStyle, sample_hair
from lit_landmarks.rendering.rng import CounterRng
from lit_landmarks.template.surface_points import ContourPaths, SurfacePoints


class Head(Protocol):
    """What the renderer and the labels ask of a head; `ParametricHead` is the model.

    Attributes:
        triangles: (T, 3) int64, clockwise in the image when seen from outside.
        material: (T,) int64, see `parts.Material`.
        side: (T,) int64, 0 or 1 for the eyeball on the image's left or right.
        texture: (V, 2) coordinates whose meaning depends on the material.
        paint: (rows, columns, 8) table of skin properties, see `paint.Channel`.
        body: (V,) share of the body's rotation in that of the vertex, 0 on the head.
        identity_names, expression_names: what the parameters mean.
    """

    triangles: Tensor
    material: Tensor
    side: Tensor
    texture: Tensor
    paint: Tensor
    body: Tensor
    identity_names: tuple[str, ...]
    expression_names: tuple[str, ...]

    def vertices(
        self,
        identity: Tensor,
        expression: Tensor,
        gaze: Tensor,
        hair: HairStyle | None = None,
        glasses: Tensor | None = None,
    ) -> Tensor:
        """(B, V, 3) float64 head frame."""
        ...

    def points(self, scheme: str) -> SurfacePoints:
        """The points of a scheme."""
        ...

    def fitted_points(self, scheme: str) -> SurfacePoints:
        """The points of a scheme, iBUG's 68 where the fits of 300W-LP have them."""
        ...

    def contour(self, scheme: str) -> ContourPaths:
        """Silhouette paths of its jaw points."""
        ...


@dataclass(frozen=True)
class Ranges:
    """How far the faces of a set vary.

    Attributes:
        max_yaw, max_pitch, max_roll: degrees.
        image_size: side of the rendered image in pixels.
        face_scale: side of the image in units of the width of a frontal face (about 1.7 head
            units); 2.1 leaves room to turn and shift a crop.
        jitter: largest shift of the face's middle, in image sides.
        zoom: largest change of the face's size, as a share.
    """

    max_yaw: float = 60.0
    max_pitch: float = 30.0
    max_roll: float = 30.0
    image_size: int = 192
    face_scale: float = 2.1
    jitter: float = 0.03
    zoom: float = 0.10


@dataclass(frozen=True)
class FaceParameters:
    """B faces before a camera.

    Attributes:
        identity, expression: (B, K), (B, E) float64, see `parameters`.
        gaze: (B, 2, 3) unit direction of each eye, head frame.
        hair: styles.
        glasses: (B, 3) see `glasses.Glasses.place`.
        angles: (B, 3) yaw, pitch, roll of the head in degrees, in the axes of the camera.
        body_angles: (B, 3) of neck and shoulders.
        translation: (B, 3) of the head frame's origin, camera frame, head units.
        focal: (B,) pixels.
        image_size: pixels; the principal point is the middle of the image.
    """

    identity: Tensor
    expression: Tensor
    gaze: Tensor
    hair: HairStyle
    glasses: Tensor
    angles: Tensor
    body_angles: Tensor
    translation: Tensor
    focal: Tensor
    image_size: int


Record = TypeVar("Record")


def select(record: Record, rows: Tensor) -> Record:
    """The faces named by `rows` of a dataclass whose tensors have B rows, nested ones too."""
    return _map_tensors(record, lambda t: t[rows])


def to_device(record: Record, device: torch.device, floats: bool = False) -> Record:
    """A dataclass of tensors on another device; `floats` turns float64 into float32."""
    return _map_tensors(
        record,
        lambda t: t.to(device, torch.float32 if floats and t.is_floating_point() else t.dtype),
    )


def _map_tensors(record: Record, fn: Callable[[Tensor], Tensor]) -> Record:
    changes: dict[str, Any] = {}
    for f in fields(record):  # type: ignore[arg-type]  # TypeVar cannot say "a dataclass"
        value = getattr(record, f.name)
        if isinstance(value, Tensor):
            changes[f.name] = fn(value)
        elif is_dataclass(value):
            changes[f.name] = _map_tensors(value, fn)
    return replace(record, **changes)  # type: ignore[type-var]


_FACE_WIDTH = 1.7
_NECK = (0.0, 1.15, 0.95)
#: Shares of the head's yaw, pitch and roll with which neck and shoulders turn.
BODY_SHARE = (0.45, 0.20, 0.30)


def _sample_angles(rng: CounterRng, ranges: Ranges) -> Tensor:
    """(B, 3) degrees: half of the faces spread evenly over the ranges, half near the front."""
    limit = torch.tensor([ranges.max_yaw, ranges.max_pitch, ranges.max_roll], dtype=torch.float64)
    even = rng.uniform("angles", 3, -1.0, 1.0)
    near = rng.normal("angles near", 3, 2.5) * 0.3
    spread = rng.chance("spread", 0.5)[:, None]
    share = torch.where(spread, even * torch.tensor([1.0, 0.7, 0.6]).double(), near)
    return share.clamp(-1.0, 1.0) * limit


def _sample_expression(rng: CounterRng, names: tuple[str, ...]) -> Tensor:
    """(B, E) weights: a few muscles at a time, sides mostly together, mouths mostly closed."""
    n = len(rng)
    value = rng.uniform("expression", len(names)) ** 1.3
    on = rng.uniform("expression on", len(names)) < 0.22
    value = value * on
    place = {name: i for i, name in enumerate(names)}

    def set_column(name: str, column: Tensor) -> None:
        if name in place:
            value[:, place[name]] = column

    neutral = rng.chance("neutral", 0.15)
    smile = rng.uniform("smile") * rng.chance("smiles", 0.5)
    lopsided = rng.normal("lopsided") * 0.12
    set_column("smile_left", (smile * (1 + lopsided)).clamp(0, 1.1))
    set_column("smile_right", (smile * (1 - lopsided)).clamp(0, 1.1))
    opened = rng.uniform("open") ** 1.6 * rng.chance("opens", 0.42)
    set_column("jaw_open", opened)
    teeth = rng.chance("teeth", 0.6)
    set_column(
        "upper_lip_raise", (smile * 0.55 + 0.25 * rng.uniform("lip")) * teeth * (smile > 0.2)
    )
    lids = rng.uniform("lids") * 0.35 + rng.chance("blink", 0.06) * 0.75
    wink = rng.chance("wink", 0.02)
    set_column("blink_left", torch.where(wink, torch.ones(n).double(), lids.clamp(0, 1)))
    set_column("blink_right", lids.clamp(0, 1))
    signed = {"mouth_shift": 0.35, "jaw_side": 0.3}
    for name, size in signed.items():
        set_column(name, rng.normal(name) * size * rng.chance(f"{name} on", 0.3))
    for name in ("cheek_puff", "pucker", "lips_press"):
        set_column(name, rng.uniform(name) * rng.chance(f"{name} on", 0.10) * (opened < 0.3))
    raised = rng.uniform("brows") * rng.chance("brows on", 0.3)
    set_column("brow_raise_left", (raised + 0.15 * rng.normal("brow left")).clamp(0, 1))
    set_column("brow_raise_right", (raised + 0.15 * rng.normal("brow right")).clamp(0, 1))
    return torch.where(neutral[:, None], 0.15 * value, value)


def sample_gaze(rng: CounterRng, angles: Tensor) -> Tensor:
    """(B, 2, 3) directions: half of the faces look near the camera, others straight ahead."""
    away = rng.normal("gaze", 2) * torch.tensor([13.0, 6.0]).double()
    camera = rng.chance("looks at camera", 0.5)[:, None]
    back = -angles[:, :2] * torch.tensor([1.0, 0.7]).double()
    turn = torch.where(camera, back + 0.25 * away, away)
    turn = torch.deg2rad(turn.clamp(-26.0, 26.0))
    yaw, pitch = turn.unbind(-1)
    way = torch.stack([yaw.sin() * pitch.cos(), -pitch.sin(), -yaw.cos() * pitch.cos()], -1)
    return way[:, None].expand(-1, 2, -1).contiguous()


def sample_faces(rng: CounterRng, head: Head, ranges: Ranges) -> FaceParameters:
    """Sample the parameters of the faces of `rng`."""
    n = len(rng)
    angles = _sample_angles(rng, ranges)
    identity = rng.normal("identity", len(head.identity_names), 2.3)
    size = ranges.image_size
    zoom = 1.0 + ranges.zoom * rng.uniform("zoom", 1, -1.0, 1.0)
    unit = size * zoom / (ranges.face_scale * _FACE_WIDTH)
    focal = size * 1.3 * (6.0 / 1.3) ** rng.uniform("focal")
    shift = rng.uniform("shift", 2, -ranges.jitter, ranges.jitter) * size
    middle = torch.tensor(FACE_MIDDLE, dtype=torch.float64)
    depth = focal / unit
    at = torch.stack([shift[:, 0] / unit, shift[:, 1] / unit, depth], -1)
    rotation = euler_to_matrix(angles)
    translation = at - (rotation @ middle[:, None])[..., 0]
    lean = rng.normal("body", 3) * torch.tensor([8.0, 3.0, 3.0]).double()
    body = angles * torch.tensor(BODY_SHARE).double() + lean
    return FaceParameters(
        identity=identity,
        expression=_sample_expression(rng, head.expression_names),
        gaze=sample_gaze(rng, angles),
        hair=sample_hair(rng),
        glasses=sample_glasses(rng),
        angles=angles,
        body_angles=body,
        translation=translation,
        focal=focal.reshape(n),
        image_size=size,
    )


def head_vertices(head: Head, faces: FaceParameters) -> Tensor:
    """(B, V, 3) float64 head frame."""
    return head.vertices(faces.identity, faces.expression, faces.gaze, faces.hair, faces.glasses)


def camera_vertices(head: Head, faces: FaceParameters, vertices: Tensor) -> Tensor:
    """(B, V, 3) camera frame; neck and shoulders follow the head only in part."""
    device = vertices.device
    rotation = euler_to_matrix(faces.angles).to(device)
    moved = vertices @ rotation.mT + faces.translation.to(device)[:, None]
    neck = torch.tensor(_NECK, dtype=torch.float64, device=device)
    body = euler_to_matrix(faces.body_angles).to(device)
    pivot = neck @ rotation.mT + faces.translation.to(device)
    slow = (vertices - neck) @ body.mT + pivot[:, None]
    share = head.body.to(device)[:, None]
    return moved * (1.0 - share) + slow * share


def project(camera: Tensor, faces: FaceParameters) -> Tensor:
    """(B, ..., 3) camera points to (B, ..., 2) pixels."""
    shape = (-1,) + (1,) * (camera.ndim - 1)
    focal = faces.focal.to(camera.device).reshape(shape)
    return camera[..., :2] / camera[..., 2:] * focal + (faces.image_size - 1) / 2
