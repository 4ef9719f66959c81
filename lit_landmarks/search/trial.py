"""One trial of a study: its settings, its cost before any training, its fits, its record.

A completed trial gets all limits as Optuna constraints, in the order of the sweep file: some
samplers (GP) tell constraints apart by their position alone.
"""

from __future__ import annotations

import contextlib
import hashlib
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
from lit_landmarks.reports.limits import Limit, compute_violations
from lit_landmarks.search.attributes import (
    EPOCHS,
    METRICS,
    OWNER,
    RESUMES,
    RUN,
    SEEDS,
    SETTINGS,
    TWIN,
    WHY,
)
from lit_landmarks.search.judged import charge_untrained
from lit_landmarks.search.quiet import QuietTime
from lit_landmarks.search.requeue import release
from lit_landmarks.search.space import METHOD, Sweep
from lit_landmarks.search.storage import StorageLostError, is_disk_full
from lit_landmarks.search.study import StudyFolder
from lit_landmarks.search.watch import TrialWatch, insert_measured_mma, list_searched_keys
from lit_landmarks.search.workers import LostTrialError, Worker
from lit_landmarks.settings.arguments import to_arguments
from lit_landmarks.settings.costs import Timing
from lit_landmarks.training.divergence import Diverged
from lit_landmarks.training.run_directory import RunDirectory
from lit_landmarks.training.tracking import TRIAL

#: Setting of an adaptive method: the mean cost that its thresholds are to reach.
TARGET = "model.init_args.early_exit.target_mma"
#: Runs `fit` with these arguments and callbacks; gives the content of result.json.
Fit = Callable[[list[str], Sequence[Callback]], dict[str, Any]]
#: Tracks a trial that is not trained, from the arguments of the fit that it would be.
Track = Callable[[list[str], TrialWatch], None]


class Costs(Protocol):
    """Callable that counts the costs (`compute/...`) of settings, without data and training."""

    def __call__(
        self, base: list[Path], settings: list[str], timed: Timing | None = None
    ) -> dict[str, float]:
        """Costs of argument files and settings; with the latencies that `timed` asks for."""


@dataclass(frozen=True)
class Settings:
    """Argument files and dotted settings of a trial.

    Attributes:
        base: argument files.
        chosen: dotted settings, fixed ones and searched ones.

    Example:
        >>> Settings((), {"model.init_args.rank": 32}).to_arguments()
        ['--model.init_args.rank=32']
    """

    base: tuple[Path, ...]
    chosen: Mapping[str, Any]

    def to_arguments(self) -> list[str]:
        """The dotted settings as arguments of the command line."""
        return to_arguments(self.chosen)

    def digest(self, sweep: Sweep) -> str:
        """Digest of all that decides what a trial trains, equal for trials that would repeat it.

        Limits set the thresholds of early exit.
        """
        limits = [str(limit) for limit in sweep.constraints]
        parts = (sorted(self.to_arguments()), sweep.seeds, limits, sweep.pruner)
        content = hashlib.sha256(repr(parts).encode())
        for path in self.base:
            content.update(path.read_bytes())
        return content.hexdigest()[:16]


def suggest(sweep: Sweep, trial: optuna.Trial) -> Settings:
    """Samples the settings of a trial."""
    base, chosen = list(sweep.base), dict(sweep.settings)
    if sweep.methods:
        name = trial.suggest_categorical(METHOD, list(sweep.methods))
        branch = sweep.methods[str(name)]
        # A method's files come first, so that the base of the study, such as its data, wins.
        base = [*branch.base, *base]
        chosen |= {p.key: p.suggest(trial, f"{name}:") for p in branch.space}
    chosen |= {p.key: p.suggest(trial) for p in sweep.space}
    return Settings(tuple(base), chosen)


def choose_target(limits: Sequence[Limit], metrics: Mapping[str, float]) -> float | None:
    """Mean MMA that an early exit must reach; None where all stages are within the limits.

    Args:
        limits: the limits of the study.
        metrics: costs of the trial, `compute/mma_min` and `compute/mma_max` if it is adaptive.
    """
    most = min((c.limit for c in limits if c.metric == "compute/mma" and c.at_most), default=None)
    if most is None or "compute/mma_min" not in metrics:
        return None
    return most if metrics.get("compute/mma_max", 0.0) > most else None


