"""One process at a time in a run: who is refused, and whose lock is taken over."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lit_landmarks.errors import UserError
from lit_landmarks.training.run_lock import LOCK, lock_run

HOLD = """
import sys, time
from pathlib import Path
from lit_landmarks.training.run_lock import lock_run
with lock_run(Path(sys.argv[1]), "fit"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_until_the_first_has_died(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    told = rf"in use by process {holder.pid} on {socket.gethostname()} \(fit\); wait"
    with pytest.raises(UserError, match=told), lock_run(tmp_path, "analyse calibrate"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK).is_file(), "left behind"
    with lock_run(tmp_path, "fit --resume"):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


def test_a_lock_of_another_machine_is_not_taken_over(tmp_path: Path) -> None:
    holder = {"host": f"not-{socket.gethostname()}", "pid": 7, "work": "fit"}
    (tmp_path / LOCK).write_text(json.dumps(holder))
    told = rf"process 7 on not-.* \(fit\); if it has ended, remove {tmp_path}/\.lock"
    with pytest.raises(UserError, match=told), lock_run(tmp_path, "fit"):
        pass
    assert json.loads((tmp_path / LOCK).read_text()) == holder
    (tmp_path / LOCK).unlink()
    with lock_run(tmp_path, "fit"):
        pass


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"pid": 3}'])
def test_a_damaged_lock_that_nobody_holds_is_taken_over(content: str, tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text(content)
    with lock_run(tmp_path, "fit"):
        assert json.loads((tmp_path / LOCK).read_text())["work"] == "fit"


def test_the_same_process_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with lock_run(tmp_path / "run", "fit"):
        with pytest.raises(UserError, match="by this process"), lock_run(tmp_path / "link", "fit"):
            pass
        with lock_run(tmp_path, "fit"):
            pass
    with lock_run(tmp_path / "run", "fit"):
        pass
