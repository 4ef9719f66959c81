"""`data`: checks data sets, renders synthetic ones, and converts layouts."""

from __future__ import annotations

from lit_landmarks.cli import data_check, data_convert, data_synthesize
from lit_landmarks.cli.subcommands import Subcommands

_DESCRIPTION = """Reads data sets, reports bad rows, renders faces, and converts layouts.

  python -m lit_landmarks data check --root DIR       counts, bad rows, contact sheets
  python -m lit_landmarks data check --all DIR
  python -m lit_landmarks data synthesize DIR --layout ibug --n 1000
  python -m lit_landmarks data convert Ibug300W --root DIR --to OUT"""


def run(arguments: list[str]) -> int:
    """Runs `data check`, `data synthesize` or `data convert`."""
    parts = Subcommands("data", _DESCRIPTION)
    for module in (data_check, data_synthesize, data_convert):
        module.add_subcommand(parts)
    return parts.run(arguments or ["--help"])
