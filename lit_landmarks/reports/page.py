"""A comparison as one HTML file that needs no network and works with a screen reader.

`assets/page.html.j2` is the page; this module computes its values. jinja2 escapes every value, and
the page's content security policy allows nothing to be loaded and only its own script, by hash.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from lit_landmarks import __version__
from lit_landmarks.draw.chart import DASHES, LINE_WIDTH, chart_svg
from lit_landmarks.reports.answers import (
    Answer,
    best_of_methods,
    best_within_budget,
    find_front,
    find_winner,
    shorten_names,
)
from lit_landmarks.reports.compare import (
    Comparison,
    describe_ranking,
    find_differences,
    format_cost,
    format_figure,
    is_higher_better,
)
from lit_landmarks.reports.compare_charts import all_charts, find_runs_without_curves
from lit_landmarks.reports.entries import Entry, State
from lit_landmarks.reports.face_pictures import collect_face_rows
from lit_landmarks.reports.setting_names import format_setting, is_number, shorten_key, shorten_keys
from lit_landmarks.reports.slice_charts import searched_keys, slice_charts

#: Label of each state, and the class of its chip in the style sheet.
_STATES: dict[State, tuple[str, str]] = {
    "finished": ("trained", "ok"),
    "pruned": ("pruned", ""),
    "infeasible": ("too costly", "warn"),
    "failed": ("failed", "warn"),
    "unfinished": ("unfinished", ""),
}


#: The marks of methods as they stand in a chart's own legend.
_MARKS: Mapping[str, str] = {
    "dot": '<circle cx="6" cy="6" r="5"/>',
    "square": '<rect x="1.5" y="1.5" width="9" height="9"/>',
    "triangle": '<path d="M6 1 11 11H1z"/>',
    "diamond": '<path d="M6 0.5 11.5 6 6 11.5 0.5 6z"/>',
}


class _Card(NamedTuple):
    """A headline figure.

    Attributes:
        term: what it is.
        value: the figure.
        note: a few words below it.
    """

    term: str
    value: str
    note: str


class _Figure(NamedTuple):
    """A number in a cell of the table.

    Attributes:
        value: what the cell is sorted by; empty sorts last.
        text: what the cell shows.
        best: of its column.
    """

    value: str
    text: str
    best: bool


class _Row(NamedTuple):
    """A row of the table of runs.

    Attributes:
        entry: the run or trial.
        ranked: trained to the end and within the limits.
        color: number in the palette; None if it is not drawn.
        figures: its cells, the last is its minutes.
        searched: cells of the settings that were searched.
        state: label of its state.
        tone: class of the state's chip.
        reason: why it is not ranked; empty if it is.
    """

    entry: Entry
    ranked: bool
    color: int | None
    figures: list[_Figure]
    searched: list[_Figure]
    state: str
    tone: str
    reason: str


def render_page(comparison: Comparison) -> str:
    """Renders a comparison as the content of an HTML file."""
    environment = Environment(
        loader=PackageLoader("lit_landmarks.reports", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["significant"] = _format_significant
    environment.globals["higher_is_better"] = is_higher_better
    comparison = shorten_names(comparison)
    drawn = comparison.drawn
    names = shorten_keys(searched_keys(comparison.entries))
    configured = [entry for entry in drawn if entry.config]
    script = _read_asset("page.js")
    return environment.get_template("page.html.j2").render(
        comparison=comparison,
        style=_read_asset("page.css"),
        script=script,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        subtitle=_describe_ranking(comparison),
        winner=find_winner(comparison),
        front=find_front(comparison),
        tables=_make_answer_tables(comparison),
        searched=[names[key] for key in names],
        numeric=_find_numeric(comparison, names),
        cards=list(_iterate_cards(comparison)),
        noun=_choose_noun(comparison),
        groups=[
            (part.heading, list(_iterate_table_rows(part, list(names))))
            for part in comparison.split()
        ],
        charts=[(chart, chart_svg(chart)) for chart in all_charts(comparison)],
        slices=[(chart, chart_svg(chart)) for chart in slice_charts(comparison)],
        marks=_MARKS,
        legend=[
            (entry.name, color, " ".join(f"{LINE_WIDTH * length:g}" for length in DASHES[color]))
            for color, entry in enumerate(drawn)
        ],
        uncolored=len(comparison.entries) - len(drawn),
        configured=configured,
        settings={shorten_key(k): v for k, v in find_differences(configured).items()},
        metrics=sorted({key for entry in drawn for key in entry.metrics}),
        faces=collect_face_rows(comparison),
        without_curves=find_runs_without_curves(comparison),
        version=__version__,
    )


def _read_asset(name: str) -> str:
    return (files("lit_landmarks.reports") / "assets" / name).read_text(encoding="utf-8")


def _describe_ranking(comparison: Comparison) -> str:
    better = "more" if is_higher_better(comparison.objective) else "less"
    several = len(comparison.groups) > 1
    alike = " Rows that were not measured alike stand in groups of their own." if several else ""
    return f"Ranked by {describe_ranking(comparison)}; {better} is better.{alike}"


def _iterate_cards(comparison: Comparison) -> Iterator[_Card]:
    objective = comparison.objective
    bests = [(part.heading, part.best) for part in comparison.split()]
    # One best has a place of its own above the cards.
    for heading, best in bests if len(bests) > 1 else []:
        if best is None:
            continue
        cost = best.figure(comparison.cost)
        note = best.name
        note += f", {format_cost(cost, comparison.cost)}" if math.isfinite(cost) else ""
        yield _Card(f"best {objective}", f"{best.figure(objective):.3f}", f"{note}; {heading}")
    front = comparison.front
    held = comparison.studies or comparison.limits
    if held and not any(best for _, best in bests) and not (comparison.further and front):
        yield _Card(f"best {objective}", "none", "nothing trained is within the limits")
    states = Counter(_label_state(entry)[0] for entry in comparison.entries)
    totals = [study.total for study in comparison.studies]
    count, trials = len(comparison.entries), comparison.trials
    planned = trials == count and None not in totals
    yield _Card(
        _choose_noun(comparison),
        f"{trials} of {sum(filter(None, totals))}" if planned else str(count),
        ", ".join(f"{number} {state}" for state, number in states.items()),
    )
    priced = [entry for entry in front if math.isfinite(entry.figure(comparison.cost))]
    if len(priced) > 1 and len(comparison.groups) < 2:
        cheapest = min(priced, key=lambda entry: entry.figure(comparison.cost))
        price = format_cost(cheapest.figure(comparison.cost), comparison.cost)
        note = f"cheapest: {cheapest.figure(objective):.3f} at {price}"
        yield _Card("Pareto front", str(len(front)), note)
    for study in comparison.studies:
        if study.importance and study.importance_clear:
            name, share = max(study.importance.items(), key=lambda item: item[1])
            note = f"{shorten_keys(study.importance)[name]}; {study.importance_note}"
            yield _Card("most important setting", f"{100 * share:.0f} %", note)


def _choose_noun(comparison: Comparison) -> str:
    if not comparison.trials:
        return "runs"
    return "trials" if comparison.trials == len(comparison.entries) else "trials and runs"


def _label_state(entry: Entry) -> tuple[str, str]:
    """Label of the state of a row, and the class of its chip."""
    if entry.state == "finished" and not entry.feasible:
        return "beyond a limit", "warn"
    return _STATES[entry.state]


def _make_answer_tables(comparison: Comparison) -> list[tuple[str, str, list[Answer]]]:
    """Heading, what its rows are and rows of the tables beside the winner, those that have any."""
    tables = [
        ("Best of each method", "method", best_of_methods(comparison)),
        ("Best within a budget", "budget", best_within_budget(comparison)),
    ]
    return [table for table in tables if table[2]]


def _find_numeric(comparison: Comparison, names: Mapping[str, str]) -> list[bool]:
    """Whether every value of a searched setting is a number."""
    values: dict[str, list[Any]] = {key: [] for key in names}
    for entry in comparison.entries:
        for key, value in ({} if entry.trial is None else entry.trial.searched).items():
            values[key].append(value)
    return [all(map(is_number, values[key])) for key in names]


def _make_setting_cell(entry: Entry, key: str) -> _Figure:
    searched = {} if entry.trial is None else entry.trial.searched
    if key not in searched:
        return _Figure("", "-", False)
    value = searched[key]
    exact = f"{value:.10g}" if is_number(value) else str(value)
    return _Figure(exact, format_setting(value), False)


def _iterate_table_rows(comparison: Comparison, searched: Sequence[str]) -> Iterator[_Row]:
    best = {column.key: comparison.best_names(column) for column in comparison.columns}
    for entry in comparison.entries:
        figures = [
            _make_cell(entry.figure(column.key), column.digits, entry.name in best[column.key])
            for column in comparison.columns
        ]
        figures.append(_make_cell(math.nan if entry.seconds is None else entry.seconds / 60, 1))
        ranked = entry.state == "finished" and entry.feasible
        reason = "" if ranked else entry.outcome
        color = comparison.color(entry)
        cells = [_make_setting_cell(entry, key) for key in searched]
        yield _Row(entry, ranked, color, figures, cells, *_label_state(entry), reason)


def _make_cell(value: float, digits: int, best: bool = False) -> _Figure:
    exact = f"{value:.10g}" if math.isfinite(value) else ""
    return _Figure(exact, format_figure(value, digits), best)


def _format_significant(value: float) -> str:
    """Formats four significant digits, or a large whole number in full."""
    if not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if value == int(value) and abs(value) > 999 else f"{value:.4g}"
