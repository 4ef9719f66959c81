"""Trials, hours and epochs of a study that are spent, counted from its records alone.

All workers read the same records, so a budget holds over workers, machines and resumes.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from lit_landmarks.search.attributes import EPOCHS, TWIN, WARM
from lit_landmarks.search.objectives import is_trained
from lit_landmarks.search.space import Sweep

#: User attribute of a failed trial that does not count: its worker died, or it was one too many.
VOID = "void"
#: Value of `VOID` for a trial that goes on as another one.
DIED = "its worker died"
#: User attribute: number of the trial that this one goes on with.
AGAIN = "again"
#: User attribute of a dead worker's trial: seconds for which it had run.
RAN = "ran"
#: User attributes of a study begin with this, one for each worker that stopped because its trials
#: failed alike: the numbers of those trials. A trial that has ended takes no further attribute.
STOPPED = "stopped:"


def is_void(trial: FrozenTrial) -> bool:
    """Whether a trial failed with `VOID`; the mark alone is not enough, its worker may live."""
    return trial.state == TrialState.FAIL and VOID in trial.user_attrs


def find_orphans(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Finds the trials of dead workers that no other trial continues yet."""
    followed = {t.user_attrs.get(AGAIN) for t in trials}
    return [
        t for t in trials if is_void(t) and t.user_attrs[VOID] == DIED and t.number not in followed
    ]


def list_counted_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Lists the trials that count towards the total: begun or ended, and not void.

    Trials that failed alike and so stopped their worker do not count. A dead worker's trial counts
    until its successor is queued, so that no new trial takes its place.
    """
    trials = study.get_trials(deepcopy=False)
    waiting = {t.number for t in find_orphans(trials)}
    stopped = list_stopped_numbers(study)
    return [
        t
        for t in trials
        if t.state != TrialState.WAITING
        and WARM not in t.user_attrs
        and (not is_void(t) or t.number in waiting)
        and t.number not in stopped
    ]


def list_stopped_numbers(study: optuna.Study) -> set[int]:
    """Numbers of the trials that failed alike and so stopped their worker."""
    marks = study.user_attrs.items()
    return {number for key, numbers in marks if key.startswith(STOPPED) for number in numbers}


def counts_as_trained(trial: FrozenTrial) -> bool:
    """Whether a trial was trained, to its end or until it was pruned, and repeats no other one."""
    if TWIN in trial.user_attrs:
        return False
    return trial.state == TrialState.PRUNED or is_trained(trial)


def has_room(sweep: Sweep, total: int, trials: Sequence[FrozenTrial]) -> bool:
    """Whether a further trial may begin beside those that count.

    Args:
        sweep: the sweep.
        total: the most trials, which may be another number than the sweep's.
        trials: the trials that count. One that has not ended may yet be trained.
    """
    if len(trials) >= total:
        return False
    taken = sum(counts_as_trained(t) or is_void(t) or not t.state.is_finished() for t in trials)
    return sweep.trained is None or taken < sweep.trained


def count_hours(study: optuna.Study) -> float:
    """Counts the hours during which at least one trial ran, over all resumes, without pauses."""
    own = (t for t in study.get_trials(deepcopy=False) if WARM not in t.user_attrs)
    spans = sorted(filter(None, map(_trial_span, own)))
    total, until = 0.0, 0.0
    for start, end in spans:
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total / 3600


def _trial_span(trial: FrozenTrial) -> tuple[float, float] | None:
    if trial.datetime_start is None:
        return None
    start = trial.datetime_start.timestamp()
    if is_void(trial):
        # It was marked as failed when another worker noticed, perhaps a night later.
        return start, start + float(trial.user_attrs.get(RAN, 0.0))
    end = trial.datetime_complete or datetime.datetime.now()
    return start, end.timestamp()


def count_epochs(study: optuna.Study) -> int:
    """Counts the epochs trained by all trials, running and failed ones included."""
    return sum(
        int(t.user_attrs.get(EPOCHS, 0 if t.last_step is None else t.last_step + 1))
        for t in study.get_trials(deepcopy=False)
        if not is_void(t) and WARM not in t.user_attrs
    )


def is_spent(sweep: Sweep, study: optuna.Study) -> bool:
    """Whether hours or epochs are used up, so that no further trial begins."""
    if sweep.hours is not None and count_hours(study) >= sweep.hours:
        return True
    return sweep.epochs is not None and count_epochs(study) >= sweep.epochs
