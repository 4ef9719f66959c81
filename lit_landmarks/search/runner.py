"""Workers of a study: run trials until the total is reached, in one process or in several."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import optuna
import torch
from optuna.trial import FrozenTrial, TrialState

from lit_landmarks.errors import UserError
from lit_landmarks.search.attributes import OWNER, TWIN, WHY
from lit_landmarks.search.budget import (
    AGAIN,
    STOPPED,
    VOID,
    has_room,
    is_spent,
    is_void,
    list_counted_trials,
)
from lit_landmarks.search.cleanup import Cleanup
from lit_landmarks.search.enqueue import enqueue_entries, is_repeated_entry
from lit_landmarks.search.exhausted import is_exhausted
from lit_landmarks.search.judged import JudgedStudy
from lit_landmarks.search.minimum import fix_method
from lit_landmarks.search.quiet import QuietTime
from lit_landmarks.search.requeue import Requeue, is_second_copy
from lit_landmarks.search.space import Sweep
from lit_landmarks.search.study import StudyFolder
from lit_landmarks.search.task_runner import TaskRunner
from lit_landmarks.search.trial import Costs, Fit, TrialRunner
from lit_landmarks.search.workers import NUMBER, PARENT, Worker

__all__ = [
    "describe_outcome",
    "interrupt_on_sigterm",
    "list_counted_trials",
    "requeue_dead",
    "run_trials",
    "spawn_workers",
]

#: A worker stops after so many consecutive trials that failed for the same reason: most likely a
#: mistake in the settings, which would fail all others too.
MOST_ALIKE = 3
#: Numbers with their unit, and ids of hexadecimal digits: they differ among failures alike.
_NUMBERS = re.compile(
    r"0x[0-9a-f]+|\d[\d.,]*(?:\s?(?:[KMGT]i?B|bytes|m?s)\b)?(?![0-9a-f])|\b[0-9a-f]*\d[0-9a-f]*\b"
)
#: Seconds between two looks at the trials of others, once no trial is left to begin.
POLL = 2.0
Report = Callable[[FrozenTrial], None]


def requeue_dead(study: optuna.Study, folder: StudyFolder) -> int:
    """Queues the trials of dead workers again; each goes on from its last checkpoint.

    Returns:
        Number of queued trials.
    """
    return Requeue(study, folder, folder.sweep())()


@contextlib.contextmanager
def interrupt_on_sigterm() -> Iterator[None]:
    """Context in which SIGTERM, which schedulers send to end a job, acts as Ctrl-C does."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_trials(
    sweep: Sweep,
    folder: StudyFolder,
    study: JudgedStudy,
    report: Report,
    total: int | None = None,
    fit: Fit | None = None,
    costs: Costs | None = None,
) -> None:
    """Runs trials until as many count as the sweep asks for, or hours or epochs are used up.

    A sampler that has tried everything ends the work as well.

    A worker that has reached the total waits for the trials of the others: should one of them die,
    its trial goes on here.

    Args:
        sweep: the sweep.
        folder: its folder.
        study: its storage.
        report: called with each finished trial.
        total: number of trials; None for the sweep's.
        fit: trains one fit, see `trial.Fit`; None for a `TaskRunner`'s.
        costs: counts costs, see `trial.Costs`; None for a `TaskRunner`'s.

    Raises:
        UserError: trials fail alike, a disk is full, or a database stays away.
    """
    target = sweep.trials if total is None else total
    requeue = Requeue(study, folder, sweep)
    tasks = TaskRunner(sweep, folder)
    track = tasks.track if fit is None else None
    with (
        interrupt_on_sigterm(),
        _freeze_objects(),
        folder.worker(study, sweep) as worker,
        _take_turns(sweep, folder) as quiet,
    ):
        runner = TrialRunner(
            sweep, folder, study, worker, fit or tasks.fit, costs or tasks.costs, quiet, track
        )
        alike = _AlikeFailures(folder, study, worker)
        clean_up = Cleanup(folder, study, sweep.keep)
        while not is_spent(sweep, study):
            requeue()
            enqueue_entries(study, sweep.enqueue)
            full = not has_room(sweep, target, list_counted_trials(study))
            if full or is_exhausted(sweep, study):
                if not _others_are_running(study, worker):
                    return
                time.sleep(min(POLL, sweep.heartbeat))
                continue
            trial = _ask_trial(sweep, study, target)
            if trial is None:
                continue
            runner.run(trial)
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            done = study.get_trials(deepcopy=False)[trial.number]
            if done.user_attrs.get(OWNER) == worker.name and done.state.is_finished():
                report(done)
                clean_up()
                alike.add(done)


def _ask_trial(sweep: Sweep, study: JudgedStudy, target: int) -> optuna.Trial | None:
    """Asks the study for the next trial; None if other workers took the last ones meanwhile."""
    with warnings.catch_warnings():
        # Optuna warns that `ask` sends no heartbeats; ours do (`workers.py`).
        warnings.simplefilter("ignore")
        trial = study.ask()
    second = is_second_copy(study, trial) or is_repeated_entry(study, trial)
    too_many = "queued twice" if second else None
    if AGAIN not in trial.user_attrs and too_many is None:
        before = [t for t in list_counted_trials(study) if t.number < trial.number]
        too_many = None if has_room(sweep, target, before) else "the study was full"
    if too_many is None:
        fix_method(sweep, study, trial)
        return trial
    trial.set_user_attr(VOID, too_many)
    study.tell(trial, state=TrialState.FAIL)
    return None


