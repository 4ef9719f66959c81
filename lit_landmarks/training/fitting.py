"""One fit: trainer, training, final evaluation and result.json.

The callbacks named here are in every run; a YAML may tune one by listing its class with other
arguments, and cannot lose one.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import Logger
from rich.console import Console

from lit_landmarks.compute import Cost
from lit_landmarks.console import plain_console
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.training.baseline import mean_shapes, measure_mean_shape
from lit_landmarks.training.callbacks import (
    MONITOR,
    EpochLines,
    EpochSeed,
    LastCheckpoint,
    NmeProgressBar,
    RunState,
    make_best_checkpoint,
)
from lit_landmarks.training.checkpoints import Explanation, read_checkpoint
from lit_landmarks.training.curves import collect_curves, save_curves
from lit_landmarks.training.data_record import (
    describe_manifests,
    list_accepted_changes,
    record_data,
)
from lit_landmarks.training.divergence import DivergenceStop
from lit_landmarks.training.ema import EMA
from lit_landmarks.training.evaluation import average_mma, measure
from lit_landmarks.training.loggers import LoggerOptions, open_loggers
from lit_landmarks.training.media import Media
from lit_landmarks.training.metrics_table import MetricsTable
from lit_landmarks.training.outline import Outline
from lit_landmarks.training.processes import allow_unused_parameters, start_by_command
from lit_landmarks.training.provenance import git_state, machine, package_versions, peak_memory
from lit_landmarks.training.ranks import is_follower
from lit_landmarks.training.run_directory import RunDirectory, replace_nonfinite, write_json
from lit_landmarks.training.teaching import set_teacher
from lit_landmarks.training.tracking import close_fit, follow_training, track_fit
from lit_landmarks.training.transfer import transfer_weights
from lit_landmarks.training.wandb_logging import WandbOptions, close_tracker
from lit_landmarks.training.wandb_tracker import RunTracker

#: Changes the best checkpoint of a fit before it is evaluated, given its path, method and data.
Finish = Callable[[Path, LandmarkModule, LandmarkDataModule], None]


class Interrupted(KeyboardInterrupt):
    """Raised after Ctrl-C or a signal during a fit; the message says how to go on."""


@dataclass
class Fit:
    """Settings of a fit beside its trainer, method and data.

    Attributes:
        run: where everything is written.
        config: resolved arguments, nested, of plain values.
        config_text: the same as YAML, as it is saved.
        seed: the run's seed.
        command: the command line of the run, for result.json.
        tracking: W&B options.
        cost: of the method.
        resume: continue from last.ckpt.
        monitor: the metric that best.ckpt follows.
        schemes: names of the schemes that the run has to declare, as only its data does.
        notes: what the user should know before it starts, a line each.
        changes: what has changed in the data since the run that is resumed was begun.
        phased: training has phases, in which parts of the method may not be computed.
        loggers: trackers beside metrics.csv and W&B.
    """

    run: RunDirectory
    config: Mapping[str, Any]
    config_text: str
    seed: int
    command: str
    tracking: WandbOptions
    cost: Cost
    resume: bool = False
    monitor: str = MONITOR
    schemes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    phased: bool = False
    loggers: LoggerOptions = field(default_factory=LoggerOptions)


def equip(
    arguments: dict[str, Any], plan: Fit, extra: Sequence[Callback] = ()
) -> tuple[Trainer, RunTracker | None]:
    """Makes the trainer of a fit: the user's arguments and what every run has.

    Args:
        arguments: the configured arguments of `Trainer`.
        plan: the fit.
        extra: callbacks of a caller, such as a study's pruning.

    Returns:
        The trainer and the open W&B logger, which the caller hands to `run_fit`.
    """
    plan.run.checkpoints.mkdir(parents=True, exist_ok=True)
    resume_step = int(read_checkpoint(plan.run.last)["global_step"]) if plan.resume else None
    if not is_follower():
        write_atomic(plan.run.config, plan.config_text)
        plan.run.write_schemes(plan.schemes)
    tracker = (
        None
        if is_follower()
        else track_fit(plan.tracking, plan.run, plan.config, plan.cost.record(), extra)
    )
    try:
        table = MetricsTable(plan.run.metrics, resume_step)
        loggers: list[Logger] = [table]
        if tracker is not None:
            tracker.replay(table.rows)
            loggers.append(tracker)
        loggers += [] if is_follower() else open_loggers(plan.loggers, plan.run, plan.config)
        loggers += _own_loggers(arguments.get("logger"))
        own = [*_as_list(arguments.get("callbacks")), *extra]
        bar = arguments.get("enable_progress_bar") is not False
        trainer = Trainer(
            **{
                **arguments,
                "strategy": start_by_command(arguments.get("strategy", "auto")),
                "callbacks": add_callbacks(plan, own, progress=bar),
                "logger": loggers,
                "default_root_dir": str(plan.run.root),
                "enable_progress_bar": bar and Console().is_terminal,
                "enable_model_summary": False,
            }
        )
        if plan.phased:
            allow_unused_parameters(trainer.strategy)
        if tracker is not None:
            follow_training(tracker, trainer)
    except BaseException:
        close_tracker(tracker, exit_code=1)
        raise
    return trainer, tracker


def add_callbacks(plan: Fit, own: Sequence[Callback], progress: bool = True) -> list[Callback]:
    """The user's callbacks and those of every run; one that the user lists replaces ours."""
    terminal = Console().is_terminal
    ours: list[Callback] = [
        RunState(),
        EpochSeed(plan.seed),
        Explanation(plan.command, plan.cost.mma),
        Outline(plan.cost),
        EMA(),
        Media(),
        LearningRateMonitor("epoch"),
        DivergenceStop(plan.run.best),
        make_best_checkpoint(plan.run.checkpoints, plan.monitor),
        LastCheckpoint(plan.run.last),
    ]
    if progress:
        ours.append(NmeProgressBar() if terminal else EpochLines())
    tunable = (EMA, Media, LearningRateMonitor)
    listed = {type(callback) for callback in own}
    return [*own, *(c for c in ours if not (isinstance(c, tunable) and type(c) in listed))]


