"""Searching for the best model under a budget; README.md beside this file is the manual.

    space.py        what a sweep file says: parameters, limits, the study
    sweep_file.py   reading it, checked before anything runs
    storage.py      journal or database, and what they survive
    study.py        a study's folder and its Optuna study; best feasible trial, Pareto front
    workers.py      who works on a study, and who is dead
    requeue.py      trials of dead workers go on
    budget.py       which trials count; hours and epochs spent
    exhausted.py    samplers that try everything once
    watch.py        callback of a trial: pruning, figures, W&B
    trial.py        one trial: cost first, then the fits; constraints, record
    devices.py      a trial on several devices
    launchers.py    workers that SLURM or torchrun starts
    task_runner.py  costs and fits of trials, by `settings.Task`
    runner.py       until the total is reached; workers of one machine
    checks.py       settings and metrics of a study, checked before any trial
    refit.py        the best settings as an argument file, trained with other seeds
    report.py       tables and summaries

A new method joins by its argument file alone: name it under `methods` of a sweep file.
"""

from optuna import Study

from lit_landmarks.search.budget import counted
from lit_landmarks.search.checks import check_metrics, check_settings
from lit_landmarks.search.devices import run_handed_over
from lit_landmarks.search.launchers import standing_alone
from lit_landmarks.search.manual import keys_help
from lit_landmarks.search.refit import mean_and_deviation, train_with_seeds, write_best
from lit_landmarks.search.report import one_line, pace, print_status, summary
from lit_landmarks.search.runner import requeue_dead, spawn_workers, why, work
from lit_landmarks.search.study import (
    METRICS,
    RUN,
    StudyFolder,
    best_feasible,
    is_feasible,
    pareto_trials,
)
from lit_landmarks.search.sweep_file import Sweep, read_sweep
from lit_landmarks.search.watch import with_measured

__all__ = [
    "METRICS",
    "RUN",
    "Study",
    "StudyFolder",
    "Sweep",
    "best_feasible",
    "check_metrics",
    "check_settings",
    "counted",
    "is_feasible",
    "keys_help",
    "mean_and_deviation",
    "one_line",
    "pace",
    "pareto_trials",
    "print_status",
    "read_sweep",
    "requeue_dead",
    "run_handed_over",
    "spawn_workers",
    "standing_alone",
    "summary",
    "train_with_seeds",
    "why",
    "with_measured",
    "work",
    "write_best",
]
