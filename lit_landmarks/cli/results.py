"""`results`: record measured figures in results files and write the tables in READMEs."""

from __future__ import annotations

import argparse
from pathlib import Path

import lit_landmarks
from lit_landmarks.cli.parsing import OneLineParser, verb_parser
from lit_landmarks.errors import UserError
from lit_landmarks.reports import markdown
from lit_landmarks.reports.measuring import measured_here, parse_column, parse_value, read_run
from lit_landmarks.reports.results import FILE_NAME, Measurement, record

_ABOUT = """Every figure in a README is made from a results file beside its method.

  results record runs/a-0 runs/a-1 --to lit_landmarks/methods/asmnet/results.yaml \\
      --table asm_loss --row "ASMNet, ASM loss" --columns "NME (%)=val/nme" compute/mma
  results record --value faces_per_s=2100 --command "..." --data "..." --to ... (as above)
  results write      regenerate the tables between results markers
  results check      fail if one is stale"""


def run(arguments: list[str]) -> int:
    """Runs `results record`, `results write` or `results check`."""
    options = _parser().parse_args(arguments)
    if options.action == "record":
        table = record(
            _measurements(options), options.to, options.table, options.row, options.columns
        )
        print(markdown.render_table(table), end="")
        print(f"{options.to}: table {table.name}; `results write` puts it into READMEs")
    elif options.action == "write":
        for path in (changed := markdown.write(options.root)):
            print(f"wrote {path}")
        if not changed:
            print("every table is up to date")
    else:
        markdown.check(options.root)
        print("every table is up to date")
    return 0


def _parser() -> OneLineParser:
    parser = verb_parser("results", _ABOUT)
    actions = parser.add_subparsers(dest="action", required=True, metavar="record|write|check")
    checkout = Path(lit_landmarks.__file__).resolve().parents[1]
    for name, line in (("write", "regenerate tables"), ("check", "fail if a table is stale")):
        action = actions.add_parser(name, help=line, description=line, allow_abbrev=False)
        action.add_argument("--root", type=Path, default=checkout, help="repository to work on")
    line = "put the figures of runs into a results file"
    add = actions.add_parser("record", help=line, description=line, allow_abbrev=False)
    add.add_argument("runs", nargs="*", type=Path, help="run directories or JSON files like theirs")
    add.add_argument("--to", type=Path, required=True, help=f"results file, named {FILE_NAME}")
    add.add_argument("--table", required=True, help="name of the table")
    add.add_argument("--row", required=True, help="label of the row; its seeds are averaged")
    add.add_argument("--columns", nargs="+", default=[], metavar="HEADING=KEY:DIGITS",
                     help="metric keys to show; needed for a new table")  # fmt: skip
    add.add_argument("--value", action="append", default=[], metavar="KEY=NUMBER",
                     help="a figure that no run holds, with --command and --data")  # fmt: skip
    add.add_argument("--seed", type=int, help="seed of --value; none where nothing is random")
    for name in ("command", "data", "commit", "date", "machine"):
        add.add_argument(f"--{name}", help=f"{name} of the figures, instead of what is found")
    return parser


def _measurements(options: argparse.Namespace) -> list[Measurement]:
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
    return [measured_here(dict(map(parse_value, options.value)), seed=options.seed, **given)]
