"""Rounds of a study for people and programs: tables, lines, plain values."""

from __future__ import annotations

from typing import Any

from optuna.trial import FrozenTrial
from rich.console import Console
from rich.table import Table

from lit_landmarks.console import print_table
from lit_landmarks.search.attributes import METRICS, SEEDS
from lit_landmarks.search.budget import count_epochs, count_hours
from lit_landmarks.search.enqueue import digest_entry
from lit_landmarks.search.judged import JudgedStudy
from lit_landmarks.search.refit import format_mean_and_deviation
from lit_landmarks.search.rounds import RoundStudy, find_last_finished, iterate_rounds
from lit_landmarks.search.runner import describe_outcome
from lit_landmarks.search.space import Sweep
from lit_landmarks.search.study import StudyFolder, is_feasible


def format_mean(trial: FrozenTrial) -> str:
    """Formats the objective of a trial: mean and deviation of its seeds, "-" without one."""
    if not is_feasible(trial):
        return "-"
    values = list(trial.user_attrs.get(SEEDS, {}).values()) or [trial.value]
    return format_mean_and_deviation([float(value) for value in values if value is not None])


def format_round_trial(part: RoundStudy, trial: FrozenTrial) -> str:
    """Formats a trial of a round that has ended in one line, by its number in the search."""
    name = digest_entry(trial.params)
    numbers = [c.number for c in part.candidates if digest_entry(c.params) == name]
    number = f"trial {numbers[0]}" if numbers else f"earlier candidate {trial.number}"
    cost = trial.user_attrs.get(METRICS, {}).get("compute/mma")
    cost_text = f", {cost:.1f} MMA" if cost is not None else ""
    outcome = describe_outcome(trial)
    return f"round {part.number}, {number}: {format_mean(trial)}{cost_text}, {outcome}"


def print_rounds(sweep: Sweep, study: JudgedStudy, folder: StudyFolder, console: Console) -> None:
    """Prints a table of each round that has begun, and which trial the last finished one chose."""
    for part in iterate_rounds(sweep, folder, study):
        _print_round(part, sweep, console)
    last = find_last_finished(sweep, folder, study)
    if last is not None:
        console.print(
            f"best after round {last.part.number} of {len(sweep.rounds)}: "
            f"trial {last.candidate.number}, {sweep.objective} {format_mean(last.trial)}"
        )


def _print_round(part: RoundStudy, sweep: Sweep, console: Console) -> None:
    pairs = part.pair()
    ended = sum(trial is not None and trial.state.is_finished() for _, trial in pairs)
    seeds = ", ".join(map(str, part.sweep.seeds))
    title = f"round {part.number}: {ended} of {len(pairs)} candidates, seeds {seeds}"
    table = Table(title=title, title_justify="left")
    for column in ("trial", "in the round before", sweep.objective, "MMA", "what became of it"):
        table.add_column(column, justify="left" if column[0] == "w" else "right")
    ranked = [candidate.number for candidate, _ in part.rank()]
    places = {number: place for place, number in enumerate(ranked)}
    rows = sorted(enumerate(pairs, 1), key=lambda row: places.get(row[1][0].number, len(pairs)))
    for place, (candidate, trial) in rows:
        cost = None if trial is None else trial.user_attrs.get(METRICS, {}).get("compute/mma")
        table.add_row(
            str(candidate.number),
            str(place),
            "-" if trial is None else format_mean(trial),
            "-" if cost is None else f"{cost:.1f}",
            "waits" if trial is None else describe_outcome(trial),
        )
    print_table(table, console)
    console.print(f"spent in round {part.number}: {_describe_spent(part)}")


def _describe_spent(part: RoundStudy) -> str:
    return f"{count_hours(part.study):.2f} h, {count_epochs(part.study)} epochs"


def summarize_rounds(sweep: Sweep, study: JudgedStudy, folder: StudyFolder) -> list[dict[str, Any]]:
    """Summarizes the rounds that have begun as plain values for JSON."""
    return [
        {
            "number": part.number,
            "candidates": [candidate.number for candidate in part.candidates],
            "seeds": list(part.sweep.seeds),
            "finished": part.is_finished,
            "hours": round(count_hours(part.study), 4),
            "epochs": count_epochs(part.study),
            "ranking": [
                {
                    "number": candidate.number,
                    "value": trial.value,
                    "seeds": trial.user_attrs.get(SEEDS),
                }
                for candidate, trial in part.rank(study.limits)
            ],
        }
        for part in iterate_rounds(sweep, folder, study)
    ]
