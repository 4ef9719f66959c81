"""Comparison of search samplers on one budgeted study, at an equal number of trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from lit_landmarks.console import print_figures
from lit_landmarks.errors import UserError
from lit_landmarks.search.samplers import RunStudy, SamplerFigures, compare_samplers
from lit_landmarks.training.run_directory import write_json


def bench_samplers(
    file: Path,
    samplers: Sequence[str],
    seeds: int,
    trials: int | None,
    folder: Path,
    run_study: RunStudy,
) -> list[SamplerFigures]:
    """Runs the studies and writes their figures to FOLDER/samplers.json.

    Args:
        file: sweep file.
        samplers: names of classes of `optuna.samplers`.
        seeds: studies of each sampler.
        trials: trials of each study; None for the file's.
        folder: where the studies go.
        run_study: runs the study of a sweep file in a folder, or goes on with it.

    Raises:
        UserError: no seed, no trial, or what `compare_samplers` refuses.
    """
    if seeds < 1 or (trials is not None and trials < 1):
        raise UserError("bench samplers needs --seeds and --trials of 1 or more")
    figures = compare_samplers(file, samplers, seeds, trials, folder, run_study)
    write_json(folder / "samplers.json", {"sweep": str(file), "samplers": as_dict(figures)})
    return figures


def as_dict(figures: Sequence[SamplerFigures]) -> dict[str, dict[str, Any]]:
    """Plain values for JSON, by sampler."""
    return {f.sampler: asdict(f) for f in figures}


def print_samplers(figures: Sequence[SamplerFigures], console: Console) -> None:
    """Prints a table with the medians over the seeds."""
    rows = [
        (
            f.sampler,
            len(f.best),
            f.trials,
            f"{f.median('best'):.2f}",
            f"{f.median('halfway'):.2f}",
            f"{f.median('feasible'):.0f}",
        )
        for f in figures
    ]
    columns = ("sampler", "seeds", "trials", "best", "best, half way", "within limits, %")
    print_figures("medians over seeds", columns, rows, console=console)
