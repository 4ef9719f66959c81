"""Landmarks in a canonical 3D head and the camera that sees it, from 2D labels alone.

The idea of Infinite 3D Landmarks (Chandran et al., CGF 2024); forms and sizes are ours. Places are
in sides of the crop from its middle, the head frame is that of `types`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.camera import (
    FACE_MIDDLE,
    POSE_FOCAL,
    against_ray,
    to_camera,
)
from lit_landmarks.geometry.crops import points_in_crop, to_centered
from lit_landmarks.geometry.posit import posit
from lit_landmarks.geometry.rotations import euler_to_matrix, matrix_to_euler, six_d_to_matrix
from lit_landmarks.nets.normalizer import FACE_SIDE
from lit_landmarks.nets.precision import apply_in_single, full_precision
from lit_landmarks.types import TIGHT_SCALE, FaceBatch, Prediction

#: Longer side of the face's box in a tight crop, in sides of the crop.
TIGHT_SHARE = 1.0 / TIGHT_SCALE
#: Mean of iBUG's 68 points on the template, head units: the place from which depth counts.
LANDMARK_MIDDLE = (0.0, 0.414, -0.065)
#: Bounds of the logarithms of size and focal length about their first values: a face of a seventh
#: or seven times the usual size, a focal length of a third or three times.
_SIZE_RANGE, _FOCAL_RANGE = 2.0, 1.1
#: Factor on the outputs of the last layer: a camera moves every landmark, so it learns calmly.
_CALM = 0.1
#: Pace of the mean shape. As fast as the cameras it grows deep before they have learned to turn.
_SLOW = 0.02
#: Length to which the features of a method are shortened for its 3D head, and the part of a crop's
#: side by which landmarks that are off the mean face weigh 1 beside them.
_LONGEST, _OFF = 1.0, 0.1
#: No point is nearer to the camera than this, head units.
_NEAREST = 0.2


class HeadCamera(NamedTuple):
    """Cameras that see a head.

    Attributes:
        rotation: (B, 3, 3) of the head in the axes of the camera.
        translation: (B, 3) head units.
        focal: (B,) in sides of the crop.
    """

    rotation: Tensor
    translation: Tensor
    focal: Tensor

    def project(self, solid: Tensor) -> Tensor:
        """(B, N, 2) places of points (B, N, 3) in the head frame, sides from the crop's middle."""
        camera = to_camera(solid, self.rotation, self.translation)
        plane = camera[..., :2] / camera[..., 2:].clamp(min=_NEAREST)
        return plane * self.focal[:, None, None]

    def depth(self, solid: Tensor) -> Tensor:
        """(B, N) distances of points (B, N, 3) from the camera's plane, head units."""
        return to_camera(solid, self.rotation, self.translation)[..., 2].clamp(min=_NEAREST)

    def unproject(self, places: Tensor, depth: Tensor) -> Tensor:
        """(B, N, 3) points in the head frame that are seen at places (B, N, 2).

        Args:
            places: sides from the crop's middle.
            depth: (B, N) as `depth` gives them.
        """
        plane = places * (depth / self.focal[:, None])[..., None]
        camera = torch.cat((plane, depth[..., None]), -1) - self.translation[:, None]
        return camera @ self.rotation

    def pose(self) -> Tensor:
        """(B, 6) as `Prediction.pose`: against the line of sight, in the pose camera."""
        angles = matrix_to_euler(against_ray(self.rotation, self.translation))
        origin, distance = self.translation[:, :2], self.translation[:, 2:]
        # The same picture in the pose camera, whose focal length is 1.5 sides.
        far = distance * (POSE_FOCAL / self.focal[:, None])
        return torch.cat((angles, origin, far), -1)


