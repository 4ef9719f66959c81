"""One trial: its settings, its cost before anything is trained, its fits, its record.

Limits are set as Optuna constraints in the order of the sweep file and all of them, whatever became
of a completed trial: some samplers (GP) tell them apart by their place alone.
"""

from __future__ import annotations

import math
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import optuna
from lightning.pytorch import Callback
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from lit_landmarks.errors import UserError, first_line
from lit_landmarks.search.requeue import release
from lit_landmarks.search.space import METHOD, Sweep
from lit_landmarks.search.storage import StorageLostError, is_disk_full
from lit_landmarks.search.study import (
    EPOCHS,
    METRICS,
    OWNER,
    RESUMES,
    RUN,
    SEEDS,
    WHY,
    StudyFolder,
)
from lit_landmarks.search.watch import TrialWatch, violations, with_measured
from lit_landmarks.search.workers import LostTrialError, Worker
from lit_landmarks.settings.arguments import to_arguments, to_text
from lit_landmarks.training.run_directory import RunDirectory

#: Setting of an adaptive method: the mean cost that its thresholds are to reach.
_TARGET = "model.init_args.early_exit.target_mma"
#: Runs `fit` with these arguments and callbacks; gives the content of result.json.
Fit = Callable[[list[str], Sequence[Callback]], dict[str, Any]]


class Costs(Protocol):
    """Costs (`compute/...`) of argument files and settings, without data and without training."""

    def __call__(
        self, base: list[Path], settings: list[str], timed: bool = False
    ) -> dict[str, float]:
        """With latency if `timed`."""


@dataclass(frozen=True)
class Settings:
    """What a trial runs with.

    Attributes:
        base: argument files.
        chosen: dotted settings, fixed ones and searched ones.
    """

    base: tuple[Path, ...]
    chosen: Mapping[str, Any]

    def arguments(self) -> list[str]:
        """The dotted settings as arguments of the command line."""
        return to_arguments(self.chosen)


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


@dataclass
class _Progress:
    """Figures of a trial so far, however it ends.

    Attributes:
        metrics: costs, then figures of the fits as well.
        adaptive: whether `compute/mma` needs a validation.
        target: mean MMA that thresholds will reach when the fit ends; None without such a need.
        epochs: epochs of the fits that have ended.
        watch: of the fit that runs, or ran last.
    """

    metrics: dict[str, float]
    adaptive: bool = False
    target: float | None = None
    epochs: int = 0
    watch: TrialWatch | None = None

    def so_far(self) -> dict[str, float]:
        """Figures of a trial that has ended early.

        The mean MMA of an adaptive method is that of the last validation; without any it is the
        maximum, which no face exceeds.
        """
        figures = dict(self.metrics)
        if self.adaptive and self.watch is not None and self.watch.measured is not None:
            figures["compute/mma"] = self.watch.measured
        if self.target is not None:
            # Thresholds are set when the fit ends; they would have brought it here.
            figures["compute/mma"] = min(figures["compute/mma"], self.target)
        return figures

    def for_limits(self) -> dict[str, float]:
        """The same, with all that the last validation measured."""
        return {**(self.watch.figures if self.watch is not None else {}), **self.so_far()}

    def all_epochs(self) -> int:
        """Epochs trained, those of an unfinished fit as well."""
        return self.epochs + (self.watch.epochs if self.watch is not None else 0)


