"""Processes that work on a study: their names, their signs of life, and who is dead.

A worker writes a file below the study's folder and touches it; on a database it also records a
heartbeat for its trial. A database may give the trial of a silent worker to another. A worker that
has been cut off for almost as long therefore waits, and goes on only if the trial is still its own.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

import optuna
from optuna.storages._heartbeat import BaseHeartbeat, is_heartbeat_enabled
from optuna.trial import TrialState

from lit_landmarks.files import write_atomic
from lit_landmarks.search.space import Sweep
from lit_landmarks.search.storage import patiently

#: Names of the workers of this process that are at work, and the counter in them.
_ACTIVE: set[str] = set()
_COUNT = itertools.count()
#: Seconds between two looks at the process that started this one.
_LOOK = 2.0
#: Environment of a worker that `sweep --workers` started: its number, the process it follows.
NUMBER, PARENT = "LIT_LANDMARKS_WORKER", "LIT_LANDMARKS_PARENT"


class LostTrialError(Exception):
    """The trial of this worker was given to another one."""


def heartbeat_of(study: optuna.Study) -> BaseHeartbeat | None:
    """The storage where it records heartbeats (a database), else None (a journal)."""
    storage = study._storage
    if is_heartbeat_enabled(storage):
        assert isinstance(storage, BaseHeartbeat)
        return storage
    return None


class Worker:
    """This process, while it works on a study; a context manager.

    Args:
        folder: of the files of workers.
        study: its storage.
        sweep: the sweep, for the intervals.

    Attributes:
        name: host, process, its start, and a counter; no other worker ever has the same.
    """

    def __init__(self, folder: Path, study: optuna.Study, sweep: Sweep) -> None:
        self.name = f"{_host()}-{os.getpid()}-{_started(os.getpid())}.c{next(_COUNT)}"
        self._file = folder / self.name
        self._study = study
        self._storage = heartbeat_of(study)
        self._interval = sweep.heartbeat
        # Less than the grace: others must never start on a trial that still runs here.
        self._lease = 0.8 * sweep.grace
        self._trial: int | None = None
        self._heard = time.monotonic()
        self._doubt = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="sweep-heartbeat")

    def __enter__(self) -> Worker:
        write_atomic(self._file, f"{os.getpid()}\n")
        _ACTIVE.add(self.name)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=5)
        _ACTIVE.discard(self.name)
        with contextlib.suppress(OSError):
            self._file.unlink()

    def takes(self, trial: optuna.Trial) -> None:
        """From now on signs of life are for this trial."""
        self._heard, self._doubt = time.monotonic(), False
        if self._storage is not None:
            storage = self._storage
            patiently(lambda: storage.record_heartbeat(trial._trial_id))
        self._trial = trial._trial_id

    def leaves(self) -> None:
        """The trial has ended."""
        self._trial = None

    def check(self) -> None:
        """Returns while the trial is ours; waits while the database has not heard from us.

        Raises:
            LostTrialError: it was given to another worker.
        """
        trial = self._trial
        if self._storage is None or trial is None:
            return
        if self._fresh() and not self._doubt:
            return
        while not self._fresh():
            self._record()
            if not self._fresh():
                time.sleep(1.0)
        self._doubt = False
        if self._study._storage.get_trial(trial).state != TrialState.RUNNING:
            raise LostTrialError(f"trial {trial} was given to another worker")

    def _fresh(self) -> bool:
        return time.monotonic() - self._heard < self._lease

    def _beat(self) -> None:
        parent, due = os.environ.get(PARENT), time.monotonic()
        while not self._stop.wait(min(self._interval, _LOOK)):
            if time.monotonic() >= due:
                due = time.monotonic() + self._interval
                with contextlib.suppress(OSError):
                    os.utime(self._file)
                self._record()
            if parent is not None and os.getppid() != int(parent):
                # Nobody waits for this worker any more; it ends as if asked to.
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def _record(self) -> None:
        """One sign of life; the next one comes anyway, so an error is not told."""
        trial, before = self._trial, time.monotonic()
        if self._storage is None or trial is None:
            return
        with contextlib.suppress(Exception):
            self._storage.record_heartbeat(trial)
            # Heard again after a long silence: the trial may have been given away meanwhile.
            self._doubt = self._doubt or not self._fresh()
            self._heard = before


def is_alive(folder: Path, owner: str, grace: float, files: bool) -> bool:
    """Whether the worker of that name still works, as far as can be seen from here.

    Args:
        folder: of the files of workers.
        owner: its name.
        grace: seconds of silence after which one of another host counts as dead.
        files: whether the workers' files tell (a journal); on a database the caller knows who is
            silent, and only a dead process of this host is told here.
    """
    host, number, started = [*owner.partition(".c")[0].rsplit("-", 2), "", ""][:3]
    if host == _host() and number.isdigit():
        if int(number) == os.getpid() and started == _started(os.getpid()):
            return owner in _ACTIVE
        if _started(int(number)) != started:
            return False
        return not files or (folder / owner).exists()
    if not files:
        return True
    try:
        return time.time() - (folder / owner).stat().st_mtime < grace
    except OSError:
        return False


def _host() -> str:
    """This machine; containers of one machine may share a name, not their process numbers."""
    try:
        return f"{socket.gethostname()}.{Path('/proc/self/ns/pid').stat().st_ino % 100_000}"
    except OSError:
        return socket.gethostname()


def _started(process: int) -> str:
    """When a process began, in ticks since the start of the machine; "gone" without one.

    A number of a process is used again; number and start together are not.
    """
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return "gone"
        return _without_proc(process)
    except OSError:
        return "gone"
    state, *fields = text.rpartition(")")[2].split()
    return "gone" if state == "Z" else fields[18]


def _without_proc(process: int) -> str:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return "gone"
    except OSError:
        pass
    return "alive"
