"""`FaceParameters`: who, doing what, seen from where; drawn for (seed, index), and its geometry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

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
        angles: (B, 3) yaw, pitch, roll of the head in degrees.
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
    return _each(record, lambda t: t[rows])


def to_device(record: Record, device: torch.device, floats: bool = False) -> Record:
    """A dataclass of tensors on another device; `floats` turns float64 into float32."""
    return _each(
        record,
        lambda t: t.to(device, torch.float32 if floats and t.is_floating_point() else t.dtype),
    )


def _each(record: Record, fn: Callable[[Tensor], Tensor]) -> Record:
    changes: dict[str, Any] = {}
    for f in fields(record):  # type: ignore[arg-type]  # TypeVar cannot say "a dataclass"
        value = getattr(record, f.name)
        if isinstance(value, Tensor):
            changes[f.name] = fn(value)
        elif is_dataclass(value):
            changes[f.name] = _each(value, fn)
    return replace(record, **changes)  # type: ignore[type-var]


#: Middle of the face (between brows and chin, half way to the ears), head frame.
_FACE_MIDDLE = (0.0, 0.45, 0.15)
_FACE_WIDTH = 1.7
_NECK = (0.0, 1.15, 0.95)


def _angles(draws: CounterRng, ranges: Ranges) -> Tensor:
    """Half of the faces are spread evenly over the range, half gather near the front."""
    limit = torch.tensor([ranges.max_yaw, ranges.max_pitch, ranges.max_roll], dtype=torch.float64)
    even = draws.uniform("angles", 3, -1.0, 1.0)
    near = draws.normal("angles near", 3, 2.5) * 0.3
    spread = draws.chance("spread", 0.5)[:, None]
    share = torch.where(spread, even * torch.tensor([1.0, 0.7, 0.6]).double(), near)
    return share.clamp(-1.0, 1.0) * limit


def _expression(draws: CounterRng, names: tuple[str, ...]) -> Tensor:
    """A few muscles at a time; both sides mostly together, mouths mostly closed."""
    n = len(draws)
    value = draws.uniform("expression", len(names)) ** 1.3
    on = draws.uniform("expression on", len(names)) < 0.22
    value = value * on
    place = {name: i for i, name in enumerate(names)}

    def put(name: str, column: Tensor) -> None:
        if name in place:
            value[:, place[name]] = column

    neutral = draws.chance("neutral", 0.15)
    smile = draws.uniform("smile") * draws.chance("smiles", 0.5)
    lopsided = draws.normal("lopsided") * 0.12
    put("smile_left", (smile * (1 + lopsided)).clamp(0, 1.1))
    put("smile_right", (smile * (1 - lopsided)).clamp(0, 1.1))
    opened = draws.uniform("open") ** 1.6 * draws.chance("opens", 0.42)
    put("jaw_open", opened)
    teeth = draws.chance("teeth", 0.6)
    put("upper_lip_raise", (smile * 0.55 + 0.25 * draws.uniform("lip")) * teeth * (smile > 0.2))
    lids = draws.uniform("lids") * 0.35 + draws.chance("blink", 0.06) * 0.75
    wink = draws.chance("wink", 0.02)
    put("blink_left", torch.where(wink, torch.ones(n).double(), lids.clamp(0, 1)))
    put("blink_right", lids.clamp(0, 1))
    signed = {"mouth_shift": 0.35, "jaw_side": 0.3}
    for name, size in signed.items():
        put(name, draws.normal(name) * size * draws.chance(f"{name} on", 0.3))
    for name in ("cheek_puff", "pucker", "lips_press"):
        put(name, draws.uniform(name) * draws.chance(f"{name} on", 0.10) * (opened < 0.3))
    raised = draws.uniform("brows") * draws.chance("brows on", 0.3)
    put("brow_raise_left", (raised + 0.15 * draws.normal("brow left")).clamp(0, 1))
    put("brow_raise_right", (raised + 0.15 * draws.normal("brow right")).clamp(0, 1))
    return torch.where(neutral[:, None], 0.15 * value, value)


def _gaze(draws: CounterRng, angles: Tensor) -> Tensor:
    """Eyes look near the camera half of the time, else near straight ahead."""
    away = draws.normal("gaze", 2) * torch.tensor([13.0, 6.0]).double()
    camera = draws.chance("looks at camera", 0.5)[:, None]
    back = -angles[:, :2] * torch.tensor([1.0, 0.7]).double()
    turn = torch.where(camera, back + 0.25 * away, away)
    turn = torch.deg2rad(turn.clamp(-26.0, 26.0))
    yaw, pitch = turn.unbind(-1)
    way = torch.stack([yaw.sin() * pitch.cos(), -pitch.sin(), -yaw.cos() * pitch.cos()], -1)
    return way[:, None].expand(-1, 2, -1).contiguous()


def sample_faces(draws: CounterRng, head: Head, ranges: Ranges) -> FaceParameters:
    """The faces that belong to `draws`."""
    n = len(draws)
    angles = _angles(draws, ranges)
    identity = draws.normal("identity", len(head.identity_names), 2.3)
    size = ranges.image_size
    zoom = 1.0 + ranges.zoom * draws.uniform("zoom", 1, -1.0, 1.0)
    unit = size * zoom / (ranges.face_scale * _FACE_WIDTH)
    focal = size * 1.3 * (6.0 / 1.3) ** draws.uniform("focal")
    shift = draws.uniform("shift", 2, -ranges.jitter, ranges.jitter) * size
    middle = torch.tensor(_FACE_MIDDLE, dtype=torch.float64)
    depth = focal / unit
    at = torch.stack([shift[:, 0] / unit, shift[:, 1] / unit, depth], -1)
    rotation = euler_to_matrix(angles)
    translation = at - (rotation @ middle[:, None])[..., 0]
    lean = draws.normal("body", 3) * torch.tensor([8.0, 3.0, 3.0]).double()
    body = angles * torch.tensor([0.45, 0.20, 0.30]).double() + lean
    return FaceParameters(
        identity=identity,
        expression=_expression(draws, head.expression_names),
        gaze=_gaze(draws, angles),
        hair=sample_hair(draws),
        glasses=sample_glasses(draws),
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
