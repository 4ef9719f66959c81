"""Settings that are tried before the sampler chooses: each once, checked before the first trial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch import Callback
from optuna.trial import TrialState

from lit_landmarks.errors import UserError
from lit_landmarks.search import StudyFolder, list_counted_trials, read_sweep
from lit_landmarks.search.attributes import ENTRY
from lit_landmarks.search.budget import VOID
from lit_landmarks.search.enqueue import digest_entry, enqueue_entries
from tests.support.configs import write_sweep

from .conftest import Make, go, value_of

SPACE = {
    "model.width": {"int": [1, 40]},
    "model.lr": {"float": [0.25, 1.0], "step": 0.25},
    "model.levels": {"choice": [[2, 1], [1]]},
}
METHODS = {
    "small": {"base": ["base.yaml"], "space": {"model.rank": {"int": [8, 32], "step": 8}}},
    "large": {"base": ["base.yaml"], "space": {"model.taps": {"choice": [True, False]}}},
}


def fit(arguments: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
    return {"metrics": {"val/nme": 20.0 - value_of(arguments, "model.width") / 10}, "epochs": 1}


def edit(folder: StudyFolder, **changes: Any) -> None:
    tree = yaml.safe_load(folder.file.read_text())
    folder.file.write_text(yaml.safe_dump(tree | changes))


def test_entries_come_first_and_the_sampler_chooses_what_they_leave_out(make_study: Make) -> None:
    entries = [{"model.width": 17, "model.levels": [1]}, {"model.lr": 0.75, "model.width": 3}]
    folder = make_study(space=SPACE, enqueue=entries, trials=4)
    study = go(folder, fit)
    first, second, third, _ = study.trials
    assert (first.params["model.width"], first.params["model.levels"]) == (17, "[1]")
    assert (second.params["model.width"], second.params["model.lr"]) == (3, 0.75)
    assert all(set(t.params) == set(SPACE) for t in study.trials)
    assert ENTRY not in third.user_attrs
    assert len(list_counted_trials(study)) == 4, "entries count as trials"


def test_an_entry_of_a_method_names_it(make_study: Make) -> None:
    entries = [{"method": "large", "model.taps": False}, {"model.width": 2}]
    space = {"model.width": {"int": [1, 20]}}
    folder = make_study(space=space, methods=METHODS, enqueue=entries, trials=2)
    first, second = go(folder, fit).trials
    assert first.params["method"] == "large"
    assert first.params["large:model.taps"] is False
    assert second.params["model.width"] == 2
    assert second.params["method"] in METHODS, "left to the sampler"


def test_resumes_and_edited_files_add_only_what_is_new(make_study: Make) -> None:
    entries: list[dict[str, Any]] = [{"model.width": 7}, {"model.width": 9}]
    folder = make_study(enqueue=entries, trials=3)
    go(folder, fit)
    edit(folder, trials=5, enqueue=[{"model.width": 11}, *reversed(entries)])
    study = go(folder, fit)
    widths = [t.params["model.width"] for t in study.trials if ENTRY in t.user_attrs]
    assert widths == [7, 9, 11]
    assert len(study.trials) == 5


def test_an_entry_that_two_workers_queued_is_tried_once(make_study: Make) -> None:
    folder = make_study(enqueue=[{"model.width": 7}], trials=3)
    study = folder.open(folder.sweep())
    for _ in range(2):  # each looked before the other had queued
        study.enqueue_trial(
            {"model.width": 7}, user_attrs={ENTRY: digest_entry({"model.width": 7})}
        )
    study = go(folder, fit)
    assert study.trials[1].user_attrs[VOID] == "queued twice"
    assert len(list_counted_trials(study)) == 3
    assert len(study.trials) == 4


def test_an_entry_whose_trial_stopped_the_work_is_tried_again(make_study: Make) -> None:
    def broken(arguments: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        raise FileNotFoundError("faces.npz")

    entries = [{"model.width": width} for width in (3, 4, 5)]
    folder = make_study(enqueue=entries, trials=4)
    with pytest.raises(UserError, match="failed alike"):
        go(folder, broken)
    study = go(folder, fit)
    complete = [t for t in study.trials if t.state == TrialState.COMPLETE]
    assert [t.params["model.width"] for t in complete][:3] == [3, 4, 5]
    assert enqueue_entries(study, folder.sweep().enqueue) == 0


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"model.widht": 3}, "entry 2 of enqueue: model.widht is not searched; did you mean model"),
        ({"model.width": 41}, "model.width is 41, which is outside of int: [1, 40]; give a value"),
        ({"model.width": 3.5}, "model.width is 3.5, which is outside of int"),
        ({"model.lr": 0.3}, "outside of float: [0.25, 1], step: 0.25"),
        ({"model.levels": [3]}, "model.levels is [3], which is outside of choice"),
        ({"trainer.max_epochs": 3}, "it is fixed under 'settings'; remove it"),
        ({"model.rank": 8}, "it is a setting of small; add method: small"),
        ({"method": "large", "model.rank": 8}, "a setting of small, not of large; remove it"),
        ({"method": "large", "model.taps": 1}, "model.taps is 1, which is outside of choice"),
        ({"method": "huge"}, "method 'huge' is unknown; known: large, small"),
        ({"method": ["large"]}, "method ['large'] is unknown; known: large, small"),
        ({}, "entry 2 of enqueue sets nothing"),
        ({"model.width": 8}, "entries 1 and 2 of enqueue are the same; remove one"),
    ],
)
def test_a_bad_entry_is_one_line(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    settings = {"trainer.max_epochs": 2}
    entries = [{"model.width": 8}, entry]
    file = write_sweep(tmp_path, space=SPACE, methods=METHODS, settings=settings, enqueue=entries)
    with pytest.raises(UserError) as error:
        read_sweep(file)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_entries_and_budget_or_sampler_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="enqueue is no list"):
        read_sweep(write_sweep(tmp_path, enqueue={"model.width": 3}))
    entries = [{"model.width": 3}, {"model.width": 4}]
    with pytest.raises(UserError, match="lists 2 trials, but trials is 1; raise trials"):
        read_sweep(write_sweep(tmp_path, enqueue=entries, trials=1))
    grid = {"model.width": [1, 2], "model.depth": [1, 2]}
    space = {key: {"int": [1, 2]} for key in grid}
    sampler = {"class": "GridSampler", "arguments": {"search_space": grid}}
    with pytest.raises(UserError, match=r"has no model\.depth; GridSampler needs every parameter"):
        read_sweep(
            write_sweep(
                tmp_path, space=space, sampler=sampler, enqueue=[entries[0] | {"model.width": 2}]
            )
        )
