"""Searching for the best model under a budget.

    sweep_file.py   the YAML of a study, checked before anything runs
    study.py        its folder and its Optuna storage; best feasible trial, Pareto front
    trial.py        one trial: cost first, then the fit; constraints, pruning, record
    report.py       tables and summaries
    runner.py       until the total is reached; workers; trials of dead workers

A new method joins by its argument file alone: name it under `methods` of a sweep file.
"""

from optuna import Study

from lit_landmarks.search.report import one_line, print_status, summary
from lit_landmarks.search.runner import counted, requeue_dead, spawn_workers, why, work
from lit_landmarks.search.study import (
    METRICS,
    RUN,
    StudyFolder,
    best_feasible,
    is_feasible,
    pareto_front,
)
from lit_landmarks.search.sweep_file import Sweep, read_sweep

__all__ = [
    "METRICS",
    "RUN",
    "Study",
    "StudyFolder",
    "Sweep",
    "best_feasible",
    "counted",
    "is_feasible",
    "one_line",
    "pareto_front",
    "print_status",
    "read_sweep",
    "requeue_dead",
    "spawn_workers",
    "summary",
    "why",
    "work",
]
