"""Worker processes of a study: names, heartbeats, and the test whether one is alive.

A worker writes a file below the study's folder and touches it; on a database it also records a
heartbeat for its trial. The trial of a silent worker may be given to another one. A worker that was
cut off for almost as long therefore waits, and goes on only if the trial is still its own.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
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
from lit_landmarks.search.storage import retry_while_lost

#: Names of the workers of this process that are at work, and the counter in them.
_ACTIVE: set[str] = set()
_COUNT = itertools.count()
#: Seconds between two checks that the process that started this one still runs.
_LOOK = 2.0
#: Name of a worker: host (which may hold dots and dashes), process, its start, counter.
_NAME = re.compile(r"(?P<host>.+)-(?P<process>\d+)-(?P<start>\w+)(\.c\d+)?")
#: Environment variables that `sweep --workers` sets: number of the worker, process that started it.
NUMBER, PARENT = "LIT_LANDMARKS_WORKER", "LIT_LANDMARKS_PARENT"


class LostTrialError(Exception):
    """Error for a trial that was given to another worker."""


def get_heartbeat_storage(study: optuna.Study) -> BaseHeartbeat | None:
    """The storage of a study if it records heartbeats (a database); None for a journal."""
    storage = study._storage
    if is_heartbeat_enabled(storage):
        assert isinstance(storage, BaseHeartbeat)
        return storage
    return None


class Worker:
    """This process as a worker of a study; a context manager that keeps up its heartbeat.

    Args:
        folder: folder of the workers' files.
        study: Optuna study.
        sweep: the sweep, for the intervals.

    Attributes:
        name: host, process, start of the process, and a counter; unique among all workers.
    """

    def __init__(self, folder: Path, study: optuna.Study, sweep: Sweep) -> None:
        self.name = f"{_name_host()}-{os.getpid()}-{_read_start(os.getpid())}.c{next(_COUNT)}"
        self._file = folder / self.name
        self._study = study
        self._storage = get_heartbeat_storage(study)
        self._interval = sweep.heartbeat
        # Less than the grace period: others must never start on a trial that still runs here.
        self._lease = 0.8 * sweep.grace
        self._trial: int | None = None
        self._heard = time.monotonic()
        self._doubt = False
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._keep_heartbeat, daemon=True, name="sweep-heartbeat"
        )

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

    def start_trial(self, trial: optuna.Trial) -> None:
        """Starts to record heartbeats for a trial."""
        self._heard, self._doubt = time.monotonic(), False
        if self._storage is not None:
            storage = self._storage
            retry_while_lost(lambda: storage.record_heartbeat(trial._trial_id))
        self._trial = trial._trial_id

    def end_trial(self) -> None:
        """Stops recording heartbeats for the trial."""
        self._trial = None

    def check(self) -> None:
        """Checks that the trial is still this worker's; waits while the database is unreachable.

        Raises:
            LostTrialError: the trial was given to another worker.
        """
        trial = self._trial
        if self._storage is None or trial is None:
            return
        if self._is_fresh() and not self._doubt:
            return
        while not self._is_fresh():
            self._record_heartbeat()
            if not self._is_fresh():
                time.sleep(1.0)
        self._doubt = False
        if self._study._storage.get_trial(trial).state != TrialState.RUNNING:
            raise LostTrialError(f"trial {trial} was given to another worker")

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._heard < self._lease

    def _keep_heartbeat(self) -> None:
        parent, due = os.environ.get(PARENT), time.monotonic()
        while not self._stop.wait(min(self._interval, _LOOK)):
            if time.monotonic() >= due:
                due = time.monotonic() + self._interval
                with contextlib.suppress(OSError):
                    os.utime(self._file)
                self._record_heartbeat()
            if parent is not None and os.getppid() != int(parent):
                # The process that started this worker has ended, so this one ends as well.
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def _record_heartbeat(self) -> None:
        """Records one heartbeat; an error is ignored, because the next one follows soon."""
        trial, before = self._trial, time.monotonic()
        if self._storage is None or trial is None:
            return
        with contextlib.suppress(Exception):
            self._storage.record_heartbeat(trial)
            # After a long silence the trial may have been given to another worker.
            self._doubt = self._doubt or not self._is_fresh()
            self._heard = before


def is_alive(folder: Path, owner: str, grace: float, files: bool) -> bool:
    """Whether the worker of that name still runs, as far as this machine can see.

    Args:
        folder: folder of the workers' files.
        owner: name of the worker.
        grace: seconds of silence after which a worker of another host counts as dead.
        files: whether the workers' files decide (a journal); on a database the caller knows which
            workers are silent, and only dead processes of this host are detected here.
    """
    name = _NAME.fullmatch(owner)
    if name is not None and name["host"] == _name_host():
        process, start = int(name["process"]), name["start"]
        if process == os.getpid() and start == _read_start(process):
            return owner in _ACTIVE
        if _read_start(process) != start:
            return False
        return not files or (folder / owner).exists()
    if not files:
        return True
    try:
        return time.time() - (folder / owner).stat().st_mtime < grace
    except OSError:
        return False


def _name_host() -> str:
    """Name of this machine and process namespace; containers may share a host name."""
    try:
        return f"{socket.gethostname()}.{Path('/proc/self/ns/pid').stat().st_ino % 100_000}"
    except OSError:
        return socket.gethostname()


def _read_start(process: int) -> str:
    """Start of a process in ticks since boot, or "gone" if it has ended.

    Process numbers are used again; number and start together identify a process.
    """
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return "gone" if Path("/proc/self/stat").exists() else _probe_process(process)
    except OSError:
        return "gone"
    state, *fields = text.rpartition(")")[2].split()
    return "gone" if state == "Z" else fields[18]


def _probe_process(process: int) -> str:
    """Whether a process is "alive" or "gone", on a system without /proc."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return "gone"
    except OSError:
        pass
    return "alive"
