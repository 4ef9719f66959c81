"""Process-wide state that training libraries change: environment, signals, generators, logging."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

#: Advice for people who write Lightning code; ours has been tested.
_ADVICE = (
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
    ".*module\\(s\\) in eval mode at the start of training.*",
    ".*sync_dist=True.*",
    ".*Be aware that when using `ckpt_path`.*",
)
_LOGGERS = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")


@contextlib.contextmanager
def preserve_process_state() -> Iterator[None]:
    """Restores on exit whatever training libraries change in the process.

    That is the environment, handlers of SIGINT and SIGTERM, the generators of Python, NumPy and
    torch (CPU), torch's deterministic mode, warning filters, and the levels of Lightning's
    loggers, which are quiet meanwhile. A library that is not imported yet has no state to keep, and
    is not imported for that: a mistake in the arguments is told before.
    """
    environment = dict(os.environ)
    state = random.getstate()
    numpy: Any = sys.modules.get("numpy")
    torch: Any = sys.modules.get("torch")
    states = numpy and numpy.random.get_state(), torch and torch.get_rng_state()
    deterministic = bool(torch) and torch.are_deterministic_algorithms_enabled()
    main_thread = threading.current_thread() is threading.main_thread()
    handlers = (
        {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        if main_thread
        else {}
    )
    # Its import sets the levels.
    imported = "lightning.pytorch" in sys.modules
    levels = {name: logging.getLogger(name).level for name in _LOGGERS if imported}
    try:
        with warnings.catch_warnings():
            for pattern in _ADVICE:
                warnings.filterwarnings("ignore", pattern)
            for name in levels:
                logging.getLogger(name).setLevel(logging.WARNING)
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        random.setstate(state)
        if numpy:
            numpy.random.set_state(states[0])
        if torch:
            torch.use_deterministic_algorithms(deterministic)
            torch.set_rng_state(states[1])
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
