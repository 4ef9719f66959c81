"""`sweep`: a study that looks for the best model within limits on cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback

from lit_landmarks import search
from lit_landmarks.cli.configs import compose
from lit_landmarks.cli.parsing import read_request, verb_parser
from lit_landmarks.cli.study_end import conclude
from lit_landmarks.cli.sweep_best import best
from lit_landmarks.cli.sweep_check import check_metrics, check_settings, costs
from lit_landmarks.cli.train import fit
from lit_landmarks.console import plain_console
from lit_landmarks.errors import UserError

_DESCRIPTION = """Looks for the settings with the best objective within limits on multiply-adds,
parameters, latency or any metric. A sweep file is the whole study; every key of it, workers,
several machines, SLURM and torchrun are explained in lit_landmarks/search/README.md.
The cost of a trial is counted before it is trained; one beyond the limit trains nothing.

  run FILE      start a study; its folder is studies/<name> unless --study says another.
                A study on a database is joined: give the same command on each machine.
  resume DIR    go on to the same total; trials of dead workers go on from their last checkpoint
  status DIR    table of trials, best within the limits, Pareto front, time left
  best DIR      write the best settings as a config that `fit` takes; --refit trains it anew

  python -m lit_landmarks sweep run sweeps/smoke.yaml
  python -m lit_landmarks sweep run sweeps/smoke.yaml --study studies/two --workers 2
  python -m lit_landmarks sweep best studies/smoke --output best.yaml --refit 3

Keys of a sweep file:
"""


def run(arguments: list[str]) -> int:
    """Runs the verb."""
    parser = verb_parser("sweep", _DESCRIPTION + search.keys_help())
    parser.add_argument("part", choices=["run", "resume", "status", "best", "trial"])
    parser.add_argument("path", type=Path, help="sweep file, or folder of a study")
    parser.add_argument("--study", type=Path, help="run: folder of the study")
    parser.add_argument("--trials", type=int, help="total number of trials, instead of the file's")
    parser.add_argument("--workers", type=int, default=1, help="processes on this machine")
    parser.add_argument("--keep-running", action="store_true",
                        help="resume: work beside others, print no table")  # fmt: skip
    parser.add_argument("--output", type=Path, help="best: file; default STUDY/best.yaml")
    parser.add_argument("--refit", type=int, default=0, help="best: train it with so many seeds")
    parser.add_argument("--json", action="store_true", help="status: as JSON")
    parser.add_argument("--number", type=int, default=0,
                        help="trial: for `sweep run` alone, a fit on several devices")  # fmt: skip
    known = parser.parse_args(arguments)
    if known.trials is not None and known.trials < 1:
        raise UserError(f"--trials is {known.trials}; give 1 or more")
    if known.workers < 1 or known.refit < 0:
        raise UserError("--workers takes 1 or more, --refit 0 or more")
    if known.part == "run":
        return _work(_begin(known), known)
    folder = search.StudyFolder(known.path)
    sweep = folder.sweep()
    if known.part == "resume":
        return _work(folder, known)
    if known.part == "trial":
        search.run_handed_over(
            sweep, folder, known.number, lambda words, own: fit(words, own, sweep.monitor)
        )
        return 0
    study = folder.open(sweep)
    if known.part == "status":
        return _status(sweep, folder, study, known.json)
    return best(sweep, folder, study, known.output, known.refit)


def _begin(known: Any) -> search.StudyFolder:
    """The folder of a new study, or of one on a database that is joined; all is checked first."""
    sweep = search.read_sweep(known.path)
    folder = search.StudyFolder(known.study or Path("studies") / sweep.name)
    folder.refuse_if_used(sweep)
    check_settings(sweep)
    check_metrics(sweep)
    if sweep.shared:
        # A database that cannot be reached leaves no folder behind.
        folder.open(sweep)
    folder.create(sweep)
    return folder


def _work(folder: search.StudyFolder, known: Any) -> int:
    sweep = folder.sweep()
    study = folder.open(sweep)
    total = sweep.trials if known.trials is None else known.trials
    console = plain_console()
    if not known.keep_running:
        console.print(f"study: {folder.root}")
        again = search.requeue_dead(study, folder)
        if again:
            console.print(f"{again} trials of dead workers go on from their last checkpoint")

    def one_fit(arguments: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        if search.several(_devices(arguments)):
            return search.hand_over(folder, arguments, callbacks[0])  # type: ignore[arg-type]
        return fit([*arguments, "--trainer.devices=1"], callbacks, sweep.monitor)

    try:
        if known.workers > 1:
            search.spawn_workers(folder, known.workers, total)
        else:
            with search.standing_alone():
                search.work(sweep, folder, study, one_fit, costs,
                            lambda trial: console.print(search.one_line(trial)), total)  # fmt: skip
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(
            f"interrupted; go on with: python -m lit_landmarks sweep resume {folder.root}"
        ) from error
    if known.keep_running:
        return 0
    _status(sweep, folder, study, False)
    conclude(folder, sweep, study)
    return 0


def _devices(arguments: list[str]) -> Any:
    """`trainer.devices` of a fit, as it is written; None where nothing says it."""
    given = [word for word in arguments if word.startswith("--trainer.devices=")]
    if given:
        return given[-1].partition("=")[2]
    trainer = compose(read_request("fit", arguments).configs).tree.get("trainer") or {}
    return trainer.get("devices")


def _status(
    sweep: search.Sweep, folder: search.StudyFolder, study: search.Study, as_json: bool
) -> int:
    if as_json:
        print(json.dumps(search.summary(sweep, study, folder), indent=2))
    else:
        search.print_status(sweep, study, folder)
    return 0
