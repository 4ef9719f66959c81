"""`sweep`: a study that looks for the best model within limits on cost."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from pathlib import Path

from lit_landmarks import search
from lit_landmarks.cli.parsing import VerbParser, parse_limits, verb_parser
from lit_landmarks.console import plain_console, prefix_lines
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
                with other seeds than the study's; of several objectives the front is printed,
                and --trial or --limit picks from it

  python -m lit_landmarks sweep run smoke
  python -m lit_landmarks sweep run sweeps/smoke.yaml --study studies/two --workers 2
  python -m lit_landmarks sweep best studies/smoke --output best.yaml --refit 3
  python -m lit_landmarks sweep best studies/smoke --limit "compute/mma <= 25"

Keys of a sweep file:
"""


def run(arguments: list[str]) -> int:
    """Runs `sweep run`, `sweep resume`, `sweep status` or `sweep best`."""
    options = _make_parser().parse_args(arguments)
    _check_options(options)
    if options.part == "run":
        load_sweep_tree(options.path)  # says what is wrong before Optuna and torch are imported
        return _run_study(_create_study(options), options)
    if not (options.path / "sweep.yaml").is_file():
        raise UserError(f"{options.path.resolve()} holds no study; start one with `sweep run FILE`")
    limits = parse_limits(options.limit)
    folder = search.StudyFolder(options.path)
    sweep = folder.sweep()
    if options.part == "resume":
        return _run_study(folder, options)
    if options.part == "trial":
        search.run_handed_over(sweep, folder, options.number)
        return 0
    study = folder.open(sweep)
    if limits:
        study = study.with_limits(limits)
    if options.part == "status":
        return _print_status(sweep, folder, study, options.json)
    return _write_best(sweep, folder, study, options)


def _make_parser() -> VerbParser:
    parser = verb_parser("sweep", _DESCRIPTION + search.describe_keys())
    parser.add_argument("part", choices=["run", "resume", "status", "best", "trial"])
    parser.add_argument("path", type=Path, help="sweep file, or folder of a study")
    parser.add_argument("--study", type=Path, help="run: folder of the study")
    parser.add_argument("--seed", type=int, help="run: seed of the sampler, instead of the file's")
    parser.add_argument("--trials", type=int, help="total number of trials, instead of the file's")
    parser.add_argument("--workers", type=int, default=1, help="processes on this machine")
    parser.add_argument(
        "--keep-running", action="store_true", help="resume: work beside others, print no table"
    )
    parser.add_argument("--output", type=Path, help="best: file; default STUDY/best.yaml")
    parser.add_argument("--refit", type=int, default=0, help="best: train it with so many seeds")
    parser.add_argument("--trial", type=int, metavar="N", help="best: that trial, not the best")
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar='"METRIC <= NUMBER"',
        help="status, best: judge by this limit, instead of the study's on that metric",
    )
    parser.add_argument("--json", action="store_true", help="status: as JSON")
    parser.add_argument(
        "--number",
        type=int,
        default=0,
        help="trial: for `sweep run` alone, a fit on several devices",
    )
    return parser


def _check_options(options: argparse.Namespace) -> None:
    if options.trials is not None and options.trials < 1:
        raise UserError(f"--trials is {options.trials}; give 1 or more")
    if options.workers < 1 or options.refit < 0:
        raise UserError("--workers takes 1 or more, --refit 0 or more")
    if options.seed is not None and options.part != "run":
        raise UserError("--seed is for `sweep run`; the sampler of a study keeps its own")
    if options.trial is not None and options.part != "best":
        raise UserError("--trial is for `sweep best`; --trials is the total of a study")
    if options.limit and (options.part not in ("status", "best") or options.trial is not None):
        raise UserError(
            "--limit is for `sweep status` and `sweep best` without --trial; the limits of a "
            "search are the 'constraints' of its sweep file"
        )


def _describe_seeds(seeds: list[int], selection: list[int]) -> str:
    """Describes the seeds of refits, and that those of the selection are not among them."""
    count = f"{len(seeds)} other seed{'s' if len(seeds) > 1 else ''}"
    listed, chosen = (", ".join(map(str, part)) for part in (seeds, selection))
    return f"{count} ({listed}; the trial was selected with {chosen})"


