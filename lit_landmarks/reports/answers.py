"""What is asked of a comparison first: what won, with which settings, what a smaller budget buys.

The page shows these answers before anything else.
"""

from __future__ import annotations

import math
import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lit_landmarks.metrics import higher_is_better
from lit_landmarks.reports.compare import Comparison, format_cost
from lit_landmarks.reports.entries import Entry, StudyRecord, rank_candidates
from lit_landmarks.reports.setting_names import format_setting, shorten_keys

#: Parts of the limit on cost at which the best is named.
SHARES = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Winner:
    """The best row of a comparison.

    Attributes:
        entry: the row.
        figure: its objective, with the spread over seeds where there are several.
        cost: what it costs, against the limit where there is one.
        share: of the limit that it uses; None without a limit.
        settings: short name -> value of what was searched.
        command: that writes or trains its settings.
    """

    entry: Entry
    figure: str
    cost: str
    share: float | None
    settings: Mapping[str, str]
    command: str


@dataclass(frozen=True)
class Front:
    """The answer of a study with several objectives, in the place of a winner.

    Attributes:
        entries: its rows, the best by the first objective first.
        objectives: the metrics.
        ends: objective -> its best value with the row that has it.
        command: that writes the settings of one row, N to be filled in; empty without a study.
    """

    entries: Sequence[Entry]
    objectives: Sequence[str]
    ends: Mapping[str, str]
    command: str


@dataclass(frozen=True)
class Answer:
    """The best row under a condition.

    Attributes:
        condition: a method, or a budget and what part of the limit it is.
        entry: the row; None where none meets it.
        figure: its objective.
        cost: what it costs.
    """

    condition: str
    entry: Entry | None
    figure: str
    cost: str


def find_winner(comparison: Comparison) -> Winner | None:
    """The best row within all limits; None where rows cannot be compared, or none is within."""
    best = comparison.best
    if best is None:
        return None
    limit = cost_limit(comparison)
    cost = best.figure(comparison.cost)
    study = next((study for study in comparison.studies if study.holds(best)), None)
    return Winner(
        entry=best,
        figure=_format_with_seeds(best, comparison.objective),
        cost=format_cost(cost, comparison.cost) if math.isfinite(cost) else "",
        share=None if limit is None or not math.isfinite(cost) else cost / limit,
        settings=describe_searched(best),
        command=_make_command(best, study),
    )


def find_front(comparison: Comparison) -> Front | None:
    """The front of several objectives; None with one, or where no row is within the limits."""
    entries = comparison.front
    if not comparison.further or len(comparison.groups) > 1 or not entries:
        return None
    ends = {}
    for key in comparison.objectives:
        pick = max if higher_is_better(key) else min
        best = pick(entries, key=lambda entry: entry.figure(key))
        ends[key] = f"{best.figure(key):.3f}, {best.name}"
    studies = [s for s in comparison.studies if any(s.holds(e) for e in entries)]
    command = ""
    if studies:
        chosen = f"python -m lit_landmarks sweep best {shlex.quote(studies[0].folder)}"
        command = f"{chosen} --trial N --output best.yaml"
    return Front(entries, comparison.objectives, ends, command)


def shorten_names(comparison: Comparison) -> Comparison:
    """The comparison with trials named by their numbers, since the title names their study.

    Example:
        >>> from lit_landmarks.reports.compare import compare
        >>> from lit_landmarks.reports.entries import TrialRecord
        >>> trial = Entry("night-0012", "", trial=TrialRecord(12, "studies/night"))
        >>> study = StudyRecord("night", "studies/night", "val/nme", (), (), {}, "", 40)
        >>> shorten_names(compare([trial], [study])).entries[0].name
        '#12'
    """
    if len(comparison.studies) != 1:
        return comparison

    def shortened(entries: Sequence[Entry]) -> list[Entry]:
        return [e if e.trial is None else replace(e, name=f"#{e.trial.number}") for e in entries]

    return replace(
        comparison,
        entries=shortened(comparison.entries),
        drawn=shortened(comparison.drawn),
        groups=[replace(group, entries=shortened(group.entries)) for group in comparison.groups],
    )


def _make_command(entry: Entry, study: StudyRecord | None) -> str:
    if study is not None and entry.trial is not None:
        chosen = f"python -m lit_landmarks sweep best {shlex.quote(study.folder)}"
        return f"{chosen} --trial {entry.trial.number} --output best.yaml"
    if not entry.where or "://" in entry.where:
        return ""
    return f"python -m lit_landmarks fit --config {shlex.quote(entry.where)}/config.yaml"


def _format_with_seeds(entry: Entry, objective: str) -> str:
    value = f"{entry.figure(objective):.3f}"
    seeds = [] if entry.trial is None else entry.trial.seeds
    if len(seeds) < 2:
        return value
    return f"{value} \N{PLUS-MINUS SIGN} {statistics.stdev(seeds):.3f}, {len(seeds)} seeds"


def describe_searched(entry: Entry) -> dict[str, str]:
    """Short names and values of the settings that were searched for a trial."""
    searched = {} if entry.trial is None else entry.trial.searched
    names = shorten_keys(searched)
    return {names[key]: format_setting(value) for key, value in searched.items()}


def cost_limit(comparison: Comparison) -> float | None:
    """The limit that rows are held to on the cost that is shown; None without one."""
    return min((limit.limit for limit in comparison.cost_limits if limit.at_most), default=None)


def best_of_methods(comparison: Comparison) -> list[Answer]:
    """The best of each method, best first; empty with one method alone."""
    if len(comparison.groups) > 1:
        return []
    answers: dict[str, Answer] = {}
    for entry in rank_candidates(comparison.entries, comparison.objective):
        if entry.method and entry.method not in answers:
            answers[entry.method] = _answer(comparison, entry.method, entry)
    for entry in comparison.entries:  # a method of which nothing was trained within the limits
        if entry.method and entry.method not in answers:
            answers[entry.method] = _answer(comparison, entry.method, None)
    return list(answers.values()) if len(answers) > 1 else []


def best_within_budget(comparison: Comparison, shares: Sequence[float] = SHARES) -> list[Answer]:
    """The best at parts of the limit on cost, the least first; empty without such a limit."""
    limit = cost_limit(comparison)
    if limit is None or len(comparison.groups) > 1:
        return []
    ranked = rank_candidates(comparison.entries, comparison.objective)
    answers = []
    for share in shares:
        most = share * limit
        entry = next((e for e in ranked if e.figure(comparison.cost) <= most), None)
        condition = f"{format_cost(most, comparison.cost)}, {100 * share:.0f} %"
        answers.append(_answer(comparison, condition, entry))
    return answers


def _answer(comparison: Comparison, condition: str, entry: Entry | None) -> Answer:
    if entry is None:
        return Answer(condition, None, "-", "-")
    cost = format_cost(entry.figure(comparison.cost), comparison.cost)
    return Answer(condition, entry, f"{entry.figure(comparison.objective):.3f}", cost)
