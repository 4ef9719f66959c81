"""The consoles that verbs, studies and callbacks print to, and tables with whole cells.

All print text as it is: a path may hold `[v2]` or `:x:`, which rich would take for markup.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

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


class _PrefixedLines(io.TextIOBase):
    """A text stream that begins each line with a prefix.

    Args:
        stream: where the lines go.
        prefix: of each line.
    """

    def __init__(self, stream: TextIO, prefix: str) -> None:
        self._stream, self._prefix, self._begun = stream, prefix, False

    def writable(self) -> bool:
        """Always True."""
        return True

    def write(self, text: str) -> int:
        """Writes text; a line may come in several parts."""
        for line in text.splitlines(keepends=True):
            self._stream.write(line if self._begun else self._prefix + line)
            self._begun = not line.endswith("\n")
        return len(text)

    def fileno(self) -> int:
        """The file of the stream behind it, for libraries that write to it themselves."""
        return self._stream.fileno()

    def flush(self) -> None:
        """Flushes the stream behind it."""
        self._stream.flush()


@contextlib.contextmanager
def prefix_lines(prefix: str) -> Iterator[None]:
    """Context in which each line that this process prints begins with `prefix`."""
    streams = (_PrefixedLines(stream, prefix) for stream in (sys.stdout, sys.stderr))
    with contextlib.redirect_stdout(next(streams)), contextlib.redirect_stderr(next(streams)):
        yield


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
        cells = (column.header, *column.cells)
        needs = [Measurement.get(console, unlimited, cell) for cell in cells]
        # Else long words break to keep a short text in one line, and a figure of several words
        # ("805 of 805") takes its room from the texts.
        column.min_width = max(n.maximum if column.no_wrap else n.minimum for n in needs)
    needed = Measurement.get(console, unlimited, table).minimum
    width = console.width
    try:
        console.width = max(width, needed)
        console.print(table, crop=False, soft_wrap=False)
    finally:
        console.width = width


def print_figures(
    title: str | None,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    labels: int = 1,
    console: Console | None = None,
) -> None:
    """Prints a table of figures: columns of text, then figures that end below each other.

    Args:
        title: above the table.
        columns: their heads.
        rows: a cell for each column, printed as `str` makes it.
        labels: how many columns, from the left, hold text.
        console: where; None for a `literal_console`.
    """
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < labels else "right")
    for row in rows:
        table.add_row(*map(str, row))
    print_table(table, console)
