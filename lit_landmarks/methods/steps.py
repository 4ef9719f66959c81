"""Training, validation and test steps that all methods share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Protocol, cast

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from lit_landmarks import metrics
from lit_landmarks.errors import UserError
from lit_landmarks.methods.anchors import answer_beside_anchors, take_points, without_places
from lit_landmarks.methods.identity import (
    IDENTITY,
    check_identity,
    description,
    rename_state,
    widen_state,
)
from lit_landmarks.methods.mirroring import average_flipped, flip_permutation
from lit_landmarks.methods.optimization import PhasedOptimization
from lit_landmarks.nets.component import Built
from lit_landmarks.nets.correction import SemanticCorrection
from lit_landmarks.nets.distillation import TeacherOptions, blend_labels
from lit_landmarks.nets.label_shift import LabelShift
from lit_landmarks.nets.normalizer import SpatialNormalizer
from lit_landmarks.nets.precision import full_precision
from lit_landmarks.schemes import get_scheme
from lit_landmarks.types import (
    DataSpec,
    FaceBatch,
    FaceInputs,
    Needs,
    Prediction,
    Role,
    ShapeStatistics,
)


class DataSource(Protocol):
    """The part of a data module that a method uses."""

    @property
    def spec(self) -> DataSpec:
        """Description of the data."""

    def shape_statistics(self) -> ShapeStatistics:
        """PCA of augmented training labels."""


class MethodSteps(Built, PhasedOptimization):
    """Training, validation, test and prediction steps over `forward` and named losses.

    Args:
        **optimization: see `PhasedOptimization`.

    Attributes:
        bound: the data's spec once `bind` was called.
        flip_average: outside of training, answer with the mean of a face and its mirror image.
    """

    scheme: str | None
    frame_size: int
    normalizer: SpatialNormalizer | None
    correction: SemanticCorrection | None
    label_shift: LabelShift | None
    teacher: TeacherOptions | None
    channels_last: ClassVar[bool]
    #: Whether `predict` answers `FaceInputs.queries`, template points, whichever they are.
    answers_queries: ClassVar[bool] = False

    def __init__(self, **optimization: Any) -> None:
        super().__init__(**optimization)
        self.bound: DataSpec | None = None
        self.flip_average = False
        self.metrics = nn.ModuleDict()

    @property
    @abstractmethod
    def needs(self) -> Needs:
        """What the data must bring."""

    @abstractmethod
    def total_mma(self) -> float | None:
        """Multiply-adds of a face that leaves no stage out, in millions; None if not known."""

    @abstractmethod
    def losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        """Named scalar losses, unweighted; masked points and absent labels left out."""

    def loss_weights(self) -> Mapping[str, float]:
        """Weights of the named losses where the phase does not give them; 1 where not named."""
        return {}

    @property
    def answer_conventions(self) -> tuple[str, ...]:
        """Annotation conventions in which points can be asked for; empty without a choice."""
        corrected = () if self.correction is None else self.correction.conventions
        shifted = () if self.label_shift is None else self.label_shift.options.conventions
        return tuple(dict.fromkeys((*corrected, *shifted)))

    def answered_convention(self, asked: str | None) -> str | None:
        """The convention of points that are asked for in one; None if that is not known."""
        if asked in self.answer_conventions:
            return asked
        return None if self.correction is None else self.correction.conventions[0]

    def add_visibility(
        self, prediction: Prediction, inputs: FaceInputs, anchors: int = 0
    ) -> Prediction:
        """The prediction with what is measured and shown, but not learned."""
        return prediction

    def all_losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        """The method's losses and those of its parts."""
        return self.losses(prediction, batch)

    def all_weights(self) -> Mapping[str, float]:
        """Weights of `all_losses` where the phase does not give them."""
        return self.loss_weights()

    # ---- steps -----------------------------------------------------------------------------

    def training_step(self, batch: FaceBatch, batch_idx: int) -> Tensor:
        """One optimizer step's loss."""
        return self._step(batch, "train")[0]

    def validation_step(
        self, batch: FaceBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Any]:
        """Losses and metrics of a validation batch; what was measured for callbacks that draw."""
        return self._evaluate(batch, "val")

    def test_step(
        self, batch: FaceBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Any]:
        """Losses and metrics of a test batch; what was measured for callbacks that draw."""
        return self._evaluate(batch, "test")

    def _evaluate(self, batch: FaceBatch, role: Role) -> dict[str, Any]:
        measured = self.leave_out_unplaced(batch)
        return {"prediction": self._step(measured, role)[1], "measured": measured}

    def predict_step(self, batch: FaceBatch, batch_idx: int, dataloader_idx: int = 0) -> Prediction:
        """Prediction of a batch, without graph; points without a place on the template are NaN."""
        answer = self.answer_with_visibility(batch.inputs)[1]
        return without_places(answer, batch.queries) if self.asks_each_set else answer

    def average_flips(self) -> None:
        """Let evaluations average each face with its mirror image, at twice the cost.

        Raises:
            UserError: the scheme has no left-right pairs.
        """
        flip_permutation(self.scheme)
        self.flip_average = True

    def answer(self, inputs: FaceInputs) -> Prediction:
        """The prediction, outside of training averaged with mirror images if that is asked for."""
        if self.flip_average and not self.training:
            return average_flipped(self, inputs, self.scheme)
        return cast(Prediction, self(inputs))

    @property
    def asks_each_set(self) -> bool:
        """Whether each face is asked for the points of its own data set, by template points."""
        return self.scheme is None

    def take_points(self, prediction: Prediction, count: int) -> Prediction:
        """The prediction of the first points alone; a method cuts its `aux` too."""
        return take_points(prediction, count)

    def answer_with_visibility(self, inputs: FaceInputs) -> tuple[Prediction, Prediction]:
        """The prediction, and the same without graph and with the visibility of its points.

        A method of queries is asked for anchors too where the points are not those of its scheme.
        """
        count = 0 if inputs.queries is None else inputs.queries.shape[1]
        asked = self.scheme is None or self.answers_queries
        if not asked or not count or (self.scheme and count == get_scheme(self.scheme).n_points):
            prediction = self.answer(inputs)
            return prediction, self.add_visibility(prediction.detach(), inputs)
        prediction, answer = answer_beside_anchors(self.answer, self.add_visibility, inputs)
        return self.take_points(prediction, count), take_points(answer, count)

    def leave_out_unplaced(self, batch: FaceBatch) -> FaceBatch:
        """The batch without points that have no place on the template, of a method of places."""
        if not self.asks_each_set:
            return batch
        return replace(batch, mask=batch.mask & batch.queries.isfinite().all(-1))

    def training_batch(self, batch: FaceBatch) -> FaceBatch:
        """The batch that a training step learns from; evaluations take theirs as it is."""
        if self.teacher is not None:
            batch = blend_labels(batch, self.teacher.share)
        return batch if self.label_shift is None else self.label_shift.remove(batch)

    def _step(self, batch: FaceBatch, stage: Role) -> tuple[Tensor, Prediction]:
        if stage == "train":
            batch = self.training_batch(self.leave_out_unplaced(batch))
            prediction = self.answer(batch.inputs)
            answer = prediction.detach()
            if self.label_shift is not None:
                self.label_shift.learn(answer, batch)
        else:
            prediction, answer = self.answer_with_visibility(batch.inputs)
            self.face_metrics(stage).update(answer, batch)
        if self.trainer.state.fn != TrainerFn.FITTING:
            # Outside of a fit a loss has no epoch to take its weights from, and no use.
            return prediction.points.new_zeros(()), answer
        with full_precision(batch.points.device):
            losses = self.phase_losses(prediction, batch)
            total = self.total_loss(losses)
        values = {f"{stage}/loss": total} | {f"{stage}/loss_{k}": v for k, v in losses.items()}
        repeat = stage != "train" and self.trainer.world_size > 1 and int(batch.index[0]) < 0
        self.log_dict(
            {k: torch.zeros_like(v) if repeat else v.detach() for k, v in values.items()},
            on_step=False,
            on_epoch=True,
            batch_size=0 if repeat else len(batch),
            add_dataloader_idx=False,
            sync_dist=True,
        )
        return total, answer

    def phase_losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        """The losses that this phase asks for.

        Raises:
            UserError: the phase weighs a loss that the method does not compute.
        """
        losses = self.all_losses(prediction, batch)
        named = self.phase.losses
        if unknown := sorted(set(named) - set(losses)):
            raise UserError(
                f"phase '{self.phase.name}' weighs the loss {', '.join(unknown)}, which "
                f"{type(self).__name__} does not compute; it has {', '.join(losses)}"
            )
        return {name: loss for name, loss in losses.items() if not named or name in named}

    def total_loss(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of named losses."""
        weights = self.phase.losses or self.all_weights()
        if unknown := {name for name, weight in weights.items() if weight} - set(losses):
            raise KeyError(f"weights for losses that do not exist: {sorted(unknown)}")
        return torch.stack([weights.get(k, 1.0) * v for k, v in losses.items()]).sum()

    def computes(self, loss: str) -> bool:
        """Whether the named loss has a weight now; a method may leave out one that has none."""
        if self.phase.losses:
            return loss in self.phase.losses
        return self.all_weights().get(loss, 1.0) != 0.0

    # ---- data ------------------------------------------------------------------------------

    def bind(self, spec: DataSpec) -> None:
        """Check the data's scheme and frame against the method's and keep the spec."""
        name = type(self).__name__
        if self.needs.one_scheme and spec.scheme != self.scheme:
            raise UserError(
                f"{name} predicts scheme '{self.scheme}' but the data brings '{spec.scheme}'; "
                "set model.init_args.scheme and data.init_args.scheme to the same name"
            )
        if spec.frame_size != self.frame_size:
            raise UserError(
                f"{name} has frame_size {self.frame_size} but the data {spec.frame_size}; "
                "set model.init_args.frame_size and data.init_args.frame_size to the same value"
            )
        self.bound = spec

    def on_fit_start(self) -> None:
        """A new run takes shape statistics as `predict` sees them; a resumed one has them."""
        if self.needs.statistics and self.trainer.ckpt_path is None:
            statistics = self.data_source.shape_statistics()
            if self.normalizer is not None:
                statistics = statistics.fit_to_crop(self.normalizer.share)
            self.set_shape_statistics(statistics)

    @property
    def data_source(self) -> DataSource:
        """The trainer's data module."""
        return cast(DataSource, self.trainer.datamodule)  # type: ignore[attr-defined]

    def setup(self, stage: str) -> None:
        """Bind to the data and make the metrics of the roles that this stage evaluates."""
        if self.channels_last:
            self.to(memory_format=torch.channels_last)
        if getattr(self.trainer, "datamodule", None) is None:
            return
        spec = self.data_source.spec
        self.bind(spec)
        roles: dict[str, tuple[Role, ...]] = {
            "fit": ("val",),
            "validate": ("val",),
            "test": ("test",),
        }
        for role in roles.get(stage, ()):
            if spec.in_role(role):
                self.metrics[role] = metrics.FaceMetrics(spec, role)

    def set_shape_statistics(self, statistics: ShapeStatistics) -> None:
        """Take shapes as `predict` sees them into buffers; only called if `needs.statistics`."""
        raise NotImplementedError(f"{type(self).__name__} needs statistics but cannot take them")

    # ---- metrics ---------------------------------------------------------------------------

    def face_metrics(self, role: Role) -> metrics.FaceMetrics:
        """The metric suite of `role`; it exists once a stage that evaluates it has begun."""
        return cast(metrics.FaceMetrics, self.metrics[role])

    def on_validation_start(self) -> None:
        """Give every process the buffers of the first, whose checkpoint is written.

        Running statistics of batch norms differ between processes after a training step.
        """
        if self.trainer.world_size > 1 and self.trainer.state.fn == TrainerFn.FITTING:
            for buffer in self.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def on_validation_epoch_start(self) -> None:
        """Empty the metrics (the sanity check has filled them)."""
        self.face_metrics("val").reset()

    def on_validation_epoch_end(self) -> None:
        """Log the metrics over all validation sets."""
        self.log_dict(self.face_metrics("val").compute())

    def on_test_epoch_start(self) -> None:
        """Empty the metrics."""
        self.face_metrics("test").reset()

    def on_test_epoch_end(self) -> None:
        """Log the metrics over all test sets."""
        self.log_dict(self.face_metrics("test").compute())

    # ---- checkpoints -----------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let the checkpoint say what it belongs to and how to build it again."""
        checkpoint[IDENTITY] = {**checkpoint.get(IDENTITY, {}), **description(self)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another class, scheme or convention list."""
        if IDENTITY not in checkpoint:
            raise UserError("the checkpoint was not written by lit_landmarks; give one from a run")
        rename_state(checkpoint)
        widen_state(checkpoint)
        check_identity(checkpoint[IDENTITY], self, "the checkpoint")
