"""`fit`, `validate`, `test` and `predict`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from lit_landmarks.console import plain_console
from lit_landmarks.errors import UserError
from lit_landmarks.settings import Task
from lit_landmarks.settings.parser import print_help
from lit_landmarks.settings.request import TrainingVerb
from lit_landmarks.training.evaluation import print_metrics
from lit_landmarks.training.ranks import is_follower
from lit_landmarks.training.run_directory import write_json
from lit_landmarks.training.run_lock import lock_run


def run(verb: TrainingVerb, arguments: Sequence[str]) -> int:
    """Runs a training verb."""
    if any(item.split("=")[0].endswith((".help", "--help")) or item == "-h" for item in arguments):
        print_help(verb, list(arguments))
        return 0
    task = Task.from_arguments(verb, arguments)
    if verb == "fit":
        task.fit()
    elif verb == "predict":
        _predict(task)
    else:
        _measure(task)
    return 0


def _measure(task: Task) -> None:
    """Prints the metrics of a checkpoint, and writes what --ced and --output ask for."""
    if task.settings["ced"] and task.request.run is None:
        raise UserError("--ced writes into a run; give it with --run RUN")
    writes = task.settings["ced"] and not is_follower()
    with _lock(task) if writes else contextlib.nullcontext():
        metrics = task.measure()
        curves = task.save_curves(metrics) if task.settings["ced"] else None
    checkpoint = str(task.request.checkpoint)
    if is_follower():
        return
    print_metrics(metrics, f"{task.request.verb} {checkpoint}")
    if curves is not None:
        plain_console().print(f"error curves: {curves}")
    if output := task.settings["output"]:
        write_json(Path(output), {"checkpoint": checkpoint, "metrics": metrics})


def _lock(task: Task) -> contextlib.AbstractContextManager[None]:
    assert task.request.run is not None
    return lock_run(task.request.run, f"{task.request.verb} --ced")


def _predict(task: Task) -> None:
    """Writes predicted landmarks and prints where."""
    output = task.settings["output"] or (task.request.run or Path()) / "predictions.npz"
    count = task.predict(Path(output))
    if not is_follower():
        plain_console().print(f"{count} faces: {output}")
