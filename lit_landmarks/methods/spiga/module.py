"""SPIGA for training: backbone, pose and cascade as three phases of one fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.geometry.camera import against_ray, from_ray
from lit_landmarks.geometry.crops import points_in_crop
from lit_landmarks.geometry.rotations import euler_to_matrix, matrix_to_euler
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.methods.landmark_axes import LandmarkAxis
from lit_landmarks.methods.phases import Phase
from lit_landmarks.methods.schedules import Steps
from lit_landmarks.methods.spiga.cascade import CascadeOptions
from lit_landmarks.methods.spiga.fields import BackboneLandmarks, edge_lines
from lit_landmarks.methods.spiga.light import LightBackbone
from lit_landmarks.methods.spiga.loss import (
    SPIGALossOptions,
    coordinate_loss,
    map_loss,
    pose_loss,
    sum_over_stacks,
)
from lit_landmarks.methods.spiga.network import SPIGANet, SPIGAOutput, Start
from lit_landmarks.methods.spiga.stacked_hourglass import StackedHourglass
from lit_landmarks.methods.spiga.targets import draw_edges, pose_targets
from lit_landmarks.nets.backbone import ColorOrder, InputScale
from lit_landmarks.nets.error_head import percent_factor
from lit_landmarks.nets.heatmaps import Heatmaps
from lit_landmarks.nets.precision import full_precision, is_half
from lit_landmarks.schemes import get_scheme
from lit_landmarks.template import has_mean_face, mean_face
from lit_landmarks.types import FaceBatch, FaceInputs, Needs, Prediction

HOURGLASS = "hourglass"
Training = Literal["phases", "joint"]

DEFAULT_CASCADE = CascadeOptions()
DEFAULT_LOSS = SPIGALossOptions()
#: Losses of the backbone's own landmarks.
_LANDMARK_LOSSES = ("points", "heatmaps", "edges")
#: Name of each phase, prefix of what it trains, its losses.
_PHASES = (
    ("landmarks", "network.backbone", (*_LANDMARK_LOSSES, "normalizer", "correction")),
    ("pose", "network.backbone", (*_LANDMARK_LOSSES, "pose", "normalizer", "correction")),
    ("cascade", "network.cascade", ("cascade", "error", "correction", "head3d", "shape")),
)
#: Parts of any method that learn in a phase, where there are such. A normalizer does not once the
#: backbone is frozen, which knows the crops as they were.
_PARTS = {
    "landmarks": ("normalizer", "correction"),
    "pose": ("normalizer", "correction"),
    "cascade": ("correction", "head3d", "error_head"),
}
#: Epochs of the three phases and of the drop of the learning rate in each (readers of the paper).
_EPOCHS = ((450, 380), (150, 100), (150, 100))


class SPIGA(LandmarkModule):
    """Cascade of graph-attention regressors that starts at the head pose.

    Args:
        backbone: "hourglass", the paper's, or timm's name of an architecture.
        stacks, hourglass_channels: size of the paper's backbone.
        strides: of the maps of a timm network that are brought together; the finest is that of the
            feature map.
        channels: of the feature map of a timm network.
        blocks: residual blocks on that map (`nets.fused_map.MapBlock`).
        cascade: sizes of the cascade.
        loss: weights and open points of the loss.
        start: where the cascade begins: at the mean face in the predicted "pose" (the paper), at
            the backbone's own answer ("heatmaps"), or at the "mean" face looking ahead.
        training: "phases" (the paper): the backbone's landmarks, then its pose with them, then the
            cascade on the frozen backbone; or all of it "joint".
        colors: order of the channels (authors' code: "bgr").
        input_scale: normalisation of the input of a timm network.
        **base: see `LandmarkModule`.

    The stages of a prediction are the start and the landmarks after each step.
    """

    network: SPIGANet
    pose_points: Tensor

    settings_of_weights: ClassVar[tuple[str, ...]] = ("colors",)

    def __init__(
        self,
        *,
        backbone: str = HOURGLASS,
        stacks: int = 4,
        hourglass_channels: int = 256,
        strides: list[int] | None = None,
        channels: int = 64,
        blocks: int = 0,
        cascade: CascadeOptions = DEFAULT_CASCADE,
        loss: SPIGALossOptions = DEFAULT_LOSS,
        start: Start = "pose",
        training: Training = "phases",
        colors: ColorOrder = "rgb",
        input_scale: InputScale = "unit",
        **base: Any,
    ) -> None:
        super().__init__(**base)
        self.joint = training == "joint"
        if self.scheme is None:
            raise UserError("SPIGA predicts fixed points; set data.init_args.scheme")
        scheme = get_scheme(self.scheme)
        template = mean_face(self.scheme) if has_mean_face(self.scheme) else None
        if template is None and start != "heatmaps":
            raise UserError(
                f"scheme '{self.scheme}' has no 3D mean face to start from; "
                "set model.start heatmaps"
            )
        self.loss, self.colors = loss, colors
        self.lines = edge_lines(scheme) if backbone == HOURGLASS else ()
        field: StackedHourglass | LightBackbone
        if backbone == HOURGLASS:
            field = StackedHourglass(
                scheme.n_points,
                self.lines,
                size=self.crop_size,
                stacks=stacks,
                channels=hourglass_channels,
            )
        else:
            field = LightBackbone(
                backbone,
                scheme.n_points,
                strides=strides or (4, 8, 16, 32),
                channels=channels,
                blocks=blocks,
                input_scale=input_scale,
            )
        self.heatmaps = Heatmaps(self.crop_size, field.stride, loss.sigma)
        cascade.check_map(self.heatmaps.side)
        self.network = SPIGANet(field, cascade, scheme.n_points, start, template)
        self.register_buffer("pose_points", scheme.pose_mask(), persistent=False)
        features = field.num_features + cascade.width
        self.attach(features=features, stages=len(cascade.windows) + 1)

    def own_phases(self) -> list[Phase]:
        """Three phases, or one: see `training`."""
        if self.joint:
            return super().own_phases()
        weights = self.all_weights()
        total = sum(epochs for epochs, _ in _EPOCHS)
        phases: list[Phase] = []
        until = 0
        for (name, part, losses), (epochs, drop) in zip(_PHASES, _EPOCHS, strict=True):
            until += epochs
            prefixes = [
                prefix
                for prefix in (part, *_PARTS[name])
                if any(key.startswith(prefix) for key, _ in self.named_parameters())
            ]
            weighed = {loss: weights[loss] for loss in losses if weights.get(loss)}
            if weighed and prefixes:
                end, judged = until / total, name == "cascade"
                phases.append(
                    Phase(name, end, prefixes, weighed, Steps([drop / epochs]), judged=judged)
                )
        if not phases:
            raise UserError("every loss of SPIGA weighs 0; give model.loss a weight")
        # The last one that there is ends the training, and chooses its checkpoint.
        phases[-1] = replace(phases[-1], until=1.0, judged=True)
        return phases

    def landmark_axes(self) -> Mapping[str, LandmarkAxis]:
        """Heat maps and offsets of each landmark; the cascade depends on the scheme as a whole."""
        if isinstance(self.network.backbone, LightBackbone):
            prefix, heads = "network.backbone", {"heatmaps": 1, "offsets": 2}
            return {
                f"{prefix}.{name}.{part}": LandmarkAxis(0, block, output=False)
                for name, block in heads.items()
                for part in ("weight", "bias")
            }
        return {
            f"network.backbone.heads.{stack}.{name}.{part}": LandmarkAxis(0, 1, output=False)
            for stack in range(len(self.network.backbone.heads))
            for name in ("points", "features")
            for part in ("weight", "bias")
        } | {
            f"network.backbone.from_heads.{stack}.weight": LandmarkAxis(1, 1, output=False)
            for stack in range(len(self.network.backbone.from_heads))
        }

    # ---- prediction ------------------------------------------------------------------------

    @property
    def needs(self) -> Needs:
        """Faces cut tight, or a wide frame for a normalizer."""
        return Needs(frame=self.tight_frame)

    @classmethod
    def tiny(cls, **more: Any) -> Self:
        """One narrow hourglass, two steps with one layer of attention each, 64 px."""
        cascade = CascadeOptions(
            windows=(0.5, 0.25),
            nodes=16,
            width=16,
            layers=1,
            heads=2,
            position_width=16,
            decoder=(16,),
        )
        small = {"frame_size": 64, "stacks": 1, "hourglass_channels": 16, "cascade": cascade}
        return cls(**{**small, **more})

    def predict(self, inputs: FaceInputs) -> Prediction:
        """Run backbone and cascade; see `LandmarkModule.predict`.

        `inputs.points` or `inputs.pose` replace the start. A pose is one of the crop: with a
        normalizer, which chooses the crop, it is left out (`SpatialNormalizer`).
        """
        early_exit = self.early_exit
        assert early_exit is not None
        thresholds, steps = early_exit.thresholds, early_exit.last_stage
        estimates = self.error_head is not None and self.computes("error")
        if self.training and not (self.computes("cascade") or estimates):
            steps = 0
        size = inputs.size
        output: SPIGAOutput = self.network(
            inputs.image.flip(1) if self.colors == "bgr" else inputs.image,
            start=None if inputs.points is None else (inputs.points + 0.5) / size,
            pose=None if inputs.pose is None else self._in_camera(inputs.pose),
            steps=steps,
            stop=None if thresholds is None else thresholds / percent_factor(),
            estimate=self.error_head,
        )
        refinement = output.refinement
        stages = refinement.points * size - 0.5
        prediction = Prediction(
            points=stages[-1],
            stages=stages,
            exit_stage=refinement.exits,
            attention=refinement.attention,
            features=refinement.features,
            aux=output.field,
        )
        if refinement.error is not None:
            prediction.error = refinement.error * percent_factor()
        if self.network.template is not None:
            prediction.pose = inputs.pose
            if inputs.pose is None:
                prediction.pose = self._against_sight(output.field.pose)
        return prediction

    @torch.no_grad()
    def estimate_pose(self, inputs: FaceInputs) -> Tensor:
        """Head poses without the cascade: (B, 6) as `Prediction.pose`.

        Raises:
            UserError: the scheme has no mean face, and the method no pose.
        """
        assert self.early_exit is not None
        with self.early_exit.force_exit(0):
            prediction: Prediction = self(inputs)
        if prediction.pose is None:
            raise UserError(f"scheme '{self.scheme}' has no 3D mean face, so there is no pose")
        return prediction.pose

    def _against_sight(self, pose: Tensor) -> Tensor:
        """(B, 6) with angles against the line of sight, from those in the axes of the camera."""
        with full_precision(pose.device):
            rotation = against_ray(euler_to_matrix(pose[:, :3]), pose[:, 3:])
            return torch.cat((matrix_to_euler(rotation), pose[:, 3:]), 1)

    def _in_camera(self, pose: Tensor) -> Tensor:
        """(B, 6) with angles in the axes of the camera; the inverse of `_against_sight`."""
        with full_precision(pose.device):
            pose = pose.float() if is_half(pose) else pose
            rotation = from_ray(euler_to_matrix(pose[:, :3]), pose[:, 3:])
            return torch.cat((matrix_to_euler(rotation), pose[:, 3:]), 1)

    # ---- learning --------------------------------------------------------------------------

    def losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        """`points`, `heatmaps`, `edges`, `pose` of the backbone; `cascade` of the steps."""
        assert prediction.stages is not None
        losses: dict[str, Tensor] = {}
        if any(self.computes(name) for name in (*_LANDMARK_LOSSES, "pose")):
            answers = self.network.backbone.answer(prediction.aux)
            losses |= self._backbone_losses(answers, prediction.crop, batch)
        if self.computes("cascade") and len(prediction.stages) > 1:
            steps = self._to_crop(prediction.stages[1:], prediction.crop)
            target = self._to_crop(batch.points, prediction.crop)
            losses["cascade"] = coordinate_loss(steps, target, batch.mask, self.loss).sum()
        return losses

    def _to_crop(self, points: Tensor, crop: Tensor | None) -> Tensor:
        """(..., N, 2) input pixels in sides of the crop, from its top-left corner."""
        return (points_in_crop(points, crop) + 0.5) / self.crop_size

    def _backbone_losses(
        self, answers: tuple[BackboneLandmarks, ...], crop: Tensor | None, batch: FaceBatch
    ) -> dict[str, Tensor]:
        """Losses of what the backbone answers by itself.

        Its landmarks take the way of a prediction, by which parts of the method learn. Maps and
        pose are compared in the crop, in the reference convention.
        """
        size, options = self.crop_size, self.loss
        shapes = torch.stack([answer.points for answer in answers]) * size - 0.5
        plain = moved = Prediction(points=shapes[-1], stages=shapes)
        if crop is not None:
            plain = moved = plain.transform(crop, (size, self.frame_size))
        if self.correction is not None:
            moved = self.correction(plain, batch.convention_id)
        assert moved.stages is not None
        losses: dict[str, Tensor] = {}
        if self.computes("points"):
            placed, target = (self._to_crop(p, crop) for p in (moved.stages, batch.points))
            each = coordinate_loss(placed, target, batch.mask, options)
            losses["points"] = sum_over_stacks(list(each))
        reference = batch.points - (moved.points - plain.points).detach()
        target = self._to_crop(reference, crop) * size - 0.5
        losses |= self._map_losses(answers, target, batch.mask)
        if self.computes("pose") and self.network.template is not None:
            pose, ok = pose_targets(
                target, batch.mask, self.network.template, self.pose_points, size
            )
            losses["pose"] = sum_over_stacks(
                [pose_loss(answer.pose, pose, ok, options.pose_units) for answer in answers]
            )
        return losses

    def _map_losses(
        self, answers: tuple[BackboneLandmarks, ...], target: Tensor, mask: Tensor
    ) -> dict[str, Tensor]:
        """Losses of the maps that the backbone answers; a landmark outside the crop has none."""
        inside = mask & ((target > -0.5) & (target < self.crop_size - 0.5)).all(-1)
        losses: dict[str, Tensor] = {}
        if self.computes("heatmaps"):
            maps = self.heatmaps.encode(target, inside)
            losses["heatmaps"] = sum_over_stacks(
                [map_loss(answer.heatmaps, maps, inside) for answer in answers]
            )
        edges = [answer.edges for answer in answers if answer.edges is not None]
        if self.computes("edges") and edges:
            places = self.heatmaps.to_map(target)
            lines, complete = draw_edges(
                places, mask, self.lines, self.heatmaps.side, self.loss.edge_sigma
            )
            losses["edges"] = sum_over_stacks([map_loss(each, lines, complete) for each in edges])
        return losses

    def loss_weights(self) -> dict[str, float]:
        """See `SPIGALossOptions`; timm networks have no edges, not all schemes a pose."""
        weights = self.loss.weights()
        if not self.lines:
            weights.pop("edges", None)
        if self.network.template is None:
            weights.pop("pose", None)
        if not len(self.network.cascade.steps):
            weights.pop("cascade", None)
        return weights
