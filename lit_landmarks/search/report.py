"""State of a study: a table for the terminal, a summary for JSON, its pace and remaining time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from lit_landmarks.console import plain_console, print_table
from lit_landmarks.search.attributes import METRICS, OWNER, WARM
from lit_landmarks.search.budget import (
    AGAIN,
    count_epochs,
    count_hours,
    counts_as_trained,
    has_room,
    is_spent,
    is_void,
    list_counted_trials,
)
from lit_landmarks.search.exhausted import is_exhausted
from lit_landmarks.search.front import describe_front, summarize_front
from lit_landmarks.search.judged import JudgedStudy
from lit_landmarks.search.objectives import first_value, is_trained, summarize_trial
from lit_landmarks.search.round_report import print_rounds, summarize_rounds
from lit_landmarks.search.rounds import are_rounds_over, find_last_finished, iterate_rounds
from lit_landmarks.search.runner import describe_outcome
from lit_landmarks.search.study import (
    StudyFolder,
    find_best_feasible,
    is_feasible,
    select_pareto_trials,
)
from lit_landmarks.search.sweep_file import Sweep


def format_trial(trial: FrozenTrial) -> str:
    """Formats a finished trial in one line."""
    cost = trial.user_attrs.get(METRICS, {}).get("compute/mma")
    cost_text = f", {cost:.1f} MMA" if cost is not None else ""
    values = ", ".join(_format_value(trial, place) for place in range(len(trial.values or [0])))
    return f"trial {trial.number}: {values}{cost_text}, {describe_outcome(trial)}"


def _format_value(trial: FrozenTrial, place: int = 0) -> str:
    """The objective of that place, or a dash."""
    return f"{trial.values[place]:.3f}" if is_trained(trial) else "-"


def summarize_study(sweep: Sweep, study: JudgedStudy, folder: StudyFolder) -> dict[str, Any]:
    """Summarizes the state of a study as plain values for JSON."""
    best, trials = find_best_feasible(study), list_counted_trials(study)
    last = find_last_finished(sweep, folder, study)
    rounds = summarize_rounds(sweep, study, folder)
    states = Counter(_classify(trial, sweep, folder) for trial in _list_shown_trials(study))
    return {
        "name": sweep.name,
        "total": sweep.trials,
        "trials": len(trials),
        "trained": sum(map(counts_as_trained, trials)),
        "hours": round(count_hours(study), 4),
        "epochs": count_epochs(study) + sum(part["epochs"] for part in rounds),
        "rounds": rounds,
        "workers": count_live_workers(sweep, study, folder),
        "minutes_left": estimate_minutes_left(sweep, study, folder),
        "best": last.describe() if last else summarize_trial(best) if best else None,
        **({"front": summarize_front(study)} if sweep.further else {}),
        "pareto": [
            {"number": t.number, "value": first_value(t), "mma": _get_mma(t)}
            for t in select_pareto_trials(study)
        ],
        "states": {
            state: states[state]
            for state in ("complete", "pruned", "fail", "running", "interrupted")
        },
    }


def _get_mma(trial: FrozenTrial) -> float | None:
    cost: float | None = trial.user_attrs.get(METRICS, {}).get("compute/mma")
    return cost


def _list_shown_trials(study: JudgedStudy) -> list[FrozenTrial]:
    """Lists the counted trials, and those that wait to go on after their worker died."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    return [*list_counted_trials(study), *(t for t in waiting if AGAIN in t.user_attrs)]


def _classify(trial: FrozenTrial, sweep: Sweep, folder: StudyFolder) -> str:
    """State of a trial; one whose worker is gone is `interrupted` and not `running`."""
    owner = trial.user_attrs.get(OWNER)
    gone = owner is not None and not folder.is_alive(str(owner), sweep)
    if trial.state == TrialState.WAITING or (trial.state == TrialState.RUNNING and gone):
        return "interrupted"
    return "interrupted" if is_void(trial) else trial.state.name.lower()


def count_live_workers(sweep: Sweep, study: JudgedStudy, folder: StudyFolder) -> int:
    """Counts the workers that run a trial now, of the search or of a round."""
    parts = [(study, folder), *((r.study, r.folder) for r in iterate_rounds(sweep, folder, study))]
    owners = [
        (place, str(trial.user_attrs[OWNER]))
        for part, place in parts
        for trial in part.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if OWNER in trial.user_attrs
    ]
    return sum(place.is_alive(owner, sweep) for place, owner in set(owners))


def estimate_minutes_left(sweep: Sweep, study: JudgedStudy, folder: StudyFolder) -> float | None:
    """Estimates the minutes until the search ends; None before its first trial does.

    Assumes the pace so far, with as many workers as are alive, or with one.
    """
    done = [t for t in list_counted_trials(study) if t.state.is_finished() and t.duration]
    if not done:
        return None
    if is_spent(sweep, study):
        return 0.0
    workers = max(1, count_live_workers(sweep, study, folder))
    seconds = sum(t.duration.total_seconds() for t in done if t.duration)
    each = seconds / len(done) / 60
    left = max(0, sweep.trials - len(done)) * each / workers
    trained = sum(map(counts_as_trained, done))
    if sweep.trained is not None and trained:
        left = min(left, (sweep.trained - trained) * seconds / trained / 60 / workers)
    if sweep.hours is not None:
        left = min(left, 60 * (sweep.hours - count_hours(study)))
    spent = count_epochs(study)
    if sweep.epochs is not None and spent:
        left = min(left, (sweep.epochs - spent) * seconds / spent / 60 / workers)
    return round(max(0.0, left), 1)


