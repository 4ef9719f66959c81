"""`compare`: runs, studies and W&B projects side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from lit_landmarks.cli.parsing import verb_parser
from lit_landmarks.draw.chart import PALETTE_SIZE, chart_figure
from lit_landmarks.draw.plots import save_figure
from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.reports.compare import Comparison, as_csv, as_json, compare
from lit_landmarks.reports.compare_charts import all_charts
from lit_landmarks.reports.compare_terminal import print_comparison
from lit_landmarks.reports.entries import Entry, StudyRecord, run_entry, study_entries
from lit_landmarks.reports.page import render_page
from lit_landmarks.reports.wandb_report import build_report, save_report
from lit_landmarks.reports.wandb_runs import is_project, project_entries
from lit_landmarks.training.run_directory import write_json

_DESCRIPTION = """Puts runs side by side: figures with the best of each column, settings that
differ, error against multiply-adds, learning curves, error curves, subsets. What is compared may
be mixed:

  RUN             folder of a finished fit
  STUDY           folder of a study: its trials, their limits, what mattered
  ENTITY/PROJECT  the fits of a W&B project (online, with an account)

  --output FILE.html   one page that needs no network and no other file
  --output FILE.csv    the table with every figure and every setting that differs; also FILE.json
  --output FOLDER      all of them: index.html, table.csv, table.json and a PNG of each chart
  --wandb ENTITY/PROJECT   a W&B report there; needs pip install "lit-landmarks[wandb-report]"

  python -m lit_landmarks compare runs/first runs/second
  python -m lit_landmarks compare studies/smoke --output compare.html
  python -m lit_landmarks compare studies/smoke runs/first --output comparison"""


def run(arguments: list[str]) -> int:
    """Runs the verb."""
    parser = verb_parser("compare", _DESCRIPTION)
    parser.add_argument("what", nargs="*", metavar="RUN | STUDY | ENTITY/PROJECT")
    parser.add_argument("--output", help="file (.html, .csv, .json) or folder")
    parser.add_argument("--objective", metavar="KEY",
                        help="figure that ranks; default the study's, or val/nme")  # fmt: skip
    parser.add_argument("--column", action="append", default=[], metavar="KEY",
                        help="a further figure in the table")  # fmt: skip
    parser.add_argument("--curves", type=int, default=PALETTE_SIZE, metavar="N",
                        help=f"rows drawn in curves and bars, at most {PALETTE_SIZE}")  # fmt: skip
    parser.add_argument("--title", help="of the page")
    parser.add_argument("--wandb", metavar="ENTITY/PROJECT",
                        help="write a W&B report into this project (online)")  # fmt: skip
    known = parser.parse_args(arguments)
    if not known.what:
        raise UserError("compare needs runs, a study or a W&B project; see --help")
    if not 1 <= known.curves <= PALETTE_SIZE:
        raise UserError(f"--curves is {known.curves}; give 1 to {PALETTE_SIZE}")
    kind = output_kind(known.output)
    entries, studies = gather(known.what)
    told = compare(entries, studies, known.objective, known.column, known.curves, known.title)
    # A file or a pipe has no width of its own; 80 columns would break every name.
    console = Console(highlight=False, width=None if Console().is_terminal else 140)
    if known.wandb:
        build_report(told, known.wandb)  # what is wrong with it is told before anything is written
    print_comparison(told, console)
    if known.output:
        console.print(
            f"comparison: {write(told, Path(known.output), kind)}", markup=False, soft_wrap=True
        )
    if known.wandb:
        console.print(f"report: {save_report(told, known.wandb)}", markup=False, soft_wrap=True)
    return 0


def gather(what: Sequence[str]) -> tuple[list[Entry], list[StudyRecord]]:
    """Reads everything that is named; a run that is a trial of a named study, once.

    Raises:
        UserError: what is no run, no study and no project; names it and the cure.
    """
    entries: list[Entry] = []
    runs: list[Entry] = []
    trials: set[Path] = set()
    studies: list[StudyRecord] = []
    for name in what:
        path = Path(name)
        if (path / "sweep.yaml").is_file():
            study = _read_study(path)
            studies.append(study)
            found = study_entries(study)
            trials |= {Path(entry.where).resolve() for entry in found if entry.where}
            entries += found
        elif not path.exists() and is_project(name):
            try:
                entries += project_entries(name)
            except UserError as error:
                raise UserError(f"no folder {name}; and as a W&B project: {error}") from error
        else:
            runs.append(run_entry(path))
    # A trial that is also named as a run is one row, that of its study, which knows more of it.
    return [*entries, *(r for r in runs if Path(r.where).resolve() not in trials)], studies


def _read_study(path: Path) -> StudyRecord:
    # Optuna takes a second to import; comparing runs does not wait for it.
    from lit_landmarks import search
    from lit_landmarks.search.records import study_record

    folder = search.StudyFolder(path)
    sweep = folder.sweep()
    return study_record(folder, sweep, folder.open(sweep))


def output_kind(output: str | None) -> str:
    """html, csv, json or folder.

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


def write(told: Comparison, output: Path, kind: str) -> Path:
    """Writes the comparison; gives what to open."""
    if kind == "html":
        write_atomic(output, render_page(told))
    elif kind == "csv":
        write_atomic(output, as_csv(told))
    elif kind == "json":
        write_json(output, as_json(told))
    else:
        for chart in all_charts(told):
            save_figure(chart_figure(chart), output / f"{file_name(chart.key)}.png")
        write_atomic(output / "table.csv", as_csv(told))
        write_json(output / "table.json", as_json(told))
        write_atomic(output / "index.html", render_page(told))
        return output / "index.html"
    return output


def file_name(key: str) -> str:
    """A chart's key without anything that a file system minds."""
    return re.sub(r"[^\w.-]+", "_", key)
