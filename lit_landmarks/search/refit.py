"""The best settings of a study as an argument file, and fits of them with other seeds."""

from __future__ import annotations

import hashlib
import itertools
import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import FrozenTrial

from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.reports.entries import flatten, read_config
from lit_landmarks.search.attributes import RUN
from lit_landmarks.search.judged import JudgedStudy
from lit_landmarks.search.runner import describe_outcome
from lit_landmarks.search.space import Sweep
from lit_landmarks.search.study import StudyFolder, find_best_feasible
from lit_landmarks.search.watch import insert_measured_mma
from lit_landmarks.settings import Task
from lit_landmarks.settings.composition import read_yaml
from lit_landmarks.training.run_directory import RunDirectory

Tree = dict[str, Any]


def choose_trial(folder: StudyFolder, study: JudgedStudy, number: int | None = None) -> FrozenTrial:
    """Chooses the best trial within the limits of `study`, or the one of that number.

    Raises:
        UserError: no trial was trained within the limits, or that one was not trained.
    """
    if number is None:
        best = find_best_feasible(study)
        if best is None:
            limits = ", ".join(map(str, study.limits)) or "its limits"
            raise UserError(
                f"{folder.root} has no trial within {limits}; loosen them, or run more trials"
            )
        return best
    trials = study.get_trials(deepcopy=False)
    if not 0 <= number < len(trials):
        raise UserError(f"{folder.root} has no trial {number}; give 0 to {len(trials) - 1}")
    if RUN not in trials[number].user_attrs:
        outcome = describe_outcome(trials[number])
        raise UserError(
            f"trial {number} of {folder.root} was not trained ({outcome}); `sweep status` lists all"
        )
    return trials[number]


def write_best(sweep: Sweep, folder: StudyFolder, trial: FrozenTrial, output: Path) -> Tree:
    """Writes a trial's settings, with those of the refit, as an argument file.

    Args:
        sweep: the sweep.
        folder: its folder.
        trial: the trial.
        output: the file.

    Returns:
        The settings.

    Raises:
        UserError: the trial's run is not on this machine.
    """
    runs = folder.runs(trial, sweep)
    if not runs or not RunDirectory(runs[0]).config.is_file():
        run = trial.user_attrs.get(RUN)
        raise UserError(f"the run {run} is not on this machine; give this command where it is")
    tree: Tree = read_yaml(RunDirectory(runs[0]).config)
    for key, value in sweep.refit.items():
        set_dotted(tree, key, value)
    # A fit of these settings is no trial of the study.
    tree["wandb"] |= {"group": None, "name": None, "job_type": "fit"}
    write_atomic(output, yaml.safe_dump(tree, sort_keys=False))
    return tree


def train_with_seeds(
    sweep: Sweep, folder: StudyFolder, number: int, tree: Tree, config: Path, seeds: Iterable[int]
) -> Iterator[float]:
    """Trains settings once for each seed, and yields the objective of each.

    Args:
        sweep: the sweep.
        folder: its folder.
        number: number of the trial that has these settings.
        tree: the settings.
        config: argument file with these settings.
        seeds: the seeds.
    """
    for seed in seeds:
        run = choose_refit_folder(folder.root / "refit", number, seed, tree)
        tags = [*(tree["wandb"].get("tags") or ()), sweep.name]
        yield _refit(sweep, run, config, seed, tags)


def list_selection_seeds(sweep: Sweep, folder: StudyFolder, trial: FrozenTrial) -> list[int]:
    """Lists the seeds with which a trial was trained, by whose figures it was selected."""
    if sweep.seeds:
        return list(sweep.seeds)
    config = read_yaml(RunDirectory(folder.runs(trial, sweep)[0]).config)
    return [int(config["seed_everything"])]


def choose_refit_seeds(selection: Sequence[int], count: int) -> list[int]:
    """Chooses seeds for refits, without those of the selection.

    What was selected by its figure is better by chance with that seed than with others.

    Example:
        >>> choose_refit_seeds([0], 3)
        [1, 2, 3]
    """
    return list(itertools.islice((s for s in itertools.count() if s not in selection), count))


def choose_refit_folder(folder: Path, number: int, seed: int, tree: Tree) -> Path:
    """Chooses the run directory of a refit; different settings have different folders.

    Args:
        folder: folder of the refits.
        number: number of the trial.
        seed: seed of the refit.
        tree: settings of the trial.
    """
    digest = hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode()).hexdigest()
    new = folder / f"{number:04d}-{digest[:8]}-seed{seed}"
    # Earlier versions wrote no digest into the name.
    old = RunDirectory(folder / f"{number:04d}-seed{seed}")
    if new.exists() or not old.config.is_file():
        return new
    same = _drop_seeds(read_config(old.config)) == _drop_seeds(flatten(tree))
    return old.root if same else new


def _drop_seeds(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without seeds and W&B names, which refits of one trial share."""
    seeds = ("seed_everything", "data.init_args.seed")
    return {k: v for k, v in settings.items() if k not in seeds and not k.startswith("wandb.")}


def _refit(sweep: Sweep, root: Path, config: Path, seed: int, tags: list[str]) -> float:
    """Objective of a refit, which is read if it has ended, else resumed or begun."""
    name, run = root.name, RunDirectory(root)
    result: dict[str, Any]
    if run.result.is_file():
        result = run.read_result()
    elif run.last.is_file():
        result = Task.from_arguments("fit", ["--resume", str(run.root)]).fit((), sweep.monitor)
    else:
        overrides = [f"--seed_everything={seed}", f"--wandb.group={sweep.name}-refit"]
        overrides += [f"--wandb.name={sweep.name}-{name}", "--wandb.job_type=refit"]
        overrides += [f"--wandb.tags={json.dumps(list(dict.fromkeys(tags)))}"]
        result = Task.from_files([config], overrides, run.root).fit((), sweep.monitor)
    value = insert_measured_mma({**result["metrics"]}).get(sweep.objective)
    if value is None:
        raise UserError(f"{run.root} logged no {sweep.objective}; look at its result.json")
    return float(value)


def set_dotted(tree: Tree, key: str, value: Any) -> None:
    """Sets a dotted key of nested settings, in place."""
    *parents, last = key.split(".")
    for name in parents:
        tree = tree.setdefault(name, {})
    tree[last] = value


def format_mean_and_deviation(values: list[float]) -> str:
    """Formats mean and sample standard deviation, `3.210 ± 0.045`; one value as it is."""
    if len(values) < 2:
        return f"{values[0]:.3f}"
    return f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}"
