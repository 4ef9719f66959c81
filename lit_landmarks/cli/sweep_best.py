"""`sweep best`: the best settings as an argument file, and how they do with other seeds."""

from __future__ import annotations

import hashlib
import json
import statistics
from pathlib import Path
from typing import Any

import yaml

from lit_landmarks import search
from lit_landmarks.cli.train import fit
from lit_landmarks.console import plain_console
from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.reports.entries import flatten, read_config
from lit_landmarks.training.run_directory import RunDirectory


def best(
    sweep: search.Sweep,
    folder: search.StudyFolder,
    study: search.Study,
    output: Path | None,
    refits: int,
) -> int:
    """Writes the best settings and refits them.

    Args:
        sweep: the sweep.
        folder: its folder.
        study: its storage.
        output: file; None for STUDY/best.yaml.
        refits: number of seeds.

    Raises:
        UserError: no trial within the limits, or its run is gone.
    """
    found = search.best_feasible(study)
    if found is None:
        raise UserError(
            f"{folder.root} has no trial within its limits; loosen them, or run more trials"
        )
    runs = folder.runs(found, sweep)
    if not runs or not RunDirectory(runs[0]).config.is_file():
        told = found.user_attrs.get(search.RUN)
        raise UserError(f"the run {told} is not on this machine; give this command where it is")
    tree = yaml.safe_load(RunDirectory(runs[0]).config.read_text(encoding="utf-8"))
    for key, value in sweep.refit.items():
        put(tree, key, value)
    # A fit of these settings is no trial of the study.
    tree["wandb"] |= {"group": None, "name": None}
    target = output or folder.root / "best.yaml"
    write_atomic(target, yaml.safe_dump(tree, sort_keys=False))
    console = plain_console()
    console.print(f"trial {found.number}, {sweep.objective} {found.value:.3f}: {target}")
    if refits:
        values = []
        for seed in range(refits):
            run = refit_folder(folder.root / "refit", found.number, seed, tree)
            values.append(_refit(sweep, run, target, seed))
        console.print(f"{sweep.objective} with {refits} seeds: {mean_and_deviation(values)}")
    return 0


def refit_folder(folder: Path, number: int, seed: int, tree: dict[str, Any]) -> Path:
    """Where a refit of these settings is, or goes; other settings have a folder of their own.

    Args:
        folder: of the refits.
        number: of the trial.
        seed: of the refit.
        tree: its settings.
    """
    digest = hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode()).hexdigest()
    own = folder / f"{number:04d}-{digest[:8]}-seed{seed}"
    # Without a digest in its name it was made by an earlier version.
    before = RunDirectory(folder / f"{number:04d}-seed{seed}")
    if own.exists() or not before.config.is_file():
        return own
    same = _told(read_config(before.config)) == _told(flatten(tree))
    return before.root if same else own


def _told(settings: dict[str, Any]) -> dict[str, Any]:
    """What two refits of one kind share."""
    seeds = ("seed_everything", "data.init_args.seed")
    return {k: v for k, v in settings.items() if k not in seeds and not k.startswith("wandb.")}


def _refit(sweep: search.Sweep, root: Path, config: Path, seed: int) -> float:
    """The objective of one seed; a refit that is there, or part of it, is not repeated."""
    name, run = root.name, RunDirectory(root)
    result: dict[str, Any]
    if run.result.is_file():
        result = run.read_result()
    elif run.last.is_file():
        result = fit(["--resume", str(run.root)], (), sweep.monitor)
    else:
        words = ["--config", str(config), "--run", str(run.root), f"--seed_everything={seed}"]
        tracking = [f"--wandb.group={sweep.name}-refit", f"--wandb.name={sweep.name}-{name}"]
        result = fit([*words, *tracking], (), sweep.monitor)
    value = search.with_measured({**result["metrics"]}).get(sweep.objective)
    if value is None:
        raise UserError(f"{run.root} logged no {sweep.objective}; look at its result.json")
    return float(value)


def put(tree: dict[str, Any], key: str, value: Any) -> None:
    """Sets a dotted key of nested settings, whatever was there, in place."""
    *parents, last = key.split(".")
    for name in parents:
        tree = tree.setdefault(name, {})
    tree[last] = value


def mean_and_deviation(values: list[float]) -> str:
    """`3.210 ± 0.045`, the deviation of a sample; of one value only itself."""
    if len(values) < 2:
        return f"{values[0]:.3f}"
    return f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}"
