"""`results`: record measured figures in results files and write the tables in READMEs."""

from __future__ import annotations

import argparse
from pathlib import Path

import lit_landmarks
from lit_landmarks.cli.subcommands import Subcommands
from lit_landmarks.errors import UserError
from lit_landmarks.reports import markdown
from lit_landmarks.reports.measuring import measure_now, parse_column, parse_value, read_run
from lit_landmarks.reports.results import FILE_NAME, Measurement, record

_ABOUT = """Every figure in a README is made from a results file beside its method.

  results record runs/a-0 runs/a-1 --to lit_landmarks/methods/asmnet/results.yaml \\
      --table asm_loss --row "ASMNet, ASM loss" --columns "NME (%)=val/nme" compute/mma
  results record --value faces_per_s=2100 --command "..." --data "..." --to ... (as above)
  results write      regenerate the tables between results markers
  results check      fail if one is stale"""


def run(arguments: list[str]) -> int:
    """Runs `results record`, `results write` or `results check`."""
    parts = Subcommands("results", _ABOUT)
    _add_record(parts)
    checkout = Path(lit_landmarks.__file__).resolve().parents[1]
    for name, summary, action in (
        ("write", "regenerate tables", _write),
        ("check", "fail if a table is stale", _check),
    ):
        parser = parts.add(name, summary, action)
        parser.add_argument("--root", type=Path, default=checkout, help="repository to work on")
    return parts.run(arguments)


def _add_record(parts: Subcommands) -> None:
    add = parts.add("record", "put the figures of runs into a results file", _record).add_argument
    add("runs", nargs="*", type=Path, help="run directories or JSON files like theirs")
    add("--to", type=Path, required=True, help=f"results file, named {FILE_NAME}")
    add("--table", required=True, help="name of the table")
    add("--row", required=True, help="label of the row; its seeds are averaged")
    columns = "metric keys to show; needed for a new table"
    add("--columns", nargs="+", default=[], metavar="HEADING=KEY:DIGITS", help=columns)
    value = "a figure that no run holds, with --command and --data"
    add("--value", action="append", default=[], metavar="KEY=NUMBER", help=value)
    add("--seed", type=int, help="seed of --value; none where nothing is random")
    for name in ("command", "data", "commit", "date", "machine"):
        add(f"--{name}", help=f"{name} of the figures, instead of what is found")


def _record(options: argparse.Namespace) -> int:
    measurements = _collect_measurements(options)
    table = record(measurements, options.to, options.table, options.row, options.columns)
    print(markdown.render_table(table), end="")
    print(f"{options.to}: table {table.name}; `results write` puts it into READMEs")
    return 0


def _write(options: argparse.Namespace) -> int:
    changed = markdown.write(options.root)
    print("\n".join(f"wrote {path}" for path in changed) or "every table is up to date")
    return 0


def _check(options: argparse.Namespace) -> int:
    markdown.check(options.root)
    print("every table is up to date")
    return 0


def _collect_measurements(options: argparse.Namespace) -> list[Measurement]:
    if options.to.name != FILE_NAME:
        raise UserError(f"{options.to} would not be found again; name the file {FILE_NAME}")
    options.columns = [parse_column(text) for text in options.columns]
    names = ("command", "data", "commit", "date", "machine")
    given = {n: v for n in names if (v := getattr(options, n)) is not None}
    if bool(options.value) == bool(options.runs):
        raise UserError("give runs, or --value KEY=NUMBER for figures that no run holds; not both")
    if options.runs:
        if options.seed is not None:
            raise UserError("--seed goes with --value; a run knows its own seed")
        return [read_run(path, given) for path in options.runs]
    if not {"command", "data"} <= given.keys():
        raise UserError("--value needs --command and --data: every figure says how it was made")
    return [measure_now(dict(map(parse_value, options.value)), seed=options.seed, **given)]
