"""Signals that end a command, and two commands on one run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lit_landmarks.cli import main

ROOT = Path(__file__).resolve().parents[2]


def start(*arguments: object, **more: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lit_landmarks", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,  # type: ignore[call-overload]
    )  # fmt: skip


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if ready():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("not ready within two minutes")


@pytest.fixture
def endless(tiny: Path) -> Path:
    """A fit that goes on until something ends it."""
    tree = yaml.safe_load(tiny.read_text())
    tree["trainer"]["max_epochs"] = 100_000
    tree["trainer"].pop("callbacks")
    tiny.write_text(yaml.safe_dump(tree))
    return tiny


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_fit_ends_with_the_way_to_go_on(endless: Path, number: int, status: int) -> None:
    run = endless.parent / "run"
    process = start("fit", "--config", endless, "--run", run)
    wait_for((run / "checkpoints" / "last.ckpt").is_file, process)
    # While it is at work nobody else gets in.
    second = start("fit", "--resume", run)
    told = second.communicate()[1]
    assert second.returncode == 2
    assert f"in use by process {process.pid}" in told
    process.send_signal(number)
    _, told = process.communicate(timeout=120)
    assert process.returncode == status
    assert told.strip() == (
        f"interrupted; continue with: python -m lit_landmarks fit --resume {run}"
    )
    assert not (run / "result.json").exists()
    assert not (run / ".lock").exists()
    # And the way to go on is one.
    limit = "--trainer.max_time=00:00:00:02"
    assert main(["fit", "--resume", str(run), "--trainer.max_epochs=-1", limit]) == 0
    assert json.loads((run / "result.json").read_text())["epochs"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_fit_that_has_trained_nothing_leaves_nothing(endless: Path, number: int) -> None:
    run = endless.parent / "run"
    process = start("fit", "--config", endless, "--run", run)
    wait_for((run / "config.yaml").is_file, process)
    process.send_signal(number)
    told = process.communicate(timeout=120)[1]
    assert process.returncode == 128 + number
    assert told.strip().splitlines()[-1].startswith("interrupted")
    assert not run.exists() or (run / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize("line", ["equip", "plain_console", "run_fit"])
def test_nothing_is_left_wherever_a_signal_comes(
    tiny: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    run = tiny.parent / "run"
    monkeypatch.setattr(f"lit_landmarks.settings.task.{line}", interrupt)
    assert main(["fit", "--config", str(tiny), "--run", str(run)]) == 130
    assert not run.exists()


@pytest.mark.slow
def test_nohup_is_respected(endless: Path) -> None:
    run = endless.parent / "run"
    process = start(
        "fit", "--config", endless, "--run", run,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    wait_for((run / "checkpoints" / "last.ckpt").is_file, process)
    process.send_signal(signal.SIGHUP)
    time.sleep(2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 143
