"""How a method is trained and measured: steps, phases and the optimizer, written once for all."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar, Protocol, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from lit_landmarks import metrics
from lit_landmarks.errors import UserError
from lit_landmarks.methods.phases import Phase, Phases, check_prefixes, freeze_others
from lit_landmarks.methods.schedules import OneCycle, Schedule, step_scheduler
from lit_landmarks.types import DataSpec, FaceBatch, FaceInputs, Prediction, Role, ShapeStatistics


class DataSource(Protocol):
    """The part of a data module that a method sees."""

    @property
    def spec(self) -> DataSpec:
        """What the data brings."""

    def shape_statistics(self) -> ShapeStatistics:
        """PCA of augmented training labels."""


class MethodSteps(LightningModule):
    """Training, validation, test and prediction steps over `forward` and named losses.

    Args:
        optimizer: makes the optimizer from parameter groups (no decay on norms and biases).
        schedule: learning rate over training; its peak is the optimizer's `lr`.
        phases: parts of training; None: the method's own.
        rates: prefix of parameter names -> factor on the learning rate, such as
            {"normalizer": 0.1}; the first prefix that fits counts.

    Attributes:
        bound: the data's spec once `bind` was called.
    """

    bound: DataSpec | None
    channels_last: ClassVar[bool]

    def __init__(
        self,
        *,
        optimizer: OptimizerCallable,
        schedule: Schedule | None,
        phases: list[Phase] | None,
        rates: Mapping[str, float] | None,
    ) -> None:
        super().__init__()
        self.make_optimizer = optimizer
        self.schedule = schedule or OneCycle()
        self.rates = dict(rates or {})
        if any(not 0.0 <= rate < float("inf") for rate in self.rates.values()):
            raise UserError(f"model.rates is {self.rates}; give factors of 0 or more")
        self._given_phases = None if phases is None else Phases(phases)
        self._frozen: frozenset[str] = frozenset()
        self.metrics = nn.ModuleDict()

    @abstractmethod
    def losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        """Named scalar losses, unweighted; masked points and absent labels left out."""

    def loss_weights(self) -> Mapping[str, float]:
        """Weights of the named losses where the phase does not give them; 1 where not named."""
        return {}

    def all_losses(self, prediction: Prediction, batch: FaceBatch) -> dict[str, Tensor]:
        """The method's losses and those of its parts."""
        return self.losses(prediction, batch)

    def all_weights(self) -> Mapping[str, float]:
        """Weights of `all_losses` where the phase does not give them."""
        return self.loss_weights()

    @abstractmethod
    def bind(self, spec: DataSpec) -> None:
        """Check the data's spec against the method and keep it."""

    def own_phases(self) -> list[Phase]:
        """The method's phases, unless the configuration gives others: one, in which all learns."""
        return [Phase("all", until=1.0)]

    # ---- steps -----------------------------------------------------------------------------

    def training_step(self, batch: FaceBatch, batch_idx: int) -> Tensor:
        """One optimizer step's loss."""
        return self._step(batch, "train")[0]

    def validation_step(
        self, batch: FaceBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Any]:
        """Losses and metrics of a validation batch; the prediction for callbacks that draw."""
        return {"prediction": self._step(batch, "val")[1]}

    def test_step(
        self, batch: FaceBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Any]:
        """Losses and metrics of a test batch; the prediction for callbacks that draw."""
        return {"prediction": self._step(batch, "test")[1]}

    def predict_step(self, batch: FaceBatch, batch_idx: int, dataloader_idx: int = 0) -> Prediction:
        """Prediction of a batch, without graph."""
        return self._predict(batch.inputs).detach()

    def _predict(self, inputs: FaceInputs) -> Prediction:
        return cast(Prediction, self(inputs))

    def _step(self, batch: FaceBatch, stage: Role) -> tuple[Tensor, Prediction]:
        prediction = self._predict(batch.inputs)
        if stage != "train":
            self.face_metrics(stage).update(prediction.detach(), batch)
        if self.trainer.state.fn != TrainerFn.FITTING:
            # Outside of a fit a loss has no epoch to take its weights from, and no use.
            return prediction.points.new_zeros(()), prediction.detach()
        losses = self.phase_losses(prediction, batch)
        total = self.total_loss(losses)
        values = {f"{stage}/loss": total} | {f"{stage}/loss_{k}": v for k, v in losses.items()}
        self.log_dict(
            {key: value.detach() for key, value in values.items()},
            on_step=False,
            on_epoch=True,
            batch_size=len(batch),
            add_dataloader_idx=False,
            sync_dist=True,
        )
        return total, prediction.detach()

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
        if unknown := set(weights) - set(losses):
            raise KeyError(f"weights for losses that do not exist: {sorted(unknown)}")
        return torch.stack([weights.get(k, 1.0) * v for k, v in losses.items()]).sum()

    def computes(self, loss: str) -> bool:
        """Does this phase use the loss of that name? A method may skip what it takes."""
        return not self.phase.losses or loss in self.phase.losses

    # ---- phases ----------------------------------------------------------------------------

    @cached_property
    def phases(self) -> Phases:
        """The configured phases, or the method's own."""
        return self._given_phases or Phases(self.own_phases())

    @property
    def phase(self) -> Phase:
        """The phase of this epoch; the first one outside of a trainer."""
        if self._trainer is None:
            return self.phases.phases[0]
        return self.phases.at(self.current_epoch, self.total_epochs)

    @property
    def total_epochs(self) -> int:
        """Epochs that this fit will have run at its end; phases divide it."""
        trainer = self.trainer
        if trainer.max_epochs is not None and trainer.max_epochs > 0:
            return trainer.max_epochs
        return max(round(trainer.max_steps / max(trainer.num_training_batches, 1)), 1)

    def on_train_epoch_start(self) -> None:
        """Freeze what this phase does not train."""
        if any(tuple(phase.learns) != ("",) for phase in self.phases.phases):
            check_prefixes(self.phases, [name for name, _ in self.named_parameters()])
            # Reducers of several processes expect a gradient for all that once asked for one.
            several = self.trainer.world_size > 1
            self._frozen = freeze_others(self, self.phase, self._frozen, requires_grad=several)

    def on_after_backward(self) -> None:
        """With several processes a frozen parameter keeps its place and loses its gradient."""
        learns = tuple(self.phase.learns)
        if learns != ("",) and self.trainer.world_size > 1:
            for name, parameter in self.named_parameters():
                if not name.startswith(learns):
                    parameter.grad = None

    # ---- optimizer -------------------------------------------------------------------------

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimizer: decay only on matrices and kernels, own rates by prefix.

        Raises:
            UserError: a prefix of `rates` that no parameter has.
        """
        prefixes = [*self.rates, ""]
        rows: dict[str, list[nn.Parameter]] = {prefix: [] for prefix in prefixes}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                rows[next(p for p in prefixes if name.startswith(p))].append(parameter)
        groups: list[dict[str, Any]] = []
        for prefix, parameters in rows.items():
            if prefix in self.rates and not parameters:
                raise UserError(f"model.rates names '{prefix}', which begins no parameter's name")
            decay = [p for p in parameters if p.ndim > 1]
            plain = [p for p in parameters if p.ndim <= 1]
            pair: list[dict[str, Any]] = [{"params": decay}, {"params": plain, "weight_decay": 0.0}]
            if self.rates:
                for group, kind in zip(pair, ("", "_plain"), strict=True):
                    group["name"] = (prefix or "rest") + kind
                    group["rate"] = self.rates.get(prefix, 1.0)
            groups += [group for group in pair if group["params"]]
        return groups

    def configure_optimizers(self) -> Any:
        """One optimizer over the groups, its rate set at every step by phase and schedule."""
        groups = cast(Iterable[Any], self.parameter_groups())
        optimizer: Optimizer = self.make_optimizer(groups)
        steps = int(self.trainer.estimated_stepping_batches)
        factor = self.phases.factor(self.schedule, self.total_epochs)
        scheduler = step_scheduler(optimizer, factor, steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step", "name": "lr"},
        }

    # ---- data and metrics ------------------------------------------------------------------

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

    def face_metrics(self, role: Role) -> metrics.FaceMetrics:
        """The metric suite of `role`; it exists once a stage that evaluates it has begun."""
        return cast(metrics.FaceMetrics, self.metrics[role])

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
