"""How a method is optimized: phases of training, parameter groups, learning rates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn
from torch.optim import SGD, Adam, Optimizer

from lit_landmarks.errors import UserError
from lit_landmarks.methods.phases import Phase, Phases, check_prefixes, freeze_others
from lit_landmarks.methods.schedules import OneCycle, Schedule, step_scheduler

#: Epochs that set phases and learning rates of a training that early stopping alone ends.
OPEN_EPOCHS = 100


class PhasedOptimization(LightningModule):
    """One optimizer over parameter groups, and phases of training with frozen parts.

    Phases and schedule are parts of a whole. Where no number of epochs or steps says how long the
    training is (`max_epochs: -1`), the whole is the time limit (`max_time`); where only early
    stopping ends it, 100 epochs, after which the last phase and learning rate go on.

    Args:
        optimizer: makes the optimizer from parameter groups (no decay on norms and biases).
        schedule: learning rate over training; its peak is the optimizer's `lr`.
        phases: parts of training; None: the method's own.
        rates: prefix of parameter names -> factor on the learning rate, such as
            {"normalizer": 0.1}; the first prefix that fits counts.
    """

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
        self._time_at_epoch, self._time_at_step = 0.0, 0.0

    def own_phases(self) -> list[Phase]:
        """The method's phases, unless the configuration gives others: one, in which all learns."""
        return [Phase("all", until=1.0)]

    @cached_property
    def phases(self) -> Phases:
        """The configured phases, or the method's own."""
        return self._given_phases or Phases(self.own_phases())

    @property
    def phase(self) -> Phase:
        """The phase of this epoch; the first one outside of a trainer."""
        if self._trainer is None:
            return self.phases.phases[0]
        return self.phases.at(self.epoch_of_total, self.total_epochs)

    @property
    def total_epochs(self) -> float:
        """Epochs that this fit will have run at its end, 1 or more; phases divide it.

        Of two limits the one that ends training first counts. Steps may end it within an epoch.
        """
        trainer = self.trainer
        limits: list[float] = []
        if trainer.max_epochs is not None and trainer.max_epochs >= 0:
            limits.append(trainer.max_epochs)
        if trainer.max_steps >= 0:
            fitting = trainer.state.fn == TrainerFn.FITTING
            if fitting and not math.isfinite(trainer.num_training_batches):
                trainer.fit_loop.setup_data()  # optimizers are made before data is loaded
            limits.append(trainer.max_steps / max(steps_per_epoch(trainer), 1))
        return max(min(limits, default=OPEN_EPOCHS), 1)

    @property
    def epoch_of_total(self) -> int:
        """The epoch in `total_epochs`; under a time limit alone, the part of it that has passed."""
        if self._time_limit is None:
            return self.current_epoch
        return int(self._time_at_epoch * self.total_epochs)

    @property
    def _time_limit(self) -> Timer | None:
        """The timer of a fit that a time limit ends, and no number of epochs or steps."""
        trainer = self.trainer
        if trainer.max_epochs != -1 or trainer.max_steps >= 0:
            return None
        timers = [c for c in trainer.callbacks if isinstance(c, Timer)]  # type: ignore[attr-defined]
        return next((timer for timer in timers if timer.time_remaining() is not None), None)

    def _measure_time(self) -> float:
        """Part of the time limit that has passed, 0 to 1, the same in every process."""
        if self._time_limit is None:
            return 0.0
        elapsed, left = self._time_limit.time_elapsed(), self._time_limit.time_remaining()
        assert left is not None
        done = min(elapsed / max(elapsed + left, 1e-9), 1.0)
        return float(self.trainer.strategy.broadcast(done))

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Look at the clock, if the learning rate goes by it."""
        self._time_at_step = self._measure_time()

    def on_train_epoch_start(self) -> None:
        """Freeze what this phase does not train."""
        self._time_at_epoch = self._measure_time()
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

    def _count_steps(self) -> int:
        """Optimizer steps of the whole fit."""
        trainer = self.trainer
        steps = trainer.estimated_stepping_batches
        if math.isfinite(steps):
            return int(steps)
        trainer.fit_loop.setup_data()
        return int(steps_per_epoch(trainer) * self.total_epochs)

    def on_fit_end(self) -> None:
        """Undo what phases froze, so that another fit of this method begins as the first did."""
        if any(tuple(phase.learns) != ("",) for phase in self.phases.phases):
            self._frozen = freeze_others(self, Phase("all", until=1.0), self._frozen)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimizer: decay only on matrices and kernels, own rates by prefix.

        All parameters have a group, also those that the phases so far have frozen: without a
        gradient the optimizer leaves them as they are.

        Raises:
            UserError: a prefix of `rates` that no parameter has.
        """
        prefixes = [*self.rates, ""]
        rows: dict[str, list[nn.Parameter]] = {prefix: [] for prefix in prefixes}
        for name, parameter in self.named_parameters():
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

    def build_optimizer(self) -> Optimizer:
        """One optimizer over the groups.

        Raises:
            UserError: a prefix that no parameter has, or arguments that the optimizer refuses.
        """
        groups = cast(Iterable[Any], self.parameter_groups())
        try:
            optimizer = self.make_optimizer(groups)
        except (TypeError, ValueError) as error:
            raise UserError(f"model.init_args.optimizer: {error}; correct its init_args") from error
        chosen = any(optimizer.defaults.get(k) for k in ("fused", "foreach", "differentiable"))
        if isinstance(optimizer, Adam | SGD) and not chosen:
            for group in optimizer.param_groups:
                # One pass over the memory of a parameter instead of ten.
                group["fused"] = True
        return optimizer

    def configure_optimizers(self) -> Any:
        """One optimizer over the groups, its rate set at every step by phase and schedule."""
        optimizer = self.build_optimizer()
        if self.trainer.gradient_clip_val:
            # A fused optimizer would undo the scaling of 16-bit gradients itself, after they were
            # clipped; without its mark, mixed precision does so before.
            optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
        factor = self.phases.factor(self.schedule, self.total_epochs)
        if self._time_limit is not None:
            scheduler = step_scheduler(optimizer, lambda _: factor(self._time_at_step), 1)
        else:
            scheduler = step_scheduler(optimizer, factor, self._count_steps())
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step", "name": "lr"},
        }


def steps_per_epoch(trainer: Trainer) -> float:
    """Optimizer steps in an epoch; infinite before data is loaded."""
    batches = trainer.num_training_batches
    if not math.isfinite(batches):
        return batches
    return math.ceil(batches / trainer.accumulate_grad_batches)