@dataclass(frozen=True)
class TrialRunner:
    """Runs trials of one worker.

    Attributes:
        sweep: the sweep.
        folder: its folder.
        study: its storage.
        worker: this worker.
        fit: trains.
        costs: counts.
    """

    sweep: Sweep
    folder: StudyFolder
    study: optuna.Study
    worker: Worker
    fit: Fit
    costs: Costs

    def run(self, trial: optuna.Trial) -> None:
        """Runs one trial to its end and tells the study, errors of the trial as well.

        Raises:
            KeyboardInterrupt: Ctrl-C; the trial is left to `resume`.
            UserError: no space on a disk, or a database that stays away; the same.
        """
        self.worker.takes(trial)
        try:
            trial.set_user_attr(OWNER, self.worker.name)
            self._run(trial)
        except (LostTrialError, UpdateFinishedTrialError):
            # It was given to another worker, which has all that this one wrote.
            return
        except (KeyboardInterrupt, SystemExit):
            release(trial)
            raise
        except Exception as error:
            if not is_disk_full(error):
                raise
            release(trial)
            raise UserError(
                f"no space left for {self.folder.root}; free some, then go on with "
                f"`sweep resume {self.folder.root}`"
            ) from error
        finally:
            self.worker.leaves()

    def _run(self, trial: optuna.Trial) -> None:
        progress = _Progress({})
        try:
            settings = suggest(self.sweep, trial)
            progress.metrics = self._costs(trial, settings, timed=False)
            progress.adaptive = "compute/mma_min" in progress.metrics
            if not self._within(progress) or not self._within_time(trial, settings, progress):
                self._constrain(trial, self._cheapest(progress), all_of_them=True)
                self._end(trial, progress.metrics, 0, value=self.sweep.worst)
                return
            if not progress.adaptive:
                self._constrain(trial, progress.metrics)
            progress.target = self._target(progress)
            if progress.target is not None:
                settings = replace(settings, chosen={_TARGET: progress.target, **settings.chosen})
            trial.set_user_attr(METRICS, progress.metrics)
            value = self._train(trial, settings, progress)
            self._constrain(trial, progress.metrics, all_of_them=True)
            self._end(trial, progress.metrics, progress.all_epochs(), value=value)
        except (LostTrialError, UpdateFinishedTrialError, StorageLostError):
            raise
        except optuna.TrialPruned as pruned:
            trial.set_user_attr(WHY, str(pruned))
            self._stop(trial, progress, TrialState.PRUNED)
        except Exception as error:
            if is_disk_full(error):
                raise
            reason = " ".join(first_line(error, named=True).split())
            trial.set_user_attr(WHY, reason.removeprefix("UserError: "))
            self._stop(trial, progress, TrialState.FAIL)

    # ---- cost first ------------------------------------------------------------------------

    def _costs(self, trial: optuna.Trial, settings: Settings, timed: bool) -> dict[str, float]:
        """Costs of the settings that the fit will have, so that they need one parse."""
        arguments = self._arguments(trial, settings, None)
        return self.costs(list(settings.base), arguments, timed=timed)

    def _arguments(self, trial: optuna.Trial, settings: Settings, seed: int | None) -> list[str]:
        """Settings of a fit after its files: tracking, then those of the trial."""
        name = f"{self.sweep.name}-{trial.number:04d}"
        chosen = settings.arguments()
        if seed is not None:
            chosen.append(f"--seed_everything={seed}")
            name += f"-seed{seed}"
        return [f"--wandb.group={self.sweep.name}", f"--wandb.name={name}", *chosen]

    def _cheapest(self, progress: _Progress) -> dict[str, float]:
        """Costs on the cheapest way through the method: beyond a limit there, it always is."""
        if not progress.adaptive:
            return progress.metrics
        return {**progress.metrics, "compute/mma": progress.metrics["compute/mma_min"]}

    def _within(self, progress: _Progress) -> bool:
        values = violations(self.sweep.constraints, self._cheapest(progress)).values()
        return all(value is None or value <= 0 for value in values)

    def _within_time(self, trial: optuna.Trial, settings: Settings, progress: _Progress) -> bool:
        """Latency is measured only where a limit asks for it, and nothing else is broken."""
        if self.sweep.timed:
            progress.metrics |= self._costs(trial, settings, timed=True)
        return self._within(progress)

    def _target(self, progress: _Progress) -> float | None:
        """The mean cost that an early stop has to reach; None where all stages are within."""
        limits = [
            c.limit for c in self.sweep.constraints if c.metric == "compute/mma" and c.at_most
        ]
        within = progress.metrics.get("compute/mma_max", 0.0) <= min(limits, default=math.inf)
        return min(limits) if progress.adaptive and not within else None

    # ---- limits and ends -------------------------------------------------------------------

    def _constrain(
        self, trial: optuna.Trial, metrics: Mapping[str, float], all_of_them: bool = False
    ) -> None:
        """Sets the limits in their order, each once; without `all_of_them` up to an unknown one.

        What a trial that was not trained, or not to its end, does not know counts as exactly at its
        limit: neither within nor beyond it. Without all limits it would hide from some samplers.
        """
        done = trial.constraints
        for name, value in violations(self.sweep.constraints, metrics).items():
            if value is None and not all_of_them:
                return
            if name not in done:
                trial.set_constraint(name, 0.0 if value is None else value)

    def _stop(self, trial: optuna.Trial, progress: _Progress, state: TrialState) -> None:
        """The end of a pruned or failed trial, with the figures that it has."""
        figures = progress.so_far()
        if figures:
            self._constrain(trial, progress.for_limits(), all_of_them=True)
        self._end(trial, figures, progress.all_epochs(), state=state)

    def _end(
        self, trial: optuna.Trial, metrics: Mapping[str, float], epochs: int,
        value: float | None = None, state: TrialState | None = None,
    ) -> None:  # fmt: skip
        trial.set_user_attr(METRICS, dict(metrics))
        trial.set_user_attr(EPOCHS, epochs)
        try:
            self.study.tell(trial, value, state=state)
        except ValueError as error:
            # Optuna's word for a trial that is not running; any other ValueError is its own.
            if self.study._storage.get_trial(trial._trial_id).state != TrialState.RUNNING:
                raise LostTrialError(str(error)) from error
            raise

    # ---- training --------------------------------------------------------------------------

    def _train(self, trial: optuna.Trial, settings: Settings, progress: _Progress) -> float:
        """The fits of all seeds, or what a dead worker has left of them; gives the objective."""
        before = trial.user_attrs.get(RESUMES)
        root = self.folder.trials / f"{trial.number:04d}"
        if before is not None and Path(before).is_dir():
            root = Path(before)
        trial.set_user_attr(RUN, str(root))
        metrics: list[dict[str, float]] = []
        for place, seed in enumerate(self.sweep.seeds or (None,)):
            run = root / f"seed{seed}" if len(self.sweep.seeds) > 1 else root
            # The first seed is enough to see that a trial promises nothing, and values of several
            # seeds would not compare.
            progress.watch = self._watch(trial, settings, seed, prunes=place == 0)
            result = self._fit(trial, settings, run, seed, progress.watch)
            progress.epochs += int(result.get("epochs", 0))
            progress.watch = None
            metrics.append(with_measured(result["metrics"]))
        shared = [key for key in metrics[0] if all(key in m for m in metrics)]
        means = {key: statistics.fmean(m[key] for m in metrics) for key in shared}
        progress.metrics = {**progress.metrics, **means}
        self._refuse_missing(progress.metrics)
        objective = self.sweep.objective
        if len(metrics) > 1:
            objectives = [m.get(objective) for m in metrics]
            names = map(str, self.sweep.seeds)
            trial.set_user_attr(SEEDS, dict(zip(names, objectives, strict=True)))
        return float(progress.metrics[objective])

    def _refuse_missing(self, metrics: Mapping[str, float]) -> None:
        missing = next((m for m in self.sweep.metrics if m not in metrics), None)
        if missing is not None:
            raise UserError(f"the run logged no {missing}; correct 'objective' or 'constraints'")
        if math.isnan(metrics[self.sweep.objective]):
            raise UserError(f"{self.sweep.objective} is NaN")

    def _watch(
        self, trial: optuna.Trial, settings: Settings, seed: int | None, prunes: bool
    ) -> TrialWatch:
        params = {
            key: to_text(value) if isinstance(value, list | dict) else value
            for key, value in settings.chosen.items()
        }
        tracked = {"trial": trial.number, "params": params}
        if seed is not None:
            tracked["seed"] = seed
        return TrialWatch(trial, self.sweep, prunes, self.worker.check, tracked)

    def _fit(
        self, trial: optuna.Trial, settings: Settings, run: Path, seed: int | None,
        watch: TrialWatch,
    ) -> dict[str, Any]:  # fmt: skip
        """One fit: the one that is there, the rest of it, or a new one."""
        there = RunDirectory(run)
        if there.result.is_file():
            return there.read_result()
        if there.last.is_file():
            return self.fit(["--resume", str(run)], [watch])
        # What was begun without a checkpoint holds nothing to go on from.
        shutil.rmtree(run, ignore_errors=True)
        files = [item for path in settings.base for item in ("--config", str(path))]
        arguments = self._arguments(trial, settings, seed)
        return self.fit([*files, "--run", str(run), *arguments], [watch])
