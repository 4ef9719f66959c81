"""The consoles that verbs, studies and callbacks print to, and tables with whole cells.

All print text as it is: a path may hold `[v2]` or `:x:`, which rich would take for markup.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


def literal_console(**options: Any) -> Console:
    """A console for tables, whose texts are no markup.

    Args:
        **options: of `rich.console.Console`.
    """
    return Console(markup=False, emoji=False, **options)


def plain_console() -> Console:
    """A console that colors no numbers or paths, and leaves long lines whole."""
    return literal_console(highlight=False, soft_wrap=True)


def print_table(table: Table, console: Console | None = None) -> None:
    """Prints a table whose cells are never cut.

    Text folds where the console is narrow; figures (columns justified to the right) do not, and a
    table that needs more than the console's width is printed wider than it.

    Args:
        table: what to print; how its columns wrap is set here.
        console: where; None for a `literal_console`.
    """
    console = console or literal_console()
    unlimited = console.options.update(width=100_000)
    for column in table.columns:
        column.overflow = "fold"
        column.no_wrap = column.justify == "right"
        widths = [
            Measurement.get(console, unlimited, cell).minimum
            for cell in (column.header, *column.cells)
        ]
        column.min_width = max(widths)  # else long words break to keep a short text in one line
    needed = Measurement.get(console, unlimited, table).minimum
    width = console.width
    try:
        console.width = max(width, needed)
        console.print(table, crop=False, soft_wrap=False)
    finally:
        console.width = width