def _mark_lines() -> contextlib.AbstractContextManager[None]:
    """Context in which the lines of one of several workers begin with its number."""
    number = os.environ.get(search.NUMBER)
    return contextlib.nullcontext() if number is None else prefix_lines(f"[{number}] ")


def _create_study(options: argparse.Namespace) -> search.StudyFolder:
    """Checks a sweep file, then creates the study's folder, or joins a study on a database."""
    sweep = search.read_sweep(options.path)
    folder = search.StudyFolder(options.study or Path("studies") / sweep.name)
    folder.refuse_if_used(sweep)
    search.check_settings(sweep)
    search.check_metrics(sweep)
    search.read_all_earlier(sweep, sweep.warm_start)
    if sweep.shared:
        # A database that cannot be reached leaves no folder behind.
        folder.open(sweep)
    folder.create(sweep, options.seed)
    return folder


def _run_study(folder: search.StudyFolder, options: argparse.Namespace) -> int:
    """Runs or resumes a study with one or several workers, and reports its end."""
    sweep = folder.sweep()
    study = folder.open(sweep)
    search.check_continuable(study)
    total = sweep.trials if options.trials is None else options.trials
    console = plain_console()
    if not options.keep_running:
        console.print(f"study: {folder.root}")
        for line in search.start_warm(sweep, study):
            console.print(f"warm start from {line}", markup=False)
        again = search.requeue_dead(study, folder)
        if again:
            console.print(f"{again} trials of dead workers go on from their last checkpoint")

    try:
        if options.workers > 1:
            search.spawn_workers(folder, options.workers, total, search.are_rounds_over)
        else:
            with search.hide_launcher(), _mark_lines():
                search.run_trials(
                    sweep,
                    folder,
                    study,
                    lambda trial: console.print(search.format_trial(trial)),
                    total,
                )
                search.run_rounds(
                    sweep,
                    folder,
                    study,
                    lambda part, trial: console.print(search.format_round_trial(part, trial)),
                )
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(
            f"interrupted; continue with: python -m lit_landmarks sweep resume {folder.root}"
        ) from error
    if options.keep_running:
        return 0
    _print_status(sweep, folder, study, False)
    from lit_landmarks.cli.study_end import conclude

    conclude(folder, sweep, study)
    return 0


def _print_status(
    sweep: search.Sweep, folder: search.StudyFolder, study: search.JudgedStudy, as_json: bool
) -> int:
    if as_json:
        print(json.dumps(search.summarize_study(sweep, study, folder), indent=2))
    else:
        search.print_status(sweep, study, folder)
    return 0


def _write_best(
    sweep: search.Sweep,
    folder: search.StudyFolder,
    study: search.JudgedStudy,
    options: argparse.Namespace,
) -> int:
    """Writes the best settings, which the last finished round has, or those of --trial."""
    if sweep.further and options.trial is None and not options.limit:
        if options.output or options.refit:
            raise UserError(
                f"{folder.root} has several objectives, so none is the best; "
                f"{search.describe_pick(folder)}"
            )
        search.print_front(study, folder)
        return 0
    last = None if options.trial is not None else search.find_last_finished(sweep, folder, study)
    output = options.output or folder.root / "best.yaml"
    console = plain_console()
    if last is None:
        trial = search.choose_trial(folder, study, options.trial)
        tree = search.write_best(sweep, folder, trial, output)
        console.print(f"{search.format_trial(trial)}: {output}")
    else:
        trial = last.candidate
        tree = search.write_best(last.part.sweep, last.part.folder, last.trial, output)
        console.print(f"{search.format_round_trial(last.part, last.trial)}: {output}")
    if options.refit:
        selection = (
            search.list_selection_seeds(sweep, folder, trial)
            if last is None
            else search.list_all_seeds(sweep, last.part.number)
        )
        seeds = search.choose_refit_seeds(selection, options.refit)
        refits = search.train_with_seeds(sweep, folder, trial.number, tree, output, seeds)
        figures = search.format_mean_and_deviation(list(refits))
        console.print(f"{sweep.objective} with {_describe_seeds(seeds, selection)}: {figures}")
    return 0
