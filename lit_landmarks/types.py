"""Types that the rooms exchange: `FaceInputs` in, `Prediction` out, `FaceBatch` with the labels.

Conventions (the same in every room):
    * Pixel centres lie at integers, the origin is the centre of the top-left one; x right, y down.
    * *Frame* is the image that a method receives; *image* is the file that it was cut from.
    * Head frame: x to the image's right, y down, z away from the camera; a frontal face has the
      identity rotation. Angles in degrees, in the order yaw, pitch, roll.
    * `pose` is yaw, pitch, roll, tx, ty, tz. The angles are those of the rotation against the line
      of sight to the middle of the face (`geometry.against_ray`), in labels of either kind
      (`POSE_KINDS`) and predictions. The translation is in the pose camera of the frame (focal
      length 1.5 W, centred), in units of the mean face's outer-eye distance; NaN where the
      scheme has no mean face or a method predicts angles alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.export import register_dataclass

from lit_landmarks.exportable import hypot
from lit_landmarks.labels import LABELS as LABELS
from lit_landmarks.labels import POINT_LABELS, complete_columns

FrameKind = Literal["tight", "wide"]
Role = Literal["train", "val", "test"]
ROLES: tuple[Role, ...] = ("train", "val", "test")

#: Columns of `FaceBatch.norms`; `lit_landmarks.metrics` defines them.
NORMS = ("interocular", "interpupil", "box", "height", "diagonal")

#: Where a pose label comes from: the data set gives it, or POSIT made it from the points.
PoseKind = Literal["given", "posit"]
POSE_KINDS: tuple[PoseKind, ...] = ("given", "posit")

#: Side of a tight crop in units of the longer side of the face box.
TIGHT_SCALE = 1.35
#: A source crop is this much larger than the crop, so that a crop turned by 30 degrees, shifted
#: and enlarged by the default augmentation still lies inside it almost always.
SOURCE_MARGIN = 1.55


@dataclass
class FaceInputs:
    """All that a method may see of B faces, in training and on a phone. No labels, by type.

    Attributes:
        image: (B, 3, S, S) RGB, float in [0, 1].
        queries: (B, N, 3) template points in the head frame; None: those of the method's scheme.
        convention: (B,) int64 index into `schemes.CONVENTIONS`: how to answer; None: as the
            reference convention.
        points: (B, N, 2) start shape from outside, pixels of `image` (tracking in video).
        pose: (B, 6) pose from outside, as in `FaceBatch`.
        mirrored: the images are mirror images of the pictures.

    Example:
        >>> inputs = FaceInputs(torch.zeros(2, 3, 64, 64))
        >>> len(inputs), inputs.size
        (2, 64)
    """

    image: Tensor
    queries: Tensor | None = None
    convention: Tensor | None = None
    points: Tensor | None = None
    pose: Tensor | None = None
    mirrored: bool = False

    def __len__(self) -> int:
        """Number of faces B."""
        return self.image.shape[0]

    @property
    def size(self) -> int:
        """Side S of the square images in pixels."""
        return self.image.shape[-1]

    def select(self, rows: Tensor | slice) -> Self:
        """The faces at `rows`: (M,) int64 indices, a (B,) bool mask or a slice."""
        return replace(self, **_map_tensors(self, lambda t: t[rows]))

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The inputs on another device."""
        return replace(
            self, **_map_tensors(self, lambda t: t.to(device, non_blocking=non_blocking))
        )


