"""Searching for the best model under a budget; README.md beside this file is the manual.

    space.py        a sweep file that has been read: parameters, limits, the study
    sweep_yaml.py   a sweep file as a tree; unknown and missing keys
    sweep_file.py   reads and checks a sweep file
    storage.py      journal or database; both survive a full disk or a lost connection
    attributes.py   names of what is recorded with trials and studies
    judged.py       trials judged by the sweep file as it is now; what cannot go on with it
    objectives.py   values of trials under one objective or several
    study.py        a study's folder and its Optuna study; best feasible trial, Pareto front
    workers.py      worker processes, their heartbeats, whether one is alive
    requeue.py      queues the trials of dead workers again
    budget.py       which trials count; hours and epochs spent
    enqueue.py      settings that are tried first
    minimum.py      fewest trials of each method
    exhausted.py    exhaustive samplers: grid and brute force
    exit_figures.py figures of an epoch with early exit
    watch.py        callback of a trial: pruning, figures, W&B
    trial.py        one trial: cost first, then the fits; constraints, record
    quiet.py        latency measured while no other worker trains
    devices.py      a trial on several devices
    launchers.py    workers that SLURM or torchrun starts
    task_runner.py  costs and fits of trials, by `settings.Task`
    warm.py         what earlier studies bring
    cleanup.py      checkpoints of ended trials
    runner.py       until the total is reached; workers of one machine
    checks.py       settings and metrics of a study, checked before any trial
    importance.py   importance of parameters
    rounds.py       the best of a search trained again, longer and with other seeds
    round_report.py rounds as tables and plain values
    records.py      a study as plain values, for `reports`
    refit.py        the best settings as an argument file, trained with other seeds
    front.py        the front of several objectives, and the pick of a trial from it
    report.py       tables and summaries

A new method joins by its argument file alone: name it under `methods` of a sweep file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lit_landmarks.lazy import import_on_use

if TYPE_CHECKING:
    from lit_landmarks.search.attributes import METRICS, RUN
    from lit_landmarks.search.budget import list_counted_trials
    from lit_landmarks.search.checks import check_metrics, check_settings
    from lit_landmarks.search.devices import run_handed_over
    from lit_landmarks.search.front import describe_pick, print_front
    from lit_landmarks.search.judged import JudgedStudy, check_continuable
    from lit_landmarks.search.launchers import hide_launcher
    from lit_landmarks.search.manual import describe_keys
    from lit_landmarks.search.refit import (
        choose_refit_seeds,
        choose_trial,
        format_mean_and_deviation,
        list_selection_seeds,
        train_with_seeds,
        write_best,
    )
    from lit_landmarks.search.report import (
        format_trial,
        measure_pace,
        print_status,
        summarize_study,
    )
    from lit_landmarks.search.round_report import format_round_trial
    from lit_landmarks.search.rounds import (
        are_rounds_over,
        find_last_finished,
        list_all_seeds,
        run_rounds,
    )
    from lit_landmarks.search.runner import (
        describe_outcome,
        requeue_dead,
        run_trials,
        spawn_workers,
    )
    from lit_landmarks.search.study import (
        StudyFolder,
        find_best_feasible,
        is_feasible,
        select_pareto_trials,
    )
    from lit_landmarks.search.sweep_file import Sweep, read_sweep
    from lit_landmarks.search.warm import read_all_earlier, start_warm
    from lit_landmarks.search.watch import insert_measured_mma
    from lit_landmarks.search.workers import NUMBER

__all__ = [
    "METRICS",
    "NUMBER",
    "RUN",
    "JudgedStudy",
    "StudyFolder",
    "Sweep",
    "are_rounds_over",
    "check_continuable",
    "check_metrics",
    "check_settings",
    "choose_refit_seeds",
    "choose_trial",
    "describe_keys",
    "describe_outcome",
    "describe_pick",
    "find_best_feasible",
    "find_last_finished",
    "format_mean_and_deviation",
    "format_round_trial",
    "format_trial",
    "hide_launcher",
    "insert_measured_mma",
    "is_feasible",
    "list_all_seeds",
    "list_counted_trials",
    "list_selection_seeds",
    "measure_pace",
    "print_front",
    "print_status",
    "read_all_earlier",
    "read_sweep",
    "requeue_dead",
    "run_handed_over",
    "run_rounds",
    "run_trials",
    "select_pareto_trials",
    "spawn_workers",
    "start_warm",
    "summarize_study",
    "train_with_seeds",
    "write_best",
]

#: Names and their modules, imported when they are first asked for: the parser of `sweep` does not
#: wait for Optuna and torch.
_MODULES = {
    "METRICS": "lit_landmarks.search.attributes",
    "RUN": "lit_landmarks.search.attributes",
    "list_counted_trials": "lit_landmarks.search.budget",
    "check_metrics": "lit_landmarks.search.checks",
    "check_settings": "lit_landmarks.search.checks",
    "run_handed_over": "lit_landmarks.search.devices",
    "describe_pick": "lit_landmarks.search.front",
    "print_front": "lit_landmarks.search.front",
    "JudgedStudy": "lit_landmarks.search.judged",
    "check_continuable": "lit_landmarks.search.judged",
    "hide_launcher": "lit_landmarks.search.launchers",
    "describe_keys": "lit_landmarks.search.manual",
    "choose_refit_seeds": "lit_landmarks.search.refit",
    "choose_trial": "lit_landmarks.search.refit",
    "list_selection_seeds": "lit_landmarks.search.refit",
    "format_mean_and_deviation": "lit_landmarks.search.refit",
    "train_with_seeds": "lit_landmarks.search.refit",
    "write_best": "lit_landmarks.search.refit",
    "format_trial": "lit_landmarks.search.report",
    "measure_pace": "lit_landmarks.search.report",
    "print_status": "lit_landmarks.search.report",
    "summarize_study": "lit_landmarks.search.report",
    "format_round_trial": "lit_landmarks.search.round_report",
    "are_rounds_over": "lit_landmarks.search.rounds",
    "find_last_finished": "lit_landmarks.search.rounds",
    "list_all_seeds": "lit_landmarks.search.rounds",
    "run_rounds": "lit_landmarks.search.rounds",
    "describe_outcome": "lit_landmarks.search.runner",
    "requeue_dead": "lit_landmarks.search.runner",
    "run_trials": "lit_landmarks.search.runner",
    "spawn_workers": "lit_landmarks.search.runner",
    "StudyFolder": "lit_landmarks.search.study",
    "find_best_feasible": "lit_landmarks.search.study",
    "is_feasible": "lit_landmarks.search.study",
    "select_pareto_trials": "lit_landmarks.search.study",
    "Sweep": "lit_landmarks.search.sweep_file",
    "read_sweep": "lit_landmarks.search.sweep_file",
    "read_all_earlier": "lit_landmarks.search.warm",
    "start_warm": "lit_landmarks.search.warm",
    "insert_measured_mma": "lit_landmarks.search.watch",
    "NUMBER": "lit_landmarks.search.workers",
}

__getattr__ = import_on_use(__name__, _MODULES)
