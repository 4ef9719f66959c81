"""Costs and fits of trials: one parse for both, one device unless several are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from lit_landmarks.search import task_runner
from lit_landmarks.settings import Request
from lit_landmarks.settings.costs import Timing


class RecordedTask:
    """Stands for a task; `made` holds the request of each at the time it was parsed."""

    made: ClassVar[list[list[str]]] = []

    def __init__(self, request: Request) -> None:
        self.request = request
        self.made.append(request.overrides)

    def costs(self, timed: Timing | None) -> dict[str, float]:
        return {"compute/mma": 2.0 if timed else 1.0}

    def fit(self, callbacks: Sequence[Any], monitor: str, lock: bool) -> dict[str, Any]:
        return {"command": self.request.command(), "monitor": monitor}


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> task_runner.TaskRunner:
    monkeypatch.setattr(RecordedTask, "made", [])
    monkeypatch.setattr(task_runner, "Task", RecordedTask)
    monkeypatch.chdir(tmp_path)
    Path("one.yaml").write_text("trainer: {max_epochs: 1}\n")
    Path("two.yaml").write_text("trainer: {devices: 2}\n")
    sweep: Any = SimpleNamespace(monitor="val/nme")
    folder: Any = SimpleNamespace(root=tmp_path)
    return task_runner.TaskRunner(sweep, folder)


def test_costs_and_fit_of_a_trial_share_one_parse(runner: task_runner.TaskRunner) -> None:
    base = [Path("one.yaml")]
    assert runner.costs(base, ["--a=1"]) == {"compute/mma": 1.0}
    assert runner.costs(base, ["--a=1"], timed=Timing()) == {"compute/mma": 2.0}
    result = runner.fit(["--config", "one.yaml", "--run", "r", "--a=1"], [])
    command = "python -m lit_landmarks fit --config one.yaml --run r --a=1 --trainer.devices=1"
    assert result == {"command": command, "monitor": "val/nme"}
    assert RecordedTask.made == [["--a=1", "--trainer.devices=1"]]
    # A second fit, such as of another trial with the same settings, builds its own method.
    runner.fit(["--config", "one.yaml", "--run", "s", "--a=1"], [])
    runner.fit(["--config", "one.yaml", "--run", "t", "--a=2"], [])
    assert len(RecordedTask.made) == 3


def test_settings_with_several_devices_are_handed_over(
    runner: task_runner.TaskRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: list[Any] = []
    monkeypatch.setattr(task_runner, "hand_over", lambda *order: handed.append(order[1:]) or {})
    arguments = ["--config", "two.yaml", "--run", "r"]
    assert runner.fit(arguments, ["watch"]) == {}  # type: ignore[list-item]
    assert handed == [(arguments, "watch")]
    runner.fit([*arguments, "--trainer.devices=1"], [])
    assert RecordedTask.made == [["--trainer.devices=1", "--trainer.devices=1"]]
    assert task_runner.limit_to_one_device([Path("two.yaml")], ["--b=1"]) == ["--b=1"]
