"""A minimum of trained trials for each method: turns, several workers, what cannot be."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback

from lit_landmarks.errors import UserError
from lit_landmarks.search import StudyFolder, list_counted_trials, read_sweep, requeue_dead
from lit_landmarks.search.budget import counts_as_trained
from lit_landmarks.search.minimum import choose_method
from tests.support.configs import write_sweep

from .conftest import Make, costs, go, value_of

METHODS = {
    "small": {"base": ["base.yaml"], "space": {"model.width": {"int": [1, 10]}}},
    "large": {"base": ["base.yaml"], "space": {"model.width": {"int": [11, 40]}}},
    "tiny": {"base": ["base.yaml"], "space": {"model.width": {"float": [0.1, 1.0]}}},
}
#: A space of the first two methods, of which `large` is mostly beyond the limit of 20 MMA.
TWO = {name: METHODS[name] for name in ("large", "small")}
TPE = {"class": "TPESampler", "arguments": {"seed": 1, "n_startup_trials": 4}}


def fit(arguments: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
    return {"metrics": {"val/nme": value_of(arguments, "model.width")}, "epochs": 1}


def count_trained(study: Any) -> dict[str, int]:
    trained = [t.params["method"] for t in list_counted_trials(study) if counts_as_trained(t)]
    return {name: trained.count(name) for name in METHODS}


def test_methods_take_turns_until_each_has_its_minimum(make_study: Make) -> None:
    folder = make_study(
        methods=METHODS, space=None, constraints=[], minimum=3, trials=20, sampler=TPE
    )
    study = go(folder, fit)
    order = [t.params["method"] for t in study.trials]
    # YAML sorts the mapping of this test: large, small, tiny.
    assert order[:9] == ["large", "small", "tiny"] * 3
    assert order[9:].count("tiny") > 6, "then the sampler is free, and tiny is best"


def test_refused_trials_do_not_count_but_a_method_has_its_turns(make_study: Make) -> None:
    folder = make_study(methods=TWO, space=None, minimum=3, trials=30, trained=8, sampler=TPE)
    study = go(folder, fit)
    counts = count_trained(study)
    assert counts["large"] >= 3, "although most of its settings cost too much"
    assert sum(counts.values()) == 8
    other = StudyFolder(folder.root.parent / "other")
    limits = ["compute/mma <= 10"]  # nothing of `large` is within
    changes = {"methods": TWO, "space": None, "minimum": 2, "trials": 14, "sampler": TPE}
    other.create(read_sweep(write_sweep(folder.root.parent, **changes, constraints=limits)))
    order = [t.params["method"] for t in go(other, fit).trials]
    assert order[:12] == ["large", "small"] * 2 + ["large"] * 8, "five times the minimum at most"


def test_running_trials_count_and_undecided_ones_will_choose_alike(make_study: Make) -> None:
    folder = make_study(methods=METHODS, space=None, constraints=[], minimum=2, trials=20)
    sweep, study = folder.sweep(), folder.open(folder.sweep())
    names = [choose_method(sweep, study, study.ask().number) for _ in range(8)]
    assert names == ["large", "small", "tiny"] * 2 + [None, None]


def test_several_workers_share_the_turns(make_study: Make) -> None:
    folder = make_study(
        methods=METHODS, space=None, constraints=[], minimum=4, trials=60, trained=12
    )
    threads = [threading.Thread(target=go, args=(folder, fit)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    study = folder.open(folder.sweep())
    assert count_trained(study) == {"small": 4, "large": 4, "tiny": 4}


def test_the_trial_of_a_dead_worker_keeps_its_method(make_study: Make) -> None:
    class Killed(BaseException):
        pass

    def dies(base: list[Path], arguments: list[str], timed: bool = False) -> dict[str, float]:
        raise Killed

    folder = make_study(methods=METHODS, space=None, constraints=[], minimum=1, trials=3)
    with pytest.raises(Killed):
        go(folder, fit, dies)
    assert requeue_dead(folder.open(folder.sweep()), folder) == 1
    study = go(folder, fit, costs)
    assert count_trained(study) == {"small": 1, "large": 1, "tiny": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "minimum is for each of the methods; list 'methods'"),
        (
            {"methods": METHODS, "space": None, "trials": 8},
            "takes 9 trials, but trials is 8; raise",
        ),
        ({"methods": METHODS, "space": None, "trained": 5}, "takes 9 trials, but trained is 5"),
        ({"minimum": 0}, "minimum is 0; give a whole number of 1 or more"),
    ],
)
def test_a_bad_minimum_is_one_line(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        read_sweep(write_sweep(tmp_path, **{"minimum": 3, **changes}))
    assert message in str(error.value)


def test_a_sampler_without_fixed_parameters_is_refused(tmp_path: Path) -> None:
    grid = {"method": ["small"], "small:model.width": [1, 2]}
    sampler = {"class": "GridSampler", "arguments": {"search_space": grid}}
    methods = {"small": METHODS["small"]}
    file = write_sweep(tmp_path, methods=methods, space=None, sampler=sampler, minimum=1)
    with pytest.raises(UserError, match="GridSampler takes no fixed parameters"):
        read_sweep(file)
