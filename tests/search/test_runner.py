"""A study with made-up fits: totals, limits, failures, pruning, dead workers."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from lightning.pytorch import Callback
from optuna.trial import TrialState

from lit_landmarks.errors import UserError
from lit_landmarks.search import (
    METRICS,
    RUN,
    StudyFolder,
    describe_outcome,
    find_best_feasible,
    is_feasible,
    list_counted_trials,
    print_status,
    read_sweep,
    requeue_dead,
    run_trials,
    select_pareto_trials,
    summarize_study,
)
from lit_landmarks.search.attributes import TWIN
from tests.support.configs import write_sweep

from .conftest import Make


def value_of(words: Sequence[str], key: str) -> float:
    return float(next(w for w in words if w.startswith(f"--{key}=")).split("=")[1])


class Fits:
    """Counts calls; NME falls with width, cost rises with it."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        self.calls.append(words)
        width = value_of(words, "model.width") if "--resume" not in words else 10.0
        if width == 13:
            raise ValueError("unlucky\nsecond row")
        for epoch, nme in enumerate((30.0, 20.0 - width / 10)):
            trainer = SimpleNamespace(
                sanity_checking=False, callback_metrics={"val/nme": nme}, current_epoch=epoch,
                state=SimpleNamespace(fn="fit"),
            )  # fmt: skip
            for callback in callbacks:
                callback.on_validation_end(trainer, None)  # type: ignore[arg-type]
        return {"metrics": {"val/nme": 20.0 - width / 10, "val/helen/fr10_interocular": width}}


def costs(base: list[Path], words: list[str], timed: bool = False) -> dict[str, float]:
    width = value_of(words, "model.width")
    return {"compute/mma": width, "compute/parameters": 100 * width}


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    limits = ["compute/mma <= 20", "val/helen/fr10_interocular <= 18"]
    folder = StudyFolder(tmp_path / "study")
    folder.create(read_sweep(write_sweep(tmp_path, constraints=limits)))
    return folder


def go(folder: StudyFolder, fits: Any, total: int | None = None) -> optuna.Study:
    sweep = folder.sweep()
    study = folder.open(sweep)
    run_trials(sweep, folder, study, lambda _: None, total, fits, costs)
    return study


def test_a_study_reaches_its_total_and_no_more(folder: StudyFolder) -> None:
    fits = Fits()
    study = go(folder, fits)
    assert len(list_counted_trials(study)) == len(study.trials) == 12
    assert len(go(folder, fits).trials) == 12, "nothing is left to do"
    assert len(go(folder, fits, 15).trials) == 15
    assert not list(folder.workers.iterdir()), "no worker is left"


def test_beyond_the_limit_nothing_is_trained(folder: StudyFolder) -> None:
    fits = Fits()
    study = go(folder, fits, 25)
    dear = [t for t in study.trials if t.params["model.width"] > 20]
    assert dear
    for trial in dear:
        assert trial.state == TrialState.COMPLETE
        assert trial.value == math.inf
        assert trial.constraints["compute/mma <= 20"] == trial.params["model.width"] - 20
        assert "breaks compute/mma <= 20" in describe_outcome(trial)
    trained = [t for t in study.trials if t.state == TrialState.COMPLETE and t not in dear]
    fitted = [t for t in study.trials if t not in dear and TWIN not in t.user_attrs]
    assert len(fits.calls) == len(fitted)
    assert all(set(t.constraints) == {"compute/mma <= 20", "val/helen/fr10_interocular <= 18"}
               for t in trained)  # fmt: skip
    best = find_best_feasible(study)
    assert best is not None
    fine = [t for t in trained if t.params["model.width"] <= 18]
    assert best.params["model.width"] == max(t.params["model.width"] for t in fine)
    assert [is_feasible(t) for t in trained] == [t in fine for t in trained]
    costs_of_front = [t.user_attrs[METRICS]["compute/mma"] for t in select_pareto_trials(study)]
    assert costs_of_front == sorted(costs_of_front)


def test_failures_say_why_and_do_not_stop_the_study(folder: StudyFolder) -> None:
    sweep = folder.sweep()
    study = folder.open(sweep)
    study.enqueue_trial({"model.width": 13})
    go(folder, Fits(), 3)
    failed = [t for t in study.trials if t.state == TrialState.FAIL]
    assert [describe_outcome(t) for t in failed] == ["ValueError: unlucky"]
    assert len(study.trials) == 3


