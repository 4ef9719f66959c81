"""What a fit will do: its run directory, its settings, its command, what is printed before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from lit_landmarks.compute import count_mma
from lit_landmarks.errors import UserError
from lit_landmarks.methods.identity import IDENTITY
from lit_landmarks.settings.request import Request
from lit_landmarks.training.build import (
    describe_missing_labels,
    describe_unlisted_conventions,
    describe_unplaced_points,
    run_name,
)
from lit_landmarks.training.checkpoints import read_checkpoint
from lit_landmarks.training.data_record import find_changes
from lit_landmarks.training.fitting import Fit, describe_finished
from lit_landmarks.training.ranks import create_shared_run

if TYPE_CHECKING:
    from lit_landmarks.settings.task import Task


def plan_fit(task: Task, monitor: str) -> Fit:
    """Plans a fit, and makes the run directory of one that begins.

    Args:
        task: the fit.
        monitor: the metric that best.ckpt follows.

    Raises:
        UserError: data or a checkpoint that does not fit the method, or data that has changed since
            the run that goes on was begun.
    """
    spec = task.connect()
    request, method = task.request, task.method()
    resume = request.resume
    cost = count_mma(method, method.example())
    changes = [] if resume is None else find_changes(resume, task.data())
    if resume is not None and changes and not request.accept_changed_data:
        raise UserError(
            f"the data of {resume.root} is not what it was trained on: {'; '.join(changes)}; "
            "restore it, or continue with --accept_changed_data, which records the change"
        )
    text = task.resolved
    return Fit(
        run=resume or create_shared_run(request.run, run_name(method, spec)),
        config=yaml.safe_load(text),
        config_text=text,
        seed=task.seed,
        command=_join_commands(request),
        tracking=task.tracking(),
        loggers=task.loggers(),
        cost=cost,
        resume=resume is not None,
        monitor=monitor,
        schemes=task.data().own_schemes(),
        notes=(
            *describe_missing_labels(method, spec),
            *describe_unlisted_conventions(method, spec),
            *describe_unplaced_points(method, spec),
            *describe_finished(resume, task.settings["trainer"]["max_epochs"]),
            *(f"the data has changed: {change}" for change in changes),
            *([] if (notice := cost.notice()) is None else [notice]),
        ),
        changes=tuple(changes),
        phased=len(method.phases.phases) > 1,
    )


def _join_commands(request: Request) -> str:
    """The command line of the run: of one that goes on, that of its start.

    A resumed run that changes something has both, since neither alone gives its figures.
    """
    command = request.command()
    if request.resume is None:
        return command
    start = read_checkpoint(request.resume.last)[IDENTITY].get("command", "")
    changes = request.overrides or request.accept_changed_data
    return " && ".join(filter(None, (start, command if changes or not start else "")))