class CameraHead(nn.Module):
    """Rotation, place, size and focal length of a head from pooled features.

    Before training it sees the mean face in the middle of the crop.

    Args:
        features: length of the feature vector.
        share: longer side of the face's box in the crop before training, in sides of the crop.

    Example:
        >>> camera, log_focal = CameraHead(8)(torch.zeros(1, 8))
        >>> camera.project(torch.tensor([[[0.0, 0.45, 0.15]]])).tolist()
        [[[0.0, 0.0]]]
    """

    first: Tensor

    def __init__(self, features: int, share: float = TIGHT_SHARE) -> None:
        super().__init__()
        self.size = share / FACE_SIDE
        self.linear = nn.Linear(features, 10)
        nn.init.normal_(self.linear.weight, std=1e-3)  # at 0, features would have no gradient
        nn.init.zeros_(self.linear.bias)
        first = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
        self.register_buffer("first", first, persistent=False)

    def forward(self, features: Tensor) -> tuple[HeadCamera, Tensor]:
        """Cameras, and the logarithm (B,) of their focal length by 1.5 sides.

        Args:
            features: (B, C).
        """
        values = _CALM * apply_in_single(self.linear, features) + self.first
        rotation = six_d_to_matrix(values[:, :6])
        size = self.size * torch.exp(limit_softly(values[:, 8], _SIZE_RANGE))
        log_focal = limit_softly(values[:, 9], _FOCAL_RANGE)
        focal = POSE_FOCAL * torch.exp(log_focal)
        distance = focal / size
        plane = values[:, 6:8] / size[:, None]
        middle = torch.cat((plane, distance[:, None]), 1)
        # The middle of the face stands there: a turn does not move it.
        translation = middle - rotation @ rotation.new_tensor(FACE_MIDDLE)
        return HeadCamera(rotation, translation, focal), log_focal


def limit_softly(values: Tensor, limit: float) -> Tensor:
    """Values near 0 as they are, others bent until they stay within `limit` on both sides."""
    return limit * torch.tanh(values / limit)


def add_head(prediction: Prediction, solid: Tensor, camera: HeadCamera, size: int) -> Prediction:
    """The prediction with its points in 3D, focal length, and head pose where it had none.

    Args:
        prediction: its points are where `camera` sees `solid`.
        solid: (B, N, 3) head frame.
        camera: of the crop.
        size: side of the crop in pixels.
    """
    # Depth counts from one place of the head, whichever points are asked for.
    middle = camera.depth(solid.new_tensor(LANDMARK_MIDDLE).expand(solid.shape[0], 1, 3))
    # Pixels per head unit at the distance of each face.
    scale = camera.focal[:, None] * size / middle
    away = (camera.depth(solid) - middle) * scale
    return replace(
        prediction,
        head3d=solid,
        points3d=torch.cat((prediction.points, away[..., None]), -1),
        pose=camera.pose() if prediction.pose is None else prediction.pose,
        focal=camera.focal * size,
    )


class ShapeTerms(NamedTuple):
    """How far a 3D shape is from the template.

    Attributes:
        offset: mean length, by Huber's rule in head units.
        rigid: the part that is a shift or a turn, which a camera should explain.
    """

    offset: Tensor
    rigid: Tensor


#: Offsets in head units above which Huber's rule is linear.
_HUBER = 0.1


def measure_offsets(offsets: Tensor, template: Tensor, mask: Tensor) -> ShapeTerms:
    """Size of offsets from the template, and of their rigid part.

    Args:
        offsets: (B, N, 3) head units; undefined where masked out.
        template: (B, N, 3) likewise.
        mask: (B, N) bool.
    """
    weight = mask[..., None].to(offsets)
    total = weight.sum(1).clamp(min=1.0)
    offsets = torch.where(mask[..., None], offsets, 0.0)
    length = offsets.square().sum(-1)
    # Smooth at 0; linear, with slope `_HUBER`, far away.
    huber = _HUBER**2 * ((1.0 + length / _HUBER**2).sqrt() - 1.0)
    faces = mask.any(1).sum().clamp(min=1)
    mean = offsets.sum(1) / total
    arm = torch.where(mask[..., None], template, 0.0)
    arm = torch.where(mask[..., None], arm - (arm.sum(1) / total)[:, None], 0.0)
    turn = (
        torch.linalg.cross(arm, offsets).sum(1) / arm.square().sum((1, 2)).clamp(min=1e-6)[:, None]
    )
    rigid = mean.square().sum(-1) + turn.square().sum(-1)
    return ShapeTerms((huber.sum(1) / total[:, 0]).sum() / faces, rigid.sum() / faces)