def _others_are_running(study: optuna.Study, worker: Worker) -> bool:
    trials = study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING))
    return any(t.user_attrs.get(OWNER) != worker.name for t in trials if t.state.name == "RUNNING")


@contextlib.contextmanager
def _freeze_objects() -> Iterator[None]:
    """Excludes the objects that exist now from garbage collection, which makes it cheap.

    Modules and trainers form reference cycles, so memory is collected after each trial. Visiting
    the objects of the libraries as well would take half a second each time.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def _take_turns(sweep: Sweep, folder: StudyFolder) -> Iterator[QuietTime | None]:
    """The study's turns between trainings and measurements; None where no limit is on latency."""
    if not sweep.timed:
        yield None
        return
    quiet = QuietTime(folder.root)
    try:
        yield quiet
    finally:
        quiet.close()


class _AlikeFailures:
    """Counter of consecutive trials of this worker that failed for the same reason."""

    def __init__(self, folder: StudyFolder, study: optuna.Study, worker: Worker) -> None:
        self._folder, self._study, self._worker = folder, study, worker
        self._why = ""
        self._numbers: list[int] = []

    def add(self, trial: FrozenTrial) -> None:
        """Counts a finished trial.

        Raises:
            UserError: `MOST_ALIKE` trials in a row have failed for the same reason.
        """
        reason = describe_outcome(trial) if trial.state == TrialState.FAIL else ""
        text = _NUMBERS.sub("#", reason)
        if text != self._why:
            self._numbers = []
        self._why = text
        self._numbers += [trial.number] if reason else []
        if len(self._numbers) >= MOST_ALIKE:
            # One key for each worker: two may stop at the same moment.
            self._study.set_user_attr(f"{STOPPED}{self._worker.name}", self._numbers)
            raise UserError(
                f"{MOST_ALIKE} trials in a row failed alike: {reason}; correct that (settings are "
                f"in {self._folder.file}), then continue with `sweep resume {self._folder.root}`"
            )


def spawn_workers(
    folder: StudyFolder,
    count: int,
    total: int,
    is_over: Callable[[Sweep, StudyFolder, JudgedStudy], bool] = lambda *_: True,
) -> None:
    """Starts workers on this machine and waits for all; Ctrl-C and SIGTERM end them too.

    Args:
        folder: folder of the study.
        count: number of workers.
        total: number of trials.
        is_over: whether what follows the search has ended too.

    Raises:
        UserError: workers failed, and the others did not do their work.
    """
    command = [sys.executable, "-m", "lit_landmarks", "sweep", "resume", str(folder.root)]
    command += ["--trials", str(total), "--keep-running"]
    with interrupt_on_sigterm():
        # In a session of their own, Ctrl-C reaches them once, from here.
        workers = [
            subprocess.Popen(command, env=_make_environment(number, count), start_new_session=True)
            for number in range(count)
        ]
        try:
            codes = [worker.wait() for worker in workers]
        except KeyboardInterrupt:
            for worker in workers:
                # Not SIGINT: one that was started in the background of a shell ignores it.
                worker.terminate()
            for worker in workers:
                worker.wait()
            raise
    sweep = folder.sweep()
    study = folder.open(sweep)
    done = [t for t in list_counted_trials(study) if t.state.is_finished()]
    searching = has_room(sweep, total, done) and not is_spent(sweep, study)
    if any(codes) and (searching or not is_over(sweep, folder, study)):
        raise UserError(
            f"{sum(map(bool, codes))} of {count} workers failed; see above, then continue with "
            f"`sweep resume {folder.root}`"
        )


def _make_environment(number: int, count: int) -> dict[str, str]:
    """Environment variables of a worker: its number, its share of the cores, its GPU."""
    threads = str(max(1, (os.cpu_count() or 1) // count))
    own = {NUMBER: str(number), PARENT: str(os.getpid())}
    devices = torch.cuda.device_count() if "CUDA_VISIBLE_DEVICES" not in os.environ else 0
    if devices > 1:
        own["CUDA_VISIBLE_DEVICES"] = str(number % devices)
    return {"OMP_NUM_THREADS": threads, **os.environ, **own}


def describe_outcome(trial: FrozenTrial) -> str:
    """Outcome of a trial as a short phrase, such as "within the limits" or its error."""
    if trial.state == TrialState.COMPLETE:
        broken = [name for name, value in trial.constraints.items() if value > 0]
        outcome = f"breaks {', '.join(broken)}" if broken else "within the limits"
        twin = trial.user_attrs.get(TWIN)
        return outcome if twin is None else f"{outcome}; same settings as trial {twin}"
    if is_void(trial):
        return str(trial.user_attrs[VOID])
    if trial.state == TrialState.RUNNING:
        return "running"
    return str(trial.user_attrs.get(WHY) or trial.state.name.lower())