def test_pruned_stays_pruned_with_its_constraints(folder: StudyFolder) -> None:
    def hopeless(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        raise optuna.TrialPruned("after epoch 1")

    study = folder.open(folder.sweep())
    study.enqueue_trial({"model.width": 5})
    go(folder, hopeless, 1)
    trial = study.trials[0]
    assert trial.state == TrialState.PRUNED
    assert trial.constraints["compute/mma <= 20"] == -15
    assert find_best_feasible(study) is None


def test_trials_of_live_workers_are_left_alone(folder: StudyFolder) -> None:
    study = folder.open(folder.sweep())
    with folder.worker(study, folder.sweep()) as worker:
        study.ask().set_user_attr("owner", worker.name)
        study.enqueue_trial({"model.width": 3})
        study.ask().suggest_int("model.width", 1, 40)
        study.tell(1, 1.0)
        assert requeue_dead(study, folder) == 0
    assert requeue_dead(study, folder) == 0, "nothing was begun, so nothing goes on"
    assert describe_outcome(study.trials[0]) == "never begun"
    assert [t.number for t in list_counted_trials(study)] == [1]


def test_trials_of_a_dead_worker_go_on(folder: StudyFolder) -> None:
    study = folder.open(folder.sweep())
    run = folder.trials / "0000"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "last.ckpt").write_bytes(b"x")

    class Killed(BaseException):
        pass

    def dies(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        raise Killed

    study.enqueue_trial({"model.width": 10})
    with pytest.raises(Killed):
        go(folder, dies, 4)
    assert [t.state for t in study.trials] == [TrialState.RUNNING]
    assert requeue_dead(study, folder) == 1
    assert requeue_dead(study, folder) == 0
    fits = Fits()
    go(folder, fits, 4)
    name = "--wandb.name=made-up-0001"  # as `compare` calls it
    assert fits.calls[0] == ["--resume", str(run), name], "from its last checkpoint"
    done = [t for t in list_counted_trials(study) if t.state == TrialState.COMPLETE]
    assert len(list_counted_trials(study)) == 4
    again = next(t for t in done if t.user_attrs.get(RUN) == "trials/0000")
    assert again.params == {"model.width": 10}


def test_a_copy_of_a_study_goes_on_in_its_own_folder(folder: StudyFolder, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def dies(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        raise Killed

    study = folder.open(folder.sweep())
    study.enqueue_trial({"model.width": 10})
    with pytest.raises(Killed):
        go(folder, dies, 1)
    (folder.trials / "0000" / "checkpoints").mkdir(parents=True)
    (folder.trials / "0000" / "checkpoints" / "last.ckpt").write_bytes(b"x")
    copy = StudyFolder(tmp_path / "copy")
    shutil.copytree(folder.root, copy.root)
    fits = Fits()
    study = go(copy, fits, 1)
    again = ["--resume", str(copy.trials / "0000"), "--wandb.name=made-up-0001"]
    assert fits.calls == [again]
    assert copy.runs(study.trials[-1], copy.sweep()) == [copy.trials / "0000"]
    # Earlier versions recorded absolute paths.
    assert copy.locate(str(folder.trials / "0007")) == copy.trials / "0007"
    assert copy.locate(None) is None


def test_status_tells_a_dead_worker_s_trial_and_how_to_go_on(
    folder: StudyFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = folder.sweep()
    study = folder.open(sweep)
    with folder.worker(study, sweep) as worker:
        for name in (worker.name, "elsewhere-1-1.c0"):
            trial = study.ask()
            trial.set_user_attr("owner", name)
            trial.suggest_int("model.width", 1, 40)
        assert summarize_study(sweep, study, folder)["states"]["running"] == 1
        print_status(sweep, study, folder)
        assert "sweep resume" not in capsys.readouterr().out, "a worker is at work"
    assert summarize_study(sweep, study, folder)["states"]["interrupted"] == 2
    print_status(sweep, study, folder)
    output = capsys.readouterr().out
    assert output.count("interrupted; `resume` continues it") == 2
    resume = f"python -m lit_landmarks sweep resume {folder.root}"
    assert output.endswith(f"no worker is at work; continue with: {resume}\n")
    # Queued again they still count.
    assert requeue_dead(study, folder) == 2
    print_status(sweep, study, folder)
    assert "made-up: 2 of 12 trials" in capsys.readouterr().out


@pytest.mark.parametrize("sampler", ["GridSampler", "BruteForceSampler"])
def test_a_sampler_that_has_tried_everything_ends_the_study(make_study: Make, sampler: str) -> None:
    grid = {"search_space": {"model.width": [2, 3, 4]}}
    folder = make_study(
        sampler={"class": sampler, "arguments": grid if sampler == "GridSampler" else {}},
        space={"model.width": {"int": [2, 4]}},
    )

    def dies(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(folder, dies)
    for _ in range(2):
        study = go(folder, Fits())
        assert sorted(t.params["model.width"] for t in list_counted_trials(study)) == [2, 3, 4]


def test_folders_that_are_none_or_in_use(folder: StudyFolder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sweep resume"):
        folder.create(folder.sweep())
    with pytest.raises(UserError, match="holds no study"):
        StudyFolder(tmp_path / "nothing").sweep()
