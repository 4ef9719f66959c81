"""`compare`: runs, studies and W&B projects side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lit_landmarks.cli.parsing import VerbParser, parse_limits, verb_parser
from lit_landmarks.draw.colors import PALETTE_SIZE
from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.training.run_directory import open_run, write_json

if TYPE_CHECKING:
    from lit_landmarks.reports.compare import Comparison
    from lit_landmarks.reports.entries import Entry, StudyRecord
    from lit_landmarks.reports.limits import Limit

_DESCRIPTION = """Puts runs side by side: figures with the best of each column, settings that
differ, error against multiply-adds, learning curves, error curves, subsets. What is compared may
be mixed:

  RUN             folder of a finished fit
  STUDY           folder of a study: its trials and rounds, their limits, what mattered
  ENTITY/PROJECT  the fits of a W&B project (online, with an account)

  --output FILE.html   one page that needs no network and no other file
  --output FILE.csv    the table with every figure and every setting that differs; also FILE.json
  --output FOLDER      all of them: index.html, table.csv, table.json and a PNG of each chart
  --wandb ENTITY/PROJECT   a W&B report there; needs pip install "lit-landmarks[wandb-report]"

  python -m lit_landmarks compare runs/first runs/second
  python -m lit_landmarks compare runs/first runs/second --latency
  python -m lit_landmarks compare studies/smoke --output compare.html
  python -m lit_landmarks compare studies/smoke runs/first --limit "compute/mma <= 30"
  python -m lit_landmarks compare studies/smoke runs/first --output comparison"""


def run(arguments: list[str]) -> int:
    """Runs `compare`."""
    options = _make_parser().parse_args(arguments)
    if not options.what:
        raise UserError("compare needs runs, a study or a W&B project; see --help")
    if not 1 <= options.curves <= PALETTE_SIZE:
        raise UserError(f"--curves is {options.curves}; give 1 to {PALETTE_SIZE}")
    kind = classify_output(options.output)
    refuse_absent(options.what)
    from rich.console import Console

    from lit_landmarks.reports.compare import compare
    from lit_landmarks.reports.compare_terminal import print_comparison
    from lit_landmarks.reports.wandb_report import build_report, save_report

    limits = parse_limits(options.limit)
    entries, studies = gather(options.what, limits)
    if options.latency:
        from lit_landmarks.reports.latencies import measure_latencies

        entries = measure_latencies(entries)
    comparison = compare(
        entries,
        studies,
        options.objective,
        options.column,
        options.curves,
        options.title,
        limits,
        options.cost,
    )
    # A file or a pipe has no width of its own; 80 columns would break every name.
    console = Console(highlight=False, emoji=False, width=None if Console().is_terminal else 140)
    if options.wandb:
        build_report(comparison, options.wandb)  # raises its errors before anything is written
    print_comparison(comparison, console)
    if options.output:
        console.print(
            f"comparison: {write(comparison, Path(options.output), kind)}",
            markup=False,
            soft_wrap=True,
        )
    if options.wandb:
        console.print(
            f"report: {save_report(comparison, options.wandb)}", markup=False, soft_wrap=True
        )
    return 0


def _make_parser() -> VerbParser:
    parser = verb_parser("compare", _DESCRIPTION)
    parser.add_argument("what", nargs="*", metavar="RUN | STUDY | ENTITY/PROJECT")
    parser.add_argument("--output", help="file (.html, .csv, .json) or folder")
    parser.add_argument(
        "--objective", metavar="KEY", help="figure that ranks; default the study's, or val/nme"
    )
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar='"METRIC <= NUMBER"',
        help="what every row is held to, instead of the studies' limit on that metric",
    )
    parser.add_argument(
        "--column", action="append", default=[], metavar="KEY", help="a further figure in the table"
    )
    parser.add_argument(
        "--curves",
        type=int,
        default=PALETTE_SIZE,
        metavar="N",
        help=f"rows drawn in curves and bars, at most {PALETTE_SIZE}",
    )
    parser.add_argument(
        "--cost",
        metavar="KEY",
        help="figure on the axis of cost: compute/mma (default unless a study has another as an "
        "objective), compute/parameters, compute/latency_median_ms or "
        "compute/onnx_latency_median_ms",
    )
    parser.add_argument(
        "--latency",
        action="store_true",
        help="measure the time of one face on one thread of this machine, in PyTorch and in ONNX "
        "Runtime (extra export): multiply-adds alone do not tell it",
    )
    parser.add_argument("--title", help="of the page")
    parser.add_argument(
        "--wandb", metavar="ENTITY/PROJECT", help="write a W&B report into this project (online)"
    )
    return parser


def refuse_absent(what: Sequence[str]) -> None:
    """Refuses what is neither there nor the name of a W&B project.

    Raises:
        UserError: no such folder.
    """
    for name in what:
        # A folder is looked into later: it may be a study, or hold runs.
        if not Path(name).exists() and name.count("/") != 1:
            open_run(Path(name))


def gather(
    what: Sequence[str], limits: Sequence[Limit] = ()
) -> tuple[list[Entry], list[StudyRecord]]:
    """Reads runs, studies and W&B projects; a run that is also a trial becomes one row.

    Args:
        what: folders of runs or studies, or entity/project.
        limits: replace those of the studies on the same metric.

    Returns:
        Rows of the comparison, and the studies among them.

    Raises:
        UserError: a name that is no run, no study and no project.
    """
    from lit_landmarks.reports.entries import read_run_entry, read_study_entries
    from lit_landmarks.reports.wandb_runs import is_project, read_project_entries

    entries: list[Entry] = []
    runs: list[Entry] = []
    trials: set[Path] = set()
    studies: list[StudyRecord] = []
    for name in what:
        path = Path(name)
        if (path / "sweep.yaml").is_file():
            for study in _read_studies(path, limits):
                studies.append(study)
                rows = read_study_entries(study)
                trials |= {Path(entry.where).resolve() for entry in rows if entry.where}
                entries += rows
        elif not path.exists() and is_project(name):
            try:
                entries += read_project_entries(name)
            except UserError as error:
                raise UserError(f"no folder {name}; and as a W&B project: {error}") from error
        else:
            runs.append(read_run_entry(path))
    # A trial that is also named as a run stays the row of its study, which has its outcome.
    return [*entries, *(r for r in runs if Path(r.where).resolve() not in trials)], studies


def _read_studies(path: Path, limits: Sequence[Limit]) -> list[StudyRecord]:
    # Optuna takes a second to import; comparing runs does not wait for it.
    from lit_landmarks import search
    from lit_landmarks.search.records import build_study_records

    folder = search.StudyFolder(path)
    study = folder.open(folder.sweep())
    return build_study_records(folder, study.with_limits(limits))


def classify_output(output: str | None) -> str:
    """Classifies --output as html, csv, json or folder; empty without it.

    Raises:
        UserError: the name of a file of another kind.
    """
    if output is None:
        return ""
    ending = Path(output).suffix.lower()
    if Path(output).is_dir() or output.endswith("/") or not re.fullmatch(r"\.[a-z]+", ending):
        return "folder"
    if ending not in (".html", ".csv", ".json"):
        raise UserError(f"--output {output}: give a .html, .csv or .json file, or a folder")
    return ending[1:]


def write(comparison: Comparison, output: Path, kind: str) -> Path:
    """Writes the comparison and returns the file to open."""
    from lit_landmarks.draw.chart import chart_figure
    from lit_landmarks.draw.plots import save_figure
    from lit_landmarks.reports.compare import as_csv, as_json
    from lit_landmarks.reports.compare_charts import all_charts
    from lit_landmarks.reports.page import render_page

    if kind == "html":
        write_atomic(output, render_page(comparison))
    elif kind == "csv":
        write_atomic(output, as_csv(comparison))
    elif kind == "json":
        write_json(output, as_json(comparison))
    else:
        for chart in all_charts(comparison):
            save_figure(chart_figure(chart), output / f"{make_file_name(chart.key)}.png")
        write_atomic(output / "table.csv", as_csv(comparison))
        write_json(output / "table.json", as_json(comparison))
        write_atomic(output / "index.html", render_page(comparison))
        return output / "index.html"
    return output


def make_file_name(key: str) -> str:
    """Makes a file name of a chart's key: all but letters, digits, `-`, `_` and `.` become `_`."""
    return re.sub(r"[^\w.-]+", "_", key)