@dataclass
class _Progress:
    """Costs, figures and epochs of a trial that has not ended.

    Attributes:
        metrics: costs, then figures of the fits as well.
        adaptive: whether `compute/mma` is a mean over faces and needs a validation.
        target: mean MMA to which thresholds are calibrated when the fit ends; None without limit.
        epochs: epochs of the fits that have ended.
        watch: callback of the fit that runs, or ran last.
    """

    metrics: dict[str, float]
    adaptive: bool = False
    target: float | None = None
    epochs: int = 0
    watch: TrialWatch | None = None

    def early_figures(self) -> dict[str, float]:
        """Figures of a trial that is pruned or failed now.

        The mean MMA of an adaptive method is that of the last validation; before any it is the
        maximum, which no face exceeds.
        """
        figures = dict(self.metrics)
        if self.adaptive and self.watch is not None and self.watch.mean_mma is not None:
            figures["compute/mma"] = self.watch.mean_mma
        if self.target is not None:
            # Thresholds are calibrated when the fit ends; they would have reached the target.
            figures["compute/mma"] = min(figures["compute/mma"], self.target)
        return figures

    def limit_figures(self) -> dict[str, float]:
        """`early_figures` with all figures of the last validation, to check limits."""
        return {**(self.watch.figures if self.watch is not None else {}), **self.early_figures()}

    def count_epochs(self) -> int:
        """Epochs trained, including those of an unfinished fit."""
        return self.epochs + (self.watch.epochs if self.watch is not None else 0)


