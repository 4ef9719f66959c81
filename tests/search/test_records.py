"""A study as plain values: states, figures, Pareto front."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from lit_landmarks.reports.compare import select_pareto_entries
from lit_landmarks.reports.entries import read_study_entries
from lit_landmarks.search import METRICS, RUN, StudyFolder, read_sweep, select_pareto_trials
from lit_landmarks.search.records import build_study_record
from tests.support.configs import write_sweep

WIDE = FloatDistribution(0.0, 1.0)


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    folder = StudyFolder(tmp_path / "study")
    space = {"x": {"float": [0.0, 1.0]}}
    folder.create(read_sweep(write_sweep(tmp_path, name="s", trials=9, space=space)))
    return folder


def add(study: optuna.Study, value: float | None, mma: float, **more: Any) -> None:
    state = more.pop("state", TrialState.COMPLETE)
    trial = study.ask({"x": WIDE})
    figures = {} if value is None or not math.isfinite(value) else {"val/nme": value}
    trial.set_user_attr(METRICS, {"compute/mma": mma, **figures})
    trial.set_user_attr(RUN, f"trials/{trial.number}")
    trial.set_constraint("compute/mma <= 20", mma - 20)
    study.tell(trial, value, state=state)


def test_states_and_figures(folder: StudyFolder) -> None:
    sweep = folder.sweep()
    study = folder.open(sweep)
    add(study, 5.0, 10.0)
    add(study, math.inf, 30.0)
    add(study, 4.0, 25.0)
    add(study, None, 10.0, state=TrialState.PRUNED)
    add(study, None, 10.0, state=TrialState.FAIL)
    study.ask({"x": WIDE})
    record = build_study_record(folder, study)
    assert [t["state"] for t in record.trials] == [
        "finished", "infeasible", "finished", "pruned", "failed", "unfinished"
    ]  # fmt: skip
    assert [t["feasible"] for t in record.trials][:3] == [True, False, False]
    assert [t["value"] for t in record.trials] == [5.0, None, 4.0, None, None, None]
    assert record.trials[1]["outcome"] == "breaks compute/mma <= 20"
    assert record.trials[0]["run"] == str(folder.trials / "0")
    assert [str(limit) for limit in record.limits] == ["compute/mma <= 20"]
    json.dumps(record.trials, allow_nan=False)
    # The same front as `sweep status` prints.
    front = [
        e.figure("compute/mma")
        for e in select_pareto_entries(read_study_entries(record), "val/nme")
    ]
    assert front == [t.user_attrs[METRICS]["compute/mma"] for t in select_pareto_trials(study)]
