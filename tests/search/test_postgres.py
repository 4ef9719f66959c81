"""Four workers on a real PostgreSQL: one killed, one cut off, and the server restarted."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from lit_landmarks.cli import main
from lit_landmarks.errors import UserError
from lit_landmarks.search import RUN, StudyFolder, list_counted_trials, read_sweep
from lit_landmarks.search.attributes import OWNER, TWIN
from lit_landmarks.search.budget import AGAIN, DIED, VOID
from tests.support.configs import write_sweep

from .made_up_worker import EPOCHS, nme
from .postgres import Server, running

pytestmark = pytest.mark.slow
TOTAL = 24


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as made:
        yield made


def test_machines_that_start_together(server: Server, tmp_path: Path) -> None:
    """On a fresh database all of them make the tables and the study."""
    server.ask("CREATE DATABASE fresh")
    url = server.url.removesuffix("postgres") + "fresh"
    folders = []
    for machine in range(4):
        (tmp_path / str(machine)).mkdir()
        storage = {"url": url, "heartbeat": 1, "grace": 4}
        made = study_on(server, tmp_path / str(machine), "fresh", storage=storage, trials=8)
        folders.append(made)
    workers = [start(folder, 0.02) for folder in folders]
    assert [worker.wait(timeout=180) for worker in workers] == [0, 0, 0, 0]
    study = folders[0].open(folders[0].sweep())
    assert len(list_counted_trials(study)) == 8
    assert all(t.state.is_finished() for t in study.get_trials())


def study_on(server: Server, tmp_path: Path, name: str, **changes: object) -> StudyFolder:
    settings: dict[str, object] = {
        "name": name,
        "trials": TOTAL,
        "constraints": ["compute/mma <= 30"],
        "sampler": {"class": "TPESampler", "arguments": {"seed": 1}},
        "storage": {"url": server.url, "heartbeat": 1, "grace": 4},
    }
    folder = StudyFolder(tmp_path / "study")
    folder.create(read_sweep(write_sweep(tmp_path, **{**settings, **changes})))
    return folder


def start(folder: StudyFolder, seconds: float) -> subprocess.Popen[bytes]:
    root = Path(__file__).resolve().parents[2]
    words = [sys.executable, str(Path(__file__).with_name("made_up_worker.py"))]
    return subprocess.Popen(
        [*words, str(folder.root), str(seconds)],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
    )


def at_work(
    folder: StudyFolder, study: optuna.Study, process: subprocess.Popen[bytes]
) -> FrozenTrial:
    """Waits until a process is in the middle of a trial, a checkpoint behind it."""
    end = time.monotonic() + 180
    while time.monotonic() < end:
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            mine = f"-{process.pid}-" in str(trial.user_attrs.get(OWNER))
            run = folder.root / str(trial.user_attrs.get(RUN))
            if mine and (run / "checkpoints" / "last.ckpt").is_file() and len(
                trial.intermediate_values
            ) in (1, 2):  # fmt: skip
                return trial
        time.sleep(0.02)
    raise AssertionError(f"process {process.pid} is at no trial")


def test_four_workers_one_killed_one_cut_off(server: Server, tmp_path: Path) -> None:
    folder = study_on(server, tmp_path, "four")
    study = folder.open(folder.sweep())
    workers = [start(folder, 0.4) for _ in range(4)]
    try:
        killed = at_work(folder, study, workers[0])
        workers[0].send_signal(signal.SIGKILL)
        cut = at_work(folder, study, workers[1])
        for _ in range(40):  # in the middle of whatever it asks, for two seconds
            server.ask(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                f"WHERE application_name = 'sweep-{workers[1].pid}'"
            )
            time.sleep(0.05)
        at_work(folder, study, workers[2])
        server.control("restart")
        for worker in workers[1:]:
            assert worker.wait(timeout=120) == 0
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    check_figures(folder, study)
    # The killed one's trial goes on exactly once, from its checkpoint.
    trials = study.get_trials()
    assert trials[killed.number].user_attrs[VOID] == DIED
    again = [t for t in trials if t.user_attrs.get(AGAIN) == killed.number]
    assert len(again) == 1
    assert again[0].state == TrialState.COMPLETE
    assert again[0].user_attrs[RUN] == killed.user_attrs[RUN]
    assert again[0].params == killed.params
    # The one that was cut off ended its trial itself.
    assert trials[cut.number].state == TrialState.COMPLETE
    assert f"-{workers[1].pid}-" in trials[cut.number].user_attrs[OWNER]


def check_figures(folder: StudyFolder, study: optuna.Study) -> None:
    """No trial lost or doubled, the total reached, figures equal to the records."""
    trials = study.get_trials()
    assert len(list_counted_trials(study)) == TOTAL
    assert [t for t in trials if not t.state.is_finished()] == []
    done = [t for t in trials if t.state == TrialState.COMPLETE]
    assert len(done) == TOTAL
    assert all(t.state == TrialState.FAIL and VOID in t.user_attrs for t in trials if t not in done)
    # Two workers may train the same settings at the same moment; later ones repeat the record.
    trained = [t for t in done if t.params["model.width"] <= 30 and TWIN not in t.user_attrs]
    runs = [t.user_attrs[RUN] for t in trained]
    assert len(set(runs)) == len(runs) == len(list(folder.trials.glob("*/result.json")))
    for trial in trained:
        run = folder.root / trial.user_attrs[RUN]
        width = trial.params["model.width"]
        assert trial.value == json.loads((run / "result.json").read_text())["metrics"]["val/nme"]
        assert trial.value == nme(width, EPOCHS - 1)
        epochs = Counter(int(row.split()[1]) for row in (run / "log.txt").read_text().splitlines())
        assert epochs == dict.fromkeys(range(EPOCHS), 1), "each epoch was trained once"
    for trial in (t for t in done if t.params["model.width"] > 30):
        assert trial.value == float("inf")
        assert trial.constraints == {"compute/mma <= 30": trial.params["model.width"] - 30}


def test_a_worker_that_was_frozen_finds_its_trial_given_away(
    server: Server, tmp_path: Path
) -> None:
    folder = study_on(server, tmp_path, "frozen", trials=3, constraints=[])
    study = folder.open(folder.sweep())
    frozen = start(folder, 0.5)
    trial = at_work(folder, study, frozen)
    frozen.send_signal(signal.SIGSTOP)
    time.sleep(5.5)
    other = start(folder, 0.5)
    with contextlib.ExitStack() as stack:
        stack.callback(other.kill)
        stack.callback(frozen.kill)
        end = time.monotonic() + 30
        while not any(t.user_attrs.get(AGAIN) == trial.number and t.state.is_finished()
                      for t in study.get_trials()):  # fmt: skip
            assert time.monotonic() < end
            time.sleep(0.1)
        frozen.send_signal(signal.SIGCONT)
        assert frozen.wait(timeout=180) == 0
        assert other.wait(timeout=180) == 0
    done = [t for t in study.get_trials() if t.state == TrialState.COMPLETE]
    assert len(done) == len(list_counted_trials(study)) == 3
    for one in done:
        run = folder.root / one.user_attrs[RUN]
        rows = [int(row.split()[1]) for row in (run / "log.txt").read_text().splitlines()]
        assert sorted(rows) == list(range(EPOCHS))


def test_a_study_is_joined_only_with_the_same_settings(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for machine in ("one", "two"):
        (tmp_path / machine).mkdir()
        folder = study_on(server, tmp_path / machine, "joined")
        assert len(folder.open(folder.sweep()).trials) == 0
    (tmp_path / "three").mkdir()
    folder = study_on(server, tmp_path / "three", "joined", constraints=["compute/mma <= 31"])
    with pytest.raises(UserError, match="study 'joined' with other settings"):
        folder.open(folder.sweep())
    assert main(["sweep", "status", str(tmp_path / "one" / "study")]) == 0
    assert "joined: 0 of 24 trials" in capsys.readouterr().out
    # Once all trials have failed, the file may be mended; a machine with the old one is refused.
    first = StudyFolder(tmp_path / "one" / "study")
    study = first.open(first.sweep())
    study.tell(study.ask(), state=TrialState.FAIL)
    assert len(folder.open(folder.sweep()).trials) == 1
    with pytest.raises(UserError, match="study 'joined' with other settings"):
        first.open(first.sweep())
    study.tell(study.ask(), 1.0)
    with pytest.raises(UserError, match="study 'joined' with other settings"):
        first.open(first.sweep())