def span_similarities(shape: Tensor) -> Tensor:
    """(3 N, 7) orthonormal directions in which a shape (N, 3) moves, turns or grows as a whole."""
    arm = shape - shape.mean(0)
    axes = torch.eye(3).to(shape)
    moves = [axis.expand_as(shape) for axis in axes]
    turns = [torch.linalg.cross(axis.expand_as(arm), arm) for axis in axes]
    directions = torch.stack([*moves, *turns, arm]).flatten(1).mT
    basis: Tensor = torch.linalg.qr(directions).Q
    return basis


@dataclass(frozen=True)
class Head3dOptions:
    """Options of a canonical 3D head behind a method that gives 2D points.

    Attributes:
        weight: of the loss `head3d`: how far the labels, seen by the predicted camera at the
            predicted depth, are from the mean shape, in head units.
        prior: of the loss `shape`, the same of the predicted points, which draws them towards
            shapes that are a face in 3D; 0 leaves them alone.
        mean: within `head3d`, of the mean shape's own distance from the template; labels of many
            poses tell its depth.
        focal: within `head3d`, of the squared logarithm of the focal length by 1.5 sides.
        posit: within `head3d`, of the squared distance of the camera's rotation from the one with
            which POSIT fits the mean shape to the labels. Without it a camera may lean by a tenth
            of a turn for good, before landmarks are accurate enough to tell it.
        detach: leave the features as the method's own losses make them: 3D then costs no accuracy
            in 2D, and brings none but by `prior`.
    """

    weight: float = 1.0
    prior: float = 0.1
    mean: float = 0.005
    focal: float = 0.1
    posit: float = 0.1
    detach: bool = False

    def __post_init__(self) -> None:
        """Refuse weights that mean nothing."""
        if not 0.0 < self.weight < math.inf or not 0.0 <= self.prior < math.inf:
            raise UserError(
                f"model.head3d has weight {self.weight} and prior {self.prior}; give numbers above"
                " 0 and from 0, or head3d null for no 3D head"
            )
        for name in ("mean", "focal", "posit"):
            if not 0.0 <= (value := getattr(self, name)) < math.inf:
                raise UserError(f"model.head3d.{name} is {value}; give a number from 0")


