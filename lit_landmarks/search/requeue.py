"""Trials of dead workers go on, each exactly once, whoever notices.

A trial that has lost its worker fails, and a copy of it is queued. Several may notice at the same
moment, or die between the two steps, so
    1. only the one whose change from running to failed the storage accepts queues the copy;
    2. a failed trial without a copy gets one from whoever meets it next;
    3. should there be two copies all the same, the later one is void when it is asked for.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from lit_landmarks.search.budget import AGAIN, DIED, RAN, VOID, orphans
from lit_landmarks.search.storage import in_a_hurry
from lit_landmarks.search.study import OWNER, RESUMES, RUN, WHY, StudyFolder
from lit_landmarks.search.sweep_file import Sweep
from lit_landmarks.search.workers import heartbeat_of

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
        """Looks once.

        Returns:
            How many trials were queued again.
        """
        count = 0
        heartbeat = heartbeat_of(self._study)
        stale = set() if heartbeat is None else set(
            heartbeat._get_stale_trial_ids(self._study._study_id)
        )  # fmt: skip
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._is_dead(trial, stale):
                count += self._bury(trial)
        for trial in orphans(self._study.get_trials(deepcopy=False)):
            self._queue(trial)
            count += 1
        return count

    def _is_dead(self, trial: FrozenTrial, stale: set[int]) -> bool:
        if trial._trial_id in stale:
            return True
        owner = trial.user_attrs.get(OWNER)
        if owner is not None:
            return not self._folder.is_alive(str(owner), self._sweep)
        # Its worker has just asked for it, or died right then. Clocks of machines differ, so what
        # counts is how long this process has seen it so.
        since = self._unowned.setdefault(trial._trial_id, time.monotonic())
        return time.monotonic() - since > self._sweep.grace

    def _bury(self, trial: FrozenTrial) -> int:
        """Fails a trial; 1 if a copy was queued."""
        deaths = _deaths(trial)
        begun = bool(trial.params or trial.system_attrs.get("fixed_params"))
        told: dict[str, Any] = {RAN: _seconds(trial), VOID: DIED if begun else "never begun"}
        if deaths >= _MOST_DEATHS:
            told = {WHY: f"its worker died, {deaths} times in a row"}
        # A `Trial` would ask the sampler for settings first.
        storage, number = self._study._storage, trial._trial_id
        try:
            for key, value in told.items():
                storage.set_trial_user_attr(number, key, value)
            # The lock: one process is told True, the others raise.
            if not storage.set_trial_state_values(number, TrialState.FAIL):
                return 0
        except UpdateFinishedTrialError:
            return 0
        if deaths >= _MOST_DEATHS or not begun:
            return 0
        self._queue(trial)
        return 1

    def _queue(self, trial: FrozenTrial) -> None:
        known = trial.user_attrs
        told = {AGAIN: trial.number, DEATHS: _deaths(trial), SAVED: _saved(trial)}
        if run := known.get(RUN) or known.get(RESUMES):
            told[RESUMES] = run
        fixed = trial.system_attrs.get("fixed_params", {})
        self._study.enqueue_trial({**fixed, **trial.params}, user_attrs=told)


def release(trial: Trial) -> None:
    """Notes that a trial is left unfinished by a worker that lives: no death of it.

    A storage that takes no note any more is left alone; then it counts as one.
    """
    with contextlib.suppress(Exception), in_a_hurry():
        trial.set_user_attr(RELEASED, True)


def _deaths(trial: FrozenTrial) -> int:
    """Workers that died at a trial, one after the other, without a further checkpoint."""
    known = trial.user_attrs
    before = 0 if _saved(trial) > float(known.get(SAVED, 0.0)) else int(known.get(DEATHS, 0))
    return before + (RELEASED not in known)


def _saved(trial: FrozenTrial) -> float:
    """When the last checkpoint of a trial was written; 0 without one that can be seen here."""
    times = [0.0]
    run = trial.user_attrs.get(RUN) or trial.user_attrs.get(RESUMES)
    for path in Path(run).rglob("last.ckpt") if run else ():
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times)


def is_double(study: optuna.Study, trial: Trial) -> bool:
    """Whether an earlier trial goes on with what this one should."""
    again = trial.user_attrs.get(AGAIN)
    return again is not None and any(
        t.user_attrs.get(AGAIN) == again and t.number < trial.number
        for t in study.get_trials(deepcopy=False)
    )


def _seconds(trial: FrozenTrial) -> float:
    """How long it ran: until the last file below its run directory, as far as there is one."""
    if trial.datetime_start is None or RUN not in trial.user_attrs:
        return 0.0
    times = [0.0]
    for path in Path(trial.user_attrs[RUN]).rglob("*"):
        try:
            times.append(path.stat().st_mtime)
        except OSError:  # another worker has just removed it
            continue
    return max(0.0, max(times) - trial.datetime_start.timestamp())
