"""The budget of trained trials: what is refused or repeated does not count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from lightning.pytorch import Callback

from lit_landmarks.search import list_counted_trials, print_status, summarize_study
from lit_landmarks.search.budget import counts_as_trained, has_room

from .conftest import Make, go, value_of


def fit(arguments: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
    width = value_of(arguments, "model.width")
    if width == 5:
        raise optuna.TrialPruned("pruned after epoch 1")
    if width == 6:
        raise ValueError("unlucky")
    return {"metrics": {"val/nme": 20.0 - width / 10}, "epochs": 1}


def test_trained_and_pruned_trials_count_and_no_others(
    make_study: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    widths = [30, 4, 4, 5, 6, 35, 8, 9, 10]  # too dear, trained, repeated, pruned, failed, ...
    folder = make_study(trials=20, trained=3, enqueue=None, space={"model.width": {"int": [1, 40]}})
    study = folder.open(folder.sweep())
    for width in widths:
        study.enqueue_trial({"model.width": width})
    study = go(folder, fit)
    counted = list_counted_trials(study)
    assert [t.params["model.width"] for t in counted] == [30, 4, 4, 5, 6, 35, 8]
    assert [t.params["model.width"] for t in counted if counts_as_trained(t)] == [4, 5, 8]
    sweep = folder.sweep()
    summary = summarize_study(sweep, study, folder)
    assert (summary["trained"], summary["minutes_left"]) == (3, 0.0)
    print_status(sweep, study, folder)
    shown = capsys.readouterr().out
    assert "spent: 3 of 3 trained, " in shown
    assert "sweep resume" not in shown, "the budget is used up"


def test_a_running_trial_may_yet_be_trained(make_study: Make) -> None:
    folder = make_study(trials=20, trained=2)
    sweep, study = folder.sweep(), folder.open(folder.sweep())
    done, running = study.ask(), study.ask()
    study.tell(done, 4.0)
    assert not has_room(sweep, 20, list_counted_trials(study))
    running.set_user_attr("why", "refused")
    study.tell(running, sweep.worst)
    assert has_room(sweep, 20, list_counted_trials(study)), "it was refused"
    assert not has_room(sweep, 2, list_counted_trials(study)), "trials are a budget too"


def test_the_total_of_trials_ends_a_study_that_can_train_nothing(make_study: Make) -> None:
    folder = make_study(trials=4, trained=3, constraints=["compute/mma <= 0"])
    study = go(folder, fit)
    assert len(list_counted_trials(study)) == 4
    assert not any(map(counts_as_trained, study.trials))
