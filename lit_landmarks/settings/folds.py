"""`fit --folds K`: one fit for each fold of the training faces, and the mean and spread over them.

    RUN/fold-1 ... RUN/fold-K   runs like any other; fold k validates in the k-th
    RUN/folds.json              mean and standard deviation (n - 1) of each figure over the folds

The same command goes on where it was interrupted: finished folds are read, one that was begun is
resumed.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lit_landmarks.console import plain_console
from lit_landmarks.errors import UserError
from lit_landmarks.settings.request import Request
from lit_landmarks.settings.task import Task
from lit_landmarks.training.baseline import MEAN_SHAPE
from lit_landmarks.training.callbacks import MONITOR
from lit_landmarks.training.run_directory import RunDirectory, refuse_used_folder, write_json

#: The summary beside the folds' runs.
SUMMARY = "folds.json"


def fit_folds(request: Request) -> dict[str, Any]:
    """Trains and measures every fold.

    Args:
        request: a fit with `folds` and a `run`.

    Returns:
        The content of folds.json.

    Raises:
        UserError: bad settings or data; folds of other settings are in the folder; several devices.
    """
    assert request.folds is not None
    assert request.run is not None
    base, count = request.run, request.folds
    if not (base / "fold-1").is_dir():
        refuse_used_folder(base)
    seed = Task(_request_of(request, 1, None)).seed
    results = []
    for number in range(1, count + 1):
        plain_console().print(f"fold {number} of {count}")
        results.append(_fit_fold(_request_of(request, number, seed + number - 1)))
    summary = {
        "format": 1,
        "folds": count,
        "runs": [f"fold-{number}" for number in range(1, count + 1)],
        "command": request.command(),
        "metrics": summarize([result["metrics"] for result in results]),
    }
    write_json(base / SUMMARY, summary)
    for line in describe_summary(summary):
        plain_console().print(line)
    plain_console().print(f"results: {base / SUMMARY}")
    return summary


def summarize(
    metrics: Sequence[Mapping[str, float | None]],
) -> dict[str, dict[str, Any]]:
    """Mean, standard deviation (n - 1) and values over folds of the figures that all folds have.

    Example:
        >>> summarize([{"val/nme": 4.0, "a": None}, {"val/nme": 6.0, "a": 1.0}])["val/nme"]["mean"]
        5.0
    """
    figures: dict[str, dict[str, Any]] = {}
    for key in metrics[0]:
        values = [fold.get(key) for fold in metrics]
        numbers = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
        if len(numbers) < len(values):
            continue
        mean = math.fsum(numbers) / len(numbers)
        variance = math.fsum((v - mean) ** 2 for v in numbers) / max(len(numbers) - 1, 1)
        figures[key] = {"mean": mean, "std": math.sqrt(variance), "values": numbers}
    return figures


def describe_summary(summary: Mapping[str, Any]) -> list[str]:
    """A line for the NME, and for that of the mean shape, over all folds.

    Example:
        >>> describe_summary({"folds": 2, "metrics": {"val/nme": {"mean": 5.0, "std": 1.41421}}})
        ['val/nme 5.00 ± 1.41 over 2 folds']
    """
    lines = []
    for key in (MONITOR, f"val/{MEAN_SHAPE}"):
        if (figure := summary["metrics"].get(key)) is not None:
            spread = f"{figure['mean']:.2f} ± {figure['std']:.2f}"
            lines.append(f"{key} {spread} over {summary['folds']} folds")
    return lines


def _request_of(request: Request, number: int, seed: int | None) -> Request:
    """The fit of one fold; the seed is that of the settings where it is None."""
    assert request.run is not None
    overrides = [*request.overrides, f"--data.init_args.fold={number}/{request.folds}"]
    overrides += [] if seed is None else [f"--seed_everything={seed}"]
    run = request.run / f"fold-{number}"
    return replace(request, run=run, overrides=overrides, folds=None)


def _fit_fold(request: Request) -> dict[str, Any]:
    """Trains one fold, or goes on with it, or reads what it gave."""
    assert request.run is not None
    run, task = RunDirectory(request.run), Task(request)
    if str(task.settings["trainer"]["devices"]) not in ("1", "auto"):
        raise UserError("--folds trains one fold after the other; set --trainer.devices 1")
    if task.settings["max_mma"] is not None:
        raise UserError("--max_mma is for a single fit; remove it, and count with `profile`")
    if run.config.is_file() and run.config.read_text(encoding="utf-8") != task.resolved:
        raise UserError(
            f"{run.config} has other settings than this command; choose another --run, or remove"
            f" {Path(run.root).parent}"
        )
    if run.result.is_file():
        plain_console().print(f"finished before: {run.result}")
        return run.read_result()
    if run.last.is_file():
        return Task(Request("fit", configs=[run.config], resume=run)).fit()
    if run.root.is_dir():  # killed before its first epoch had ended
        shutil.rmtree(run.root)
    return task.fit()
