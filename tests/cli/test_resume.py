"""A run that was stopped and resumed equals an undisturbed run with the same seed."""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from lit_landmarks.cli import main
from lit_landmarks.settings import Task


class Crash(Callback):
    """Raises after a batch of an epoch, as a power cut would."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.at = (epoch, batch)

    def on_train_batch_end(self, trainer: Any, module: Any, *args: Any) -> None:
        if (trainer.current_epoch, args[-1]) == self.at:
            raise RuntimeError("crash")


def figures(run: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((run / "result.json").read_text())["metrics"]
    return metrics


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(
        run / "checkpoints" / "last.ckpt", weights_only=True
    )["raw_state_dict"]
    return state


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_resume_equals_the_undisturbed_run(
    tiny: Path, finished: Path, tmp_path: Path, workers: int
) -> None:
    run = tmp_path / "run"
    arguments = ["--config", str(tiny), "--run", str(run)]
    arguments += ["--data.init_args.num_workers", str(workers)]
    with pytest.raises(RuntimeError, match="crash"):
        Task.from_arguments("fit", arguments).fit([Crash(epoch=1, batch=1)])
    assert not (run / "result.json").exists()
    assert main(["fit", "--resume", str(run)]) == 0
    # The command that gives the figures, not the one that finished the run.
    command = json.loads((run / "result.json").read_text())["command"]
    assert command == shlex.join(["python", "-m", "lit_landmarks", "fit", *arguments])
    assert figures(run) == figures(finished)
    assert rows(run) == rows(finished)
    undisturbed = weights(finished)
    assert all(torch.equal(value, undisturbed[name]) for name, value in weights(run).items())
    # Once more on the finished run: nothing is trained, the same is said again.
    assert main(["fit", "--resume", str(run)]) == 0
    assert figures(run) == figures(finished)


def test_a_run_may_be_trained_further(quick: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ["--config", str(quick), "--run", str(run), "--trainer.max_epochs", "1"]
    assert main(["fit", *arguments]) == 0
    assert main(["fit", "--resume", str(run), "--trainer.max_epochs", "2"]) == 0
    result = json.loads((run / "result.json").read_text())
    assert (result["epochs"], result["steps"]) == (2, 2)
    start, further = result["command"].split(" && ")
    assert start.endswith("--trainer.max_epochs 1")
    assert further.endswith(f"fit --resume {run} --trainer.max_epochs 2")
    assert "max_epochs: 2" in (run / "config.yaml").read_text()


@pytest.mark.slow
def test_kill_nine_and_resume(tiny: Path, finished: Path, tmp_path: Path) -> None:
    """The real thing: a process that is killed at once, then continued by another."""
    run = tmp_path / "run"
    command = [sys.executable, "-c"]
    command += [
        "import lit_landmarks.data.module as m; m._SHAPES = 300\n"
        "from lit_landmarks.cli import main; import sys; raise SystemExit(main(sys.argv[1:]))",
        "fit",
    ]
    started = subprocess.Popen([*command, "--config", str(tiny), "--run", str(run)])
    until = time.monotonic() + 300
    while not (run / "checkpoints" / "last.ckpt").exists():
        assert started.poll() is None, "the fit ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(started.pid, signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL
    assert not (run / "result.json").exists()
    subprocess.run([*command, "--resume", str(run)], check=True)
    found, expected = figures(run), figures(finished)
    numbers = {key: value for key, value in expected.items() if value is not None}
    # null stands for a figure that is not finite; `approx` compares numbers only.
    absent = {key for key, value in found.items() if value is None}
    assert absent == expected.keys() - numbers.keys()
    assert found.keys() == expected.keys()
    assert {key: found[key] for key in numbers} == pytest.approx(numbers, rel=1e-6)
