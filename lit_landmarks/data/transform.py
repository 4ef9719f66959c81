"""`BatchTransform`: source crops to ready frames, pixels and labels under one warp.

Training and evaluation run the same code; evaluation has no draws. Everything random follows from
(seed, epoch, data set, face, draw), see `counted`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lit_landmarks.data.augment import N_UNIFORM, Augmentation, Draws, draw
from lit_landmarks.data.batch import FACE_FIELDS, SourceBatch
from lit_landmarks.data.counted import uniform
from lit_landmarks.data.pixels import frames
from lit_landmarks.data.pose import frame_pose
from lit_landmarks.geometry import (
    affine_scale,
    compose_affine,
    invert_affine,
    similarity,
    transform_points,
)
from lit_landmarks.schemes import get_scheme
from lit_landmarks.types import FaceBatch


class BatchTransform:
    """Source crops in, frames out, on the device where the batch is.

    Args:
        frame_size: side of a frame in pixels.
        frame_scale: side of an undisturbed frame in units of the longer side of the face box.
        schemes: scheme in which the rows of each data set are delivered, by `dataset_id`.
        n_points: N of the batches; smaller schemes are padded.
        augmentation: strength of the random part.
        seed: seed of the run.
    """

    def __init__(
        self,
        frame_size: int,
        frame_scale: float,
        schemes: Sequence[str],
        n_points: int,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        self.frame_size = frame_size
        self.frame_scale = frame_scale
        self.schemes = tuple(schemes)
        self.augmentation = augmentation or Augmentation()
        self.seed = seed
        self._flip = torch.arange(n_points).repeat(len(self.schemes), 1)
        self._can_flip = torch.zeros(len(self.schemes), dtype=torch.bool)
        for row, name in enumerate(self.schemes):
            permutation = get_scheme(name).flip
            if permutation is not None:
                self._flip[row, : len(permutation)] = torch.tensor(permutation)
                self._can_flip[row] = True

    def __call__(self, batch: SourceBatch, random: bool, epoch: int = 0) -> FaceBatch:
        """Ready frames with their labels.

        Args:
            batch: source crops.
            random: False for evaluation.
            epoch: which random numbers are drawn.

        Returns:
            A `FaceBatch` whose image is (B, 3, frame_size, frame_size) float32 in [0, 1].
        """
        draws = self._draws(batch, epoch) if random else None
        warp = self._warp(batch, draws)
        radius = self.augmentation.blur_radius(self.frame_size)
        image = frames(batch.image, warp, self.frame_size, draws, radius)
        return replace(self._labels(batch, warp, draws), image=image)

    def points(self, batch: SourceBatch, random: bool, epoch: int | Tensor = 0) -> Tensor:
        """(B, N, 2) points that `__call__` gives, pixels untouched; `epoch` may differ by row."""
        draws = self._draws(batch, epoch) if random else None
        points = transform_points(invert_affine(self._warp(batch, draws)), batch.points)
        if draws is None:
            return points
        return points.gather(1, self._order(batch, draws.flip)[..., None].expand(-1, -1, 2))

    def _draws(self, batch: SourceBatch, epoch: int | Tensor) -> Draws:
        u = uniform(self.seed, epoch, batch.dataset_id, batch.index, N_UNIFORM, batch.draw)
        draws = draw(u, self.augmentation, self.frame_size)
        self._to(u.device)
        draws.flip &= self._can_flip[batch.dataset_id]
        return draws

    def _to(self, device: torch.device) -> None:
        if self._flip.device != device:
            self._flip, self._can_flip = self._flip.to(device), self._can_flip.to(device)

    def _warp(self, batch: SourceBatch, draws: Draws | None) -> Tensor:
        """(B, 2, 3) affines, frame -> source pixels; mirrored rows have a negative x axis."""
        low, high = batch.box[:, :2], batch.box[:, 2:]
        size = self.frame_size
        step = (high - low).amax(1) * (self.frame_scale / size)
        center = (low + high) / 2
        middle = torch.full_like(center, (size - 1) / 2)
        if draws is None:
            return similarity(step, torch.zeros_like(step), middle, center)
        # A face that grows and turns right in the frame is read with smaller steps turned left.
        step = step / draws.scale
        warp = similarity(step, -draws.rotation, middle + draws.shift * size, center)
        mirror = torch.where(draws.flip, -1.0, 1.0)
        offset = torch.where(draws.flip, size - 1.0, 0.0)
        x_axis = warp[:, :, 0]
        origin = warp[:, :, 2] + x_axis * offset[:, None]
        return torch.stack([x_axis * mirror[:, None], warp[:, :, 1], origin], 2)

    def _labels(self, batch: SourceBatch, warp: Tensor, draws: Draws | None) -> FaceBatch:
        """Labels in the frame that `warp` cuts."""
        inverse = invert_affine(warp)
        step = affine_scale(warp)
        shape = step.view(-1, 1, 1)
        columns = {name: getattr(batch, name) for name in FACE_FIELDS}
        columns |= {
            "points": transform_points(inverse, batch.points),
            "points3d": torch.cat(
                [
                    transform_points(inverse, batch.points3d[..., :2]),
                    batch.points3d[..., 2:] / shape,
                ],
                -1,
            ),
            "frame_to_image": compose_affine(batch.frame_to_image, warp),
            "norms": batch.norms / step[:, None],
            "focal": batch.focal / step,
        }
        moved = FaceBatch(**columns)
        if draws is not None:
            moved = self._flipped(moved, draws.flip)
            moved = replace(moved, visible=_hidden(moved, draws.rectangles))
        moved = replace(moved, points3d=moved.points3d.masked_fill(~moved.mask[..., None], 0.0))
        pose, known = frame_pose(moved, inverse, self.schemes, self.frame_size)
        return replace(moved, pose=pose, has_pose=known)

    def _order(self, batch: FaceBatch, flip: Tensor) -> Tensor:
        """(B, N) which old point each new point is."""
        same = torch.arange(batch.points.shape[1], device=flip.device)
        return torch.where(flip[:, None], self._flip[batch.dataset_id], same)

    def _flipped(self, batch: FaceBatch, flip: Tensor) -> FaceBatch:
        """Labels per point in the order that the mirrored face asks for."""
        order = self._order(batch, flip)
        head = batch.head3d.gather(1, order[..., None].expand(-1, -1, 3)).clone()
        head[..., 0] *= torch.where(flip, -1.0, 1.0)[:, None]
        return replace(
            batch,
            points=batch.points.gather(1, order[..., None].expand(-1, -1, 2)),
            points3d=batch.points3d.gather(1, order[..., None].expand(-1, -1, 3)),
            head3d=head,
            mask=batch.mask.gather(1, order),
            visible=batch.visible.gather(1, order),
        )


def _hidden(batch: FaceBatch, rectangles: Tensor) -> Tensor:
    """Visibility after rectangles were drawn: a visible point under one is occluded."""
    points = batch.points.unsqueeze(1)
    # A pixel's square reaches half a pixel beyond its centre.
    low, high = rectangles[:, :, None, :2] - 0.5, rectangles[:, :, None, 2:] - 0.5
    covered = ((points >= low) & (points < high)).all(-1).any(1)
    return torch.where(covered & (batch.visible == 1), 0, batch.visible).to(torch.int8)