@dataclass
class FaceBatch:
    """B faces with their labels, padded to N points; `labels.LABEL_TABLE` declares the columns.

    Attributes:
        image: (B, 3, H, W) RGB. float32 in [0, 1] when a method sees it; uint8 (channels-last
            memory) source crops before `BatchTransform`.
        frame_to_image: (B, 2, 3) affine that takes frame pixels to pixels of the original file.
        points: (B, N, 2) landmarks in frame pixels; undefined where `mask` is False.
        mask: (B, N) bool, True where a point is annotated.
        visible: (B, N) int8: -1 unknown, 0 occluded, 1 visible, 2 self-occluded.
        points3d: (B, N, 3) frame pixels; z in the same unit, away from the camera, mean 0.
        head3d: (B, N, 3) head frame.
        pose: (B, 6) yaw pitch roll (degrees) tx ty tz (see the module's docstring).
        pose_kind: (B,) int64 index into `POSE_KINDS`; of no meaning without a pose.
        focal: (B,) focal length in frame pixels.
        has_visible, has_points3d, has_head3d, has_pose, has_focal: (B,) bool, label is present.
        norms: (B, K) denominators of NME in frame pixels, in the order of `NORMS`;
            NaN where undefined.
        dataset_id: (B,) int64 index into `DataSpec.datasets`; for metrics only.
        convention_id: (B,) int64 index into `schemes.CONVENTIONS`: how the row was annotated.
        subsets: (B, S) bool membership, columns in the order of `DataSpec.subsets`.
        queries: (B, N, 3) template points in the head frame, NaN where the scheme has none.
        teacher: (B, N, 2) landmarks that another model predicts, frame pixels, NaN where none does.
        track, time: (B,) int64 video track and frame number; -1 for still images.
        index: (B,) int64 row of the face in its data set; -1 in the repeat of a face that one of
            several processes evaluates while others have faces left.

    Example:
        >>> points = torch.tensor([[[20.0, 30.0], [torch.nan, torch.nan]]])
        >>> batch = FaceBatch.of(torch.zeros(1, 3, 64, 64), points, focal=torch.tensor([96.0]))
        >>> batch.mask.tolist(), batch.has_focal.tolist(), batch.has_pose.tolist()
        ([[True, False]], [True], [False])
    """

    image: Tensor
    frame_to_image: Tensor
    points: Tensor
    mask: Tensor
    visible: Tensor
    points3d: Tensor
    head3d: Tensor
    pose: Tensor
    pose_kind: Tensor
    focal: Tensor
    has_visible: Tensor
    has_points3d: Tensor
    has_head3d: Tensor
    has_pose: Tensor
    has_focal: Tensor
    norms: Tensor
    dataset_id: Tensor
    convention_id: Tensor
    subsets: Tensor
    queries: Tensor
    teacher: Tensor
    track: Tensor
    time: Tensor
    index: Tensor

    @staticmethod
    def of(image: Tensor, points: Tensor, **labels: Any) -> FaceBatch:
        """A batch from images, points and the labels there are; the others are absent.

        Args:
            image: (B, 3, H, W).
            points: (B, N, 2) in pixels of `image`; not annotated where not finite.
            **labels: columns by name; a number stands for all faces. `has_*` follows from the
                values unless it is given.

        Raises:
            ValueError: a name is unknown or a column has another shape.
        """
        subsets = labels.get("subsets")
        counts = {
            "K": len(NORMS),
            "S": subsets.shape[-1] if isinstance(subsets, Tensor) else 0,
        }
        return FaceBatch(**complete_columns(image, points, labels, counts))

    def __len__(self) -> int:
        """Number of faces B."""
        return self.points.shape[0]

    def _map(self, fn: Any) -> Self:
        return replace(self, **{f.name: fn(getattr(self, f.name)) for f in fields(self)})

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The batch on another device."""
        return self._map(lambda t: t.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """The batch in page-locked memory (called by the data loader)."""
        return self._map(lambda t: t.pin_memory())

    def select(self, rows: Tensor) -> Self:
        """The faces at `rows`, (M,) int64 indices or a (B,) bool mask."""
        return self._map(lambda t: t[rows])

    def select_points(self, points: Tensor) -> Self:
        """Some points of each face, in all columns that have points.

        Args:
            points: (B, M) int64 indices.
        """
        columns = {}
        for name in POINT_LABELS:
            values: Tensor = getattr(self, name)
            rows = points.view(*points.shape, *[1] * (values.ndim - 2))
            columns[name] = values.gather(1, rows.expand(*points.shape, *values.shape[2:]))
        return replace(self, **columns)

    @property
    def inputs(self) -> FaceInputs:
        """Inputs of a method for these faces: no labels."""
        return FaceInputs(self.image, queries=self.queries, convention=self.convention_id)


@dataclass
class Prediction:
    """Output of a method for B faces. Only `points` is required; the rest is None if not predicted.

    Attributes:
        points: (B, N, 2) landmarks in pixels of the image that was passed in.
        stages: (T, B, N, 2) points after each stage; a face that left early keeps its last shape.
        error: (T, B) predicted NME in percent after each stage.
        exit_stage: (B,) int64 index of the last stage that ran.
        mma: (B,) multiply-adds spent on each face, in millions, where the cost depends on the face.
        crop: (B, 2, 3) affine from pixels of the crop that a normalizer chose to input pixels.
        first_crops: (L, B, 2, 3) the same of the looks before, where a normalizer looks repeatedly.
        log_sigma: (B, N) log of the isotropic standard deviation in input pixels.
        visibility: (B, N) probability that the point is visible.
        points3d: (B, N, 3) input pixels, z away from the camera, mean about 0.
        head3d: (B, N, 3) head frame.
        pose: (B, 6) as in `FaceBatch`; translation is NaN where a method predicts angles only.
        focal: (B,) focal length in input pixels.
        features: (B, C) or (T, B, C) pooled features of the network, for an error head.
        attention: method-defined weights for drawing.
        aux: the method's own type, read by its own losses only; nothing in it has a place.
    """

    points: Tensor
    stages: Tensor | None = None
    error: Tensor | None = None
    exit_stage: Tensor | None = None
    mma: Tensor | None = None
    crop: Tensor | None = None
    first_crops: Tensor | None = None
    log_sigma: Tensor | None = None
    visibility: Tensor | None = None
    points3d: Tensor | None = None
    head3d: Tensor | None = None
    pose: Tensor | None = None
    focal: Tensor | None = None
    features: Tensor | None = None
    attention: Tensor | None = None
    aux: Any = None

    def detach(self) -> Prediction:
        """A copy without graph and what training alone reads: `features`, `first_crops`, `aux`."""
        tensors = _map_tensors(self, Tensor.detach)
        return replace(self, **tensors | {"features": None, "first_crops": None, "aux": None})

    def to(self, device: torch.device | str) -> Prediction:
        """The prediction on another device."""
        return replace(self, **_map_tensors(self, lambda t: t.to(device)))

    def in_single(self) -> Prediction:
        """The prediction with all that has 16 bits, as mixed precision leaves it, in single."""
        halves = (torch.float16, torch.bfloat16)
        return replace(self, **_map_tensors(self, lambda t: t.float() if t.dtype in halves else t))

    def shift(self, offset: Tensor) -> Prediction:
        """The prediction with its points moved within the image: in 2D, of all stages, and in 3D.

        Args:
            offset: (B, N, 2) pixels; may have 1 for B or N.
        """
        moved = replace(self, points=self.points + offset)
        if self.stages is not None:
            moved.stages = self.stages + offset
        if self.points3d is not None:
            still = torch.zeros_like(offset[..., :1])
            moved.points3d = self.points3d + torch.cat((offset, still), -1)
        return moved

    def transform(self, affine: Tensor, sizes: tuple[int, int]) -> Prediction:
        """The prediction in pixels of another image: points, stages, 3D, pose and the like.

        A similarity turns the head about the line of sight and scales its picture. A face that is
        shifted in its crop keeps its angles, as labels do.

        Args:
            affine: (B, 2, 3) similarity from pixels of this prediction to pixels of the other
                image; without a mirror.
            sizes: sides in pixels of the image that this prediction is in, and of the other one.

        Returns:
            The moved prediction; `crop` is the affine, after the crop there was.

        Example:
            >>> half = torch.tensor([[[0.5, 0.0, 10.0], [0.0, 0.5, 20.0]]])
            >>> Prediction(torch.ones(1, 1, 2)).transform(half, (64, 128)).points
            tensor([[[10.5000, 20.5000]]])
        """
        linear, shift = affine[..., :2], affine[..., 2]
        scale = torch.linalg.vector_norm(linear[..., 0], dim=-1)

        def move(points: Tensor) -> Tensor:
            return points @ linear.mT + shift.unsqueeze(-2)

        moved = replace(self, points=move(self.points), crop=affine)
        if self.crop is not None:
            origin = linear @ self.crop[..., 2:] + shift.unsqueeze(-1)
            moved.crop = torch.cat((linear @ self.crop[..., :2], origin), -1)
        if self.stages is not None:
            moved.stages = move(self.stages)
        if self.log_sigma is not None:
            moved.log_sigma = self.log_sigma + scale.log().unsqueeze(-1)
        if self.points3d is not None:
            depth = self.points3d[..., 2:] * scale.view(-1, 1, 1)
            moved.points3d = torch.cat((move(self.points3d[..., :2]), depth), -1)
        if self.focal is not None:
            moved.focal = self.focal * scale
        if self.pose is not None:
            moved.pose = _transform_pose(self.pose, affine, scale, sizes)
        return moved


def _transform_pose(pose: Tensor, affine: Tensor, scale: Tensor, sizes: tuple[int, int]) -> Tensor:
    """A pose in the pose camera (f = 1.5 W) of another image; see `Prediction.transform`."""
    size, other = sizes
    angles = _turned_angles(pose[:, :3], affine[:, :, 0] / scale[:, None])
    # A head of unknown place stands in front of the camera meanwhile: NaN would reach gradients.
    placed = pose[:, 3:].isfinite().all(dim=-1, keepdim=True)
    ahead = pose.new_tensor([0.0, 0.0, 1.0])
    translation = torch.where(placed, pose[:, 3:], ahead)
    plane, depth = translation[:, :2], translation[:, 2:]
    origin = plane / depth * (1.5 * size) + (size - 1) / 2
    origin = (affine[..., :2] @ origin.unsqueeze(-1)).squeeze(-1) + affine[..., 2]
    # A picture `scale` times as large in a camera of focal length 1.5 W' is nearer by that much.
    depth = depth * (other / size) / scale[:, None]
    plane = (origin - (other - 1) / 2) / (1.5 * other) * depth
    translation = torch.where(placed, torch.cat((plane, depth), -1), torch.nan)
    return torch.cat((angles, translation), -1)


def _turned_angles(angles: Tensor, way: Tensor) -> Tensor:
    """Yaw, pitch, roll (B, 3) after the image was turned so that its x axis points along `way`.

    The image turns about its own z axis, roll about the head's, which are one in frontal faces
    alone. Written out, since `geometry` stands on this module: the entries of the turn times
    `geometry.euler_to_matrix` from which `matrix_to_euler` reads the angles.
    """
    cos, sin = way.unbind(-1)
    (cy, cp, cr), (sy, sp, sr) = (
        f(torch.deg2rad(angles)).unbind(-1) for f in (torch.cos, torch.sin)
    )
    x, y, z = -cos * sy * cp - sin * sp, -sin * sy * cp + cos * sp, cy * cp
    left = sin * (cy * cr + sy * sp * sr) + cos * cp * sr
    up = sin * (sy * sp * cr - cy * sr) + cos * cp * cr
    turned = (torch.atan2(-x, z), torch.atan2(y, hypot(x, z)), torch.atan2(left, up))
    return torch.rad2deg(torch.stack(turned, -1))


def _map_tensors(value: Any, fn: Any) -> dict[str, Any]:
    """`fn` of every field that holds a tensor."""
    columns = {f.name: getattr(value, f.name) for f in fields(value)}
    return {name: fn(column) for name, column in columns.items() if isinstance(column, Tensor)}


# Exporters and tracers take and return both.
register_dataclass(FaceInputs, serialized_type_name="lit_landmarks.FaceInputs")
register_dataclass(Prediction, serialized_type_name="lit_landmarks.Prediction")


@dataclass(frozen=True)
class CropSpec:
    """Crop geometry: the square about a face's box that a method receives.

    Plain values, which a checkpoint carries.

    Attributes:
        size: side of the crop in pixels.
        kind: "tight" around the face or "wide".
        scale: side of the crop in units of the longer side of the face box.

    Example:
        >>> CropSpec(128, "tight", 1.35).source_size
        224
    """

    size: int
    kind: FrameKind
    scale: float

    @property
    def source_scale(self) -> float:
        """Side of the source crop from which the crop is cut, in box sides."""
        return SOURCE_MARGIN * self.scale

    @property
    def source_size(self) -> int:
        """Side of the source crop in pixels: the resolution of the crop, in steps of 32."""
        return math.ceil(self.size * self.source_scale / self.scale / 32) * 32


@dataclass(frozen=True)
class DatasetSpec:
    """One data set in one role, as the rest of the suite sees it.

    Attributes:
        subsets: names of its subsets, without those that hold every face.
        yaw_bins: edges in whole degrees of bins of |yaw| by the pose labels, for example
            (0, 30, 60, 90); metrics measure each bin and the mean over bins. Empty for none.
        chosen_on: its faces have chosen the checkpoint that is measured: figures of the set stand
            alone and take no part in the mean over test sets.
    """

    name: str
    role: Role
    scheme: str
    convention: str
    primary_norm: str
    size: int
    labels: frozenset[str] = frozenset()
    subsets: tuple[str, ...] = ()
    yaw_bins: tuple[float, ...] = ()
    chosen_on: bool = False


@dataclass(frozen=True)
class ShapeStatistics:
    """Mean and full eigen-decomposition of training shapes in centred frame units.

    A point p in frame pixels is `(p + 0.5) / W - 0.5`, so the frame is [-0.5, 0.5]. Sizes depend on
    the scheme alone: 2N coordinates, interleaved x0, y0, x1, y1, ...

    Attributes:
        mean: (2N,).
        components: (2N, 2N), one mode per row, by falling variance.
        variances: (2N,) variance along each mode.
        count: number of augmented shapes that were measured.
    """

    mean: Tensor
    components: Tensor
    variances: Tensor
    count: int

    def fit_to_crop(self, share: float) -> ShapeStatistics:
        """Statistics of the shapes in a crop whose side the mean's box fills to `share`.

        Args:
            share: longer side of the mean shape's box as a share of the crop's side.
        """
        points = self.mean.view(-1, 2)
        low, high = points.amin(0), points.amax(0)
        scale = share / (high - low).amax()
        mean = (points - (low + high) / 2) * scale
        return replace(self, mean=mean.flatten(), variances=self.variances * scale.square())


@dataclass(frozen=True)
class DataSpec:
    """Description of the data for a method: data sets, scheme, conventions and crop.

    `scheme` is the target scheme to which every set is mapped, or None when rows are padded and
    keep their own (query methods). `datasets` is indexed by `FaceBatch.dataset_id`.
    """

    scheme: str | None
    n_points: int
    frame_size: int
    frame: FrameKind
    datasets: tuple[DatasetSpec, ...]

    @property
    def subsets(self) -> tuple[str, ...]:
        """All subset names, sorted: the columns of `FaceBatch.subsets`."""
        return tuple(sorted({s for d in self.datasets for s in d.subsets}))

    @property
    def conventions(self) -> tuple[str, ...]:
        """Annotation conventions of the training sets, sorted."""
        return tuple(sorted({d.convention for d in self.in_role("train")}))

    def in_role(self, role: Role) -> tuple[DatasetSpec, ...]:
        """The data sets that play `role`."""
        return tuple(d for d in self.datasets if d.role == role)


@dataclass(frozen=True)
class Needs:
    """What a method asks of the data; `training.build` compares it with `DataSpec`.

    Attributes:
        labels: labels (of `LABELS`) that at least one training set must carry. `pose` is always
            there for schemes with a 3D mean face, since POSIT makes it.
        frame: the kind of frame the method is written for, or None for any.
        one_scheme: True if all rows must share one target scheme.
        statistics: True if the method takes shape statistics from the training labels.
    """

    labels: frozenset[str] = field(default_factory=frozenset)
    frame: FrameKind | None = None
    one_scheme: bool = True
    statistics: bool = False
