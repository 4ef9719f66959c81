"""The lock of a run directory: one process at a time trains into it or changes its checkpoints.

The system holds the lock for the process, so that of a process that has died is free. RUN/.lock
says who holds it, which is what another machine that shares the folder can go by.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lit_landmarks.errors import UserError

#: Name of the lock's file in a run.
LOCK = ".lock"
#: Runs that this process has locked: the system would grant them to it again.
_HELD: set[Path] = set()


@contextlib.contextmanager
def lock_run(root: Path, work: str) -> Iterator[None]:
    """Context in which no other process that asks for the lock may write into the run.

    Args:
        root: the run directory.
        work: what is done, for the message of whoever comes second, such as "fit --resume".

    Raises:
        UserError: another process is at work; or one on another machine, which cannot be asked
            whether it still is.
    """
    path = root.resolve() / LOCK
    if path in _HELD:
        raise UserError(f"{root} is in use by this process already; wait until it ends")
    descriptor = _acquire(root, path)
    try:
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "work": work}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        _HELD.add(path)
        yield
    finally:
        _HELD.discard(path)
        with contextlib.suppress(OSError):  # the run may be gone
            path.unlink()
        os.close(descriptor)


def _acquire(root: Path, path: Path) -> int:
    """Descriptor of the locked file."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _read(descriptor)
            os.close(descriptor)
            raise UserError(
                f"{root} is in use by process {holder.get('pid', '?')} on"
                f" {holder.get('host', '?')} ({holder.get('work', '?')}); wait until it ends, or"
                " end it"
            ) from error
        holder = _read(descriptor)
        host = holder.get("host", socket.gethostname())
        if host != socket.gethostname():
            os.close(descriptor)
            raise UserError(
                f"{root} was locked by process {holder.get('pid')} on {host}"
                f" ({holder.get('work')}); if it has ended, remove {path} and try again"
            )
        # Whoever held it may have removed the file between our two calls.
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)


def _read(descriptor: int) -> dict[str, Any]:
    """Who holds the lock; empty if nobody has written it."""
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}
