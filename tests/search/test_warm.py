"""What earlier studies bring: values where they compare, else their best settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch import Callback
from optuna.trial import TrialState

from lit_landmarks.errors import UserError
from lit_landmarks.search import (
    JudgedStudy,
    StudyFolder,
    find_best_feasible,
    list_counted_trials,
    read_all_earlier,
    read_sweep,
    select_pareto_trials,
    start_warm,
    summarize_study,
)
from lit_landmarks.search.attributes import ENTRY, METRICS, SOURCE, WARM
from lit_landmarks.search.budget import count_epochs, count_hours
from lit_landmarks.search.space import Sweep
from lit_landmarks.search.warm import Plan
from tests.support.configs import write_sweep

from .conftest import go, value_of

WIDTHS = (4, 30, 8, 6, 2, 10, 12, 14)  # the second costs too much


def fit(arguments: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
    """Writes the config of a run as `fit` does, with all settings that are given."""
    width = value_of(arguments, "model.width")
    given = [a.removeprefix("--").split("=", 1) for a in arguments if a.startswith("--model")]
    tree = {"model": {"class_path": "a.Net"}, "trainer": {"max_epochs": 12}}
    for key, value in given:
        tree["model"][key.removeprefix("model.")] = yaml.safe_load(value)
    run = Path(arguments[arguments.index("--run") + 1])
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(yaml.safe_dump(tree | {"wandb": {"name": run.name}}))
    return {"metrics": {"val/nme": 20.0 - width / 10, "compute/mma": width}, "epochs": 12}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of eight trials."""
    root = tmp_path_factory.mktemp("earlier")
    entries = [{"model.width": width} for width in WIDTHS]
    folder = StudyFolder(root / "study")
    folder.create(read_sweep(write_sweep(root, trials=len(WIDTHS), enqueue=entries)))
    go(folder, fit)
    return folder.root


def make_plans(
    config: Mapping[str, Any] | None = None, changed: str = "", searched: Sequence[str] = ()
) -> Any:
    """A stand-in for `make_plans`, which parses real settings and reads real data."""
    defaults = {
        "model.class_path": "a.Net",
        "trainer.max_epochs": 12,
        "wandb.name": "x",
        "model.width": 1,
    }

    def make(sweep: Sweep) -> dict[str, Plan]:
        def find_changes(run: Any, roles: Sequence[str]) -> list[str]:
            return [f"{changed}/a has 2 faces, 3 before"] if changed in roles else []

        keys = ("model.width", *searched)
        return {
            name: Plan(defaults | dict(config or {}), keys, find_changes)
            for name in sweep.methods or [""]
        }

    return make


def begin(tmp_path: Path, source: Path, **changes: Any) -> tuple[StudyFolder, Sweep, JudgedStudy]:
    folder = StudyFolder(tmp_path / "study")
    folder.create(read_sweep(write_sweep(tmp_path, **{"warm_start": [str(source)], **changes})))
    sweep = folder.sweep()
    return folder, sweep, folder.open(sweep)


def test_values_that_compare_are_known_and_nothing_else(tmp_path: Path, source: Path) -> None:
    tpe = {"class": "TPESampler", "arguments": {"seed": 0, "n_startup_trials": 7}}
    folder, sweep, study = begin(
        tmp_path, source, trials=3, sampler=tpe, constraints=["compute/mma <= 11"]
    )
    (line,) = start_warm(sweep, study, make_plans())
    assert line.endswith("the sampler knows 7 of its trials")
    assert start_warm(sweep, study, make_plans()) == [], "once over all resumes"
    shared = study.trials
    assert [t.params["model.width"] for t in shared] == [w for w in WIDTHS if w != 30]
    assert shared[0].value == pytest.approx(19.6)
    assert shared[0].user_attrs[SOURCE] == f"trial 0 of {source}"
    # The limits of this study judge them, for the sampler.
    assert [t.constraints["compute/mma <= 11"] for t in shared][-2:] == [1.0, 3.0]
    assert list_counted_trials(study) == []
    assert find_best_feasible(study) is None
    assert select_pareto_trials(study) == []
    assert (count_epochs(study), count_hours(study)) == (0, 0.0)
    study = go(folder, fit)
    own = [t for t in study.trials if WARM not in t.user_attrs]
    assert len(own) == len(list_counted_trials(study)) == 3
    best = find_best_feasible(study)
    assert best is None or best in own
    summary = summarize_study(sweep, study, folder)
    assert (summary["trials"], summary["epochs"]) == (3, 12 * summary["trained"])


