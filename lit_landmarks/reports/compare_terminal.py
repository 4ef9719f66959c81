"""A comparison on the terminal: table, settings that differ, bars by subset, Pareto front."""

from __future__ import annotations

import math

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lit_landmarks.console import print_table
from lit_landmarks.reports.answers import Front, find_front
from lit_landmarks.reports.compare import (
    Comparison,
    describe_ranking,
    find_differences,
    format_cost,
    format_figure,
    select_pareto_entries,
)
from lit_landmarks.reports.compare_charts import find_runs_without_curves, subset_charts
from lit_landmarks.reports.entries import Entry
from lit_landmarks.reports.setting_names import shorten_key

#: Rows and settings that a screen takes; the files hold all.
MOST_ROWS, MOST_SETTINGS = 30, 25
_BAR = 24
#: Columns of the screen for the name of a setting and for each of its values.
_KEY, _VALUE = 44, 16


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the table, the Pareto front, the settings that differ and the bars."""
    parts = comparison.split()
    if len(parts) > 1:
        console.print(
            "these rows were not measured alike, so there is no best of all; a group each:",
            soft_wrap=True,
        )
    for part in parts:
        _print_group(part, console)
    _print_settings(comparison, console)
    _print_subsets(comparison, console)
    missing = find_runs_without_curves(comparison)
    if missing:
        console.print(
            f"no error curves: {', '.join(entry.name for entry, _ in missing)}; write them, here "
            f"the first: {missing[0][1]}",
            markup=False,
            soft_wrap=True,
        )


def _print_group(comparison: Comparison, console: Console) -> None:
    """The table and the Pareto front of rows that can be compared."""
    if comparison.heading:
        console.print(f"\n{comparison.heading}:", markup=False, soft_wrap=True, style="bold")
    _print_rows(comparison, console)
    answer = find_front(comparison)
    if answer is not None:
        _print_front(answer, console)
        return
    front = select_pareto_entries(
        comparison.entries, comparison.objective, comparison.limits, comparison.cost
    )
    if front:
        points = ", ".join(
            f"{e.figure(comparison.objective):.3f} at"
            f" {format_cost(e.figure(comparison.cost), comparison.cost)} ({e.name})"
            for e in front
        )
        console.print(f"Pareto front: {points}", markup=False, soft_wrap=True)


def _print_front(front: Front, console: Console) -> None:
    """The front of several objectives, and how to pick a row."""
    rows = (
        f"{entry.name} ({', '.join(f'{entry.figure(key):.3f}' for key in front.objectives)})"
        for entry in front.entries
    )
    heading = f"front of {' and '.join(front.objectives)}, {len(front.entries)} rows"
    console.print(f"{heading}: {', '.join(rows)}", markup=False, soft_wrap=True)
    if front.command:
        console.print(f"pick one: {front.command}", markup=False, soft_wrap=True)


def _print_rows(comparison: Comparison, console: Console) -> None:
    table = Table(
        title=escape(f"{comparison.title}, best first by {describe_ranking(comparison)}"),
        title_justify="left",
    )
    table.add_column("run", overflow="fold")
    for column in comparison.columns:
        table.add_column(escape(column.heading), justify="right")
    table.add_column("state", overflow="fold")
    marked = {column.key: comparison.best_names(column) for column in comparison.columns}
    for entry in comparison.entries[:MOST_ROWS]:
        figures = []
        for column in comparison.columns:
            text = format_figure(entry.figure(column.key), column.digits)
            best = entry.name in marked[column.key]
            figures.append(f"[bold green]{text} *[/]" if best else text)
        table.add_row(escape(entry.name), *figures, escape(_describe_state(entry)))
    print_table(table, console)
    console.print("* best of the column", style="dim")
    if len(comparison.entries) > MOST_ROWS:
        rest = len(comparison.entries) - MOST_ROWS
        console.print(f"and {rest} more rows; --output compare.html shows all")


def _describe_state(entry: Entry) -> str:
    if entry.state == "finished" and entry.feasible:
        return "trained"
    return entry.outcome or entry.state


def _print_settings(comparison: Comparison, console: Console) -> None:
    fitting = max(2, (console.width - _KEY) // _VALUE)
    drawn = [entry for entry in comparison.drawn if entry.config][:fitting]
    different = find_differences(drawn)
    if len(drawn) < 2 or not different:
        return
    table = Table(title="settings that differ", title_justify="left")
    longest = max(len(shorten_key(key)) for key in different)
    table.add_column("setting", overflow="fold", min_width=min(longest, _KEY - 4))
    for entry in drawn:
        table.add_column(escape(entry.name), overflow="fold")
    for key, texts in list(different.items())[:MOST_SETTINGS]:
        table.add_row(escape(shorten_key(key)), *(escape(_shorten(t)) for t in texts))
    console.print(table)
    if len(different) > MOST_SETTINGS:
        rest = len(different) - MOST_SETTINGS
        console.print(f"and {rest} more settings; --output compare.html shows all")


def _shorten(text: str) -> str:
    """A setting with at most four digits of its number, for a narrow column."""
    try:
        return f"{float(text):.4g}" if "." in text or "e" in text else text
    except ValueError:
        return text


def _print_subsets(comparison: Comparison, console: Console) -> None:
    for chart in subset_charts(comparison):
        longest = max(
            (v for row in chart.series.values() for v in row if math.isfinite(v)), default=0.0
        )
        if len(chart.groups) < 2 or longest <= 0:
            continue
        table = Table(title=f"{chart.title}, {chart.ylabel}", title_justify="left", box=None)
        for heading in ("set", "run", "", ""):
            table.add_column(heading, justify="right" if heading == "" else "left")
        table.columns[3].justify = "left"
        for place, group in enumerate(chart.groups):
            for number, (name, values) in enumerate(chart.series.items()):
                value = values[place]
                bar = "█" * round(_BAR * value / longest) if math.isfinite(value) else ""
                table.add_row(
                    escape(group) if number == 0 else "", escape(name), format_figure(value, 2), bar
                )
        print_table(table, console)
