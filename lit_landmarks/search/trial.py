"""One trial: its settings, its cost before anything is trained, its fit, its record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from optuna.trial import TrialState

from lit_landmarks.errors import UserError
from lit_landmarks.search.study import METRICS, OWNER, RESUMES, RUN, WHY, StudyFolder
from lit_landmarks.search.sweep_file import METHOD, Constraint, Sweep
from lit_landmarks.training.run_directory import RunDirectory

#: Runs `fit` with these arguments and callbacks; gives the content of result.json.
Fit = Callable[[list[str], Sequence[Callback]], dict[str, Any]]
#: Costs (`compute/...`) of argument files and settings, without data and without training.
Costs = Callable[[list[Path], list[str]], dict[str, float]]


@dataclass(frozen=True)
class Settings:
    """What a trial runs with.

    Attributes:
        base: argument files.
        chosen: dotted settings, fixed ones and searched ones.
    """

    base: tuple[Path, ...]
    chosen: Mapping[str, Any]

    def words(self) -> list[str]:
        """As arguments of the command line."""
        return [f"--{key}={_text(value)}" for key, value in self.chosen.items()]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else yaml.safe_dump(
        value, default_flow_style=True
    ).removesuffix("...\n").strip()  # fmt: skip


def suggest(sweep: Sweep, trial: optuna.Trial) -> Settings:
    """The settings that a trial is given."""
    base, chosen = list(sweep.base), dict(sweep.settings)
    if sweep.methods:
        name = trial.suggest_categorical(METHOD, list(sweep.methods))
        branch = sweep.methods[str(name)]
        # A method's files come first: the base of the study, such as its data, has the last word.
        base = [*branch.base, *base]
        chosen |= {p.key: p.suggest(trial, f"{name}:") for p in branch.space}
    chosen |= {p.key: p.suggest(trial) for p in sweep.space}
    return Settings(tuple(base), chosen)


class Pruning(Callback):
    """Reports the objective after each validation, and stops a trial that promises nothing."""

    def __init__(self, trial: optuna.Trial, objective: str, higher: bool) -> None:
        self.trial, self.objective, self.higher = trial, objective, higher
        self.best = -math.inf if higher else math.inf

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises `TrialPruned`; the best value so far is what counts."""
        if trainer.sanity_checking or self.objective not in trainer.callback_metrics:
            return
        value = float(trainer.callback_metrics[self.objective])
        if math.isnan(value):
            return
        self.best = max(self.best, value) if self.higher else min(self.best, value)
        self.trial.report(self.best, trainer.current_epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned(f"pruned after epoch {trainer.current_epoch + 1}")


def run_trial(
    sweep: Sweep, folder: StudyFolder, study: optuna.Study, trial: optuna.Trial, owner: str,
    fit: Fit, costs: Costs,
) -> None:  # fmt: skip
    """Runs one trial to its end and tells the study; what goes wrong is told there too.

    Raises:
        KeyboardInterrupt: Ctrl-C; the trial is left to `resume`.
    """
    trial.set_user_attr(OWNER, owner)
    try:
        settings = suggest(sweep, trial)
        cost = costs(list(settings.base), settings.words())
        trial.set_user_attr(METRICS, cost)
        if _over_budget(sweep, trial, cost):
            study.tell(trial, sweep.worst)
            return
        result = _train(sweep, folder, trial, settings, fit)
        metrics = {**cost, **{k: v for k, v in result["metrics"].items() if v is not None}}
        trial.set_user_attr(METRICS, metrics)
        _constrain(sweep.constraints, trial, metrics)
        if sweep.objective not in metrics:
            raise UserError(f"the run logged no {sweep.objective}; correct 'objective'")
        study.tell(trial, metrics[sweep.objective])
    except optuna.TrialPruned as pruned:
        trial.set_user_attr(WHY, str(pruned))
        # A pruned trial without constraints would hide them from some samplers.
        _constrain(sweep.constraints, trial, trial.user_attrs.get(METRICS, {}))
        study.tell(trial, state=TrialState.PRUNED)
    except Exception as error:
        trial.set_user_attr(WHY, f"{type(error).__name__}: {error}".splitlines()[0])
        study.tell(trial, state=TrialState.FAIL)


def _over_budget(sweep: Sweep, trial: optuna.Trial, cost: Mapping[str, float]) -> bool:
    """Whether the cheapest way through the method breaks a limit; then its violation is set."""
    adaptive = cost.get("compute/mma_min") is not None
    known = dict(cost)
    if adaptive:
        known["compute/mma"] = cost["compute/mma_min"]
    over = any(c.metric in known and c.violation(known[c.metric]) > 0 for c in sweep.constraints)
    for constraint in sweep.constraints:
        # The first value that is set stays: an adaptive method's mean is known after the fit.
        waits = adaptive and constraint.metric == "compute/mma" and not over
        if constraint.metric in known and not waits:
            trial.set_constraint(str(constraint), constraint.violation(known[constraint.metric]))
    return over


def _constrain(
    constraints: Sequence[Constraint], trial: optuna.Trial, metrics: Mapping[str, float]
) -> None:
    done = trial.constraints
    for constraint in constraints:
        if str(constraint) not in done and constraint.metric in metrics:
            value = constraint.violation(float(metrics[constraint.metric]))
            trial.set_constraint(str(constraint), value)


def _train(
    sweep: Sweep, folder: StudyFolder, trial: optuna.Trial, settings: Settings, fit: Fit
) -> dict[str, Any]:
    """The fit, or the rest of the one that a dead worker had begun."""
    before = trial.user_attrs.get(RESUMES)
    callback = Pruning(trial, sweep.objective, sweep.direction == "maximize")
    if before is not None and RunDirectory(Path(before)).last.is_file():
        trial.set_user_attr(RUN, before)
        return fit(["--resume", str(before)], [callback])
    run = folder.trials / f"{trial.number:04d}"
    trial.set_user_attr(RUN, str(run))
    words = [word for path in settings.base for word in ("--config", str(path))]
    tracking = [f"--wandb.group={sweep.name}", f"--wandb.name={sweep.name}-{trial.number:04d}"]
    return fit([*words, "--run", str(run), *tracking, *settings.words()], [callback])
