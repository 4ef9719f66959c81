"""`BatchTransform`: source crops to the crops that a method receives, pixels and labels together.

Training and evaluation run the same code; evaluation has no augmentation. Everything random follows
from (seed, epoch, data set, face, draw), see `counter_rng`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace

import torch
from torch import Tensor

from lit_landmarks.data.augment import N_UNIFORM, Augmentation, AugmentationParams, sample_params
from lit_landmarks.data.batch import SourceBatch
from lit_landmarks.data.counter_rng import uniform
from lit_landmarks.data.framing import CropPlacement, place_crops
from lit_landmarks.data.pixels import frames
from lit_landmarks.data.pose import frame_pose
from lit_landmarks.labels import LABEL_TABLE
from lit_landmarks.schemes import get_scheme
from lit_landmarks.types import CropSpec, FaceBatch

#: What is handed on: the fields of `FaceBatch` alone.
_FACE_FIELDS = tuple(f.name for f in fields(FaceBatch))


class BatchTransform:
    """Source crops in, crops out, on the device where the batch is.

    Args:
        crop: how a face is cut when nothing disturbs it.
        schemes: scheme in which the rows of each data set are delivered, by `dataset_id`.
        n_points: N of the batches; smaller schemes are padded.
        augmentation: strength of the random part.
        seed: seed of the run.

    Attributes:
        surroundings: (K, T, T, 3) uint8 squares for the patches of `Augmentation.surround`; None
            leaves black in their place.
    """

    def __init__(
        self,
        crop: CropSpec,
        schemes: Sequence[str],
        n_points: int,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        self.crop = crop
        self.schemes = tuple(schemes)
        self.augmentation = augmentation or Augmentation()
        self.seed = seed
        self.surroundings: Tensor | None = None
        self._flip = torch.arange(n_points).repeat(len(self.schemes), 1)
        self._can_flip = torch.zeros(len(self.schemes), dtype=torch.bool)
        for row, name in enumerate(self.schemes):
            permutation = get_scheme(name).flip
            if permutation is not None:
                self._flip[row, : len(permutation)] = torch.tensor(permutation)
                self._can_flip[row] = True

    def __call__(
        self,
        batch: SourceBatch,
        random: bool,
        epoch: int = 0,
        params: AugmentationParams | None = None,
    ) -> FaceBatch:
        """Ready crops with their labels.

        Args:
            batch: source crops.
            random: False for evaluation.
            epoch: which random numbers are drawn.
            params: augmentation to apply instead of a random one, for example an exact shift by
                part of a pixel; `AugmentationParams.neutral` changes nothing.

        Returns:
            A `FaceBatch` whose image is (B, 3, S, S) float32 in [0, 1].
        """
        radius = self.augmentation.blur_radius(self.crop.size)
        if params is not None:
            params = self._allow_flips(batch, params)
            radius = math.ceil(2.5 * float(params.blur.max())) if len(batch) else 0
        elif random:
            params = self.sample(batch, epoch)
        placement = place_crops(batch.box, batch.frame_to_image, self.crop, params)
        to_source = placement.crop_to_source(batch.frame_to_image)
        if self.surroundings is not None:
            self.surroundings = self.surroundings.to(batch.image.device)
        image = frames(batch.image, to_source, self.crop.size, params, radius, self.surroundings)
        return replace(self._labels(batch, placement, params), image=image)

    def points(self, batch: SourceBatch, random: bool, epoch: int | Tensor = 0) -> Tensor:
        """(B, N, 2) points that `__call__` gives, pixels untouched; `epoch` may differ by row."""
        params = self.sample(batch, epoch) if random else None
        placement = place_crops(batch.box, batch.frame_to_image, self.crop, params)
        points = placement.to_crop(batch.points)
        if params is None:
            return points
        return points.gather(1, self._order(batch, params.flip)[..., None].expand(-1, -1, 2))

    def sample(self, batch: SourceBatch, epoch: int | Tensor) -> AugmentationParams:
        """The random augmentation of each face in an epoch."""
        u = uniform(self.seed, epoch, batch.dataset_id, batch.index, N_UNIFORM, batch.draw)
        params = sample_params(u, self.augmentation, self.crop.size, 1 / self.crop.scale)
        return self._allow_flips(batch, params)

    def _allow_flips(self, batch: SourceBatch, params: AugmentationParams) -> AugmentationParams:
        """Faces of schemes without a flip permutation are not mirrored."""
        device = batch.dataset_id.device
        if self._flip.device != device:
            self._flip, self._can_flip = self._flip.to(device), self._can_flip.to(device)
        return replace(params, flip=params.flip & self._can_flip[batch.dataset_id])

    def _labels(
        self, batch: SourceBatch, placement: CropPlacement, params: AugmentationParams | None
    ) -> FaceBatch:
        """Labels in the pixels of the crops."""
        columns = {name: getattr(batch, name) for name in _FACE_FIELDS}
        for label in LABEL_TABLE:
            if not label.loader_only:
                columns[label.name] = placement.move(label, columns[label.name])
        moved = FaceBatch(**columns)
        if params is not None:
            moved = self._mirror(moved, params.flip)
            moved = replace(moved, visible=_occlude(moved, params.rectangles))
        moved = replace(moved, points3d=moved.points3d.masked_fill(~moved.mask[..., None], 0.0))
        pose, present, kind = frame_pose(
            batch, moved, placement.inverse, self.schemes, self.crop.size
        )
        return replace(moved, pose=pose, has_pose=present, pose_kind=kind)

    def _order(self, batch: FaceBatch, flip: Tensor) -> Tensor:
        """(B, N) which old point each new point is."""
        same = torch.arange(batch.points.shape[1], device=flip.device)
        return torch.where(flip[:, None], self._flip[batch.dataset_id], same)

    def _mirror(self, batch: FaceBatch, flip: Tensor) -> FaceBatch:
        """What a mirror changes beside the places, as `Label.mirror` says, where `flip` is True."""
        order = self._order(batch, flip)
        columns = {}
        for label in LABEL_TABLE:
            if label.mirror == "fixed":
                continue
            values = getattr(batch, label.name)
            rows = order.view(*order.shape, *[1] * (values.ndim - 2)).expand_as(values)
            columns[label.name] = values.gather(1, rows)
            if label.mirror == "permute_negate_x":
                columns[label.name][..., 0] *= torch.where(flip, -1.0, 1.0)[:, None]
        return replace(batch, **columns)


def _occlude(batch: FaceBatch, rectangles: Tensor) -> Tensor:
    """Visibility after rectangles were drawn: a visible point under one is occluded."""
    points = batch.points.unsqueeze(1)
    # A pixel's square reaches half a pixel beyond its centre.
    low, high = rectangles[:, :, None, :2] - 0.5, rectangles[:, :, None, 2:] - 0.5
    covered = ((points >= low) & (points < high)).all(-1).any(1)
    return torch.where(covered & (batch.visible == 1), 0, batch.visible).to(torch.int8)