@pytest.mark.parametrize(
    ("config", "changed", "why"),
    [
        ({"trainer.max_epochs": 40}, "", "trainer.max_epochs is 12 there and 40 here"),
        ({"model.dropout": 0.1}, "", "model.dropout is None there and 0.1 here"),
        ({}, "train", "it was trained on other faces (train/a has 2 faces, 3 before)"),
    ],
)
def test_else_the_best_settings_are_tried_first(
    tmp_path: Path, source: Path, config: dict[str, Any], changed: str, why: str
) -> None:
    folder, sweep, study = begin(tmp_path, source, trials=6)
    (line,) = start_warm(sweep, study, make_plans(config, changed))
    assert line.endswith(f"its 5 best settings are tried first; {why}, so values differ")
    study = go(folder, fit)
    assert [t.params["model.width"] for t in study.trials[:5]] == [14, 12, 10, 8, 6]
    assert all(t.state == TrialState.COMPLETE and ENTRY in t.user_attrs for t in study.trials[:5])
    assert len(list_counted_trials(study)) == 6, "they are trials of this study"


def test_other_seeds_make_other_values(tmp_path: Path, source: Path) -> None:
    _, sweep, study = begin(tmp_path, source, seeds=2)
    (line,) = start_warm(sweep, study, make_plans())
    assert "it has other seeds" in line


def test_what_was_fixed_there_may_be_searched_here(tmp_path: Path, source: Path) -> None:
    space = {"model.width": {"int": [5, 9]}, "trainer.max_epochs": {"choice": [12, 40]}}
    _, sweep, study = begin(tmp_path, source, space=space)
    start_warm(sweep, study, make_plans(searched=["trainer.max_epochs"]))
    assert [t.params for t in study.trials] == [
        {"model.width": width, "trainer.max_epochs": 12} for width in (8, 6)
    ], "and only what is within the space"


def test_methods_are_matched_by_their_class(tmp_path: Path, source: Path) -> None:
    methods = {"net": {"base": ["base.yaml"], "space": {"model.width": {"int": [1, 40]}}}}
    _, sweep, study = begin(tmp_path, source, methods=methods, space=None)
    start_warm(sweep, study, make_plans())
    assert study.trials[0].params == {"method": "net", "net:model.width": 4}


def test_two_machines_that_add_a_study_add_it_once(tmp_path: Path, source: Path) -> None:
    _, sweep, study = begin(tmp_path, source)
    (earlier,) = read_all_earlier(sweep, sweep.warm_start, make_plans())
    for _ in range(2):
        for trial in earlier.shared:
            study.add_trial(trial)
    states = [t.state for t in study.trials]
    assert states == [TrialState.COMPLETE] * 7 + [TrialState.FAIL] * 7
    assert all(math.isfinite(t.user_attrs[METRICS]["val/nme"]) for t in study.trials)


@pytest.mark.parametrize(
    ("changes", "config", "changed", "message"),
    [
        ({"objective": "val/a/nme_box"}, {}, "", "has the objective val/nme, not val/a/nme_box"),
        ({}, {}, "val", "was validated on other faces (val/a has 2 faces, 3 before)"),
        (
            {"space": {"model.width": {"int": [90, 99]}}},
            {},
            "",
            "trial 0: model.width is 4, outside",
        ),
        ({}, {"model.class_path": "b.Other"}, "", "Net is no method of this study; remove it"),
        ({"warm_start": ["nowhere"]}, {}, "", "nowhere holds no study; correct the path"),
    ],
)
def test_what_says_nothing_here_is_refused_in_one_line(
    tmp_path: Path, source: Path, changes: Any, config: Any, changed: str, message: str
) -> None:
    sweep = read_sweep(write_sweep(tmp_path, **{"warm_start": [str(source)], **changes}))
    with pytest.raises(UserError) as error:
        read_all_earlier(sweep, sweep.warm_start, make_plans(config, changed))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_exhaustive_samplers_are_refused(tmp_path: Path, source: Path) -> None:
    sampler = {"class": "BruteForceSampler", "arguments": {}}
    with pytest.raises(UserError, match="BruteForceSampler tries every combination"):
        read_sweep(write_sweep(tmp_path, warm_start=str(source), sampler=sampler))
