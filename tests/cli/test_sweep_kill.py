"""`sweep run` ended from outside in the middle of a trial; `resume` goes on to the same total."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from optuna.trial import TrialState

from lit_landmarks.search import RUN, StudyFolder, list_counted_trials

pytestmark = pytest.mark.slow
EPOCHS = 6


def start(*words: object) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        [sys.executable, "-m", "lit_landmarks", "sweep", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=_hear_interrupts,
    )  # fmt: skip


def _hear_interrupts() -> None:
    """What a shell starts in the background ignores Ctrl-C, and hands that on to its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def sweep(tiny: Path, tmp_path: Path) -> Path:
    tree = {
        "name": "killed", "base": [tiny.name], "trials": 3,
        "space": {"model.init_args.dropout": {"float": [0.0, 0.5]}},
        "settings": {"trainer.max_epochs": EPOCHS},
    }  # fmt: skip
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def wait_for_epochs(folder: StudyFolder, run: Path, process: subprocess.Popen[str]) -> None:
    """Until an epoch or two of a run lie behind it."""
    end = time.monotonic() + 120
    while not (run / "checkpoints" / "last.ckpt").is_file():
        assert time.monotonic() < end
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("how", "workers"),
    [(signal.SIGKILL, 1), (signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGKILL, 2),
     (signal.SIGTERM, 2)],
)  # fmt: skip
def test_resume_reaches_the_same_total(
    sweep: Path, tmp_path: Path, how: signal.Signals, workers: int
) -> None:
    folder = StudyFolder(tmp_path / "study")
    first = start("run", sweep, "--study", folder.root, "--workers", workers)
    run = folder.trials / "0000"
    wait_for_epochs(folder, run, first)
    first.send_signal(how)
    told = first.communicate(timeout=180)[0]
    if how == signal.SIGKILL:
        assert first.returncode == -signal.SIGKILL
    else:
        assert first.returncode == 130
        assert f"sweep resume {folder.root}" in told
    ended = time.monotonic() + 60
    while workers > 1 and list(folder.workers.iterdir()):
        # Workers end when the command that started them is gone.
        assert time.monotonic() < ended
        time.sleep(0.2)
    second = start("resume", folder.root)
    told = second.communicate(timeout=240)[0]
    assert second.returncode == 0, told
    study = folder.open(folder.sweep())
    trials = study.get_trials()
    done = [t for t in trials if t.state == TrialState.COMPLETE]
    assert len(done) == len(list_counted_trials(study)) == 3, told
    assert all(t.state.is_finished() for t in trials)
    assert "trials of dead workers go on from their last checkpoint" in told
    again = next(t for t in done if folder.locate(t.user_attrs[RUN]) == run)
    result = json.loads((run / "result.json").read_text())
    assert again.params == trials[0].params
    assert again.value == pytest.approx(result["metrics"]["val/nme"])
    assert result["epochs"] == EPOCHS
    rows = (run / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("val/nme")
    validations = [row for row in rows[1:] if row.split(",")[column]]
    assert len(validations) == EPOCHS + 1, "each epoch once, and the final evaluation"