def run_fit(
    plan: Fit,
    trainer: Trainer,
    method: LandmarkModule,
    data: Any,
    tracker: RunTracker | None,
    finish: Finish | None = None,
) -> dict[str, Any]:
    """Trains, evaluates the best checkpoint and writes result.json; closes W&B whatever happens.

    Args:
        plan: the fit.
        trainer: from `equip`.
        method: the method.
        data: its data module.
        tracker: the open W&B logger, from `equip`.
        finish: called with the best checkpoint after training, in the main process alone.

    Returns:
        The content of result.json.

    Raises:
        Interrupted: Ctrl-C; the text says how to go on.
    """
    state = next(c for c in trainer.callbacks if isinstance(c, RunState))  # type: ignore[attr-defined]
    result: dict[str, Any] = {}
    failure: BaseException | None = None
    try:
        if method.init_from is not None and not plan.resume:
            transfer = transfer_weights(method, method.init_from)
            if not is_follower():
                plain_console().print(transfer.describe())
        set_teacher(method, data, trainer.strategy.root_device)
        if not is_follower() and (plan.changes or not plan.run.data.is_file()):
            step = int(read_checkpoint(plan.run.last)["global_step"]) if plan.resume else 0
            record_data(plan.run, data, plan.changes, step)
        trainer.fit(
            method,
            datamodule=data,
            ckpt_path=plan.run.last if plan.resume else None,
            weights_only=True,
        )
        if tracker is not None:
            tracker.end_training()
        if finish is not None and plan.run.best.is_file() and trainer.is_global_zero:
            finish(plan.run.best, method, data)
        trainer.strategy.barrier()
        metrics = evaluate(plan.run, trainer, method, data)
        result = replace_nonfinite(describe(plan, method, data, metrics, state, trainer))
        if not is_follower():
            write_json(plan.run.result, result)
    except (SystemExit, KeyboardInterrupt) as error:
        failure = error
        if isinstance(error, SystemExit) and not state.interrupted:
            raise
        raise Interrupted("" if is_follower() else _how_to_go_on(plan.run)) from None
    except Exception as error:
        failure = error
        if (explained := explain_training_error(error)) is not None:
            raise explained from error
        raise
    finally:
        callbacks: Sequence[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        metrics = result.get("metrics", {})
        close_fit(tracker, plan.run, plan.tracking, callbacks, metrics, failure)
    return result


def describe_finished(resume: RunDirectory | None, epochs: int | None) -> tuple[str, ...]:
    """A line for a run that is resumed though it has trained all its epochs.

    Args:
        resume: the run that is resumed, if one is.
        epochs: number of epochs that is asked for; None or -1 for no such limit.
    """
    if resume is None or not resume.result.is_file():
        return ()
    done = int(resume.read_result().get("epochs", 0))
    if epochs is None or not 0 <= epochs <= done:
        return ()
    return (
        f"{resume.root} has finished its {done} epochs; it is measured again, and"
        f" --trainer.max_epochs {2 * done} trains on",
    )


def explain_training_error(error: Exception) -> UserError | None:
    """The one line for an error that Lightning raises for settings it looks at while it trains.

    Example:
        >>> explain_training_error(RuntimeError("Early stopping conditioned on metric `x` ..."))
        UserError('trainer: Early stopping conditioned on metric `x` ...; correct its settings')
    """
    settings = isinstance(error, MisconfigurationException) or (
        isinstance(error, RuntimeError) and str(error).startswith("Early stopping conditioned on")
    )
    return UserError(f"trainer: {error}; correct its settings") if settings else None


def evaluate(
    run: RunDirectory, trainer: Trainer, method: LandmarkModule, data: Any
) -> dict[str, float]:
    """Final metrics: the best checkpoint on the validation sets and, if any, on the test sets.

    The error of the mean training shape stands beside them. Their error curves go to ced.npz.
    """
    best = run.best if run.best.is_file() else None
    means = mean_shapes(data)
    metrics = measure(trainer, method, data, "validate", best)
    metrics |= measure_mean_shape(data, "val", means)
    curves = collect_curves(method, ["val"])
    if data.spec.in_role("test"):
        metrics |= measure(trainer, method, data, "test", best)
        metrics |= measure_mean_shape(data, "test", means)
        curves |= collect_curves(method, ["test"])
    if trainer.is_global_zero:
        save_curves(run.ced, curves)
    return dict(sorted(metrics.items()))


def describe(
    plan: Fit,
    method: LandmarkModule,
    data: Any,
    metrics: Mapping[str, float],
    state: RunState,
    trainer: Trainer,
) -> dict[str, Any]:
    """The content of result.json."""
    cost = plan.cost
    return {
        "format": 1,
        "method": type(method).__name__,
        "scheme": method.scheme,
        "frame_size": method.frame_size,
        "metrics": {**metrics, **cost.record(), **_mean_cost(cost, metrics)},
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "seed": plan.seed,
        "command": plan.command,
        "data": {
            **describe_manifests(data),
            "sets": [
                {
                    "name": s.name,
                    "role": s.role,
                    "convention": s.convention,
                    "faces": s.size,
                    "norm": s.primary_norm,
                    **({"chosen_on": True} if s.chosen_on else {}),
                }
                for s in data.spec.datasets
            ],
            **list_accepted_changes(plan.run),
        },
        "versions": package_versions(),
        "git": git_state(),
        "machine": machine(),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "wall_seconds": round(state.wall_seconds, 1),
        "peak_memory_mib": peak_memory(),
    }


def _mean_cost(cost: Cost, metrics: Mapping[str, float]) -> dict[str, float]:
    """For an adaptive method `compute/mma` is the mean over the evaluated faces."""
    mean = average_mma(metrics) if cost.mma_min is not None else None
    return {} if mean is None else {"compute/mma": mean}


def _how_to_go_on(run: RunDirectory) -> str:
    if run.last.is_file():
        return f"interrupted; continue with: python -m lit_landmarks fit --resume {run.root}"
    return f"interrupted before the first epoch ended; nothing is kept of {run.root}"


def _as_list(value: Any) -> list[Callback]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _own_loggers(value: Any) -> list[Logger]:
    if value is None or isinstance(value, bool):
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
