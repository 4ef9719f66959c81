"""Queues the trials of dead workers again, each exactly once.

A trial that has lost its worker fails, and a copy of it is queued. Several workers may notice at
the same moment, or die between the two steps, so
    1. only the worker whose change from running to failed the storage accepts queues the copy;
    2. a failed trial without a copy gets one from the worker that notices next;
    3. should there be two copies all the same, the later one is void when it is asked for.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from lit_landmarks.search.attributes import OWNER, RESUMES, RUN, WHY
from lit_landmarks.search.budget import AGAIN, DIED, RAN, VOID, find_orphans
from lit_landmarks.search.storage import shorten_patience
from lit_landmarks.search.study import StudyFolder
from lit_landmarks.search.sweep_file import Sweep
from lit_landmarks.search.workers import get_heartbeat_storage

#: User attribute: how many workers died at this trial since its last checkpoint.
DEATHS = "deaths"
#: User attribute: time of its last checkpoint when its worker ended.
SAVED = "saved"
#: User attribute of a trial that its worker left alive: Ctrl-C, SIGTERM, a full disk.
RELEASED = "released"
#: A trial at which so many workers died is what kills them; it fails for good.
_MOST_DEATHS = 3


class Requeue:
    """Finds trials of dead workers and queues them again.

    Args:
        study: the storage.
        folder: the study's folder.
        sweep: the sweep.
    """

    def __init__(self, study: optuna.Study, folder: StudyFolder, sweep: Sweep) -> None:
        self._study, self._folder, self._sweep = study, folder, sweep
        self._unowned: dict[int, float] = {}

    def __call__(self) -> int:
        """Queues the trials of workers that are dead now.

        Returns:
            Number of queued trials.
        """
        count = 0
        heartbeat = get_heartbeat_storage(self._study)
        stale = (
            set()
            if heartbeat is None
            else set(heartbeat._get_stale_trial_ids(self._study._study_id))
        )
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._is_dead(trial, stale):
                count += self._fail_and_queue(trial)
        for trial in find_orphans(self._study.get_trials(deepcopy=False)):
            self._queue(trial)
            count += 1
        return count

    def _is_dead(self, trial: FrozenTrial, stale: set[int]) -> bool:
        if trial._trial_id in stale:
            return True
        owner = trial.user_attrs.get(OWNER)
        if owner is not None:
            return not self._folder.is_alive(str(owner), self._sweep)
        # Its worker has just asked for it, or died right then. Clocks of machines differ, so the
        # time is measured by this process, from when it first saw the trial without an owner.
        since = self._unowned.setdefault(trial._trial_id, time.monotonic())
        return time.monotonic() - since > self._sweep.grace

    def _fail_and_queue(self, trial: FrozenTrial) -> int:
        """Fails a trial and queues a copy; returns the number of copies, 0 or 1."""
        deaths = self._count_deaths(trial)
        begun = bool(trial.params or trial.system_attrs.get("fixed_params"))
        marks: dict[str, Any] = {
            RAN: self._measure_seconds(trial),
            VOID: DIED if begun else "never begun",
        }
        if deaths >= _MOST_DEATHS:
            marks = {WHY: f"its worker died, {deaths} times in a row"}
        # A `Trial` would ask the sampler for settings first.
        storage, number = self._study._storage, trial._trial_id
        try:
            for key, value in marks.items():
                storage.set_trial_user_attr(number, key, value)
            # The lock: one process gets True, the others raise.
            if not storage.set_trial_state_values(number, TrialState.FAIL):
                return 0
        except UpdateFinishedTrialError:
            return 0
        if deaths >= _MOST_DEATHS or not begun:
            return 0
        self._queue(trial)
        return 1

    def _queue(self, trial: FrozenTrial) -> None:
        earlier = trial.user_attrs
        attributes = {
            AGAIN: trial.number,
            DEATHS: self._count_deaths(trial),
            SAVED: self._find_checkpoint_time(trial),
        }
        if run := earlier.get(RUN) or earlier.get(RESUMES):
            attributes[RESUMES] = run
        fixed = trial.system_attrs.get("fixed_params", {})
        self._study.enqueue_trial({**fixed, **trial.params}, user_attrs=attributes)

    def _count_deaths(self, trial: FrozenTrial) -> int:
        """Counts the workers that died at a trial in a row, without a further checkpoint."""
        attributes = trial.user_attrs
        before = (
            0
            if self._find_checkpoint_time(trial) > float(attributes.get(SAVED, 0.0))
            else int(attributes.get(DEATHS, 0))
        )
        return before + (RELEASED not in attributes)

    def _find_checkpoint_time(self, trial: FrozenTrial) -> float:
        """Time of a trial's last checkpoint; 0 if there is none on this machine."""
        return max(self._list_times(trial, "last.ckpt"), default=0.0)

    def _measure_seconds(self, trial: FrozenTrial) -> float:
        """Seconds from a trial's start to its last written file; 0 without a run directory."""
        if trial.datetime_start is None:
            return 0.0
        last = max(self._list_times(trial, "*"), default=0.0)
        return max(0.0, last - trial.datetime_start.timestamp())

    def _list_times(self, trial: FrozenTrial, pattern: str) -> list[float]:
        """When files of a trial's run directory were written last."""
        attributes = trial.user_attrs
        run = self._folder.locate(attributes.get(RUN) or attributes.get(RESUMES))
        times = []
        for path in [] if run is None else run.rglob(pattern):
            with contextlib.suppress(OSError):  # another worker has just removed it
                times.append(path.stat().st_mtime)
        return times


def release(trial: Trial) -> None:
    """Marks a trial that a living worker leaves unfinished, so that it counts as no death.

    Errors of the storage are ignored; then the trial counts as one.
    """
    with contextlib.suppress(Exception), shorten_patience():
        trial.set_user_attr(RELEASED, True)


def is_second_copy(study: optuna.Study, trial: Trial) -> bool:
    """Whether an earlier trial already continues the one that this trial continues."""
    again = trial.user_attrs.get(AGAIN)
    return again is not None and any(
        t.user_attrs.get(AGAIN) == again and t.number < trial.number
        for t in study.get_trials(deepcopy=False)
    )
