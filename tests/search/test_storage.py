"""A journal that a full disk or a kill does not break; who is dead; trials that go on once."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from lightning.pytorch import Callback
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from lit_landmarks.errors import UserError
from lit_landmarks.search import RUN, describe_outcome, list_counted_trials, requeue_dead
from lit_landmarks.search import storage as storage_module
from lit_landmarks.search.attributes import OWNER
from lit_landmarks.search.budget import AGAIN, DIED, VOID, count_epochs, count_hours
from lit_landmarks.search.requeue import DEATHS, Requeue
from lit_landmarks.search.storage import (
    SafeJournal,
    StorageLostError,
    hide_password,
    is_disk_full,
    retry_while_lost,
)
from lit_landmarks.search.workers import LostTrialError, _read_start, is_alive

from .conftest import Make, go
from .test_trial import plain


def test_half_a_row_is_cut_off_before_the_next_one(tmp_path: Path) -> None:
    file = tmp_path / "journal.log"
    journal = SafeJournal(str(file))
    journal.append_logs([{"a": 1}, {"a": 2}])
    with file.open("ab") as handle:
        handle.write(b'{"a": 3, "long')  # a process was killed while it wrote
    journal.append_logs([{"a": 4}])
    assert [row["a"] for row in SafeJournal(str(file)).read_logs(0)] == [1, 2, 4]


def test_a_failed_write_leaves_the_journal_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "journal.log"
    journal = SafeJournal(str(file))
    journal.append_logs([{"a": 1}])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            journal.append_logs([{"a": 2}])
    assert [json.loads(row) for row in file.read_text().splitlines()] == [{"a": 1}]
    journal.append_logs([{"a": 3}])
    assert [row["a"] for row in journal.read_logs(0)] == [1, 3]


def test_a_disk_that_is_full_amid_a_row_leaves_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "journal.log"
    journal = SafeJournal(str(file))
    journal.append_logs([{"a": 1}])
    before = file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    cut = os.ftruncate

    def free(descriptor: int, size: int) -> None:
        cut(descriptor, size)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", free)
        # Python ignores the signal: the write takes five bytes, and the next one is an error.
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, hard))
        with pytest.raises(OSError, match="too large"):
            journal.append_logs([{"a": 2, "long": "x" * 40}])
    assert file.read_bytes() == before
    journal.append_logs([{"a": 3}])
    assert [row["a"] for row in journal.read_logs(0)] == [1, 3]


def test_what_a_full_disk_looks_like() -> None:
    wrapped = ValueError("cannot save")
    wrapped.__cause__ = OSError(28, "No space left on device")
    assert is_disk_full(wrapped)
    assert is_disk_full(RuntimeError("[enforce fail] PytorchStreamWriter failed writing file"))
    assert not is_disk_full(OSError(2, "No such file"))


def lost_connection() -> StorageInternalError:
    error = StorageInternalError("commit")
    error.__cause__ = sqlalchemy.exc.OperationalError("SELECT 1", None, Exception("cut\nhere"))
    return error


def test_a_lost_connection_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module.time, "sleep", lambda _: None)
    errors = [lost_connection(), lost_connection()]

    def action() -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert retry_while_lost(action) == "done"
    assert not errors


def test_a_database_that_stays_away_ends_the_work() -> None:
    def action() -> None:
        raise lost_connection()

    with pytest.raises(StorageLostError, match="has not answered") as caught:
        retry_while_lost(action, patience=0.5)
    assert "\n" not in str(caught.value)


def test_errors_of_what_was_asked_are_not_repeated() -> None:
    calls = []

    def action() -> None:
        calls.append(1)
        raise StorageInternalError("value too long")

    with pytest.raises(StorageInternalError):
        retry_while_lost(action)
    assert len(calls) == 1


def test_passwords_are_not_shown() -> None:
    assert hide_password("postgresql://me:secret@host:5/db") == "postgresql://host:5/db"


def test_who_is_alive(make_study: Make, tmp_path: Path) -> None:
    folder = make_study()
    sweep = folder.sweep()
    with folder.worker(folder.open(sweep), sweep) as worker:
        assert folder.is_alive(worker.name, sweep)
        host = worker.name.rsplit("-", 2)[0]
    assert not folder.is_alive(worker.name, sweep), "it has ended, though its process lives"
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = f"{host}-{child.pid}-{_read_start(child.pid)}"
    (folder.workers / name).write_text("")
    assert folder.is_alive(name, sweep)
    assert not folder.is_alive(f"{host}-{child.pid}-1", sweep), "the number was used again"
    child.kill()
    child.wait()
    assert not folder.is_alive(name, sweep)
    other = folder.workers / "elsewhere-7-7"
    other.write_text("")
    assert is_alive(folder.workers, other.name, 60.0, files=True)
    os.utime(other, (1, 1))
    assert not is_alive(folder.workers, other.name, 60.0, files=True), "silent for too long"
    assert is_alive(folder.workers, other.name, 60.0, files=False), "the database tells"


@pytest.mark.parametrize("host", ["ip-10-0-0-1.us-west-2.compute.internal", "node-1.cluster"])
def test_a_silent_worker_of_any_host_name_lives_as_long_as_its_process(
    make_study: Make, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    folder = make_study()
    sweep = folder.sweep()
    with folder.worker(folder.open(sweep), sweep) as worker:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        start = _read_start(child.pid)
        name = worker.name.replace(f"-{os.getpid()}-", f"-{child.pid}-")
        name = name.replace(f"-{_read_start(os.getpid())}.c", f"-{start}.c")
        for owner in (worker.name, name):
            (folder.workers / owner).touch()
            os.utime(folder.workers / owner, (1, 1))
            assert is_alive(folder.workers, owner, 60.0, files=True)
        child.kill()
        child.wait()
        os.utime(folder.workers / name)
        assert not is_alive(folder.workers, name, 60.0, files=True), "gone is gone at once"


class Killed(BaseException):
    pass


def die(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
    raise Killed


def test_two_that_notice_at_once_queue_one_copy(make_study: Make) -> None:
    folder = make_study(constraints=[])
    with pytest.raises(Killed):
        go(folder, die)
    barrier, counts = threading.Barrier(4), []

    def notice() -> None:
        study = folder.open(folder.sweep())
        requeue = Requeue(study, folder, folder.sweep())
        barrier.wait()
        counts.append(requeue())

    threads = [threading.Thread(target=notice) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    study = go(folder, plain)
    again = [t for t in study.trials if t.user_attrs.get(AGAIN) == 0 and VOID not in t.user_attrs]
    assert len(again) == 1
    assert len(list_counted_trials(study)) == 12
    assert sum(t.state == TrialState.COMPLETE for t in study.trials) == 12


def test_one_that_died_between_the_steps_is_made_up_for(make_study: Make) -> None:
    folder = make_study(constraints=[], trials=3)
    study = folder.open(folder.sweep())
    trial = study.ask()
    trial.suggest_int("model.width", 1, 40)
    trial.set_user_attr(VOID, DIED)
    study.tell(trial, state=TrialState.FAIL)  # ... and killed before the copy was queued
    assert len(list_counted_trials(study)) == 1, "nobody takes its place meanwhile"
    study.enqueue_trial(trial.params, user_attrs={AGAIN: 0})
    study.enqueue_trial(trial.params, user_attrs={AGAIN: 0})
    study = go(folder, plain)
    assert [describe_outcome(t) for t in study.trials if t.state == TrialState.FAIL] == [
        DIED,
        "queued twice",
    ]
    assert sum(t.state == TrialState.COMPLETE for t in study.trials) == 3


def test_a_trial_that_kills_its_workers_fails_for_good(make_study: Make) -> None:
    folder = make_study(constraints=[], trials=4)
    for _ in range(3):
        with pytest.raises(Killed):
            go(folder, die, total=1)
    study = folder.open(folder.sweep())
    assert requeue_dead(study, folder) == 0
    assert describe_outcome(study.trials[-1]) == "its worker died, 3 times in a row"
    assert len(list_counted_trials(study)) == 1
    assert len(list_counted_trials(go(folder, plain))) == 4


def test_interrupts_are_no_deaths(make_study: Make) -> None:
    folder = make_study(constraints=[], trials=2)
    ends: list[BaseException] = [KeyboardInterrupt(), SystemExit(1), OSError(28, "full")] * 2

    def fit(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        if ends:
            raise ends.pop()
        return plain(words, callbacks)

    for _ in range(6):
        with pytest.raises((KeyboardInterrupt, SystemExit, UserError)):
            go(folder, fit)
    study = go(folder, fit)
    assert [t.state for t in list_counted_trials(study)] == [TrialState.COMPLETE] * 2
    assert study.trials[0].params == list_counted_trials(study)[0].params


def test_a_further_checkpoint_forgives_deaths(make_study: Make) -> None:
    folder = make_study(constraints=[], trials=1)
    last = folder.trials / "0000" / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    for time_of in (100, 100, 100, 200):
        last.write_bytes(b"x")
        os.utime(last, (time_of, time_of))
        with pytest.raises(Killed):
            go(folder, die)
    study = folder.open(folder.sweep())
    assert requeue_dead(study, folder) == 1
    assert [t.user_attrs.get(DEATHS) for t in study.trials] == [None, 1, 2, 1, 2]


def test_a_worker_whose_trial_was_given_away_leaves_it(make_study: Make) -> None:
    folder = make_study(constraints=[], trials=1)
    given = []

    def fit(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        if not given:
            given.append(1)
            other = folder.open(folder.sweep())
            storage, trial = other._storage, other.trials[0]
            storage.set_trial_user_attr(trial._trial_id, VOID, DIED)
            storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            other.enqueue_trial(trial.params, user_attrs={AGAIN: 0})
        return plain(words, callbacks)

    study = go(folder, fit)
    assert [t.state for t in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert len(list_counted_trials(study)) == 1


def test_after_a_long_silence_a_worker_asks_whether_its_trial_is_its_own(
    make_study: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = make_study()
    sweep = folder.sweep()
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{tmp_path}/a.db", heartbeat_interval=60, grace_period=120
    )
    study = optuna.create_study(storage=storage)
    with folder.worker(study, sweep) as worker:
        trial = study.ask()
        worker.start_trial(trial)
        worker.check()
        worker._heard = time.monotonic() - 1000
        worker.check()  # heard again, and still its own
        worker._heard = time.monotonic() - 1000
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        with pytest.raises(LostTrialError):
            worker.check()
        worker.end_trial()
        worker.check()


def test_a_dead_worker_s_night_does_not_count(make_study: Make) -> None:
    folder = make_study(constraints=[], hours=1)
    with pytest.raises(Killed):
        go(folder, die)
    study = folder.open(folder.sweep())
    run = folder.root / study.trials[0].user_attrs[RUN]
    run.mkdir(parents=True)
    (run / "metrics.csv").write_text("")
    begun = study.trials[0].datetime_start
    assert begun is not None
    os.utime(run / "metrics.csv", (begun.timestamp() + 90,) * 2)
    requeue_dead(study, folder)
    assert count_hours(study) == pytest.approx(90 / 3600)


def test_epochs_are_a_budget(make_study: Make) -> None:
    folder = make_study(constraints=[], epochs=5)
    study = go(folder, plain)
    assert len(study.trials) == 5
    assert count_epochs(study) == 5
    assert len(go(folder, plain).trials) == 5, "nor is there more on resume"


def test_hours_are_a_budget(make_study: Make) -> None:
    def slow(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        time.sleep(0.2)
        return plain(words, callbacks)

    folder = make_study(constraints=[], hours=0.5 / 3600)
    study = go(folder, slow)
    assert 2 <= len(study.trials) <= 4
    assert len(go(folder, slow).trials) == len(study.trials)


def test_a_resumed_random_search_does_not_repeat_itself(make_study: Make) -> None:
    space = {"model.lr": {"float": [0.0, 1.0]}, "model.width": {"int": [1, 20]}}
    folder = make_study(constraints=[], space=space)
    go(folder, plain, total=6)
    study = go(folder, plain, total=12)
    assert len({t.params["model.lr"] for t in study.trials}) == 12


def test_ownerless_trials_are_given_time(make_study: Make) -> None:
    folder = make_study()
    study = folder.open(folder.sweep())
    study.ask().suggest_int("model.width", 1, 40)
    requeue = Requeue(study, folder, folder.sweep())
    assert requeue() == 0, "its worker has just asked for it"
    time.sleep(2.1)
    assert requeue() == 1
    assert OWNER not in study.trials[1].user_attrs