@dataclass(frozen=True)
class TrialRunner:
    """Runs trials of one worker.

    Attributes:
        sweep: the sweep.
        folder: folder of the study.
        study: Optuna study.
        worker: this worker.
        fit: trains one fit.
        costs: counts the costs of settings.
        quiet: turns between trainings and measurements of latency; None where nothing asks for it.
        track: tracks a trial that costs too much to be trained; None tracks none.
    """

    sweep: Sweep
    folder: StudyFolder
    study: optuna.Study
    worker: Worker
    fit: Fit
    costs: Costs
    quiet: QuietTime | None = None
    track: Track | None = None

    def run(self, trial: optuna.Trial) -> None:
        """Runs one trial and stores its result; an error of its fit makes it a failed trial.

        Raises:
            KeyboardInterrupt: Ctrl-C; `resume` continues the trial.
            UserError: a full disk or a lost database; `resume` continues the trial.
        """
        self.worker.start_trial(trial)
        try:
            trial.set_user_attr(OWNER, self.worker.name)
            self._run_to_end(trial)
        except (LostTrialError, UpdateFinishedTrialError):
            # The trial was given to another worker, which has all that this one wrote.
            return
        except (KeyboardInterrupt, SystemExit):
            release(trial)
            raise
        except Exception as error:
            if not is_disk_full(error):
                raise
            release(trial)
            raise UserError(
                f"no space left for {self.folder.root}; free some, then continue with "
                f"`sweep resume {self.folder.root}`"
            ) from error
        finally:
            self.worker.end_trial()
            if self.quiet is not None:
                self.quiet.leave()

    def _run_to_end(self, trial: optuna.Trial) -> None:
        progress = _Progress({})
        try:
            settings = suggest(self.sweep, trial)
            if self._repeat_twin(trial, settings):
                return
            progress.metrics = self._count_costs(trial, settings)
            progress.adaptive = "compute/mma_min" in progress.metrics
            within = self._is_within_limits(progress)
            if within and self.sweep.timed:
                # Latency is slow to measure: only for a limit on it, when no other one is broken.
                alone = contextlib.nullcontext if self.quiet is None else self.quiet.measure
                timing = Timing(self.sweep.timed, alone)
                progress.metrics |= self._count_costs(trial, settings, timing)
                within = self._is_within_limits(progress)
            if not within:
                charged = charge_untrained(self.sweep.constraints, progress.metrics)
                self._set_constraints(trial, charged, all_limits=True)
                self._track_untrained(trial, settings, progress)
                self._record_end(trial, charged, 0, values=self.sweep.worst)
                return
            if not progress.adaptive:
                self._set_constraints(trial, progress.metrics)
            progress.target = choose_target(self.sweep.constraints, progress.metrics)
            if progress.target is not None:
                settings = replace(settings, chosen={TARGET: progress.target, **settings.chosen})
            trial.set_user_attr(METRICS, progress.metrics)
            values = self._train(trial, settings, progress)
            self._set_constraints(trial, progress.metrics, all_limits=True)
            self._record_end(trial, progress.metrics, progress.count_epochs(), values=values)
        except (LostTrialError, UpdateFinishedTrialError, StorageLostError):
            raise
        except (optuna.TrialPruned, Diverged) as pruned:
            # A training that diverged is pruned and not failed: samplers learn from pruned trials.
            trial.set_user_attr(WHY, str(pruned))
            self._end_early(trial, progress, TrialState.PRUNED)
        except Exception as error:
            if is_disk_full(error):
                raise
            reason = " ".join(first_line(error, named=True).split())
            trial.set_user_attr(WHY, reason.removeprefix("UserError: "))
            self._end_early(trial, progress, TrialState.FAIL)

    # ---- the same settings again -----------------------------------------------------------

    def _repeat_twin(self, trial: optuna.Trial, settings: Settings) -> bool:
        """Records what an earlier trial with the same settings has shown; False without one.

        A fit with the same settings and seed would give the same figures.
        """
        digest = settings.digest(self.sweep)
        trial.set_user_attr(SETTINGS, digest)
        earlier = self.study.get_trials(
            deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)
        )
        same = (t for t in earlier if t.user_attrs.get(SETTINGS) == digest)
        twin = next((t for t in same if RUN in t.user_attrs and EPOCHS in t.user_attrs), None)
        if twin is None or RESUMES in trial.user_attrs:
            return False
        for key in (RUN, SEEDS):
            if key in twin.user_attrs:
                trial.set_user_attr(key, twin.user_attrs[key])
        number = twin.user_attrs.get(TWIN, twin.number)
        trial.set_user_attr(TWIN, number)
        for name, violation in twin.constraints.items():
            trial.set_constraint(name, violation)
        if twin.state == TrialState.COMPLETE:
            self._record_end(trial, twin.user_attrs[METRICS], 0, values=twin.values)
            return True
        for step, value in twin.intermediate_values.items():
            trial.report(value, step)
        trial.set_user_attr(WHY, f"same settings as trial {number}: {twin.user_attrs.get(WHY)}")
        self._record_end(trial, twin.user_attrs[METRICS], 0, state=TrialState.PRUNED)
        return True

    # ---- cost first ------------------------------------------------------------------------

    def _count_costs(
        self, trial: optuna.Trial, settings: Settings, timed: Timing | None = None
    ) -> dict[str, float]:
        """Costs of a trial, from the settings that its fit gets, so that both need one parse."""
        arguments = self._build_arguments(trial, settings, None)
        return self.costs(list(settings.base), arguments, timed=timed)

    def _build_arguments(
        self, trial: optuna.Trial, settings: Settings, seed: int | None
    ) -> list[str]:
        """Command line of a fit after its files: group and name in W&B, settings, seed."""
        chosen = settings.to_arguments()
        if seed is not None:
            chosen.append(f"--seed_everything={seed}")
        own = [f"--wandb.group={self.sweep.name}", f"--wandb.job_type={TRIAL}"]
        return [*own, self._build_name(trial, seed), *chosen]

    def _build_name(self, trial: optuna.Trial, seed: int | None) -> str:
        """Argument with the name in W&B, which `compare` shows too."""
        name = f"{self.sweep.name}-{trial.number:04d}"
        return f"--wandb.name={name}" + ("" if seed is None else f"-seed{seed}")

    def _track_untrained(
        self, trial: optuna.Trial, settings: Settings, progress: _Progress
    ) -> None:
        if self.track is not None:
            run = str(self.folder.trials / f"{trial.number:04d}")
            files = [item for path in settings.base for item in ("--config", str(path))]
            arguments = [*files, "--run", run, *self._build_arguments(trial, settings, None)]
            watch = self._make_watch(trial, settings, progress, None, prunes=False)
            # The violation of a limit on the cost is that of the cheapest way through the method.
            watch.costs = charge_untrained(self.sweep.constraints, progress.metrics)
            self.track(arguments, watch)

    def _is_within_limits(self, progress: _Progress) -> bool:
        charged = charge_untrained(self.sweep.constraints, progress.metrics)
        values = compute_violations(self.sweep.constraints, charged).values()
        return all(value is None or value <= 0 for value in values)

    # ---- limits and ends -------------------------------------------------------------------

    def _set_constraints(
        self, trial: optuna.Trial, metrics: Mapping[str, float], all_limits: bool = False
    ) -> None:
        """Sets the limits in their order, each once; without `all_limits` up to an unknown one.

        A metric that was never measured counts as exactly at its limit, neither within nor beyond
        it: some samplers ignore a trial that lacks a constraint.
        """
        done = trial.constraints
        for name, value in compute_violations(self.sweep.constraints, metrics).items():
            if value is None and not all_limits:
                return
            if name not in done:
                trial.set_constraint(name, 0.0 if value is None else value)

    def _end_early(self, trial: optuna.Trial, progress: _Progress, state: TrialState) -> None:
        """Stores a pruned or failed trial with the figures that it has."""
        figures = progress.early_figures()
        if figures:
            self._set_constraints(trial, progress.limit_figures(), all_limits=True)
        self._record_end(trial, figures, progress.count_epochs(), state=state)

    def _record_end(
        self,
        trial: optuna.Trial,
        metrics: Mapping[str, float],
        epochs: int,
        values: Sequence[float] | None = None,
        state: TrialState | None = None,
    ) -> None:
        trial.set_user_attr(METRICS, dict(metrics))
        trial.set_user_attr(EPOCHS, epochs)
        try:
            self.study.tell(trial, values, state=state)
        except ValueError as error:
            # Optuna raises it for a trial that is not running; any other ValueError is a bug.
            if self.study._storage.get_trial(trial._trial_id).state != TrialState.RUNNING:
                raise LostTrialError(str(error)) from error
            raise

    # ---- training --------------------------------------------------------------------------

    def _train(self, trial: optuna.Trial, settings: Settings, progress: _Progress) -> list[float]:
        """Trains all seeds, or the rest that a dead worker has left, and returns the objectives."""
        before = self.folder.locate(trial.user_attrs.get(RESUMES))
        root = self.folder.trials / f"{trial.number:04d}"
        if before is not None and before.is_dir():
            root = before
        # Relative, so that a copy of the study does not write into this one.
        trial.set_user_attr(RUN, root.relative_to(self.folder.root).as_posix())
        metrics: list[dict[str, float]] = []
        for place, seed in enumerate(self.sweep.seeds or (None,)):
            run = root / f"seed{seed}" if len(self.sweep.seeds) > 1 else root
            # The pruner compares values of one seed: the first shows whether a trial is promising.
            progress.watch = self._make_watch(trial, settings, progress, seed, prunes=place == 0)
            result = self._fit(trial, settings, run, seed, progress.watch)
            progress.epochs += int(result.get("epochs", 0))
            progress.watch = None
            metrics.append(insert_measured_mma(result["metrics"]))
        shared = [key for key in metrics[0] if all(key in m for m in metrics)]
        means = {key: statistics.fmean(m[key] for m in metrics) for key in shared}
        progress.metrics = {**progress.metrics, **means}
        self._check_metrics(progress.metrics)
        objective = self.sweep.objective
        if len(metrics) > 1:
            objectives = [m.get(objective) for m in metrics]
            names = map(str, self.sweep.seeds)
            trial.set_user_attr(SEEDS, dict(zip(names, objectives, strict=True)))
        return [float(progress.metrics[key]) for key in self.sweep.objectives]

    def _check_metrics(self, metrics: Mapping[str, float]) -> None:
        missing = next((m for m in self.sweep.metrics if m not in metrics), None)
        if missing is not None:
            raise UserError(f"the run logged no {missing}; correct 'objective' or 'constraints'")
        if broken := next((m for m in self.sweep.objectives if math.isnan(metrics[m])), None):
            raise UserError(f"{broken} is NaN")

    def _make_watch(
        self,
        trial: optuna.Trial,
        settings: Settings,
        progress: _Progress,
        seed: int | None,
        prunes: bool,
    ) -> TrialWatch:
        values = {METHOD: trial.params.get(METHOD), **settings.chosen}
        searched = {key: values[key] for key in list_searched_keys(self.sweep) if key in values}
        tracked = {"trial": trial.number, "searched": searched}
        if seed is not None:
            tracked["seed"] = seed
        costs = {k: v for k, v in progress.early_figures().items() if k.startswith("compute/")}
        return TrialWatch(trial, self.sweep, prunes, self._pass_batch, tracked, costs)

    def _pass_batch(self) -> None:
        """Checks between two batches that the trial is still this worker's; pauses if it must."""
        self.worker.check()
        if self.quiet is not None:
            self.quiet.pass_batch()

    def _fit(
        self,
        trial: optuna.Trial,
        settings: Settings,
        run: Path,
        seed: int | None,
        watch: TrialWatch,
    ) -> dict[str, Any]:
        """Result of one fit: read if it has ended, else resumed or begun."""
        directory = RunDirectory(run)
        if directory.result.is_file():
            return directory.read_result()
        if directory.last.is_file():
            # A trial that goes on has another number than the one that it continues.
            return self.fit(["--resume", str(run), self._build_name(trial, seed)], [watch])
        # A run without a checkpoint cannot be resumed.
        shutil.rmtree(run, ignore_errors=True)
        files = [item for path in settings.base for item in ("--config", str(path))]
        arguments = self._build_arguments(trial, settings, seed)
        return self.fit([*files, "--run", str(run), *arguments], [watch])
