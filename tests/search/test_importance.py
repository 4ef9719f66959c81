"""Importance of parameters on made-up studies whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from lit_landmarks.search.importance import FEWEST, FEWEST_CLEAR, compute_importances

WIDE = FloatDistribution(0.0, 1.0)
METHODS = CategoricalDistribution(["a", "b"])


def searched(trials: int, seed: int) -> list[FrozenTrial]:
    """A study by TPE with a pruner: the method is worth 2, rotation 0.3, `unused` nothing."""
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
    )
    random = np.random.default_rng(seed)
    for _ in range(trials):
        trial = study.ask()
        value = (
            4.0
            + {"fine": 0.0, "other": 2.0, "third": 2.0}[
                str(trial.suggest_categorical("method", ["fine", "other", "third"]))
            ]
        )
        value += 0.3 * trial.suggest_float("rotation", 0, 45) / 45
        value += 0.6 * (math.log10(trial.suggest_float("lr", 1e-4, 1e-2, log=True)) + 3) ** 2
        value += 0.0 * trial.suggest_float("unused", 0, 1) + float(random.normal(0, 0.05))
        for epoch in range(12):
            trial.report(value + 6 * 0.6 ** (epoch + 1), epoch)
            if trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, value)
    return study.trials


@pytest.mark.parametrize("seed", range(3))
def test_a_method_that_the_search_has_settled_still_matters_most(seed: int) -> None:
    trials = searched(60, seed)
    pruned = sum(t.state == TrialState.PRUNED for t in trials)
    assert pruned > 5
    importances = compute_importances(trials, "minimize")
    # Variances over the ranges: 0.89, 0.0075 and 0.032.
    assert importances.shares["method"] == pytest.approx(0.96, abs=0.06)
    assert importances.shares["rotation"] < 0.04
    assert importances.shares["unused"] < 0.02
    assert importances.note.startswith(f"rests on 60 trials, {pruned} of them pruned; ")
    assert importances.clear


def test_a_headline_takes_enough_trials_and_a_model_that_predicts() -> None:
    assert not compute_importances(searched(FEWEST_CLEAR - 1, 0), "minimize").clear
    random = np.random.default_rng(0)
    noise = [
        create_trial(params={"x": x}, distributions={"x": WIDE}, value=float(random.normal()))
        for x in random.uniform(size=60)
    ]
    for number, trial in enumerate(noise):
        trial.number = number
    importances = compute_importances(noise, "minimize")
    assert not importances.clear
    assert importances.note.endswith("predicts 0 % of their variance: a hint at most")


def conditional(trials: int, dear: int = 0) -> optuna.Study:
    """`a` has a parameter that decides everything, `b` one that does nothing."""
    study = optuna.create_study()
    random = np.random.default_rng(0)
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
    importances = compute_importances(conditional(40, dear=20).trials, "minimize")
    assert importances.note.startswith("rests on 40 trials;"), "those without a figure say nothing"
    shares = importances.shares
    assert set(shares) == {"method", "a:x", "b:x", "common"}, "what never varied is left out"
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert shares["a:x"] > 0.95


def test_the_direction_does_not_matter_and_one_wreck_does_not_decide() -> None:
    trials = searched(40, 1)
    before = compute_importances(trials, "minimize").shares
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    for trial in trials:
        trial.intermediate_values = {k: -v for k, v in trial.intermediate_values.items()}
    for trial in complete:
        trial.value = -float(trial.value or 0.0)
    after = compute_importances(trials, "maximize").shares
    assert after == pytest.approx(before)
    complete[0].value = -90.0
    assert compute_importances(trials, "maximize").shares["method"] > 0.7


def test_too_little_for_an_importance() -> None:
    few = compute_importances(conditional(FEWEST - 1, dear=9).trials, "minimize")
    assert few.shares == {}
    assert f"it takes {FEWEST}" in few.note
    same = optuna.create_study()
    fixed = optuna.create_study()
    for x in range(FEWEST):
        for study, place, value in ((same, x / FEWEST, 1.0), (fixed, 0.5, float(x))):
            study.add_trial(
                create_trial(params={"x": place}, distributions={"x": WIDE}, value=value)
            )
    assert compute_importances(same.trials, "minimize").note == (
        "all trained trials have the same objective"
    )
    assert compute_importances(fixed.trials, "minimize").note == (
        "no parameter varied among the trained trials"
    )
