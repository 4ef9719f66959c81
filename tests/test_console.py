"""Text that looks like markup is printed as it is."""

from __future__ import annotations

import pytest
from rich.table import Table

from lit_landmarks.console import literal_console, plain_console
from lit_landmarks.training.evaluation import print_metrics


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
