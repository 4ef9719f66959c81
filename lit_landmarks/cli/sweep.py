"""`sweep`: a study that looks for the best model within limits on cost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from rich.console import Console

from lit_landmarks import search
from lit_landmarks.cli.parsing import verb_parser
from lit_landmarks.cli.profile import build_method
from lit_landmarks.cli.study_end import conclude
from lit_landmarks.cli.train import fit
from lit_landmarks.compute import count_mma
from lit_landmarks.errors import UserError
from lit_landmarks.files import replacing
from lit_landmarks.search.sweep_file import Branch
from lit_landmarks.search.trial import Settings

_DESCRIPTION = """Looks for the settings with the best objective within limits on multiply-adds,
parameters or any metric. A sweep file is the whole study; its keys are explained in
lit_landmarks/search/sweep_file.py.
The cost of a trial is counted before it is trained; one beyond the limit trains nothing.

  run FILE      start a study; its folder is studies/<name> unless --study says another
  resume DIR    go on to the same total; trials of dead workers go on from their last checkpoint
  status DIR    table of trials, best within the limits, Pareto front
  best DIR      write the best settings as a config that `fit` takes; --refit trains it anew

  python -m lit_landmarks sweep run sweeps/smoke.yaml
  python -m lit_landmarks sweep run sweeps/smoke.yaml --study studies/two --workers 2
  python -m lit_landmarks sweep best studies/smoke --output best.yaml --refit 3"""


def run(arguments: list[str]) -> int:
    """Runs the verb."""
    parser = verb_parser("sweep", _DESCRIPTION)
    parser.add_argument("part", choices=["run", "resume", "status", "best"])
    parser.add_argument("path", type=Path, help="sweep file, or folder of a study")
    parser.add_argument("--study", type=Path, help="run: folder of the study")
    parser.add_argument("--trials", type=int, help="total number of trials, instead of the file's")
    parser.add_argument("--workers", type=int, default=1, help="processes on this machine")
    parser.add_argument("--keep-running", action="store_true",
                        help="resume: leave trials of other workers alone")  # fmt: skip
    parser.add_argument("--output", type=Path, help="best: file; default STUDY/best.yaml")
    parser.add_argument("--refit", type=int, default=0, help="best: train it with so many seeds")
    parser.add_argument("--json", action="store_true", help="status: as JSON")
    known = parser.parse_args(arguments)
    if known.trials is not None and known.trials < 1:
        raise UserError(f"--trials is {known.trials}; give 1 or more")
    if known.workers < 1 or known.refit < 0:
        raise UserError("--workers takes 1 or more, --refit 0 or more")
    if known.part == "run":
        sweep = search.read_sweep(known.path)
        folder = search.StudyFolder(known.study or Path("studies") / sweep.name)
        check_settings(sweep)
        folder.create(sweep)
        return _work(folder, known)
    folder = search.StudyFolder(known.path)
    sweep = folder.sweep()
    if known.part == "resume":
        return _work(folder, known)
    study = folder.open(sweep)
    if known.part == "status":
        return _status(sweep, study, known.json)
    return _best(sweep, folder, study, known)


def _work(folder: search.StudyFolder, known: Any) -> int:
    sweep = folder.sweep()
    study = folder.open(sweep)
    total = sweep.trials if known.trials is None else known.trials
    console = Console(highlight=False, soft_wrap=True)
    if not known.keep_running:
        console.print(f"study: {folder.root}")
        again = search.requeue_dead(study, folder)
        if again:
            console.print(f"{again} trials of dead workers go on from their last checkpoint")
    try:
        if known.workers > 1:
            search.spawn_workers(folder, known.workers, total)
        else:
            search.work(sweep, folder, study, _fit, costs,
                        lambda trial: console.print(search.one_line(trial)), total)  # fmt: skip
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(
            f"interrupted; go on with: python -m lit_landmarks sweep resume {folder.root}"
        ) from error
    if known.keep_running:
        return 0
    _status(sweep, study, False)
    conclude(folder, sweep, study)
    return 0


def _fit(arguments: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
    return fit(arguments, callbacks)


def costs(base: list[Path], settings: list[str]) -> dict[str, float]:
    """Costs of a trial, from the shapes alone."""
    method = build_method(base, settings)
    side = method.frame_size
    return count_mma(method, torch.zeros(1, 3, side, side)).record()


def check_settings(sweep: search.Sweep) -> None:
    """Every method's settings are parsed once, with the first value of each parameter.

    Raises:
        UserError: a parameter or a setting that the configs do not know, or of a wrong type.
    """
    branches = dict(sweep.methods) or {"": Branch((), ())}
    for name, branch in branches.items():
        space = (*branch.space, *sweep.space)
        first = {p.key: p.choices[0] if p.kind == "choice" else
                 int(p.low) if p.kind == "int" else p.low for p in space}  # fmt: skip
        files = [*branch.base, *sweep.base]
        words = Settings((), {**sweep.settings, **first}).words()
        try:
            costs(files, words)
        except UserError as error:
            where = f" (method {name})" if name else ""
            raise UserError(f"{sweep.file}{where}: {error}") from error


def _status(sweep: search.Sweep, study: search.Study, as_json: bool) -> int:
    if as_json:
        print(json.dumps(search.summary(sweep, study), indent=2))
    else:
        search.print_status(sweep, study)
    return 0


def _best(sweep: search.Sweep, folder: search.StudyFolder, study: search.Study, known: Any) -> int:
    best = search.best_feasible(study)
    if best is None:
        raise UserError(
            f"{folder.root} has no trial within its limits; loosen them, or run more trials"
        )
    source = Path(best.user_attrs[search.RUN]) / "config.yaml"
    target = known.output or folder.root / "best.yaml"
    if not source.is_file():
        raise UserError(f"{source} is gone, so the best settings cannot be written; refit by hand")
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"trial {best.number}, {sweep.objective} {best.value:.3f}: {target}")
    for seed in range(known.refit):
        run = folder.root / "refit" / f"{best.number:04d}-seed{seed}"
        fit(["--config", str(target), "--seed_everything", str(seed), "--run", str(run)])
    return 0
