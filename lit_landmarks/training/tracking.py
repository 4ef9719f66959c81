"""What W&B is told of a fit: its costs and its state from the start, its end, its files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lightning.pytorch import Callback, Trainer

from lit_landmarks.training.observer import Observer
from lit_landmarks.training.run_directory import RunDirectory
from lit_landmarks.training.wandb_logging import WandbOptions, close_tracker, open_tracker
from lit_landmarks.training.wandb_tracker import RunTracker

#: Job type of a fit of a study, whose best trial alone is sent with its files.
TRIAL = "trial"
#: Letters of a tag that W&B takes.
_TAG = 64


def track_fit(
    options: WandbOptions,
    run: RunDirectory,
    config: Mapping[str, Any],
    costs: Mapping[str, float],
    callbacks: Iterable[Callback],
) -> RunTracker | None:
    """Opens the W&B run of a fit, with its costs in the summary.

    Args:
        options: how to track; method and study become tags too.
        run: the run directory.
        config: resolved arguments, nested, of plain values.
        costs: `compute/...`.
        callbacks: those of the fit; observers add to config and summary.

    Returns:
        The open run, or None when tracking is disabled.
    """
    observers = _list_observers(callbacks)
    described = {key: value for o in observers for key, value in o.describe_run().items()}
    method = str(config["model"]["class_path"]).rpartition(".")[2]
    study = described.get("study", {}).get("name")
    tags = dict.fromkeys(tag[:_TAG] for tag in (*options.tags, method, study) if tag)
    tracker = open_tracker(replace(options, tags=[*tags]), run, {**config, **described})
    if tracker is not None:
        begun = {key: value for o in observers for key, value in o.begin_run(costs).items()}
        tracker.log_summary({**costs, **begun})
    return tracker


def track_untrained(
    options: WandbOptions,
    run: RunDirectory,
    config: Mapping[str, Any],
    costs: Mapping[str, float],
    callbacks: Iterable[Callback] = (),
) -> None:
    """Tracks a fit that costs too much and is not trained: settings, costs, state.

    The arguments are those of `track_fit`.
    """
    tracker = track_fit(options, run, config, costs, callbacks)
    summary: dict[str, Any] = {"state": "infeasible"}
    for observer in _list_observers(callbacks):
        summary |= observer.summarize_run(costs, None)[0]
    close_tracker(tracker, 0, summary)


def follow_training(tracker: RunTracker, trainer: Trainer) -> None:
    """Lets the tracker know when the last epoch runs."""

    def is_last_epoch() -> bool:
        epochs = trainer.max_epochs
        return trainer.should_stop or trainer.current_epoch + 1 == epochs

    tracker.is_last_epoch = is_last_epoch


def close_fit(
    tracker: RunTracker | None,
    run: RunDirectory,
    options: WandbOptions,
    callbacks: Sequence[Callback],
    metrics: Mapping[str, float],
    failure: BaseException | None,
) -> None:
    """Closes W&B with the final figures, what observers have to say, and the files if asked for.

    Args:
        tracker: from `track_fit`.
        run: the run directory.
        options: as given to `track_fit`.
        callbacks: those of the fit.
        metrics: final metrics; empty if there are none.
        failure: what ended the fit early, or None.
    """
    costs = {key: value for key, value in metrics.items() if key.startswith("compute/")}
    summary: dict[str, Any] = {**costs, "final": metrics}
    fine = failure is None
    for observer in _list_observers(callbacks):
        figures, expected = observer.summarize_run(metrics, failure)
        summary |= figures
        fine = fine or expected
    if tracker is not None and failure is None and options.artifacts and options.job_type != TRIAL:
        log_best(tracker, f"{options.name or run.root.name}-best", run)
    close_tracker(tracker, 0 if fine else 1, summary)


def log_best(tracker: RunTracker, name: str, run: RunDirectory) -> None:
    """Sends best.ckpt and config.yaml of a run as one artifact.

    Args:
        tracker: an open run.
        name: of the artifact.
        run: the run directory.
    """
    tracker.log_files(name, "model", {path.name: path for path in (run.best, run.config)})


def _list_observers(callbacks: Iterable[Callback]) -> list[Observer]:
    return [callback for callback in callbacks if isinstance(callback, Observer)]
