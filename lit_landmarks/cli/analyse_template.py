"""`analyse template`: where on the template annotation conventions disagree."""

from __future__ import annotations

import argparse
from pathlib import Path

from lit_landmarks.cli.subcommands import Subcommands
from lit_landmarks.console import plain_console

_TEMPLATE = """Draws on the template where, and by how much, the annotation conventions of a run's
training sets disagree, as its correction has learned: QueryCorrection of Infinite3D, or
CanonicalCorrection of any method. Writes template.json and template.png into --output.

  python -m lit_landmarks analyse template --run runs/infinite3d --output template"""


def add_template(parts: Subcommands) -> None:
    """Add the subcommand."""
    summary = "where annotation conventions disagree, drawn on the template"
    parser = parts.add("template", summary, _measure, _TEMPLATE)
    parser.add_argument("--run", type=Path, required=True, help="run directory")
    parser.add_argument(
        "--scheme", default="ibug68", help="landmarks to show, for a method of queries (ibug68)"
    )
    parser.add_argument("--output", type=Path, default=Path("template"), help="folder")


def _measure(options: argparse.Namespace) -> int:
    from lit_landmarks.analysis.conventions import (
        measure_disagreement,
        print_disagreement,
        write_disagreement,
    )
    from lit_landmarks.schemes import get_scheme
    from lit_landmarks.training.checkpoints import load_method
    from lit_landmarks.training.run_directory import open_run

    get_scheme(options.scheme)
    run = open_run(options.run)
    run.declare_schemes()
    method, _ = load_method(run.best)
    disagreement = measure_disagreement(method, options.scheme)
    console = plain_console()
    print_disagreement(disagreement, console)
    report, picture = write_disagreement(disagreement, options.output)
    console.print(f"report: {report}, {picture}")
    return 0
