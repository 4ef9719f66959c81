"""Comparison of samplers: one study, several seeds, an equal number of trials for each."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
import yaml

from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.search.objectives import first_value
from lit_landmarks.search.runner import list_counted_trials
from lit_landmarks.search.study import StudyFolder, find_best_feasible, is_feasible
from lit_landmarks.search.sweep_file import read_sweep, with_absolute_bases

#: Runs or resumes the study of a sweep file in a folder until its total is reached.
RunStudy = Callable[[Path, Path], None]


@dataclass(frozen=True)
class SamplerFigures:
    """Results of one sampler, a value for each seed.

    Attributes:
        sampler: class of the sampler.
        trials: trials of each study.
        best: best objective within the limits; NaN where there was none.
        feasible: percent of the trials that kept every limit.
        halfway: `best` after half of the trials.

    Example:
        >>> SamplerFigures("TPESampler", 8, (3.0, 4.0, 5.0), (50.0,) * 3, (6.0,) * 3).median("best")
        4.0
    """

    sampler: str
    trials: int
    best: tuple[float, ...]
    feasible: tuple[float, ...]
    halfway: tuple[float, ...]

    def median(self, name: str) -> float:
        """Median over the seeds of "best", "feasible" or "halfway"; no best counts as infinite."""
        values = [math.inf if math.isnan(v) else v for v in getattr(self, name)]
        return statistics.median(values)


def compare_samplers(
    file: Path, samplers: Sequence[str], seeds: int, trials: int | None, folder: Path, run: RunStudy
) -> list[SamplerFigures]:
    """Runs the study once for each sampler and seed; finished studies are read, not run again.

    Args:
        file: sweep file; the arguments of its sampler, except for the seed, are not used.
        samplers: names of classes of `optuna.samplers`.
        seeds: number of seeds, 0, 1 and so on.
        trials: total of each study; None for the file's.
        folder: where the studies go.
        run: runs one study.

    Raises:
        UserError: a bad sweep file, an unknown sampler, or a study that does not start.
    """
    read_sweep(file)
    wrong = next((name for name in samplers if not hasattr(optuna.samplers, name)), None)
    if wrong is not None:
        raise UserError(f"no sampler '{wrong}' in optuna.samplers; take TPESampler, for example")
    figures = []
    for name in samplers:
        bests, shares, halves = [], [], []
        for seed in range(seeds):
            root = folder / f"{name}-{seed}"
            file_of_sampler = folder / f"{name}-{seed}.yaml"
            write_atomic(file_of_sampler, _derive_sweep(file, name, seed, trials))
            run(file_of_sampler, root)
            best, half, share, total = _read_figures(StudyFolder(root))
            bests.append(best)
            halves.append(half)
            shares.append(share)
        figures.append(SamplerFigures(name, total, tuple(bests), tuple(shares), tuple(halves)))
    return figures


def _derive_sweep(file: Path, sampler: str, seed: int, trials: int | None) -> str:
    """The text of the sweep file with another sampler."""
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    with_absolute_bases(tree, file.parent)
    tree["sampler"] = {"class": sampler, "arguments": {"seed": seed}}
    tree["name"] = f"{tree.get('name')}-{sampler}-{seed}"
    if trials is not None:
        tree["trials"] = trials
    return yaml.safe_dump(tree, sort_keys=False)


def _read_figures(folder: StudyFolder) -> tuple[float, float, float, int]:
    """Best objective, best after half of the trials, percent of feasible trials, their number."""
    study = folder.open(folder.sweep())
    done = sorted(list_counted_trials(study), key=lambda t: t.number)
    best = find_best_feasible(study)
    sign = -1.0 if folder.sweep().direction == "maximize" else 1.0
    early = [sign * float(first_value(t) or 0.0) for t in done[: len(done) // 2] if is_feasible(t)]
    share = 100 * sum(map(is_feasible, done)) / max(len(done), 1)
    return (
        math.nan if best is None else float(first_value(best) or 0.0),
        sign * min(early) if early else math.nan,
        share,
        len(done),
    )
