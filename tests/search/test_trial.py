"""One trial: seeds, adaptive methods, latency, what samplers learn from untrained trials."""

from __future__ import annotations

import fcntl
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from lightning.pytorch import Callback
from optuna.trial import TrialState

from lit_landmarks.errors import UserError
from lit_landmarks.search import (
    METRICS,
    RUN,
    describe_outcome,
    find_best_feasible,
    list_counted_trials,
    requeue_dead,
)
from lit_landmarks.search.attributes import EPOCHS, SEEDS
from lit_landmarks.search.watch import TrialWatch
from lit_landmarks.settings.costs import Timing
from lit_landmarks.training.divergence import Diverged

from .conftest import Make, costs, go, validate, value_of


def plain(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
    width = value_of(words, "model.width")
    validate(callbacks, 0, {"val/nme": 20 - width / 10})
    return {"metrics": {"val/nme": 20 - width / 10, "val/helen/nme_box": width}, "epochs": 1}


@pytest.mark.parametrize("sampler", ["TPESampler", "GPSampler", "NSGAIISampler", "RandomSampler"])
def test_samplers_live_with_infinite_objectives(make_study: Make, sampler: str) -> None:
    arguments: dict[str, Any] = {"seed": 3}
    if sampler in ("TPESampler", "GPSampler"):
        arguments["n_startup_trials"] = 6
    space: dict[str, Any] = {"model.width": {"int": [1, 40]}}
    if sampler == "NSGAIISampler":
        arguments["population_size"] = 12
        # It mutates one parameter in a child; a single one would always be drawn anew.
        space |= {f"model.other{k}": {"float": [0, 1]} for k in range(5)}
    folder = make_study(
        trials={"GPSampler": 20, "NSGAIISampler": 96}.get(sampler, 45),
        sampler={"class": sampler, "arguments": arguments},
        constraints=["val/helen/nme_box <= 18", "compute/mma <= 20"], space=space,
    )  # fmt: skip
    study = go(folder, plain)
    assert all(t.state == TrialState.COMPLETE for t in study.trials)
    assert any(t.value == math.inf for t in study.trials), "the limit was met"
    # GP tells limits apart by their place: every trial has both, in the file's order.
    names = ["val/helen/nme_box <= 18", "compute/mma <= 20"]
    trained = [t for t in study.trials if t.value != math.inf]
    assert all(sorted(t.constraints) == sorted(names) for t in study.trials)
    assert all(list(t.constraints) == names for t in trained)
    widths = [t.params["model.width"] for t in study.trials]
    late = widths[-(len(widths) // 3) :]
    beyond = sum(max(0, width - 18) for width in late) / len(late)
    if sampler != "RandomSampler":
        by_chance = sum(range(1, 23)) / 40
        assert beyond < 0.67 * by_chance, f"{sampler} has not learnt the limits"
        best = find_best_feasible(study)
        assert best is not None
        assert best.params["model.width"] >= 16, "and looks close to them"


def test_seeds_have_runs_of_their_own_and_a_mean(make_study: Make) -> None:
    folder = make_study(seeds=[4, 9], trials=3, space={"model.width": {"int": [5, 25]}})
    calls: list[list[str]] = []

    def fit(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        calls.append(words)
        nme = 10.0 + value_of(words, "seed_everything")
        validate(callbacks, 0, {"val/nme": nme})
        return {"metrics": {"val/nme": nme}, "epochs": 2}

    study = folder.open(folder.sweep())
    study.enqueue_trial({"model.width": 10})
    study.enqueue_trial({"model.width": 25})
    go(folder, fit, total=2)
    first, dear = study.trials
    assert first.value == 16.5
    assert first.user_attrs[SEEDS] == {"4": 14.0, "9": 19.0}
    assert first.user_attrs[EPOCHS] == 4
    assert first.intermediate_values == {0: 14.0}, "only the first seed may be pruned"
    assert dear.value == math.inf
    assert len(calls) == 2, "what is too dear is counted once and trains no seed"
    runs = [words[words.index("--run") + 1] for words in calls]
    assert runs == [str(folder.trials / "0000" / name) for name in ("seed4", "seed9")]
    assert any(word == "--wandb.name=made-up-0000-seed9" for word in calls[1])


def test_a_resumed_trial_skips_finished_seeds(make_study: Make) -> None:
    folder = make_study(seeds=3, trials=1)
    done: list[str] = []

    class Killed(BaseException):
        pass

    def fit(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        if "--resume" in words:
            done.append("rest of " + Path(words[words.index("--resume") + 1]).name)
            return {"metrics": {"val/nme": 2.0}, "epochs": 1}
        run = Path(words[words.index("--run") + 1])
        if run.name == "seed1" and not done:
            (run / "checkpoints").mkdir(parents=True)
            (run / "checkpoints" / "last.ckpt").write_bytes(b"x")
            raise Killed
        result = {"metrics": {"val/nme": 1.0 if run.name == "seed0" else 3.0}, "epochs": 1}
        if run.name == "seed0":
            run.mkdir(parents=True)
            (run / "result.json").write_text(json.dumps(result))
        else:
            done.append(run.name)
        return result

    study = folder.open(folder.sweep())
    study.enqueue_trial({"model.width": 4})
    with pytest.raises(Killed):
        go(folder, fit)
    assert requeue_dead(study, folder) == 1
    go(folder, fit)
    assert done == ["rest of seed1", "seed2"]
    last = study.trials[-1]
    assert last.value == 2.0
    assert last.user_attrs[RUN] == "trials/0000", "the folder of the first attempt"


class Adaptive:
    """MMA between width and twice that; the mean is told by each validation."""

    def __init__(self, end: BaseException | None, validations: int) -> None:
        self.end, self.validations = end, validations

    def costs(self, base: list[Path], words: list[str], timed: bool = False) -> dict[str, float]:
        width = value_of(words, "model.width")
        return {"compute/mma": 2 * width, "compute/mma_min": width, "compute/mma_max": 2 * width}

    def fit(self, words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        figures = {"val/nme": 9.0, "val/a/mma": 12.0, "val/a/faces": 1.0,
                   "val/b/mma": 16.0, "val/b/faces": 3.0}  # fmt: skip
        for epoch in range(self.validations):
            validate(callbacks, epoch, figures)
        if self.end is not None:
            raise self.end
        return {"metrics": figures | {"compute/mma": 20.0, "compute/mma_max": 20.0}, "epochs": 2}


@pytest.mark.parametrize(
    ("end", "validations", "state", "mean"),
    [
        (None, 2, TrialState.COMPLETE, 15.0),
        (optuna.TrialPruned("early"), 1, TrialState.PRUNED, 15.0),
        (optuna.TrialPruned("at once"), 0, TrialState.PRUNED, 18.0),
        (ValueError("late"), 2, TrialState.FAIL, 15.0),
        (ValueError("at once"), 0, TrialState.FAIL, 18.0),
    ],
)
def test_an_adaptive_method_is_held_to_its_mean(
    make_study: Make, end: BaseException | None, validations: int, state: TrialState, mean: float
) -> None:
    folder = make_study(constraints=["compute/mma <= 18"])
    made_up = Adaptive(end, validations)
    study = folder.open(folder.sweep())
    study.enqueue_trial({"model.width": 10})
    go(folder, made_up.fit, made_up.costs, total=1)
    trial = study.trials[0]
    assert trial.state == state
    assert trial.constraints == {"compute/mma <= 18": mean - 18}, "10 to 20; thresholds reach 18"
    assert trial.user_attrs[METRICS]["compute/mma"] == mean


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("end", [optuna.TrialPruned("early"), ValueError("late")])
def test_a_trial_that_ended_early_has_every_limit(
    make_study: Make, end: Exception, validated: bool
) -> None:
    def fit(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        if validated:
            validate(callbacks, 0, {"val/nme": 9.0, "val/afw/nme_box": 8.0})
        raise end

    limits = ["val/afw/nme_box <= 6", "compute/mma <= 20", "val/wflw/nme_box <= 3"]
    folder = make_study(constraints=limits)
    study = folder.open(folder.sweep())
    study.enqueue_trial({"model.width": 10})
    go(folder, fit, total=1)
    assert list(study.trials[0].constraints.items()) == list(
        zip(limits, [2.0 if validated else 0.0, -10.0, 0.0], strict=True)
    )


def test_an_adaptive_method_whose_cheapest_way_is_too_dear_trains_nothing(make_study: Make) -> None:
    folder = make_study(constraints=["compute/mma <= 18"])
    study = folder.open(folder.sweep())
    study.enqueue_trial({"model.width": 19})
    made_up = Adaptive(AssertionError("was trained"), 1)
    go(folder, made_up.fit, made_up.costs, total=1)
    trial = study.trials[0]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, math.inf)
    assert trial.constraints == {"compute/mma <= 18": 1.0}


def test_an_adaptive_method_refused_for_another_limit_could_meet_that_on_mma(
    make_study: Make,
) -> None:
    folder = make_study(constraints=["compute/mma <= 20", "compute/parameters <= 900"])
    study = folder.open(folder.sweep())
    study.enqueue_trial({"model.width": 15})

    def dear(base: list[Path], words: list[str], timed: bool = False) -> dict[str, float]:
        return Adaptive(None, 0).costs(base, words) | {"compute/parameters": 1000.0}

    go(folder, Adaptive(AssertionError("was trained"), 1).fit, dear, total=1)
    trial = study.trials[0]
    # 15 to 30 MMA: thresholds would have brought it to the limit, and not to its minimum.
    assert trial.constraints == {"compute/mma <= 20": 0.0, "compute/parameters <= 900": 100.0}
    assert trial.user_attrs[METRICS]["compute/mma"] == 20.0


@pytest.mark.parametrize("pruned", [False, True])
def test_the_same_settings_are_trained_once(make_study: Make, pruned: bool) -> None:
    calls: list[list[str]] = []

    def fit(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        calls.append(words)
        result = plain(words, callbacks)
        if pruned:
            raise optuna.TrialPruned("pruned after epoch 1")
        return result

    folder = make_study(trials=4)
    study = folder.open(folder.sweep())
    for width in (10, 11, 10, 10):
        study.enqueue_trial({"model.width": width})
    study = go(folder, fit)
    assert len(calls) == 2
    first, _, again, last = study.trials
    for twin in (again, last):
        assert (twin.state, twin.value) == (first.state, first.value)
        assert twin.constraints == first.constraints
        assert twin.intermediate_values == first.intermediate_values or not pruned
        assert twin.user_attrs[METRICS] == first.user_attrs[METRICS]
        assert twin.user_attrs[EPOCHS] == 0
        assert "same settings as trial 0" in describe_outcome(twin)
        assert folder.runs(twin, folder.sweep()) == folder.runs(first, folder.sweep())


def test_settings_that_an_edited_file_changes_are_trained_again(make_study: Make) -> None:
    calls: list[list[str]] = []

    def fit(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        calls.append(words)
        return plain(words, callbacks)

    folder = make_study(trials=1, space={"model.width": {"int": [5, 5]}})
    go(folder, fit)
    tree = yaml.safe_load(folder.file.read_text())
    folder.file.write_text(yaml.safe_dump(tree | {"settings": {"trainer.max_epochs": 9}}))
    go(folder, fit, total=2)
    assert len(calls) == 2


def test_latency_is_measured_where_a_limit_asks_for_it(make_study: Make) -> None:
    asked: list[Timing | None] = []

    def count(base: list[Path], words: list[str], timed: Timing | None = None) -> dict[str, float]:
        asked.append(timed)
        return costs(base, words, timed is not None)

    folder = make_study(constraints=["compute/mma <= 20", "compute/latency_median_ms <= 1.5"])
    study = folder.open(folder.sweep())
    for width in (30, 17, 10):
        study.enqueue_trial({"model.width": width})
    go(folder, plain, count, total=3)
    measured = [timing is not None for timing in asked]
    assert measured == [False, False, True, False, True], "not of what is too dear anyway"
    assert asked[2] is not None
    assert asked[2].keys == ("compute/latency_median_ms",)
    dear, slow, fine = study.trials
    assert dear.constraints == {"compute/mma <= 20": 10.0, "compute/latency_median_ms <= 1.5": 0.0}
    assert slow.constraints["compute/latency_median_ms <= 1.5"] == pytest.approx(0.2)
    assert slow.value == math.inf
    assert fine.value == 19.0


def test_a_limit_on_latency_in_onnx_runtime_has_that_measured_alone(make_study: Make) -> None:
    limit = "compute/onnx_latency_median_ms <= 1.5"
    folder = make_study(constraints=[limit])

    def count(base: list[Path], words: list[str], timed: Timing | None = None) -> dict[str, float]:
        if timed is None:
            return costs(base, words)
        assert timed.keys == ("compute/onnx_latency_median_ms",)
        # Trainings of other workers wait for the lock.
        turn = (folder.root / ".latency-turn").open()
        with turn, timed.alone(), pytest.raises(BlockingIOError):
            fcntl.flock(turn, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return costs(base, words) | {"compute/onnx_latency_median_ms": 1.0}

    study = go(folder, plain, count, total=1)
    assert study.trials[0].constraints == {limit: -0.5}


def test_a_limit_that_the_run_did_not_log_fails_the_trial(make_study: Make) -> None:
    folder = make_study(constraints=["val/wflw/nme_box <= 3"])
    study = go(folder, plain, total=1)
    assert "logged no val/wflw/nme_box" in describe_outcome(study.trials[0])


def test_trials_that_fail_alike_stop_the_work(make_study: Make) -> None:
    def fit(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        raise FileNotFoundError("faces.npz")

    folder = make_study(constraints=[])
    with pytest.raises(UserError, match=r"failed alike: FileNotFoundError: faces.*/sweep\.yaml"):
        go(folder, fit)
    study = folder.open(folder.sweep())
    assert len(study.trials) == 3
    assert list_counted_trials(study) == [], "they are not charged"
    assert len(list_counted_trials(go(folder, plain))) == 12


@pytest.mark.parametrize(
    "texts",
    [
        ("Tried to allocate 782.00 MiB. GPU 0", "Tried to allocate 1.5 GiB. GPU 1"),
        ("run e21589a0: deadline of 60s", "run 00beef12: deadline of 5s"),
        ("<Tensor at 0x7fd1a0>", "<Tensor at 0x7f00e2>"),
    ],
)
def test_failures_that_differ_by_numbers_are_alike(
    make_study: Make, texts: tuple[str, str]
) -> None:
    def fit(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        calls.append(words)
        raise RuntimeError(texts[len(calls) % 2])

    calls: list[list[str]] = []
    with pytest.raises(UserError, match="3 trials in a row failed alike"):
        go(make_study(constraints=[]), fit)
    assert len(calls) == 3


@pytest.mark.parametrize(
    "errors",
    [
        (RuntimeError("out of memory"), ValueError("out of memory")),
        (RuntimeError("no file x"), RuntimeError("no file y")),
    ],
)
def test_trials_that_fail_each_in_its_way_do_not(
    make_study: Make, errors: tuple[Exception, Exception]
) -> None:
    def fit(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        calls.append(words)
        raise errors[len(calls) % 2]

    calls: list[list[str]] = []
    assert len(go(make_study(constraints=[], trials=6), fit).trials) == 6


def test_a_full_disk_leaves_the_trial_to_resume(make_study: Make) -> None:
    full = True

    def fit(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        if full:
            try:
                raise OSError(28, "No space left on device")
            except OSError as error:
                raise UserError("cannot write x") from error
        return plain(words, callbacks)

    folder = make_study(constraints=[])
    with pytest.raises(UserError, match=r"no space left .*sweep resume"):
        go(folder, fit)
    study = folder.open(folder.sweep())
    assert [t.state for t in study.trials] == [TrialState.RUNNING]
    full = False
    assert requeue_dead(study, folder) == 1
    study = go(folder, fit)
    assert sum(t.state == TrialState.COMPLETE for t in study.trials) == 12


def test_an_adaptive_method_too_dear_with_all_stages_is_fitted_to_the_limit(
    make_study: Make,
) -> None:
    asked: list[list[str]] = []

    def adaptive(base: list[Path], words: list[str], timed: bool = False) -> dict[str, float]:
        width = value_of(words, "model.width")
        return {"compute/mma": width, "compute/mma_min": width / 3, "compute/mma_max": width}

    def fit(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        asked.append(words)
        reached = next((w for w in words if "target_mma" in w), None)
        cost = float(reached.split("=")[1]) if reached else value_of(words, "model.width")
        return {"metrics": {"val/nme": 5.0, "compute/mma": cost}}

    folder = make_study()
    study = folder.open(folder.sweep())
    for width in (15, 30):
        study.enqueue_trial({"model.width": width})
    go(folder, fit, adaptive, 2)
    assert not any("target_mma" in word for word in asked[0]), "all stages are within the limit"
    assert "--model.init_args.early_exit.target_mma=20.0" in asked[1]
    trials = folder.open(folder.sweep()).get_trials()
    assert [t.constraints["compute/mma <= 20"] for t in trials] == [-5.0, 0.0]


def test_wandb_gets_the_cost_that_thresholds_would_have_reached(make_study: Make) -> None:
    """An adaptive trial beyond the limit with all stages keeps it, also when it is pruned."""
    summaries: list[dict[str, Any]] = []

    def adaptive(base: list[Path], words: list[str], timed: bool = False) -> dict[str, float]:
        return {"compute/mma": 30.0, "compute/mma_min": 10.0, "compute/mma_max": 30.0}

    def fit(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        (watch,) = callbacks
        assert isinstance(watch, TrialWatch)
        summaries.append(watch.begin_run({"compute/mma": 30.0, "compute/parameters": 9.0}))
        validate(callbacks, 0, {"val/nme": 7.0, "val/faces/mma": 25.0, "val/faces/faces": 2.0})
        summaries.append(watch.summarize_run({}, optuna.TrialPruned())[0])
        return {"metrics": {"val/nme": 5.0, "compute/mma": 19.0}}

    folder = make_study(space={"model.init_args.width": {"choice": [[1], None]}})
    go(folder, fit, adaptive, 1)
    for summary, state in zip(summaries, ("running", "pruned"), strict=True):
        assert summary["compute/mma"] == 20.0
        assert (summary["study"]["state"], summary["study"]["feasible"]) == (state, True)
        assert summary["study"]["constraints"] == {"compute/mma <= 20": 0.0}
    assert summaries[0]["compute/parameters"] == 9.0


def test_settings_that_wandb_draws_have_short_keys_and_plain_values(make_study: Make) -> None:
    folder = make_study(
        space={"model.init_args.levels": {"choice": [[1, 0]]},
               "data.init_args.scale": {"choice": [None]},
               "model.init_args.scale": {"choice": [2]}},
        methods={"One": {"base": ["base.yaml"]}},
    )  # fmt: skip
    config: dict[str, Any] = {}

    def fit(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        assert isinstance(callbacks[0], TrialWatch)
        config.update(callbacks[0].describe_run())
        return {"metrics": {"val/nme": 5.0, "compute/mma": 19.0}}

    go(folder, fit, lambda *_, **__: {"compute/mma": 19.0}, 1)
    assert config.pop("study")["trial"] == 0
    assert config == {"hp/method": "One", "hp/levels": "[1, 0]", "hp/data_scale": "null",
                      "hp/model_scale": 2}  # fmt: skip


@pytest.mark.parametrize("epochs", [0, 2])
def test_a_trial_that_diverges_is_pruned_and_the_study_goes_on(
    make_study: Make, epochs: int
) -> None:
    """Four that diverge alike are no fault of the study, which three alike failures would end."""
    folder = make_study(trials=5, space={"model.width": {"int": [1, 15]}})

    def fit(words: list[str], callbacks: Sequence[Callback]) -> dict[str, Any]:
        if len(diverged) < 4:
            for epoch in range(epochs):
                validate(callbacks, epoch, {"val/nme": 30.0})
            diverged.append(words)
            raise Diverged("training diverged in epoch 3, step 9: val/nme is inf; lower lr")
        return plain(words, callbacks)

    diverged: list[list[str]] = []
    study = go(folder, fit)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.PRUNED] * 4 + [TrialState.COMPLETE]
    assert "training diverged in epoch 3" in describe_outcome(study.trials[0])
