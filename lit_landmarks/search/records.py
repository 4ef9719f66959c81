"""A study as plain values, for `reports`: trials, Pareto front, importance of its parameters."""

from __future__ import annotations

import math
import warnings
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from lit_landmarks.reports.entries import Limit, StudyRecord
from lit_landmarks.search.runner import counted, why
from lit_landmarks.search.study import METRICS, RUN, StudyFolder, is_feasible
from lit_landmarks.search.sweep_file import Sweep

#: Fewer trained trials than this say nothing of parameters.
FEWEST = 8
#: The best trials are compared with all: a tenth (PED-ANOVA's own default), and never fewer.
_BEST = 4
_STATES = {
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "unfinished",
    TrialState.WAITING: "unfinished",
}


def study_record(folder: StudyFolder, sweep: Sweep, study: optuna.Study) -> StudyRecord:
    """Everything that a report tells of a study."""
    trials = counted(study)
    importance, told = importances(study, trials)
    return StudyRecord(
        name=sweep.name,
        folder=str(folder.root),
        objective=sweep.objective,
        limits=[Limit(c.metric, c.at_most, c.limit) for c in sweep.constraints],
        trials=[_record(folder, trial) for trial in trials],
        importance=importance,
        importance_note=told,
        total=sweep.trials,
    )


def _record(folder: StudyFolder, trial: FrozenTrial) -> dict[str, Any]:
    value = trial.value if trial.state == TrialState.COMPLETE else None
    known = value is not None and math.isfinite(value)
    state = _STATES.get(trial.state, "finished" if known else "infeasible")
    run = trial.user_attrs.get(RUN)
    return {
        "number": trial.number,
        "state": state,
        "outcome": why(trial),
        "feasible": is_feasible(trial) or (state != "infeasible" and state != "finished"),
        "value": value if known else None,
        "params": dict(trial.params),
        "metrics": {
            key: float(v)
            for key, v in trial.user_attrs.get(METRICS, {}).items()
            if isinstance(v, int | float)
        },
        "constraints": dict(trial.constraints),
        "run": None if run is None else str(run),
        "seconds": trial.duration.total_seconds() if trial.duration else None,
    }


def importances(study: optuna.Study, trials: list[FrozenTrial]) -> tuple[dict[str, float], str]:
    """Share of each parameter in what makes a trained trial good (conditional PED-ANOVA).

    Trials that trained nothing have an infinite objective and are left out, and so is a parameter
    that never varied. A parameter of one method counts among the trials of that method.

    Returns:
        Parameter -> share, most important first, and how it was found or why it is empty.
    """
    trained = [
        t for t in trials
        if t.state == TrialState.COMPLETE and t.value is not None and math.isfinite(t.value)
    ]  # fmt: skip
    if len(trained) < FEWEST:
        return {}, f"{len(trained)} trained trials say too little; importance needs {FEWEST}"
    varied = _varied(trained)
    if not varied:
        return {}, "no parameter varied among the trained trials"
    if len({t.value for t in trained}) < 2:
        return {}, "all trained trials have the same objective"
    apart = optuna.create_study(direction=study.direction)
    for trial in trained:
        spaces = {k: d for k, d in trial.distributions.items() if k in varied}
        apart.add_trial(optuna.trial.create_trial(
            params={k: trial.params[k] for k in spaces}, distributions=spaces, value=trial.value,
        ))  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of experimental features; nothing here is the user's
        share = max(0.1, _BEST / len(trained))
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=share)
        shares = optuna.importance.get_param_importances(apart, evaluator=evaluator)
    best = math.ceil(share * len(trained))
    told = f"best {best} of {len(trained)} trained trials against all (conditional PED-ANOVA)"
    return {name: float(value) for name, value in shares.items()}, told


def _varied(trials: list[FrozenTrial]) -> set[str]:
    seen: dict[str, set[Any]] = {}
    for trial in trials:
        for name, value in trial.params.items():
            seen.setdefault(name, set()).add(value)
    return {name for name, values in seen.items() if len(values) > 1}
