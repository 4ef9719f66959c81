"""`tradeoff`: NME against MMA of one or more cascades, with and without early stop."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from lit_landmarks.cli.calibrate import by_set
from lit_landmarks.cli.parsing import verb_parser
from lit_landmarks.draw.plots import save_figure
from lit_landmarks.errors import UserError
from lit_landmarks.methods.adaptive import AdaptiveModule
from lit_landmarks.reports.tradeoff import (
    TradeOff,
    as_dicts,
    track_trade_off,
    trade_off,
    trade_off_plot,
)
from lit_landmarks.settings import Task
from lit_landmarks.training.records import record_faces
from lit_landmarks.training.run_directory import RunDirectory, write_json
from lit_landmarks.training.wandb_logging import WandbOptions

_DESCRIPTION = """Draws NME against mean multiply-adds for runs of a cascade, such as MuSiCa with
different patches: every face cut after the same stage, and faces that leave when their predicted
error is low. Thresholds are chosen on the validation sets and measured there and on the test sets.
Writes tradeoff.json, a plot for each data set and an offline W&B run into --output.

  python -m lit_landmarks tradeoff --run runs/musica-synthetic-001
  python -m lit_landmarks tradeoff --run RUN68 --run RUN34 --run RUN19 --output curve"""


def run(arguments: list[str]) -> int:
    """Runs the verb."""
    parser = verb_parser("tradeoff", _DESCRIPTION)
    parser.add_argument("--run", action="append", default=[], type=Path, help="run directory")
    parser.add_argument("--config", "-c", action="append", default=[], type=Path,
                        help="further argument files, such as other data")  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path("tradeoff"), help="folder")
    parser.add_argument("--wandb", choices=["offline", "online", "disabled"], default="offline")
    known, rest = parser.parse_known_args(arguments)
    if not known.run:
        raise UserError("tradeoff needs --run RUN, once for each run; see --help")
    curves: list[TradeOff] = []
    names = [path.resolve().name for path in known.run]
    if len(set(names)) < len(names):
        raise UserError("two runs have the same folder name; rename one")
    for path, name in zip(known.run, names, strict=True):
        curves += _measure(path, name, known.config, rest)
    figures = {
        dataset: trade_off_plot([c for c in curves if c.dataset == dataset])
        for dataset in dict.fromkeys(c.dataset for c in curves)
    }
    for dataset, figure in figures.items():
        save_figure(figure, known.output / f"{dataset.replace('/', '_')}.png")
    write_json(known.output / "tradeoff.json", {"curves": as_dicts(curves)})
    track_trade_off(
        curves, figures, WandbOptions(mode=known.wandb), RunDirectory(known.output),
        {"runs": [str(path) for path in known.run]},
    )  # fmt: skip
    _print(curves)
    Console(highlight=False, soft_wrap=True).print(f"curves: {known.output}")
    return 0


def _measure(path: Path, name: str, configs: list[Path], rest: list[str]) -> list[TradeOff]:
    words = [f"--run={path}", *(f"--config={c}" for c in configs), *rest]
    method, data = Task.from_arguments("validate", words).load_trained()
    if not isinstance(method, AdaptiveModule) or len(method.stop_below) < 1:
        raise UserError(f"{path} is a {type(method).__name__} of one stage; give runs of a cascade")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    records = {role: record_faces(method, data, role, device, f"{name}, {role}")
               for role in ("val", "test") if data.sets[role]}  # fmt: skip
    return trade_off(name, records["val"], by_set(records))


def _print(curves: list[TradeOff]) -> None:
    table = Table(title="NME (%) at a mean cost of MMA", title_justify="left")
    for column in ("run", "set", "all faces alike", "early stop within 1 % of the best NME"):
        table.add_column(column, no_wrap=column in ("run", "set"))
    for curve in curves:
        cuts = zip(curve.cut_mma, curve.cut_nme, strict=True)
        alike = ", ".join(f"{nme:.2f} at {mma:.1f}" for mma, nme in cuts)
        stops = list(zip(curve.stop_mma, curve.stop_nme, strict=True))
        enough = 1.01 * min(nme for _, nme in stops)
        mma, nme = min((m, n) for m, n in stops if n <= enough)
        table.add_row(curve.run, curve.dataset, alike, f"{nme:.2f} at {mma:.1f}")
    Console().print(table)
