"""Latency is measured while no other worker of the study trains on this machine.

A training shares a lock from each batch to the next; who measures asks for it alone, and the
trainings wait at their next batch. Locks are the system's, which frees those of a dead process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

#: Seconds until a measurement starts although a training, in its validation, has not paused.
_PATIENCE, _POLL = 60.0, 0.02


class QuietTime:
    """Takes turns between the trainings of a study and measurements of latency.

    Args:
        root: folder of the study; it holds the two files that are locked.
    """

    def __init__(self, root: Path) -> None:
        # Who measures holds the turn while it waits, or trainings would never leave it a gap.
        self._turn, self._busy = (
            os.open(root / f".latency-{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            for name in ("turn", "busy")
        )

    def pass_batch(self) -> None:
        """Between two batches of a training: waits while another worker measures."""
        self.leave()
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(self._turn, fcntl.LOCK_SH)
            fcntl.flock(self._turn, fcntl.LOCK_UN)
            fcntl.flock(self._busy, fcntl.LOCK_SH)

    def leave(self) -> None:
        """After a training: others may measure."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._busy, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def measure(self) -> Iterator[None]:
        """Context in which the trainings of other workers pause, after a wait for them."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            end = time.monotonic() + _PATIENCE
            while not self._is_alone() and time.monotonic() < end:
                time.sleep(_POLL)
            yield
        finally:
            self.leave()
            with contextlib.suppress(OSError):
                fcntl.flock(self._turn, fcntl.LOCK_UN)

    def _is_alone(self) -> bool:
        try:
            fcntl.flock(self._busy, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """Closes the files, which gives their locks back."""
        for descriptor in (self._turn, self._busy):
            os.close(descriptor)
