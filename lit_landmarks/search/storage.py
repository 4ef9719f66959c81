"""Optuna storages of a study: a journal file that survives a full disk, or a database.

A database may restart and a connection may be cut at any moment, so every call is repeated until
the database answers, for at most `PATIENCE` seconds. A change that was stored although its answer
was lost is recognized and not made twice.
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
from typing import Any, BinaryIO

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import get_lock_file
from optuna.trial import TrialState

from lit_landmarks.errors import UserError, first_line
from lit_landmarks.files import write_at
from lit_landmarks.search.space import Sweep

#: Seconds for which calls to a silent database are repeated; longest pause between two of them.
PATIENCE, _LONGEST_PAUSE = 900.0, 20.0
#: Seconds until a first connection counts as refused.
_CONNECT = 10


class StorageLostError(UserError):
    """A database that has not answered for `PATIENCE` seconds."""


#: Seconds of patience of a process that is about to end; replaces `PATIENCE` where it is less.
_HURRY: list[float] = []


@contextlib.contextmanager
def shorten_patience(seconds: float = 5.0) -> Iterator[None]:
    """Context in which a silent database is given up after `seconds`: the process is to end."""
    _HURRY.append(seconds)
    try:
        yield
    finally:
        _HURRY.pop()


class SafeJournal(JournalFileBackend):
    """Journal file in which a failed or killed write leaves no half row.

    Optuna appends to whatever is there; after half a row every later reader would fail.
    """

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Appends whole rows or nothing.

        Raises:
            OSError: no space; the file is as it was.
        """
        rows = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with get_lock_file(self._lock), Path(self._file_path).open("r+b") as file:
            end = _find_end_of_rows(file)
            file.truncate(end)
            try:
                # Past the buffer, which would write its rest behind the cut when it is closed.
                write_at(file.fileno(), rows, end)
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), end)
                raise


def _find_end_of_rows(file: BinaryIO) -> int:
    """Size without a half row at the end, left by a process that was killed."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 65536)
        file.seek(start)
        position = file.read(end - start).rfind(b"\n")
        if position >= 0:
            return start + position + 1
        end = start
    return 0


class PatientStorage(RDBStorage):
    """Optuna's database storage, whose calls are repeated while the connection is lost.

    The methods in `_RETRIED_METHODS` are wrapped below the class. Each runs in a transaction of its
    own, so a failed one can be repeated as a whole.
    """

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """As Optuna's; a repeated call accepts the state that its first attempt has stored."""
        attempts = 0

        def attempt() -> bool:
            nonlocal attempts
            attempts += 1
            try:
                return super(PatientStorage, self).set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                if attempts == 1:
                    raise
                trial = self.get_trial(trial_id)
                if trial.state == state and (values is None or trial.values == list(values)):
                    return True
                raise

        return bool(retry_while_lost(attempt))


def retry_while_lost(action: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Calls `action` again while the connection is lost, with growing pauses.

    Raises:
        StorageLostError: no connection within `patience` seconds.
    """
    patience = min([patience, *_HURRY])
    end, pause = time.monotonic() + patience, 0.2
    while True:
        try:
            return action()
        except StorageInternalError as error:
            if not _is_connection_lost(error):
                raise
            if time.monotonic() + pause > end:
                cause = first_line(error.__cause__ or error)
                raise StorageLostError(
                    f"the database has not answered for {patience:.0f} s ({cause}); continue with "
                    "`sweep resume` when it is back"
                ) from error
        # Workers that lost the database together should not all come back at one moment.
        time.sleep(pause * (0.5 + random.random()))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _is_connection_lost(error: BaseException) -> bool:
    """Whether an error comes from a lost connection and not from the call itself."""
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


def _retrying(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def wrapper(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        return retry_while_lost(lambda: method(self, *args, **kwargs))

    return wrapper


#: Without `record_heartbeat`, which its thread repeats anyway.
_RETRIED_METHODS = (
    "set_study_user_attr",
    "set_study_system_attr",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_all_studies",
    "_create_new_trial",
    "_set_trial_param",
    "get_trial_param",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "get_trial_id_from_study_id_trial_number",
    "get_trial",
    "_get_trials",
    "_get_best_trial_id",
    "_get_stale_trial_ids",
)
for _name in _RETRIED_METHODS:
    setattr(PatientStorage, _name, _retrying(getattr(RDBStorage, _name)))


def open_storage(sweep: Sweep, root: Path) -> BaseStorage:
    """Opens the journal below `root`, or the database of the sweep.

    Raises:
        UserError: the database cannot be reached.
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
            "connect_timeout": _CONNECT,
            "keepalives_idle": 30,
            "client_encoding": "utf8",
            "application_name": f"sweep-{os.getpid()}",
        }
    try:
        with warnings.catch_warnings():
            # Optuna's heartbeat is experimental; `workers.py` uses two of its methods.
            warnings.simplefilter("ignore")
            return _open_while_tables_are_made(
                lambda: PatientStorage(
                    url, options, heartbeat_interval=sweep.heartbeat, grace_period=sweep.grace
                )
            )
    except ImportError as error:
        raise UserError(
            f"{sweep.file}: storage {hide_password(sweep.storage)} needs a driver that "
            "is not installed; pip install 'lit-landmarks[postgres]' for PostgreSQL"
        ) from error
    except Exception as error:
        # A driver's own errors are not known here; they all come from the database.
        raise UserError(
            f"{sweep.file}: cannot reach storage {hide_password(sweep.storage)}: "
            f"{first_line(error)}; start the database or correct 'storage'"
        ) from error


def _open_while_tables_are_made(action: Callable[[], PatientStorage]) -> PatientStorage:
    """Opens the database again while another worker is creating the same tables."""
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    for _ in range(5):
        try:
            return action()
        except (IntegrityError, ProgrammingError) as error:
            if "already exists" not in str(error) and "duplicate key" not in str(error):
                raise
            time.sleep(0.2 + random.random())
    return action()


def hide_password(url: str) -> str:
    """The URL of a database without user and password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _iterate_causes(error: BaseException | None) -> Iterator[BaseException]:
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        visited.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def is_disk_full(error: BaseException) -> bool:
    """Whether a full disk caused an error; torch reports one as a `RuntimeError`."""
    return any(
        (isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT))
        or (isinstance(e, RuntimeError) and "PytorchStreamWriter" in str(e))
        or "No space left on device" in str(e)
        for e in _iterate_causes(error)
    )
