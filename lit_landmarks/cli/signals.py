"""Signals that end a command: SIGTERM and SIGHUP act as Ctrl-C, with a status of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

#: Sent by schedulers and containers at their time limit, and by a terminal that closes.
ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class EndingSignal:
    """The signal that has ended the command.

    Attributes:
        number: of the signal; None for none.
    """

    number: int | None = None

    @property
    def status(self) -> int | None:
        """The exit status that shells give a command that a signal ended; None without one."""
        return None if self.number is None else 128 + self.number


@contextlib.contextmanager
def interrupt_on_signals() -> Iterator[EndingSignal]:
    """Context in which SIGTERM and SIGHUP raise `KeyboardInterrupt`, once.

    Signals that are ignored (`nohup`) stay so, as do handlers that somebody else has set.
    """
    received, own = EndingSignal(), os.getpid()

    def interrupt(number: int, frame: Any) -> None:
        if os.getpid() != own:  # a loader process that was forked ends at once
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if received.number is None:
            received.number = number
            raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    numbers = [n for n in ENDING if main and signal.getsignal(n) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, interrupt)
    try:
        yield received
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
