"""A study as plain values, for `reports`: trials, Pareto front, importance of its parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from lit_landmarks.reports.entries import StudyRecord
from lit_landmarks.search.attributes import METRICS, RUN, SEEDS, WHY
from lit_landmarks.search.importance import compute_importances
from lit_landmarks.search.judged import NOT_TRAINED, JudgedStudy
from lit_landmarks.search.objectives import first_value, is_trained
from lit_landmarks.search.rounds import find_last_finished, iterate_rounds
from lit_landmarks.search.runner import describe_outcome, list_counted_trials
from lit_landmarks.search.study import StudyFolder, is_feasible

_STATES = {
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "unfinished",
    TrialState.WAITING: "unfinished",
}


def build_study_records(folder: StudyFolder, study: JudgedStudy) -> list[StudyRecord]:
    """Builds the records of a study and of its rounds, which are studies too.

    The best of all is among the trials of the last finished round.
    """
    sweep = folder.sweep()
    last = find_last_finished(sweep, folder, study)
    finished = 0 if last is None else last.part.number
    records = [build_study_record(folder, study)]
    for part in iterate_rounds(sweep, folder, study):
        judged = part.study.with_limits(study.limits)
        # Candidates are alike: what is left of a parameter's range says nothing of its importance.
        note = f"candidates of round {part.number} are alike"
        records.append(
            replace(
                build_study_record(part.folder, judged),
                importance={},
                importance_note=note,
                importance_clear=False,
                round=part.number,
            )
        )
    return [
        replace(record, behind=finished - number if number <= finished else len(records))
        for number, record in enumerate(records)
    ]


def build_study_record(folder: StudyFolder, study: JudgedStudy) -> StudyRecord:
    """Builds the record of a study for `reports`: its trials, limits and importances."""
    sweep = study.sweep
    trials = list_counted_trials(study)
    importance = compute_importances(trials, sweep.direction)
    return StudyRecord(
        name=sweep.name,
        folder=str(folder.root),
        objective=sweep.objective,
        further=sweep.further,
        limits=sweep.constraints,
        trials=[_describe_trial(folder, trial) for trial in trials],
        importance=importance.shares,
        importance_note=importance.note + (f"; of {sweep.objective}" if sweep.further else ""),
        importance_clear=importance.clear,
        total=sweep.trials if (sweep.trained, sweep.hours, sweep.epochs) == (None,) * 3 else None,
    )


def _describe_trial(folder: StudyFolder, trial: FrozenTrial) -> dict[str, Any]:
    has_value = is_trained(trial)
    state = _STATES.get(trial.state, "finished" if has_value else "infeasible")
    if trial.user_attrs.get(WHY) == NOT_TRAINED:
        state = "infeasible"
    run = folder.locate(trial.user_attrs.get(RUN))
    return {
        "number": trial.number,
        "state": state,
        "outcome": describe_outcome(trial),
        "feasible": is_feasible(trial) or (state != "infeasible" and state != "finished"),
        "value": first_value(trial) if has_value else None,
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
