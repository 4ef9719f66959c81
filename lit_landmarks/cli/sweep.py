"""`sweep`: a study that looks for the best model within limits on cost."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lit_landmarks import search
from lit_landmarks.cli.parsing import verb_parser
from lit_landmarks.console import plain_console
from lit_landmarks.errors import UserError
from lit_landmarks.search.sweep_yaml import load_sweep_tree

_DESCRIPTION = """Looks for the settings with the best objective within limits on multiply-adds,
parameters, latency or any metric. A sweep file is the whole study; every key of it, workers,
several machines, SLURM and torchrun are explained in lit_landmarks/search/README.md.
The cost of a trial is counted before it is trained; one beyond the limit trains nothing.

  run FILE      start a study; its folder is studies/<name> unless --study names another.
                FILE may be the name of a sweep file that comes with the package.
                A study on a database is joined: give the same command on each machine.
  resume DIR    go on to the same total; trials of dead workers go on from their last checkpoint
  status DIR    table of trials, best within the limits, Pareto front, time left
  best DIR      write the best settings as a config that `fit` takes; --refit trains it anew

  python -m lit_landmarks sweep run smoke
  python -m lit_landmarks sweep run sweeps/smoke.yaml --study studies/two --workers 2
  python -m lit_landmarks sweep best studies/smoke --output best.yaml --refit 3

Keys of a sweep file:
"""


def run(arguments: list[str]) -> int:
    """Runs `sweep run`, `sweep resume`, `sweep status` or `sweep best`."""
    parser = verb_parser("sweep", _DESCRIPTION + search.describe_keys())
    parser.add_argument("part", choices=["run", "resume", "status", "best", "trial"])
    parser.add_argument("path", type=Path, help="sweep file, or folder of a study")
    parser.add_argument("--study", type=Path, help="run: folder of the study")
    parser.add_argument("--trials", type=int, help="total number of trials, instead of the file's")
    parser.add_argument("--workers", type=int, default=1, help="processes on this machine")
    parser.add_argument(
        "--keep-running", action="store_true", help="resume: work beside others, print no table"
    )
    parser.add_argument("--output", type=Path, help="best: file; default STUDY/best.yaml")
    parser.add_argument("--refit", type=int, default=0, help="best: train it with so many seeds")
    parser.add_argument("--json", action="store_true", help="status: as JSON")
    parser.add_argument(
        "--number",
        type=int,
        default=0,
        help="trial: for `sweep run` alone, a fit on several devices",
    )
    options = parser.parse_args(arguments)
    if options.trials is not None and options.trials < 1:
        raise UserError(f"--trials is {options.trials}; give 1 or more")
    if options.workers < 1 or options.refit < 0:
        raise UserError("--workers takes 1 or more, --refit 0 or more")
    if options.part == "run":
        load_sweep_tree(options.path)  # says what is wrong before Optuna and torch are imported
        return _run_study(_create_study(options), options)
    if not (options.path / "sweep.yaml").is_file():
        raise UserError(f"{options.path.resolve()} holds no study; start one with `sweep run FILE`")
    folder = search.StudyFolder(options.path)
    sweep = folder.sweep()
    if options.part == "resume":
        return _run_study(folder, options)
    if options.part == "trial":
        search.run_handed_over(sweep, folder, options.number)
        return 0
    study = folder.open(sweep)
    if options.part == "status":
        return _print_status(sweep, folder, study, options.json)
    return _write_best(sweep, folder, study, options)


def _create_study(options: argparse.Namespace) -> search.StudyFolder:
    """Checks a sweep file, then creates the study's folder, or joins a study on a database."""
    sweep = search.read_sweep(options.path)
    folder = search.StudyFolder(options.study or Path("studies") / sweep.name)
    folder.refuse_if_used(sweep)
    search.check_settings(sweep)
    search.check_metrics(sweep)
    if sweep.shared:
        # A database that cannot be reached leaves no folder behind.
        folder.open(sweep)
    folder.create(sweep)
    return folder


def _run_study(folder: search.StudyFolder, options: argparse.Namespace) -> int:
    """Runs or resumes a study with one or several workers, and reports its end."""
    sweep = folder.sweep()
    study = folder.open(sweep)
    total = sweep.trials if options.trials is None else options.trials
    console = plain_console()
    if not options.keep_running:
        console.print(f"study: {folder.root}")
        again = search.requeue_dead(study, folder)
        if again:
            console.print(f"{again} trials of dead workers go on from their last checkpoint")

    try:
        if options.workers > 1:
            search.spawn_workers(folder, options.workers, total)
        else:
            with search.hide_launcher():
                search.run_trials(
                    sweep,
                    folder,
                    study,
                    lambda trial: console.print(search.format_trial(trial)),
                    total,
                )
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(
            f"interrupted; go on with: python -m lit_landmarks sweep resume {folder.root}"
        ) from error
    if options.keep_running:
        return 0
    _print_status(sweep, folder, study, False)
    from lit_landmarks.cli.study_end import conclude

    conclude(folder, sweep, study)
    return 0


def _print_status(
    sweep: search.Sweep, folder: search.StudyFolder, study: search.Study, as_json: bool
) -> int:
    if as_json:
        print(json.dumps(search.summarize_study(sweep, study, folder), indent=2))
    else:
        search.print_status(sweep, study, folder)
    return 0


def _write_best(
    sweep: search.Sweep,
    folder: search.StudyFolder,
    study: search.Study,
    options: argparse.Namespace,
) -> int:
    """Writes the best settings and trains them with the seeds of --refit."""
    trial = search.find_best_feasible(study)
    if trial is None:
        raise UserError(
            f"{folder.root} has no trial within its limits; loosen them, or run more trials"
        )
    output = options.output or folder.root / "best.yaml"
    tree = search.write_best(sweep, folder, trial, output)
    console = plain_console()
    console.print(f"trial {trial.number}, {sweep.objective} {trial.value:.3f}: {output}")
    if options.refit:
        refits = search.train_with_seeds(sweep, folder, trial.number, tree, output, options.refit)
        figures = search.format_mean_and_deviation(list(refits))
        console.print(f"{sweep.objective} with {options.refit} seeds: {figures}")
    return 0
