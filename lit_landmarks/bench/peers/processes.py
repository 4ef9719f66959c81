"""A worker process: lines of JSON and bytes of pictures through its pipes."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lit_landmarks.errors import UserError

#: Seconds after which a worker that does not answer is given up.
PATIENCE = 120.0
#: Seconds that a process may take to end once it has closed its pipe.
_FAREWELL = 10.0
#: One thread each: all models are measured on one core.
_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


class Worker:
    """A process that answers lines of JSON.

    Args:
        name: of the model, for messages.
        command: program and arguments.
        options: last argument, as JSON.
    """

    def __init__(self, name: str, command: Sequence[str], options: Mapping[str, Any]) -> None:
        self._name = name
        # What it prints is read only when it dies; a pipe that nobody reads would fill up.
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 closed with the process
        self._process = subprocess.Popen(
            [*command, json.dumps(dict(options))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            env={**os.environ, **_ONE_THREAD},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._ready = selectors.DefaultSelector()
        self._ready.register(self._answers, selectors.EVENT_READ)

    def send(self, request: Mapping[str, Any], pixels: bytes = b"") -> None:
        """Sends a line, and the bytes that belong to it.

        Raises:
            UserError: the process has ended.
        """
        try:
            self._requests.write(json.dumps(dict(request)).encode() + b"\n" + pixels)
            self._requests.flush()
        except OSError as error:
            raise self._ended() from error

    def read(self) -> dict[str, Any]:
        """The next answer.

        Raises:
            UserError: the process has ended, or does not answer.
        """
        # An answer comes whole, after a request: nothing is left in the buffer of the pipe.
        if not self._ready.select(PATIENCE):
            self.close()
            raise UserError(f"{self._name} gives no answer for {PATIENCE:g} s; leave it out")
        line = self._answers.readline()
        if not line.endswith(b"\n"):
            raise self._ended()
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise UserError(f"{self._name} answers {line[:60]!r}, no JSON; leave it out") from error
        return answer

    def _ended(self) -> UserError:
        """Says what the process printed last."""
        try:
            status = self._process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._printed.seek(0)
        lines = self._printed.read().decode(errors="replace").strip().splitlines()
        last = f": {lines[-1].strip()}" if lines else ""
        return UserError(f"{self._name} ended with status {status}{last}")

    def close(self) -> None:
        """Ends the process, which has nothing to save."""
        with contextlib.suppress(OSError):  # it may have ended before
            self._requests.close()
        self._process.kill()
        self._process.wait()
        self._ready.close()
        self._answers.close()
        self._printed.close()


@contextlib.contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Context in which this thread, and the processes that it starts, stay on one CPU core.

    Args:
        core: its number; None for the last one that may be used.

    Raises:
        UserError: there is no such core, or the system pins no process.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise UserError("this system pins no process to a core; run bench peers on Linux")
    before = os.sched_getaffinity(0)
    if core is not None and core not in before:
        raise UserError(f"--core {core}; take one of {', '.join(map(str, sorted(before)))}")
    os.sched_setaffinity(0, {max(before) if core is None else core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
