"""A study as plain values: states, importance with conditional spaces and untrained trials."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from lit_landmarks.reports.compare import select_pareto_entries
from lit_landmarks.reports.entries import read_study_entries
from lit_landmarks.search import METRICS, RUN, StudyFolder, read_sweep, select_pareto_trials
from lit_landmarks.search.records import FEWEST, build_study_record, compute_importances
from tests.support.configs import write_sweep

WIDE = FloatDistribution(0.0, 1.0)
METHODS = CategoricalDistribution(["a", "b"])


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    folder = StudyFolder(tmp_path / "study")
    space = {"x": {"float": [0.0, 1.0]}}
    folder.create(read_sweep(write_sweep(tmp_path, name="s", trials=9, space=space)))
    return folder


def add(study: optuna.Study, value: float | None, mma: float, **more: Any) -> None:
    state = more.pop("state", TrialState.COMPLETE)
    trial = study.ask({"x": WIDE})
    trial.set_user_attr(METRICS, {"compute/mma": mma})
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
    record = build_study_record(folder, sweep, study)
    assert [t["state"] for t in record.trials] == [
        "finished", "infeasible", "finished", "pruned", "failed", "unfinished"
    ]  # fmt: skip
    assert [t["feasible"] for t in record.trials][:3] == [True, False, False]
    assert [t["value"] for t in record.trials] == [5.0, None, 4.0, None, None, None]
    assert record.trials[1]["outcome"] == "breaks compute/mma <= 20"
    assert [str(limit) for limit in record.limits] == ["compute/mma <= 20"]
    json.dumps(record.trials, allow_nan=False)
    # The same front as `sweep status` prints.
    front = [
        e.figure("compute/mma")
        for e in select_pareto_entries(read_study_entries(record), "val/nme")
    ]
    assert front == [t.user_attrs[METRICS]["compute/mma"] for t in select_pareto_trials(study)]


def conditional(trials: int, seed: int = 0, dear: int = 0) -> optuna.Study:
    """`a` has a parameter that decides everything, `b` one that does nothing."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    random = np.random.default_rng(seed)
    for number in range(trials + dear):
        name, x, common = "ab"[number % 2], float(random.uniform()), float(random.uniform())
        value = math.inf if number >= trials else (10 * x if name == "a" else 5.0) + 0.01 * common
        study.add_trial(create_trial(
            params={"method": name, f"{name}:x": x, "common": common, "fixed": 1.0},
            distributions={"method": METHODS, f"{name}:x": WIDE, "common": WIDE,
                           "fixed": FloatDistribution(1, 1)},
            value=value,
        ))  # fmt: skip
    return study


def test_importance_of_a_conditional_space() -> None:
    study = conditional(40, dear=20)
    shares, told = compute_importances(study, study.trials)
    assert told.startswith("best 4 of 40 trained trials"), "those without a figure say nothing"
    assert set(shares) == {"method", "a:x", "b:x", "common"}, "what never varied is left out"
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert shares["a:x"] > 3 * max(shares["b:x"], shares["common"])


def test_too_little_for_an_importance() -> None:
    few = conditional(FEWEST - 1, dear=9)
    assert compute_importances(few, few.trials)[0] == {}
    assert f"needs {FEWEST}" in compute_importances(few, few.trials)[1]
    same = optuna.create_study()
    for x in range(FEWEST):
        same.add_trial(create_trial(params={"x": x / FEWEST}, distributions={"x": WIDE}, value=1.0))
    assert compute_importances(same, same.trials) == (
        {},
        "all trained trials have the same objective",
    )
    fixed = optuna.create_study()
    for x in range(FEWEST):
        fixed.add_trial(create_trial(params={"x": 0.5}, distributions={"x": WIDE}, value=float(x)))
    assert (
        compute_importances(fixed, fixed.trials)[1]
        == "no parameter varied among the trained trials"
    )
