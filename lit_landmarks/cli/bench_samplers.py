"""`bench samplers`: the same budgeted study by several samplers, at an equal number of trials."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lit_landmarks.cli import sweep
from lit_landmarks.errors import UserError
from lit_landmarks.search.samplers import SamplerFigures, compare_samplers
from lit_landmarks.training.run_directory import write_json


def run(file: Path | None, names: list[str], seeds: int, trials: int | None,
        folder: Path, as_json: bool) -> int:  # fmt: skip
    """Runs the studies and prints what each sampler came to; figures go to FOLDER/samplers.json."""
    if file is None:
        raise UserError("bench samplers needs --sweep FILE, such as sweeps/samplers.yaml")
    if seeds < 1 or (trials is not None and trials < 1):
        raise UserError("bench samplers needs --seeds and --trials of 1 or more")
    found = compare_samplers(file, names, seeds, trials, folder, _study)
    table = {f.sampler: asdict(f) for f in found}
    write_json(folder / "samplers.json", {"sweep": str(file), "samplers": table})
    if as_json:
        print(json.dumps(table, indent=2))
    else:
        _print(found)
    return 0


def _study(file: Path, folder: Path) -> None:
    begun = (folder / "sweep.yaml").is_file()
    words = ["resume", str(folder)] if begun else ["run", str(file), "--study", str(folder)]
    sweep.run(words)


def _print(found: list[SamplerFigures]) -> None:
    table = Table(title="medians over seeds", title_justify="left")
    for column in ("sampler", "seeds", "trials", "best", "best, half way", "within limits, %"):
        table.add_column(column, justify="left" if column == "sampler" else "right")
    for f in found:
        table.add_row(f.sampler, str(len(f.best)), str(f.trials), f"{f.median('best'):.2f}",
                      f"{f.median('halfway'):.2f}", f"{f.median('feasible'):.0f}")  # fmt: skip
    Console(highlight=False, soft_wrap=True).print(table)
