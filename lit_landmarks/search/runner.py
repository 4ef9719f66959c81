"""Working on a study until its total is reached: one process, or several that share the storage."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from lit_landmarks.errors import UserError
from lit_landmarks.search.study import OWNER, RESUMES, RUN, WHY, StudyFolder
from lit_landmarks.search.sweep_file import Sweep
from lit_landmarks.search.trial import Costs, Fit, run_trial

#: User attribute of a trial that does not count: its worker died, or the study was full.
VOID = "void"
Told = Callable[[FrozenTrial], None]


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count towards the total: begun or ended, and not void."""
    return [
        t
        for t in study.get_trials(deepcopy=False)
        if t.state != TrialState.WAITING and VOID not in t.user_attrs
    ]


def requeue_dead(study: optuna.Study, folder: StudyFolder) -> int:
    """Queues again what dead workers were at; each goes on from its last checkpoint.

    Returns:
        How many trials.
    """
    dead = [
        t
        for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if not folder.is_alive(str(t.user_attrs.get(OWNER, "-")))
    ]
    for frozen in dead:
        Trial(study, frozen._trial_id).set_user_attr(VOID, "its worker died")
        study.tell(frozen.number, state=TrialState.FAIL)
        run = frozen.user_attrs.get(RUN)
        study.enqueue_trial(frozen.params, user_attrs={RESUMES: run} if run else None)
    return len(dead)


def work(
    sweep: Sweep, folder: StudyFolder, study: optuna.Study, fit: Fit, costs: Costs, told: Told,
    total: int | None = None,
) -> None:  # fmt: skip
    """Runs trials until as many count as the sweep asks for, or its hours are over.

    Args:
        sweep: the sweep.
        folder: its folder.
        study: its storage.
        fit: trains, see `trial.Fit`.
        costs: counts, see `trial.Costs`.
        told: called with each finished trial.
        total: number of trials; None for the sweep's.
    """
    target = sweep.trials if total is None else total
    end = None if sweep.hours is None else time.monotonic() + 3600 * sweep.hours
    with folder.working() as owner:
        while len(counted(study)) < target and (end is None or time.monotonic() < end):
            trial = study.ask()
            before = [t for t in counted(study) if t.number < trial.number]
            if len(before) >= target:
                # Another worker asked for the last one at the same time.
                trial.set_user_attr(VOID, "the study was full")
                study.tell(trial, state=TrialState.FAIL)
                return
            run_trial(sweep, folder, study, trial, owner, fit, costs)
            told(study.trials[trial.number])


def spawn_workers(folder: StudyFolder, count: int, total: int) -> None:
    """Starts workers on this machine and waits for all; Ctrl-C reaches them too.

    Raises:
        UserError: a worker failed.
    """
    threads = str(max(1, (os.cpu_count() or 1) // count))
    environment: Mapping[str, str] = {"OMP_NUM_THREADS": threads, **os.environ}
    words = [sys.executable, "-m", "lit_landmarks", "sweep", "resume", str(folder.root),
             "--trials", str(total), "--keep-running"]  # fmt: skip
    workers = [subprocess.Popen(words, env=dict(environment)) for _ in range(count)]
    try:
        codes = [worker.wait() for worker in workers]
    except KeyboardInterrupt:
        for worker in workers:
            worker.wait()
        raise
    if any(codes):
        raise UserError(
            f"{sum(map(bool, codes))} of {count} workers failed; see above, then go on with "
            f"`sweep resume {folder.root}`"
        )


def why(trial: FrozenTrial) -> str:
    """What became of a trial, in a few words."""
    if trial.state == TrialState.COMPLETE:
        broken = [name for name, value in trial.constraints.items() if value > 0]
        return f"breaks {', '.join(broken)}" if broken else "within the limits"
    return str(trial.user_attrs.get(VOID) or trial.user_attrs.get(WHY) or trial.state.name.lower())
