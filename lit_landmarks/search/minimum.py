"""The fewest trained trials of each method, before the sampler is free to choose.

A method that learns slowly, or whose first trials were unlucky, is otherwise left after a few
trials. Methods take turns by the records of the trials before, so all workers choose alike.
"""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial, Trial

from lit_landmarks.errors import UserError
from lit_landmarks.search.budget import counts_as_trained, is_void, list_counted_trials
from lit_landmarks.search.space import METHOD, Sweep

#: A method with so many times the minimum of trials, refused and failed ones included, has had its
#: turns: its space may hold nothing within the limits.
MOST_TRIES = 5
#: Of a trial, in Optuna's storage: parameters that it does not leave to the sampler.
_FIXED = "fixed_params"


def check_minimum(sweep: Sweep) -> None:
    """Checks that a minimum of trials for each method can be reached.

    Raises:
        UserError: no methods, a sampler that chooses every parameter itself, or too few trials.
    """
    if not sweep.minimum:
        return
    if not sweep.methods:
        raise UserError(f"{sweep.file}: minimum is for each of the methods; list 'methods'")
    if sweep.sampler[0] == "GridSampler":
        raise UserError(
            f"{sweep.file}: GridSampler takes no fixed parameters, which minimum needs, and tries "
            "every method anyway; remove minimum"
        )
    needed = sweep.minimum * len(sweep.methods)
    for name, total in (("trials", sweep.trials), ("trained", sweep.trained)):
        if total is not None and total < needed:
            raise UserError(
                f"{sweep.file}: minimum {sweep.minimum} for {len(sweep.methods)} methods takes "
                f"{needed} trials, but {name} is {total}; raise {name}, or lower minimum"
            )


def fix_method(sweep: Sweep, study: optuna.Study, trial: Trial) -> None:
    """Fixes the method of a trial that has just been asked for, while one has too few trials.

    Args:
        sweep: the sweep.
        study: its storage.
        trial: the trial; one that was queued with a method keeps it.
    """
    if not sweep.minimum or METHOD in trial._fixed_params or METHOD in trial.params:
        return
    method = choose_method(sweep, study, trial.number)
    if method is not None:
        fixed = {**trial._fixed_params, METHOD: method}
        # Stored too: should this worker die, the trial goes on with its method.
        study._storage.set_trial_system_attr(trial._trial_id, _FIXED, fixed)
        trial._fixed_params = fixed


def choose_method(sweep: Sweep, study: optuna.Study, number: int) -> str | None:
    """Chooses the method whose turn it is at that trial; None if the sampler is free.

    Running trials count as trained. One whose worker has not chosen a method yet will choose by
    this rule.
    """
    taken, tried = dict.fromkeys(sweep.methods, 0), dict.fromkeys(sweep.methods, 0)
    for trial in list_counted_trials(study):
        if trial.number >= number:
            continue
        method = _read_method(trial)
        if method is None and not trial.state.is_finished():
            method = _pick(sweep, taken, tried)
        if method in taken:
            tried[method] += 1
            ended = trial.state.is_finished() and not is_void(trial)
            taken[method] += counts_as_trained(trial) or not ended
    return _pick(sweep, taken, tried)


def _read_method(trial: FrozenTrial) -> str | None:
    name = trial.params.get(METHOD, trial.system_attrs.get(_FIXED, {}).get(METHOD))
    return None if name is None else str(name)


def _pick(sweep: Sweep, taken: dict[str, int], tried: dict[str, int]) -> str | None:
    """The method with the fewest turns so far of those below the minimum, in the file's order."""
    most = MOST_TRIES * sweep.minimum
    below = [m for m in sweep.methods if taken[m] < sweep.minimum and tried[m] < most]
    return min(below, key=lambda method: tried[method], default=None)
