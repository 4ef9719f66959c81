"""What flows between the rooms: `FaceBatch` in, `Prediction` out, `DataSpec` and `Needs` beside.

Conventions (the same in every room):
    * Pixel centres lie at integers, the origin is the centre of the top-left one; x right, y down.
    * *Frame* is the image that a method receives; *image* is the file that it was cut from.
    * Head frame: x to the image's right, y down, z away from the camera; a frontal face has the
      identity rotation. Angles in degrees, in the order yaw, pitch, roll.
    * `pose` is yaw, pitch, roll, tx, ty, tz in a camera of focal length 1.5 W centred on the frame,
      with the mean face scaled so that its outer eye corners are 1 apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

import torch
from torch import Tensor

FrameKind = Literal["tight", "wide"]
Role = Literal["train", "val", "test"]
ROLES: tuple[Role, ...] = ("train", "val", "test")

#: Labels beside the points that a data set may carry; each has a `has_*` column in `FaceBatch`.
LABELS = ("visible", "points3d", "head3d", "pose", "focal")


#: Columns of `FaceBatch.norms`; `lit_landmarks.metrics` defines them.
NORMS = ("interocular", "interpupil", "box", "height", "diagonal")


@dataclass
class FaceBatch:
    """B faces with their labels, padded to N points.

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
        focal: (B,) focal length in frame pixels.
        has_visible, has_points3d, has_head3d, has_pose, has_focal: (B,) bool, label is present.
        norms: (B, K) denominators of NME in frame pixels, in the order of `NORMS`;
            NaN where undefined.
        dataset_id: (B,) int64 index into `DataSpec.datasets`; for metrics only.
        convention_id: (B,) int64 index into `schemes.CONVENTIONS`: how the row was annotated.
        subsets: (B, S) bool membership, columns in the order of `DataSpec.subsets`.
        queries: (B, N, 3) template points in the head frame, NaN where the scheme has none.
        track, time: (B,) int64 video track and frame number; -1 for still images.
        index: (B,) int64 row of the face in its data set.
    """

    image: Tensor
    frame_to_image: Tensor
    points: Tensor
    mask: Tensor
    visible: Tensor
    points3d: Tensor
    head3d: Tensor
    pose: Tensor
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
    track: Tensor
    time: Tensor
    index: Tensor

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
        """The faces named by `rows`, (M,) int64 indices or a (B,) bool mask."""
        return self._map(lambda t: t[rows])


@dataclass
class Prediction:
    """What a method says about B faces. Only `points` is owed; the rest is None if not predicted.

    Attributes:
        points: (B, N, 2) landmarks in frame pixels, always of the frame that was passed in.
        stages: (T, B, N, 2) points after each stage; a face that left early keeps its last shape.
        error: (T, B) predicted NME in percent after each stage.
        exit_stage: (B,) int64 index of the last stage that ran.
        mma: (B,) multiply-adds spent on each face, in millions, where the cost depends on the face.
        crop: (B, 2, 3) affine from normalised-crop pixels to frame pixels, chosen by a normalizer.
        log_sigma: (B, N) log of the isotropic standard deviation, frame pixels.
        visibility: (B, N) probability that the point is visible.
        points3d: (B, N, 3) frame pixels, z away from the camera, mean 0.
        head3d: (B, N, 3) head frame.
        pose: (B, 6) as in `FaceBatch`; translation is NaN where a method predicts angles only.
        focal: (B,) focal length in frame pixels.
        attention: method-defined weights for drawing.
        aux: the method's own type, read by its own losses only.
    """

    points: Tensor
    stages: Tensor | None = None
    error: Tensor | None = None
    exit_stage: Tensor | None = None
    mma: Tensor | None = None
    crop: Tensor | None = None
    log_sigma: Tensor | None = None
    visibility: Tensor | None = None
    points3d: Tensor | None = None
    head3d: Tensor | None = None
    pose: Tensor | None = None
    focal: Tensor | None = None
    attention: Tensor | None = None
    aux: Any = None

    def detach(self) -> Prediction:
        """A copy without graph and without `aux`, safe to keep."""
        tensors: dict[str, Any] = {
            f.name: value.detach() if isinstance(value, Tensor) else None
            for f in fields(self)
            if f.name != "aux"
            for value in [getattr(self, f.name)]
        }
        return Prediction(**tensors)


@dataclass(frozen=True)
class DatasetSpec:
    """One data set in one role, as the rest of the suite sees it.

    Attributes:
        yaw_bins: edges in whole degrees of bins of |yaw| by the pose labels, for example
            (0, 30, 60, 90); metrics measure each bin and the mean over bins. Empty for none.
    """

    name: str
    role: Role
    scheme: str
    convention: str
    primary_normaliser: str
    size: int
    labels: frozenset[str] = frozenset()
    subsets: tuple[str, ...] = ()
    yaw_bins: tuple[float, ...] = ()


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


@dataclass(frozen=True)
class DataSpec:
    """What the data tells a method.

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
        statistics: True if the method learns shape statistics from the training labels.
    """

    labels: frozenset[str] = field(default_factory=frozenset)
    frame: FrameKind | None = None
    one_scheme: bool = True
    statistics: bool = False
