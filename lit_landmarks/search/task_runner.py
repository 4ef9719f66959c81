"""Counts the costs of trials and trains them with `settings.Task`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback

from lit_landmarks.errors import UserError
from lit_landmarks.search.devices import hand_over, is_multi_device
from lit_landmarks.search.space import Sweep
from lit_landmarks.search.study import StudyFolder
from lit_landmarks.search.watch import TrialWatch
from lit_landmarks.settings import Request, Task, compose, read_request
from lit_landmarks.settings.arguments import split_overrides
from lit_landmarks.settings.costs import Timing
from lit_landmarks.settings.untrained import track_settings


class TaskRunner:
    """Counts the costs of a trial's settings and trains them.

    Costs and fit of a trial have the same settings unless it has several seeds or a target cost,
    so the parse of the first serves the second.

    Args:
        sweep: the sweep.
        folder: its folder.
    """

    def __init__(self, sweep: Sweep, folder: StudyFolder) -> None:
        self._monitor, self._folder = sweep.monitor, folder
        self._task: Task | None = None

    def costs(
        self, base: list[Path], settings: list[str], timed: Timing | None = None
    ) -> dict[str, float]:
        """Counts the costs (`compute/...`) of settings, without data; see `trial.Costs`."""
        return self._get_task(Request("fit", list(base), overrides=settings)).costs(timed)

    def fit(self, arguments: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        """Trains one fit; one on several devices runs in a command of its own.

        Args:
            arguments: what follows `fit` on the command line.
            callbacks: the trial's own; the first is its watch.

        Returns:
            The content of result.json.
        """
        request = read_request("fit", arguments)
        if is_multi_device(read_devices(request.configs, request.overrides)):
            return hand_over(self._folder, arguments, callbacks[0])  # type: ignore[arg-type]
        task = self._get_task(request)
        self._task = None
        return task.fit(callbacks, self._monitor, lock=False)

    def track(self, arguments: list[str], watch: TrialWatch) -> None:
        """Tracks a trial that costs too much, and so has no fit.

        Args:
            arguments: what would follow `fit` on the command line.
            watch: the trial's watch, with its costs.
        """
        request = read_request("fit", arguments)
        task = self._get_task(request)
        self._task = None
        assert request.run is not None
        # W&B may refuse; the next fit says it.
        with contextlib.suppress(UserError):
            track_settings(task.tracking(), request.run, task.resolved, watch.costs, [watch])

    def _get_task(self, request: Request) -> Task:
        """The last task if it has the same settings, else a new one."""
        request.overrides = limit_to_one_device(request.configs, request.overrides)
        last = self._task
        same = last is not None and (
            (last.request.configs, last.request.overrides, last.request.resume)
            == (request.configs, request.overrides, request.resume)
        )
        if last is None or not same:
            self._task = last = Task(request)
        last.request = request
        return last


def read_devices(configs: Sequence[Path], arguments: Sequence[str]) -> Any:
    """Reads `trainer.devices` of a fit as it is written; None where nothing sets it."""
    text = split_overrides(arguments).get("trainer.devices")
    trainer = compose(configs).tree.get("trainer") or {}
    return trainer.get("devices") if text is None else text


def limit_to_one_device(configs: Sequence[Path], arguments: Sequence[str]) -> list[str]:
    """Adds `--trainer.devices=1` to the arguments unless the settings name several devices."""
    if is_multi_device(read_devices(configs, arguments)):
        return list(arguments)
    return [*arguments, "--trainer.devices=1"]
