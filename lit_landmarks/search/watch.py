"""What watches a trial while it trains: its worker's right to it, pruning, figures, W&B."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from optuna.exceptions import UpdateFinishedTrialError

from lit_landmarks.search.space import Constraint, Sweep
from lit_landmarks.search.workers import LostTrialError
from lit_landmarks.training.evaluation import measured_mma
from lit_landmarks.training.observer import Observer

#: Verdicts after a validation, from rank 0 to all.
_GO_ON, _PRUNE, _LOST = range(3)
#: What W&B is told of a fit that ended early.
_ENDS: tuple[tuple[type[BaseException], str], ...] = (
    (optuna.TrialPruned, "pruned"),
    (LostTrialError, "lost"),
    (KeyboardInterrupt, "interrupted"),
    (SystemExit, "interrupted"),
)


class TrialWatch(Observer):
    """Reports after each validation, and stops a trial that promises nothing.

    With several devices only rank 0 speaks to the study; all ranks stop together.

    Args:
        trial: the trial; None on ranks that only follow.
        sweep: the sweep.
        prunes: whether this fit may be pruned; of several seeds only the first.
        check: raises when the trial is no longer this worker's.
        told: for W&B, beside parameters and number.

    Attributes:
        best: best value of the objective so far.
        epochs: epochs that have ended.
        figures: of the last validation.
    """

    def __init__(
        self,
        trial: optuna.Trial | None,
        sweep: Sweep,
        prunes: bool = True,
        check: Callable[[], None] = lambda: None,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        self.trial, self.sweep, self.prunes, self.check = trial, sweep, prunes, check
        self.best = sweep.worst
        self.epochs = 0
        self.figures: dict[str, float] = {}
        self.told = dict(told or {})

    @property
    def measured(self) -> float | None:
        """Mean MMA over faces at the last validation; None unless adaptive."""
        return measured_mma(self.figures)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Nobody trains a trial that is another worker's."""
        if self.trial is not None:
            self.check()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Counts the epoch."""
        self.epochs = trainer.current_epoch + 1

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the figures, reports the best value so far.

        Raises:
            TrialPruned: the pruner says so.
            LostTrialError: the trial was given to another worker.
        """
        # The final evaluation validates once more; the trial has ended by then.
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        figures = {key: float(value) for key, value in trainer.callback_metrics.items()}
        self.figures = figures
        value = figures.get(self.sweep.objective, math.nan)
        if math.isnan(value):
            return
        pick = max if self.sweep.direction == "maximize" else min
        self.best = pick(self.best, value)
        if not self.prunes:
            return
        verdict = self._verdict(trainer.current_epoch) if self.trial is not None else _GO_ON
        if getattr(trainer, "world_size", 1) > 1:
            verdict = int(trainer.strategy.broadcast(verdict, src=0))
        if verdict == _LOST:
            raise LostTrialError("the trial was given to another worker")
        if verdict == _PRUNE:
            raise optuna.TrialPruned(f"pruned after epoch {trainer.current_epoch + 1}")

    def _verdict(self, epoch: int) -> int:
        assert self.trial is not None
        try:
            self.check()
            self.trial.report(self.best, epoch)
            return _PRUNE if self.trial.should_prune() else _GO_ON
        except (LostTrialError, UpdateFinishedTrialError):
            return _LOST

    def state_dict(self) -> dict[str, Any]:
        """A resumed trial goes on from its best value."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the best value of the epochs before."""
        self.best = float(state_dict["best"])

    # ---- W&B -------------------------------------------------------------------------------

    def tracked(self) -> dict[str, Any]:
        """For the config of the W&B run."""
        return {"study": {"name": self.sweep.name, "objective": self.sweep.objective,
                          "constraints": [str(c) for c in self.sweep.constraints],
                          **self.told}}  # fmt: skip

    def closing(
        self, metrics: Mapping[str, float], error: BaseException | None
    ) -> tuple[dict[str, Any], bool]:
        """For the summary of the W&B run; a pruned trial has ended as it should."""
        if error is None:
            known = with_measured(metrics)
            values = violations(self.sweep.constraints, known)
            feasible = all(v is not None and v <= 0 for v in values.values())
            state = "complete" if feasible else "infeasible"
        else:
            values, feasible = {}, False
            state = next((word for kind, word in _ENDS if isinstance(error, kind)), "failed")
        told = {"state": state, "feasible": feasible, "constraints": values,
                "best": self.best if math.isfinite(self.best) else None}  # fmt: skip
        return {"study": told}, state not in ("failed", "interrupted")


def violations(
    constraints: Sequence[Constraint], metrics: Mapping[str, float]
) -> dict[str, float | None]:
    """How far each limit is broken; 0 or less within it, None where the metric is unknown."""
    return {
        str(c): c.violation(float(metrics[c.metric])) if c.metric in metrics else None
        for c in constraints
    }


def with_measured(metrics: Mapping[str, float]) -> dict[str, float]:
    """Figures of a run in which `compute/mma` of an adaptive method is the mean over faces."""
    known = {k: v for k, v in metrics.items() if v is not None}
    if "compute/mma_max" in known and (mean := measured_mma(known)) is not None:
        known["compute/mma"] = mean
    return known