def measure_pace(study: optuna.Study) -> float:
    """Measures trials per minute while all workers were busy.

    That is from when the last worker began until the first one ended; a trial that is partly
    outside counts with its share inside.
    """
    spans: dict[str, list[tuple[float, float]]] = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        own = WARM not in trial.user_attrs
        if own and trial.datetime_start is not None and trial.datetime_complete is not None:
            span = trial.datetime_start.timestamp(), trial.datetime_complete.timestamp()
            spans.setdefault(str(trial.user_attrs.get(OWNER)), []).append(span)
    begin = max(min(s for s, _ in own) for own in spans.values())
    end = min(max(e for _, e in own) for own in spans.values())
    done = sum(
        max(0.0, min(e, end) - max(s, begin)) / (e - s) for own in spans.values() for s, e in own
    )
    return 60 * done / (end - begin)


def print_status(sweep: Sweep, study: JudgedStudy, folder: StudyFolder) -> None:
    """Prints a table of trials, the best one or the front, time left and how to go on."""
    trials = _list_shown_trials(study)
    table = Table(
        title=f"{sweep.name}: {len(trials)} of {sweep.trials} trials", title_justify="left"
    )
    places = range(len(sweep.objectives))
    # A cost that is an objective has a column already.
    costs = [] if "compute/mma" in sweep.objectives else ["MMA"]
    for column in ("trial", *sweep.objectives, *costs, "minutes", "what became of it"):
        table.add_column(column, justify="left" if column[0] == "w" else "right")
    for trial in sorted(trials, key=_make_rank_key(study)):
        cost = _get_mma(trial)
        table.add_row(
            str(trial.number),
            *(_format_value(trial, place) for place in places),
            *("-" if cost is None else f"{cost:.1f}" for _ in costs),
            f"{trial.duration.total_seconds() / 60:.1f}" if trial.duration else "-",
            _describe_state(trial, sweep, folder),
        )
    console = plain_console()
    print_table(table, console)
    for line in _describe_best(study):
        console.print(line)
    console.print(_describe_budget(sweep, study, folder))
    print_rounds(sweep, study, folder, console)
    if _is_unfinished(sweep, study, folder) and not count_live_workers(sweep, study, folder):
        resume = f"python -m lit_landmarks sweep resume {folder.root}"
        console.print(f"no worker is at work; continue with: {resume}")


def _describe_best(study: JudgedStudy) -> list[str]:
    """The best trial and the front against multiply-adds, or the front of several objectives."""
    sweep, best = study.sweep, find_best_feasible(study)
    if best is None:
        return [f"no trial within {_format_limits(study)} yet"]
    if sweep.further:
        return [f"within {_format_limits(study)}: {describe_front(study)}"]
    points = ", ".join(
        f"{_format_value(t)} at {_get_mma(t):.1f} MMA" for t in select_pareto_trials(study)
    )
    return [
        f"best within {_format_limits(study)}: trial {best.number}, "
        f"{sweep.objective} {_format_value(best)}",
        f"Pareto front: {points or '-'}",
    ]


def _is_unfinished(sweep: Sweep, study: JudgedStudy, folder: StudyFolder) -> bool:
    """Whether trials are left to begin or to continue."""
    trials = _list_shown_trials(study)
    if any(_classify(trial, sweep, folder) == "interrupted" for trial in trials):
        return True
    spent = is_spent(sweep, study) or is_exhausted(sweep, study)
    searching = has_room(sweep, sweep.trials, trials) and not spent
    return searching or not are_rounds_over(sweep, folder, study)


def _describe_state(trial: FrozenTrial, sweep: Sweep, folder: StudyFolder) -> str:
    """Outcome of a trial, or that its worker is gone."""
    interrupted = _classify(trial, sweep, folder) == "interrupted"
    return "interrupted; `resume` continues it" if interrupted else describe_outcome(trial)


def _format_limits(study: JudgedStudy) -> str:
    return ", ".join(map(str, study.limits)) or "no limits"


def _describe_budget(sweep: Sweep, study: JudgedStudy, folder: StudyFolder) -> str:
    """Describes the spent hours and epochs and the time left in one line."""
    trained = sum(map(counts_as_trained, list_counted_trials(study)))
    spent = [f"{trained} of {sweep.trained} trained"] if sweep.trained else []
    spent += [
        f"{count_hours(study):.2f}" + (f" of {sweep.hours:g}" if sweep.hours else "") + " h",
        f"{count_epochs(study)}" + (f" of {sweep.epochs}" if sweep.epochs else "") + " epochs",
    ]
    left = estimate_minutes_left(sweep, study, folder)
    alive = count_live_workers(sweep, study, folder)
    text = "spent: " + ", ".join(spent)
    if left:
        left_of = " of the search" if sweep.rounds else ""
        who = f"{alive} workers" if alive > 1 else "one worker"
        text += f"; about {left:.0f} minutes left{left_of} with {who}"
    return text


def _make_rank_key(study: JudgedStudy) -> Callable[[FrozenTrial], tuple[bool, float, int]]:
    """Makes the sort key of the table: within the limits first, then by objective."""
    sign = -1.0 if study.sweep.direction == "maximize" else 1.0

    def key(trial: FrozenTrial) -> tuple[bool, float, int]:
        has_value = trial.state == TrialState.COMPLETE and trial.values is not None
        value = sign * float(first_value(trial) or 0.0) if has_value else math.inf
        return not is_feasible(trial), value, trial.number

    return key
