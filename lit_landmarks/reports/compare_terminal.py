"""A comparison on the terminal: table, settings that differ, bars by subset, Pareto front."""

from __future__ import annotations

import math

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lit_landmarks.reports.compare import Comparison, cell, differences, pareto
from lit_landmarks.reports.compare_charts import missing_curves, subset_charts
from lit_landmarks.reports.entries import COST, Entry

#: Rows and settings that a screen takes; the files hold all.
MOST_ROWS, MOST_SETTINGS = 30, 25
_BAR = 24
#: Columns of the screen for the name of a setting and for each of its values.
_KEY, _VALUE = 44, 16


def print_comparison(told: Comparison, console: Console) -> None:
    """Prints everything that a screen can show."""
    _print_rows(told, console)
    front = pareto(told.entries, told.objective)
    if front:
        points = ", ".join(
            f"{e.figure(told.objective):.3f} at {e.figure(COST):.1f} MMA ({e.name})" for e in front
        )
        console.print(f"Pareto front: {points}", markup=False, soft_wrap=True)
    _print_settings(told, console)
    _print_subsets(told, console)
    missing = missing_curves(told)
    if missing:
        console.print(
            f"no error curves: {', '.join(entry.name for entry, _ in missing)}; write them, here "
            f"the first: {missing[0][1]}", markup=False, soft_wrap=True,
        )  # fmt: skip


def _print_rows(told: Comparison, console: Console) -> None:
    table = Table(title=f"{escape(told.title)}, best first by {told.objective}",
                  title_justify="left")  # fmt: skip
    table.add_column("run", overflow="fold")
    for column in told.columns:
        table.add_column(escape(column.heading), justify="right")
    table.add_column("state", overflow="fold")
    marked = {column.key: told.marked(column) for column in told.columns}
    for entry in told.entries[:MOST_ROWS]:
        figures = []
        for column in told.columns:
            text = cell(entry.figure(column.key), column.digits)
            best = entry.name in marked[column.key]
            figures.append(f"[bold green]{text} *[/]" if best else text)
        table.add_row(escape(entry.name), *figures, escape(_state(entry)))
    console.print(table)
    console.print("* best of the column", style="dim")
    if len(told.entries) > MOST_ROWS:
        rest = len(told.entries) - MOST_ROWS
        console.print(f"and {rest} more rows; --output compare.html shows all")


def _state(entry: Entry) -> str:
    if entry.state == "finished" and entry.feasible:
        return "trained"
    return entry.told or entry.state


def _print_settings(told: Comparison, console: Console) -> None:
    fitting = max(2, (console.width - _KEY) // _VALUE)
    drawn = [entry for entry in told.drawn if entry.config][:fitting]
    different = differences(drawn)
    if len(drawn) < 2 or not different:
        return
    table = Table(title="settings that differ", title_justify="left")
    longest = max(len(key.replace("init_args.", "")) for key in different)
    table.add_column("setting", overflow="fold", min_width=min(longest, _KEY - 4))
    for entry in drawn:
        table.add_column(escape(entry.name), overflow="fold")
    for key, texts in list(different.items())[:MOST_SETTINGS]:
        table.add_row(escape(key.replace("init_args.", "")), *(escape(_short(t)) for t in texts))
    console.print(table)
    if len(different) > MOST_SETTINGS:
        rest = len(different) - MOST_SETTINGS
        console.print(f"and {rest} more settings; --output compare.html shows all")


def _short(text: str) -> str:
    """Fewer digits of a number: a screen is no record."""
    try:
        return f"{float(text):.4g}" if "." in text or "e" in text else text
    except ValueError:
        return text


def _print_subsets(told: Comparison, console: Console) -> None:
    for chart in subset_charts(told):
        longest = max((v for row in chart.series.values() for v in row if math.isfinite(v)),
                      default=0.0)  # fmt: skip
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
                table.add_row(escape(group) if number == 0 else "", escape(name),
                              cell(value, 2), bar)  # fmt: skip
        console.print(table)
