"""Callback of a trial's fit: reports to the study, prunes, takes figures, tells W&B."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from optuna.exceptions import UpdateFinishedTrialError

from lit_landmarks.reports.limits import compute_violations
from lit_landmarks.reports.setting_names import shorten_keys
from lit_landmarks.search.attributes import EPOCHS
from lit_landmarks.search.exit_figures import ExitFigures, has_target
from lit_landmarks.search.space import METHOD, Sweep
from lit_landmarks.search.workers import LostTrialError
from lit_landmarks.settings.arguments import to_text
from lit_landmarks.training.divergence import Diverged
from lit_landmarks.training.evaluation import average_mma
from lit_landmarks.training.observer import Observer

#: Verdicts after a validation, from rank 0 to all.
_GO_ON, _PRUNE, _LOST = range(3)
#: State in W&B of a fit that an exception ended.
_ENDS: tuple[tuple[type[BaseException], str], ...] = (
    (optuna.TrialPruned, "pruned"),
    (Diverged, "pruned"),
    (LostTrialError, "lost"),
    (KeyboardInterrupt, "interrupted"),
    (SystemExit, "interrupted"),
)


class TrialWatch(Observer):
    """Reports the objective to the study after each validation, and prunes the trial.

    With several devices only rank 0 talks to the study; all ranks stop together.

    Args:
        trial: the trial; None on ranks that only follow.
        sweep: the sweep.
        prunes: whether this fit may be pruned; of several seeds only the first.
        check: raises when the trial is no longer this worker's.
        details: number and seed of the trial, and the settings that were searched for it by their
            dotted keys (`searched`), for the config of the W&B run.
        costs: costs of the trial, which are known before it is trained; `compute/mma` of an
            adaptive method is the most that it will be.

    Attributes:
        best: the objective with which the fit would end now, that of the checkpoint that is the
            best so far; with early exit where the fit ends with thresholds for a target cost.
        epochs: epochs that have ended.
        figures: metrics of the last validation, with early exit as far as they depend on it.
    """

    def __init__(
        self,
        trial: optuna.Trial | None,
        sweep: Sweep,
        prunes: bool = True,
        check: Callable[[], None] = lambda: None,
        details: Mapping[str, Any] | None = None,
        costs: Mapping[str, float] | None = None,
    ) -> None:
        self.trial, self.sweep, self.prunes, self.check = trial, sweep, prunes, check
        self.best = sweep.worst[0]
        # By what best.ckpt is chosen: the objective as validation logs it, all stages run.
        self._logged = sweep.worst[0]
        self._exits: ExitFigures | None = None
        self.epochs = 0
        self.figures: dict[str, float] = {}
        self.details = dict(details or {})
        self.costs = dict(costs or {})

    @property
    def mean_mma(self) -> float | None:
        """Mean MMA over faces at the last validation; None unless adaptive."""
        return average_mma(self.figures)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Raises if the trial was given to another worker."""
        if self.trial is not None:
            self.check()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Counts the epoch."""
        self.epochs = trainer.current_epoch + 1

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to collect predictions if the fit ends with exit thresholds."""
        if self._counts(trainer) and has_target(pl_module):
            self._exits = self._exits or ExitFigures()
            self._exits.begin()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collects the predictions of a batch."""
        if self._exits is not None and self._counts(trainer):
            self._exits.add(outputs["prediction"], batch)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the metrics and reports the value of the best epoch so far.

        Raises:
            TrialPruned: by the decision of the pruner.
            LostTrialError: the trial was given to another worker.
        """
        if not self._counts(trainer):
            return
        logged = {key: float(value) for key, value in trainer.callback_metrics.items()}
        judged, self.figures = logged, logged
        if self._exits is not None:
            data: Any = trainer.datamodule  # type: ignore[attr-defined]
            judged = self._exits.compute(pl_module, data)  # type: ignore[arg-type]
            self.figures = {**logged, **judged}
        objective = self.sweep.objective
        value = judged.get(objective, math.nan)
        if math.isnan(value) or math.isnan(logged.get(objective, math.nan)):
            return
        pick = max if self.sweep.direction == "maximize" else min
        if pick(logged[objective], self._logged) != self._logged or math.isinf(self._logged):
            self._logged, self.best = logged[objective], value
        if not self.prunes:
            return
        verdict = self._decide(trainer.current_epoch) if self.trial is not None else _GO_ON
        if getattr(trainer, "world_size", 1) > 1:
            verdict = int(trainer.strategy.broadcast(verdict, src=0))
        if verdict == _LOST:
            raise LostTrialError("the trial was given to another worker")
        if verdict == _PRUNE:
            raise optuna.TrialPruned(f"pruned after epoch {trainer.current_epoch + 1}")

    def _counts(self, trainer: Trainer) -> bool:
        """Whether this is the validation of an epoch; the final evaluation validates once more."""
        return not trainer.sanity_checking and trainer.state.fn == TrainerFn.FITTING

    def _decide(self, epoch: int) -> int:
        assert self.trial is not None
        try:
            self.check()
            if self.sweep.further:
                # Optuna takes no reports for several objectives; budgets count epochs by them.
                self.trial.set_user_attr(EPOCHS, epoch + 1)
                return _GO_ON
            self.trial.report(self.best, epoch)
            return _PRUNE if self.trial.should_prune() else _GO_ON
        except (LostTrialError, UpdateFinishedTrialError):
            return _LOST

    def state_dict(self) -> dict[str, Any]:
        """The best epoch's values, for a checkpoint: a resumed trial goes on from them."""
        return {"best": self.best, "logged": self._logged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the best value of the epochs before."""
        self.best = float(state_dict["best"])
        # Checkpoints of earlier versions have one value, for both.
        self._logged = float(state_dict.get("logged", self.best))

    # ---- W&B -------------------------------------------------------------------------------

    def describe_run(self) -> dict[str, Any]:
        """Entries for the config of the W&B run: the study, and searched settings as `hp/...`.

        W&B draws an axis for numbers and texts, so anything else is text.
        """
        details = {key: value for key, value in self.details.items() if key != "searched"}
        names = shorten_keys(list_searched_keys(self.sweep))
        searched = self.details.get("searched", {})
        return {
            "study": {
                "name": self.sweep.name,
                "objective": ", ".join(self.sweep.objectives),
                "constraints": [str(c) for c in self.sweep.constraints],
                **details,
            },
            **{_name_axis(names[key]): _to_axis_value(value) for key, value in searched.items()},
        }

    def begin_run(self, costs: Mapping[str, float]) -> dict[str, Any]:
        """Entries for the summary of the W&B run before the training."""
        self.costs = {**costs, **self.costs}
        return self._describe_state("running", self.costs)

    def summarize_run(
        self, metrics: Mapping[str, float], error: BaseException | None
    ) -> tuple[dict[str, Any], bool]:
        """Entries for the summary of the W&B run, and whether the run counts as successful."""
        figures = insert_measured_mma({**self.costs, **self.figures, **metrics})
        if error is not None:
            if "compute/mma" in self.costs:
                # Thresholds are calibrated when a fit ends; they would have reached the target.
                figures["compute/mma"] = min(figures["compute/mma"], self.costs["compute/mma"])
            state = next((word for kind, word in _ENDS if isinstance(error, kind)), "failed")
        else:
            state = "infeasible" if self._judge(figures) is False else "complete"
        return self._describe_state(state, figures), state not in ("failed", "interrupted")

    def _describe_state(self, state: str, figures: Mapping[str, float]) -> dict[str, Any]:
        """Summary of a trial: its costs, its state and how far it is from each limit."""
        result = {
            "state": state,
            "feasible": self._judge(figures),
            "constraints": compute_violations(self.sweep.constraints, figures),
            "best": self.best if math.isfinite(self.best) else None,
        }
        costs = {key: value for key, value in figures.items() if key.startswith("compute/")}
        return {**costs, "study": result}

    def _judge(self, figures: Mapping[str, float]) -> bool | None:
        """Whether all limits are kept; None where one is not broken but unknown."""
        values = list(compute_violations(self.sweep.constraints, figures).values())
        if any(value is not None and value > 0 for value in values):
            return False
        return None if None in values else True


def list_searched_keys(sweep: Sweep) -> list[str]:
    """Dotted keys of the settings that a study searches, of all methods, and `METHOD`."""
    own = [p.key for branch in sweep.methods.values() for p in branch.space]
    keys = [*([METHOD] if sweep.methods else []), *own, *(p.key for p in sweep.space)]
    return list(dict.fromkeys(keys))


def _name_axis(name: str) -> str:
    # W&B takes a dot for a step into a nested config.
    return f"hp/{name.replace('.', '_')}"


def _to_axis_value(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else to_text(value)


def insert_measured_mma(metrics: Mapping[str, float]) -> dict[str, float]:
    """Replaces `compute/mma` of an adaptive method by the mean over the validation's faces."""
    figures = {k: v for k, v in metrics.items() if v is not None}
    if "compute/mma_max" in figures and (mean := average_mma(figures)) is not None:
        figures["compute/mma"] = mean
    return figures