class Head3d(nn.Module):
    """Lifts 2D landmarks into the head frame: camera and depths from landmarks and features.

    The lifted points are seen exactly at the 2D landmarks. A loss draws them to a mean shape, which
    begins at the template and is learned, so that camera and depths become those that leave the
    least to explain: shape, pose and focal length from 2D labels alone.

    The landmarks tell most of a pose: features of the last stage of a cascade hold what is to be
    corrected there, and not where a face looks. They are read without a gradient.

    Args:
        features: length of the feature vector of the method.
        template: (N, 3) mean face, head units.
        share: see `CameraHead`.
        options: see `Head3dOptions`.

    Example:
        >>> head = Head3d(8, torch.rand(5, 3))
        >>> flat = Prediction(torch.rand(2, 5, 2) * 64, features=torch.zeros(2, 8))
        >>> head(flat, 64).head3d.shape
        torch.Size([2, 5, 3])
    """

    template: Tensor
    similarities: Tensor
    first: Tensor

    def __init__(
        self,
        features: int,
        template: Tensor,
        share: float = TIGHT_SHARE,
        options: Head3dOptions | None = None,
    ) -> None:
        super().__init__()
        self.options = options or Head3dOptions()
        inputs = features + 2 * len(template)
        self.camera = CameraHead(inputs, share)
        self.relief = nn.Linear(inputs, len(template))
        nn.init.normal_(self.relief.weight, std=1e-3)
        nn.init.zeros_(self.relief.bias)
        self.register_buffer("template", template, persistent=False)
        self.offset = nn.Parameter(torch.zeros_like(template))
        self.register_buffer("similarities", span_similarities(template), persistent=False)
        with torch.no_grad():
            first = self.camera(torch.zeros(1, inputs))[0].project(template[None])
        self.register_buffer("first", first, persistent=False)

    @property
    def mean_shape(self) -> Tensor:
        """(N, 3) mean shape of the faces that were seen, head units; as large as the template."""
        return self.template + self._mean_offset()

    def _mean_offset(self) -> Tensor:
        """(N, 3) from the template to the mean shape, which does not move, turn or grow as one."""
        flat = self.offset.flatten()
        flat = flat - self.similarities @ (self.similarities.mT @ flat)
        return _SLOW * flat.view_as(self.offset)

    def forward(self, prediction: Prediction, size: int) -> Prediction:
        """The prediction with 3D points, pose and focal length; points stay as they are.

        Args:
            prediction: with `features` (B, C) or (T, B, C), and points in pixels of the crop.
            size: side of the crop in pixels.

        Returns:
            The prediction; its `features` are now what camera and depths are read from.
        """
        with full_precision(prediction.points.device):
            places = to_centered(prediction.points.float(), size)
            prediction = replace(prediction, features=self._read(prediction, places))
            camera, depth, _ = self._see(prediction)
            return add_head(prediction, camera.unproject(places, depth), camera, size)

    def losses(self, prediction: Prediction, batch: FaceBatch, size: int) -> dict[str, Tensor]:
        """`head3d` of the labels and `shape` of the predicted points; see `Head3dOptions`.

        Args:
            prediction: of `forward`, in pixels of the input.
            batch: the labels.
            size: side of the crop in pixels.
        """
        camera, depth, log_focal = self._see(prediction)
        mean = self.mean_shape.expand(depth.shape[0], -1, -1)
        labels, points = (
            to_centered(points_in_crop(points, prediction.crop), size)
            for points in (batch.points.nan_to_num(), prediction.points)
        )
        terms = [
            measure_offsets(camera.unproject(places, depth) - mean, mean, mask)
            for places, mask in ((labels, batch.mask), (points, torch.ones_like(batch.mask)))
        ]
        everywhere = torch.ones_like(batch.mask[:1])
        own = measure_offsets(self._mean_offset()[None], self.template[None], everywhere)
        focal = log_focal.square().mean()
        total = terms[0].offset + terms[0].rigid
        total = total + self.options.mean * own.offset + self.options.focal * focal
        if self.options.posit:
            lean = self._measure_lean(camera, labels, batch.mask)
            total = total + self.options.posit * lean
        losses = {"head3d": total}
        return losses | ({"shape": terms[1].offset} if self.options.prior else {})

    def _measure_lean(self, camera: HeadCamera, labels: Tensor, mask: Tensor) -> Tensor:
        """Mean squared distance of rotations from those of POSIT, where labels bear a pose.

        Args:
            camera: of B faces.
            labels: (B, N, 2) sides from the crop's middle.
            mask: (B, N) bool.
        """
        pose, fits = posit(labels, mask, self.mean_shape.detach(), POSE_FOCAL, 0.0)
        gap = (camera.rotation - euler_to_matrix(pose[:, :3])).square().sum((1, 2))
        return torch.where(fits, gap, 0.0).sum() / fits.sum().clamp(min=1)

    def loss_weights(self) -> dict[str, float]:
        """Weights of `losses`."""
        return {"head3d": self.options.weight, "shape": self.options.prior}

    def _read(self, prediction: Prediction, places: Tensor) -> Tensor:
        """(B, C + 2 N) features and landmarks; `places` (B, N, 2) in sides from the middle."""
        features = prediction.features
        assert features is not None
        vector = (features[-1] if features.ndim > 2 else features).float()
        vector = vector.detach() if self.options.detach else vector
        length = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
        vector = vector / (length / _LONGEST).clamp(min=1.0)
        return torch.cat((vector, (places.detach() - self.first).flatten(1) / _OFF), 1)

    def _see(self, prediction: Prediction) -> tuple[HeadCamera, Tensor, Tensor]:
        """Cameras, depths (B, N) and logarithms of focal lengths, of a prediction of `forward`."""
        vector = prediction.features
        assert vector is not None
        camera, log_focal = self.camera(vector)
        # `len` would fix the batch of an exported graph.
        mean = self.mean_shape.expand(vector.shape[0], -1, -1)
        depth = camera.depth(mean) + _CALM * apply_in_single(self.relief, vector)
        return camera, depth.clamp(min=_NEAREST), log_focal
