"""A study as plain values, for `reports`: trials, Pareto front, importance of its parameters."""

from __future__ import annotations

import math
import warnings
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from lit_landmarks.reports.entries import Limit, StudyRecord
from lit_landmarks.search.runner import describe_outcome, list_counted_trials
from lit_landmarks.search.study import METRICS, RUN, SEEDS, StudyFolder, is_feasible
from lit_landmarks.search.sweep_file import Sweep

#: Fewest trained trials from which the importance of parameters is computed.
FEWEST = 8
#: PED-ANOVA compares a tenth of the trials (its default), but no fewer than these, with all.
_BEST = 4
_STATES = {
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "unfinished",
    TrialState.WAITING: "unfinished",
}


def build_study_record(folder: StudyFolder, sweep: Sweep, study: optuna.Study) -> StudyRecord:
    """Builds the record of a study for `reports`: its trials, limits and importances."""
    trials = list_counted_trials(study)
    importance, note = compute_importances(study, trials)
    return StudyRecord(
        name=sweep.name,
        folder=str(folder.root),
        objective=sweep.objective,
        limits=[Limit(c.metric, c.at_most, c.limit) for c in sweep.constraints],
        trials=[_describe_trial(folder, trial) for trial in trials],
        importance=importance,
        importance_note=note,
        total=sweep.trials,
    )


def _describe_trial(folder: StudyFolder, trial: FrozenTrial) -> dict[str, Any]:
    value = trial.value if trial.state == TrialState.COMPLETE else None
    has_value = value is not None and math.isfinite(value)
    state = _STATES.get(trial.state, "finished" if has_value else "infeasible")
    run = trial.user_attrs.get(RUN)
    return {
        "number": trial.number,
        "state": state,
        "outcome": describe_outcome(trial),
        "feasible": is_feasible(trial) or (state != "infeasible" and state != "finished"),
        "value": value if has_value else None,
        "params": dict(trial.params),
        "metrics": {
            key: float(v)
            for key, v in trial.user_attrs.get(METRICS, {}).items()
            if isinstance(v, int | float)
        },
        "constraints": dict(trial.constraints),
        "run": None if run is None else str(run),
        "seconds": trial.duration.total_seconds() if trial.duration else None,
        "seeds": list(trial.user_attrs.get(SEEDS, {}).values()),
    }


def compute_importances(
    study: optuna.Study, trials: list[FrozenTrial]
) -> tuple[dict[str, float], str]:
    """Computes the importance of each parameter for good trials (conditional PED-ANOVA).

    Trials that trained nothing have an infinite objective and are left out, and so is a parameter
    that never varied. A parameter of one method counts among the trials of that method.

    Returns:
        Share of each parameter, most important first; a note on the method, or why it is empty.
    """
    trained = [
        t
        for t in trials
        if t.state == TrialState.COMPLETE and t.value is not None and math.isfinite(t.value)
    ]
    if len(trained) < FEWEST:
        return {}, f"{len(trained)} trained trials say too little; importance needs {FEWEST}"
    values: dict[str, set[Any]] = {}
    for trial in trained:
        for name, value in trial.params.items():
            values.setdefault(name, set()).add(value)
    varied = {name for name, distinct in values.items() if len(distinct) > 1}
    if not varied:
        return {}, "no parameter varied among the trained trials"
    if len({t.value for t in trained}) < 2:
        return {}, "all trained trials have the same objective"
    apart = optuna.create_study(direction=study.direction)
    for trial in trained:
        spaces = {k: d for k, d in trial.distributions.items() if k in varied}
        apart.add_trial(
            optuna.trial.create_trial(
                params={k: trial.params[k] for k in spaces},
                distributions=spaces,
                value=trial.value,
            )
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about experimental features of Optuna
        share = max(0.1, _BEST / len(trained))
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=share)
        shares = optuna.importance.get_param_importances(apart, evaluator=evaluator)
    best = math.ceil(share * len(trained))
    note = f"best {best} of {len(trained)} trained trials against all (conditional PED-ANOVA)"
    return {name: float(value) for name, value in shares.items()}, note
