"""Where a study is kept: a journal file that a full disk does not break, or a database.

A database may restart, and a connection may be cut at any moment. Whatever is asked of it is asked
again until it answers, for `PATIENCE` seconds; what had been done although the answer was lost is
recognised and not done twice.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import random
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import get_lock_file
from optuna.trial import TrialState

from lit_landmarks.errors import UserError, first_line
from lit_landmarks.search.space import Sweep

#: Seconds for which a database that does not answer is asked again; the longest pause between.
PATIENCE, _LONGEST_PAUSE = 900.0, 20.0
#: Seconds until a first connection counts as refused.
_CONNECT = 10


class StorageLostError(UserError):
    """A database that has not answered for `PATIENCE` seconds."""


#: Holds the patience of a process that is about to end.
_HURRY: list[float] = []


@contextlib.contextmanager
def in_a_hurry(seconds: float = 5.0) -> Iterator[None]:
    """Within, a database that does not answer is given up soon: the process ought to end."""
    _HURRY.append(seconds)
    try:
        yield
    finally:
        _HURRY.pop()


class SafeJournal(JournalFileBackend):
    """A journal in which a failed or killed write leaves no half row.

    Optuna appends to whatever is there; after half a row every later reader would fail.
    """

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Appends whole rows or nothing.

        Raises:
            OSError: no space; the file is as it was.
        """
        rows = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with get_lock_file(self._lock), Path(self._file_path).open("r+b") as file:
            end = _end_of_rows(file)
            file.truncate(end)
            file.seek(end)
            try:
                file.write(rows.encode())
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), end)
                raise


def _end_of_rows(file: Any) -> int:
    """Size without a half row at the end, left by a process that was killed."""
    end = int(file.seek(0, os.SEEK_END))
    while end > 0:
        start = max(0, end - 65536)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + int(found) + 1
        end = start
    return 0


class PatientStorage(RDBStorage):
    """Optuna's database storage, asked again while the connection is gone.

    Its methods are wrapped below the class: each runs in a transaction of its own, so that one
    that failed can be repeated as a whole.
    """

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """As Optuna's; a repetition that finds its own work done is content."""
        asked = 0

        def once() -> bool:
            nonlocal asked
            asked += 1
            try:
                return super(PatientStorage, self).set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                if asked == 1:
                    raise
                found = self.get_trial(trial_id)
                if found.state == state and (values is None or found.values == list(values)):
                    return True
                raise

        return bool(patiently(once))


def patiently(action: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Calls `action` again while the connection is lost, with growing pauses.

    Raises:
        StorageLostError: it stayed lost.
    """
    patience = min([patience, *_HURRY])
    end, pause = time.monotonic() + patience, 0.2
    while True:
        try:
            return action()
        except StorageInternalError as error:
            if not _is_lost(error):
                raise
            if time.monotonic() + pause > end:
                cause = first_line(error.__cause__ or error)
                raise StorageLostError(
                    f"the database has not answered for {patience:.0f} s ({cause}); go on with "
                    "`sweep resume` when it is back"
                ) from error
        # Workers that lost the database together should not all come back at one moment.
        time.sleep(pause * (0.5 + random.random()))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _is_lost(error: BaseException) -> bool:
    """Whether the connection is to blame, not what was asked."""
    from sqlalchemy.exc import (
        DBAPIError,
        InterfaceError,
        OperationalError,
        PendingRollbackError,
    )

    cause = error.__cause__
    # Optuna asks once more within the broken transaction, which raises PendingRollbackError.
    return isinstance(cause, OperationalError | InterfaceError | PendingRollbackError) or (
        isinstance(cause, DBAPIError) and cause.connection_invalidated
    )


def _patient(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def asked(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        return patiently(lambda: method(self, *args, **kwargs))

    return asked


#: Not `record_heartbeat`: the thread that calls it comes again anyway.
_ASKED_AGAIN = (
    "set_study_user_attr", "set_study_system_attr", "get_study_id_from_name",
    "get_study_name_from_id", "get_study_directions", "get_study_user_attrs",
    "get_study_system_attrs", "get_all_studies", "_create_new_trial", "_set_trial_param",
    "get_trial_param", "set_trial_intermediate_value", "set_trial_user_attr",
    "set_trial_system_attr", "get_trial_id_from_study_id_trial_number", "get_trial",
    "_get_trials", "_get_best_trial_id", "_get_stale_trial_ids",
)  # fmt: skip
for _name in _ASKED_AGAIN:
    setattr(PatientStorage, _name, _patient(getattr(RDBStorage, _name)))


def open_storage(sweep: Sweep, root: Path) -> BaseStorage:
    """The journal below `root`, or the database.

    Raises:
        UserError: it cannot be reached.
    """
    if not sweep.shared:
        root.mkdir(parents=True, exist_ok=True)
        return JournalStorage(SafeJournal(str(root / "journal.log")))
    url, scheme = sweep.storage, sweep.storage.partition("://")[0]
    options: dict[str, Any] = {"pool_pre_ping": True}
    if scheme in ("postgresql", "postgresql+psycopg"):
        # Which driver a bare `postgresql` means differs between versions of SQLAlchemy.
        url = "postgresql+psycopg://" + url.partition("://")[2]
        options["connect_args"] = {
            "connect_timeout": _CONNECT, "keepalives_idle": 30, "client_encoding": "utf8",
            "application_name": f"sweep-{os.getpid()}",
        }  # fmt: skip
    try:
        with warnings.catch_warnings():
            # Its heartbeat is experimental; ours (`workers.py`) uses two of its methods.
            warnings.simplefilter("ignore")
            return _first_of_many(lambda: PatientStorage(
                url, options, heartbeat_interval=sweep.heartbeat, grace_period=sweep.grace
            ))  # fmt: skip
    except ImportError as error:
        raise UserError(
            f"{sweep.file}: storage {without_password(sweep.storage)} needs a driver that "
            "is not installed; pip install 'lit-landmarks[postgres]' for PostgreSQL"
        ) from error
    except Exception as error:
        # A driver's own errors are not known here; they all come from the database.
        raise UserError(
            f"{sweep.file}: cannot reach storage {without_password(sweep.storage)}: "
            f"{first_line(error)}; start the database or correct 'storage'"
        ) from error


def _first_of_many(action: Callable[[], PatientStorage]) -> PatientStorage:
    """Workers that start together all make the tables; those that come second look again."""
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    for _ in range(5):
        try:
            return action()
        except (IntegrityError, ProgrammingError) as error:
            if "already exists" not in str(error) and "duplicate key" not in str(error):
                raise
            time.sleep(0.2 + random.random())
    return action()


def without_password(url: str) -> str:
    """A database's address as it may be shown."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def is_disk_full(error: BaseException) -> bool:
    """Whether a full disk is behind an error; torch tells of it in words of its own."""
    return any(
        (isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT))
        or (isinstance(e, RuntimeError) and "PytorchStreamWriter" in str(e))
        or "No space left on device" in str(e)
        for e in _chain(error)
    )
