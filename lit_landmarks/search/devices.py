"""A trial on several devices, whose fit runs in a command of its own.

Lightning starts the other ranks by repeating the command line, which must therefore not be that of
the study. The worker hands the fit over in a file, waits, and stays the one that speaks to the
study; the fit reports and prunes from rank 0, and all ranks stop together.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna

from lit_landmarks.errors import UserError, first_line
from lit_landmarks.search.study import StudyFolder
from lit_landmarks.search.sweep_file import Sweep
from lit_landmarks.search.watch import TrialWatch
from lit_landmarks.search.workers import LostTrialError
from lit_landmarks.settings import Task
from lit_landmarks.training.divergence import Diverged
from lit_landmarks.training.ranks import is_follower
from lit_landmarks.training.run_directory import RunDirectory, write_json

#: Seconds that ranks have to end before they are killed.
_PATIENCE = 30


def is_multi_device(devices: Any) -> bool:
    """Whether a value of `trainer.devices` asks for several devices; `auto` and -1 do not.

    A trial has one device unless a number or a list says otherwise: devices are for workers.
    """
    if isinstance(devices, str) and devices.lstrip("[").split(",")[0].strip("] ").isdigit():
        listed = devices.strip("[]").split(",")
        return len(listed) > 1 or (devices.isdigit() and int(devices) > 1)
    return (
        len(devices) > 1
        if isinstance(devices, list)
        else (isinstance(devices, int) and devices > 1)
    )


def hand_over(folder: StudyFolder, arguments: list[str], watch: TrialWatch) -> dict[str, Any]:
    """Runs a fit in a command of its own, and copies its figures into `watch`.

    Args:
        folder: folder of the study.
        arguments: arguments of `fit`.
        watch: callback of the trial.

    Returns:
        The content of result.json.

    Raises:
        TrialPruned: by the decision of the pruner.
        LostTrialError: the trial was given to another worker.
        UserError: the fit failed.
    """
    assert watch.trial is not None
    job = folder.root / "jobs" / f"{watch.trial.number:04d}.json"
    _end_path(job).unlink(missing_ok=True)
    write_json(
        job,
        {
            "words": arguments,
            "prunes": watch.prunes,
            "details": watch.details,
            "costs": watch.costs,
        },
    )
    command = [sys.executable, "-m", "lit_landmarks", "sweep", "trial", str(folder.root)]
    process = subprocess.Popen(
        [*command, "--number", str(watch.trial.number)], start_new_session=True
    )
    try:
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1)
            watch.check()
    except BaseException:
        _stop_ranks(process)
        raise
    try:
        end = json.loads(_end_path(job).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"training on several devices ended with status {process.returncode}; see above"
        ) from error
    watch.epochs = int(end["epochs"])
    # JSON has no NaN.
    watch.figures = {k: math.nan if v is None else v for k, v in end["figures"].items()}
    if end["end"] == "pruned":
        raise optuna.TrialPruned(end["why"])
    if end["end"] == "lost":
        raise LostTrialError(end["why"])
    if end["end"] == "failed":
        raise UserError(end["why"])
    return RunDirectory(Path(end["run"])).read_result()


def run_handed_over(sweep: Sweep, folder: StudyFolder, number: int) -> None:
    """Runs a fit that `hand_over` has handed over, on every rank.

    Args:
        sweep: the sweep.
        folder: its folder.
        number: number of the trial.

    Raises:
        UserError: nothing was handed over.
    """
    job = folder.root / "jobs" / f"{number:04d}.json"
    if not job.is_file():
        raise UserError(f"{job} is not there; `sweep trial` is for `sweep run` itself to call")
    order = json.loads(job.read_text(encoding="utf-8"))
    trial = None if is_follower() else _open_trial(sweep, folder, number)
    watch = TrialWatch(
        trial, sweep, order["prunes"], details=order["details"], costs=order["costs"]
    )
    arguments = order["words"]
    run = arguments[arguments.index("--resume" if "--resume" in arguments else "--run") + 1]
    end, why = "complete", ""
    try:
        Task.from_arguments("fit", arguments).fit([watch], sweep.monitor, lock=False)
    except (optuna.TrialPruned, Diverged) as pruned:
        end, why = "pruned", str(pruned)
    except LostTrialError as lost:
        end, why = "lost", str(lost)
    except Exception as error:
        if is_follower():
            raise
        end, why = "failed", first_line(error, named=True)
    if not is_follower():
        write_json(
            _end_path(job),
            {"end": end, "why": why, "run": run, "epochs": watch.epochs, "figures": watch.figures},
        )


def _open_trial(sweep: Sweep, folder: StudyFolder, number: int) -> optuna.Trial:
    """Opens the worker's running trial to report to; it suggests no settings."""
    study = folder.open(sweep)
    study.sampler = optuna.samplers.RandomSampler()
    return optuna.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)


def _end_path(job: Path) -> Path:
    return job.with_suffix(".end.json")


def _stop_ranks(process: subprocess.Popen[bytes]) -> None:
    """Ends all ranks; they are one process group."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_PATIENCE)
            return
