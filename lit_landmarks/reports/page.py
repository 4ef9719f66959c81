"""A comparison as one HTML file that needs no network and works with a screen reader.

`assets/page.html.j2` is the page; this module computes its values. jinja2 escapes every value, and
the page's content security policy allows nothing to be loaded and only its own script, by hash.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from lit_landmarks import __version__
from lit_landmarks.draw.chart import DASHES, LINE_WIDTH, chart_svg
from lit_landmarks.reports.compare import (
    Comparison,
    describe_ranking,
    find_differences,
    format_figure,
    is_higher_better,
)
from lit_landmarks.reports.compare_charts import all_charts, find_runs_without_curves
from lit_landmarks.reports.entries import COST, Entry, State
from lit_landmarks.reports.face_pictures import collect_face_rows

#: Label of each state, and the class of its chip in the style sheet.
_STATES: dict[State, tuple[str, str]] = {
    "finished": ("trained", "ok"),
    "pruned": ("pruned", ""),
    "infeasible": ("too costly", "warn"),
    "failed": ("failed", "warn"),
    "unfinished": ("unfinished", ""),
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
        state: label of its state.
        tone: class of the state's chip.
        reason: why it is not ranked; empty if it is.
    """

    entry: Entry
    ranked: bool
    color: int | None
    figures: list[_Figure]
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
    drawn = comparison.drawn
    configured = [entry for entry in drawn if entry.config]
    script = _read_asset("page.js")
    return environment.get_template("page.html.j2").render(
        comparison=comparison,
        style=_read_asset("page.css"),
        script=script,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        subtitle=_describe_ranking(comparison),
        cards=list(_iterate_cards(comparison)),
        noun=_choose_noun(comparison),
        groups=[(part.heading, list(_iterate_table_rows(part))) for part in comparison.split()],
        charts=[(chart, chart_svg(chart)) for chart in all_charts(comparison)],
        legend=[
            (entry.name, color, " ".join(f"{LINE_WIDTH * length:g}" for length in DASHES[color]))
            for color, entry in enumerate(drawn)
        ],
        uncolored=len(comparison.entries) - len(drawn),
        configured=configured,
        settings=find_differences(configured),
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
    for heading, best in bests:
        if best is None:
            continue
        cost = best.figure(COST)
        note = best.name + (f", {cost:.1f} MMA" if math.isfinite(cost) else "")
        note += f"; {heading}" if heading else ""
        yield _Card(f"best {objective}", f"{best.figure(objective):.3f}", note)
    if (comparison.studies or comparison.limits) and not any(best for _, best in bests):
        yield _Card(f"best {objective}", "none", "nothing trained is within the limits")
    states = Counter(_label_state(entry)[0] for entry in comparison.entries)
    count, trials = len(comparison.entries), comparison.trials
    total = sum(study.total for study in comparison.studies)
    yield _Card(
        _choose_noun(comparison),
        f"{trials} of {total}" if trials == count else str(count),
        ", ".join(f"{number} {state}" for state, number in states.items()),
    )
    front = comparison.front
    if len(front) > 1 and len(comparison.groups) < 2:
        cheapest = front[0]
        note = f"cheapest: {cheapest.figure(objective):.3f} at {cheapest.figure(COST):.1f} MMA"
        yield _Card("Pareto front", str(len(front)), note)
    for study in comparison.studies:
        if study.importance and study.importance_clear:
            name, share = max(study.importance.items(), key=lambda item: item[1])
            note = f"{name}; {study.importance_note}"
            yield _Card("most important parameter", f"{100 * share:.0f} %", note)


def _choose_noun(comparison: Comparison) -> str:
    if not comparison.trials:
        return "runs"
    return "trials" if comparison.trials == len(comparison.entries) else "trials and runs"


def _label_state(entry: Entry) -> tuple[str, str]:
    """Label of the state of a row, and the class of its chip."""
    if entry.state == "finished" and not entry.feasible:
        return "beyond a limit", "warn"
    return _STATES[entry.state]


def _iterate_table_rows(comparison: Comparison) -> Iterator[_Row]:
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
        yield _Row(entry, ranked, color, figures, *_label_state(entry), reason)


def _make_cell(value: float, digits: int, best: bool = False) -> _Figure:
    exact = f"{value:.10g}" if math.isfinite(value) else ""
    return _Figure(exact, format_figure(value, digits), best)


def _format_significant(value: float) -> str:
    """Formats four significant digits, or a large whole number in full."""
    if not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if value == int(value) and abs(value) > 999 else f"{value:.4g}"
