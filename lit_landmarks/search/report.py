"""What a study has come to, for a person and for a program."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from lit_landmarks.console import plain_console
from lit_landmarks.search.budget import counted, epochs_spent, hours_spent, is_spent
from lit_landmarks.search.runner import why
from lit_landmarks.search.study import (
    METRICS,
    OWNER,
    SEEDS,
    StudyFolder,
    best_feasible,
    is_feasible,
    pareto_trials,
)
from lit_landmarks.search.sweep_file import Sweep


def one_line(trial: FrozenTrial) -> str:
    """A finished trial in one row."""
    cost = trial.user_attrs.get(METRICS, {}).get("compute/mma")
    told = f", {cost:.1f} MMA" if cost is not None else ""
    return f"trial {trial.number}: {_value(trial)}{told}, {why(trial)}"


def _value(trial: FrozenTrial) -> str:
    value = trial.value
    return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"


def summary(sweep: Sweep, study: optuna.Study, folder: StudyFolder) -> dict[str, Any]:
    """The state of a study; plain values for JSON."""
    best, trials = best_feasible(study), counted(study)
    return {
        "name": sweep.name,
        "total": sweep.trials,
        "trials": len(trials),
        "hours": round(hours_spent(study), 4),
        "epochs": epochs_spent(study),
        "workers": workers_alive(sweep, study, folder),
        "minutes_left": minutes_left(sweep, study, folder),
        "best": None
        if best is None
        else {"number": best.number, "value": best.value, "parameters": best.params,
              "seeds": best.user_attrs.get(SEEDS)},
        "pareto": [
            {"number": t.number, "value": t.value, "mma": t.user_attrs[METRICS]["compute/mma"]}
            for t in pareto_trials(study)
        ],
        "states": {
            state: sum(t.state.name.lower() == state for t in trials)
            for state in ("complete", "pruned", "fail", "running")
        },
    }  # fmt: skip


def workers_alive(sweep: Sweep, study: optuna.Study, folder: StudyFolder) -> int:
    """Workers that run a trial now."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    owners = {str(t.user_attrs[OWNER]) for t in running if OWNER in t.user_attrs}
    return sum(folder.is_alive(owner, sweep) for owner in owners)


def minutes_left(sweep: Sweep, study: optuna.Study, folder: StudyFolder) -> float | None:
    """Minutes until the first budget is used up, at the pace so far; None before any trial.

    With as many workers as are alive, or with one.
    """
    done = [t for t in counted(study) if t.state.is_finished() and t.duration]
    if not done:
        return None
    if is_spent(sweep, study):
        return 0.0
    each = sum(t.duration.total_seconds() for t in done if t.duration) / len(done) / 60
    workers = max(1, workers_alive(sweep, study, folder))
    left = max(0, sweep.trials - len(done)) * each / workers
    if sweep.hours is not None:
        left = min(left, 60 * (sweep.hours - hours_spent(study)))
    spent = epochs_spent(study)
    if sweep.epochs is not None and spent:
        pace = sum(t.duration.total_seconds() for t in done if t.duration) / 60 / spent
        left = min(left, (sweep.epochs - spent) * pace / workers)
    return round(left, 1)


def pace(study: optuna.Study) -> float:
    """Trials a minute from when the last worker began until the first one had nothing left.

    A trial that lies across an end of that time counts with its share within.
    """
    spans: dict[str, list[tuple[float, float]]] = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if trial.datetime_start is not None and trial.datetime_complete is not None:
            span = trial.datetime_start.timestamp(), trial.datetime_complete.timestamp()
            spans.setdefault(str(trial.user_attrs.get(OWNER)), []).append(span)
    begin = max(min(s for s, _ in own) for own in spans.values())
    end = min(max(e for _, e in own) for own in spans.values())
    done = sum(
        max(0.0, min(e, end) - max(s, begin)) / (e - s) for own in spans.values() for s, e in own
    )
    return 60 * done / (end - begin)


def print_status(sweep: Sweep, study: optuna.Study, folder: StudyFolder) -> None:
    """A table of trials, the best one, the Pareto front and the time left."""
    trials, best, front = counted(study), best_feasible(study), pareto_trials(study)
    table = Table(
        title=f"{sweep.name}: {len(trials)} of {sweep.trials} trials", title_justify="left"
    )
    for column in ("trial", sweep.objective, "MMA", "minutes", "what became of it"):
        table.add_column(column, justify="left" if column[0] == "w" else "right")
    for trial in sorted(trials, key=_rank(study)):
        cost = trial.user_attrs.get(METRICS, {}).get("compute/mma")
        table.add_row(
            str(trial.number), _value(trial), "-" if cost is None else f"{cost:.1f}",
            f"{trial.duration.total_seconds() / 60:.1f}" if trial.duration else "-",
            why(trial),
        )  # fmt: skip
    console = plain_console()
    console.print(table)
    if best is None:
        console.print("no trial within the limits yet")
    else:
        console.print(f"best within the limits: trial {best.number}, {sweep.objective} "
                      f"{best.value:.3f}")  # fmt: skip
    console.print("Pareto front: " + (", ".join(
        f"{t.value:.3f} at {t.user_attrs[METRICS]['compute/mma']:.1f} MMA" for t in front
    ) or "-"))  # fmt: skip
    console.print(_budget(sweep, study, folder))


def _budget(sweep: Sweep, study: optuna.Study, folder: StudyFolder) -> str:
    """What is spent of the budgets, and how long the rest will take."""
    spent = [f"{hours_spent(study):.2f}" + (f" of {sweep.hours:g}" if sweep.hours else "") + " h",
             f"{epochs_spent(study)}" + (f" of {sweep.epochs}" if sweep.epochs else "")
             + " epochs"]  # fmt: skip
    left = minutes_left(sweep, study, folder)
    alive = workers_alive(sweep, study, folder)
    text = "spent: " + ", ".join(spent)
    if left:
        who = f"{alive} workers" if alive > 1 else "one worker"
        text += f"; about {left:.0f} minutes left with {who}"
    return text


def _rank(study: optuna.Study) -> Callable[[FrozenTrial], tuple[bool, float, int]]:
    """Order of the table: within the limits first, then by objective."""
    sign = -1.0 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1.0

    def key(trial: FrozenTrial) -> tuple[bool, float, int]:
        known = trial.state == TrialState.COMPLETE and trial.value is not None
        value = sign * float(trial.value or 0.0) if known else math.inf
        return not is_feasible(trial), value, trial.number

    return key
