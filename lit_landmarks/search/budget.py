"""What of a study's budget is spent, told by its records alone.

All workers read the same records, so a budget holds over workers, machines and resumes.
"""

from __future__ import annotations

import datetime

import optuna
from optuna.trial import FrozenTrial, TrialState

from lit_landmarks.search.space import Sweep
from lit_landmarks.search.study import EPOCHS

#: User attribute of a failed trial that does not count: its worker died, or it was one too many.
VOID = "void"
#: Value of `VOID` for a trial that goes on as another one.
DIED = "its worker died"
#: User attribute: number of the trial that this one goes on with.
AGAIN = "again"
#: User attribute of a dead worker's trial: seconds for which it had run.
RAN = "ran"


#: User attributes of a study begin with this, one for each worker that stopped because its trials
#: failed alike: the numbers of those trials. What has ended takes no mark of its own any more.
STOPPED = "stopped:"


def is_void(trial: FrozenTrial) -> bool:
    """Whether a trial does not count. A mark alone decides nothing: its worker may have lived."""
    return trial.state == TrialState.FAIL and VOID in trial.user_attrs


def orphans(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Void trials that ought to go on and have no successor yet."""
    followed = {t.user_attrs.get(AGAIN) for t in trials}
    return [
        t for t in trials
        if is_void(t) and t.user_attrs[VOID] == DIED and t.number not in followed
    ]  # fmt: skip


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count towards the total: begun or ended, and not void.

    Nor do those count that failed alike and so stopped their worker. A dead worker's trial counts
    until its successor is queued; in between nobody takes its place.
    """
    trials = study.get_trials(deepcopy=False)
    waiting = {t.number for t in orphans(trials)}
    marks = study.user_attrs.items()
    stopped = {number for key, told in marks if key.startswith(STOPPED) for number in told}
    return [
        t for t in trials
        if t.state != TrialState.WAITING and (not is_void(t) or t.number in waiting)
        and t.number not in stopped
    ]  # fmt: skip


def hours_spent(study: optuna.Study) -> float:
    """Hours during which at least one trial ran, over all resumes; pauses do not count."""
    spans = sorted(filter(None, map(_span, study.get_trials(deepcopy=False))))
    total, until = 0.0, 0.0
    for start, end in spans:
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total / 3600


def _span(trial: FrozenTrial) -> tuple[float, float] | None:
    if trial.datetime_start is None:
        return None
    start = trial.datetime_start.timestamp()
    if is_void(trial):
        # It was told as failed when somebody noticed, perhaps a night later.
        return start, start + float(trial.user_attrs.get(RAN, 0.0))
    end = trial.datetime_complete or datetime.datetime.now()
    return start, end.timestamp()


def epochs_spent(study: optuna.Study) -> int:
    """Epochs trained by all trials, those that run now and those that failed among them."""
    return sum(
        int(t.user_attrs.get(EPOCHS, 0 if t.last_step is None else t.last_step + 1))
        for t in study.get_trials(deepcopy=False)
        if not is_void(t)
    )


def is_spent(sweep: Sweep, study: optuna.Study) -> bool:
    """Whether hours or epochs are used up, so that no further trial begins."""
    if sweep.hours is not None and hours_spent(study) >= sweep.hours:
        return True
    return sweep.epochs is not None and epochs_spent(study) >= sweep.epochs
