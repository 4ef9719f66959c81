"""Infinite 3D for training: any template point, and the parts that it shares with all methods."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.crops import (
    from_centered,
    points_in_crop,
    to_centered,
)
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.methods.infinite3d.loss import (
    InfiniteLossOptions,
    landmark_losses,
    shape_losses,
)
from lit_landmarks.methods.infinite3d.network import InfiniteNet, QueryAnswer, QueryOptions
from lit_landmarks.nets.backbone import InputScale
from lit_landmarks.nets.head3d import TIGHT_SHARE, add_head
from lit_landmarks.nets.losses import heatmap_nll
from lit_landmarks.types import FaceBatch, FaceInputs, Needs, Prediction

DEFAULT_LOSS = InfiniteLossOptions()
DEFAULT_QUERIES = QueryOptions()


class Infinite3D(LandmarkModule):
    """Landmarks at any points of the template, in 3D, from 2D labels (arXiv 2405.20117, CVPR 2023).

    The method is covered by pending US patent applications; see README.md.

    Args:
        backbone: timm's name of the architecture.
        strides: of its maps that are brought together; the finest is that of the feature map.
        channels: of the feature map.
        maps: whose places are features of the image.
        queries: how queries are read and answered.
        train_queries: points of a face that a training step learns from, drawn anew each time,
            where a face has more; None for all. A batch costs as much as its longest list.
        solid: answer in a canonical 3D head, seen by a predicted camera; else in 2D.
        loss: weights of the losses.
        input_scale: normalisation of the input.
        **base: see `LandmarkModule`; `scheme` may be null: each face is then asked for the points
            of its own data set.
    """

    answers_queries: ClassVar[bool] = True

    def __init__(
        self,
        *,
        backbone: str = "mobilenetv2_100",
        strides: list[int] | None = None,
        channels: int = 48,
        maps: int = 64,
        queries: QueryOptions = DEFAULT_QUERIES,
        train_queries: int | None = 100,
        solid: bool = True,
        loss: InfiniteLossOptions = DEFAULT_LOSS,
        input_scale: InputScale = "unit",
        **base: Any,
    ) -> None:
        super().__init__(**base)
        if train_queries is not None and train_queries < 1:
            raise UserError(f"model.train_queries is {train_queries}; give 1 or more, or null")
        self.loss, self.solid = loss, solid
        self.train_queries = train_queries
        self.network = InfiniteNet(
            backbone,
            queries,
            solid=solid,
            share=TIGHT_SHARE if self.normalizer is None else self.normalizer.share,
            strides=strides or (4, 8, 16, 32),
            channels=channels,
            maps=maps,
            input_scale=input_scale,
        )
        self.attach(features=self.network.num_features)

    @property
    def needs(self) -> Needs:
        """Faces cut tight, or wide for a normalizer; each set in its own scheme, or all in one."""
        return Needs(frame=self.tight_frame, one_scheme=self.scheme is not None)

    @classmethod
    def tiny(cls, **more: Any) -> Self:
        """Timm's smallest MobileNetV3, for 64 px."""
        small = {
            "frame_size": 64,
            "backbone": "mobilenetv3_small_050",
            "strides": [8, 16],
            "channels": 32,
            "maps": 32,
            "queries": QueryOptions(components=32),
        }
        return cls(**{**small, **more})

    def training_batch(self, batch: FaceBatch) -> FaceBatch:
        """See `MethodSteps.training_batch`: some of the annotated points where there are many."""
        batch = super().training_batch(batch)
        count = batch.points.shape[1]
        if self.train_queries is None or count <= self.train_queries:
            return batch
        order = torch.rand(len(batch), count, device=batch.points.device) + batch.mask
        return batch.select_points(order.topk(self.train_queries, dim=1).indices)

    def predict(self, inputs: FaceInputs) -> Prediction:
        """See `LandmarkModule.predict`: queries without a place get no number."""
        queries, size = inputs.queries, inputs.size
        assert queries is not None
        placed = queries.isfinite().all(-1)
        answer: QueryAnswer = self.network(inputs.image, queries.nan_to_num())
        stages = from_centered(answer.places, size)
        prediction = Prediction(
            points=stages[-1],
            stages=stages,
            log_sigma=answer.log_sigma + math.log(size),
            features=answer.features,
            aux=(answer, queries, placed),
        )
        if answer.solid is not None and answer.camera is not None:
            prediction = add_head(prediction, answer.solid, answer.camera, size)
        return prediction

    def take_points(self, prediction: Prediction, count: int) -> Prediction:
        """See `MethodSteps.take_points`."""
        cut = super().take_points(prediction, count)
        if cut.aux is None:
            return cut
        answer, queries, placed = cut.aux
        return replace(cut, aux=(answer.take(count), queries[:, :count], placed[:, :count]))

    def losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        """See `InfiniteLossOptions`."""
        answer, queries, placed = prediction.aux
        losses = landmark_losses(prediction, batch)
        if answer.logits is not None:
            points = points_in_crop(batch.points.nan_to_num(), prediction.crop)
            places = (to_centered(points, self.crop_size) + 0.5) * answer.logits.shape[-1] - 0.5
            losses["evidence"] = heatmap_nll(answer.logits, places, batch.mask)
        if answer.log_focal is not None:
            losses |= shape_losses(answer.offsets, queries, answer.log_focal, placed)
        return losses

    def loss_weights(self) -> dict[str, float]:
        """See `InfiniteLossOptions`."""
        weights = asdict(self.loss)
        if not self.solid:
            for name in ("offset", "mean", "rigid", "focal"):
                del weights[name]
        if self.network.evidence is None:
            del weights["start"], weights["evidence"]
        return weights
