"""Sweep files: what is read, and one clear line for each way to be wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml

from lit_landmarks.errors import UserError
from lit_landmarks.reports.limits import Limit
from lit_landmarks.search import check_metrics, describe_keys
from lit_landmarks.search.sweep_file import (
    KEYS,
    KINDS,
    METHOD,
    instantiate,
    read_sweep,
    with_absolute_bases,
)
from lit_landmarks.search.trial import suggest

Write = Callable[..., Path]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    (tmp_path / "base.yaml").write_text("trainer: {max_epochs: 1}\n")
    (tmp_path / "other.yaml").write_text("trainer: {max_epochs: 2}\n")

    def written(**changes: Any) -> Path:
        tree: dict[str, Any] = {
            "name": "a-study",
            "base": ["base.yaml"],
            "constraints": ["compute/mma <= 40", "val/helen/auc10_interocular >= 50"],
            "space": {
                "model.lr": {"float": [1e-4, 1e-2], "log": True},
                "model.width": {"int": [8, 32], "step": 8},
                "model.taps": {"choice": [[1, 3], [2]]},
            },
            "trials": 5,
        }
        tree = {k: v for k, v in {**tree, **changes}.items() if v != "gone"}
        path = tmp_path / "sweep.yaml"
        path.write_text(yaml.safe_dump(tree))
        return path

    return written


def test_what_a_file_says(write: Write, tmp_path: Path) -> None:
    sweep = read_sweep(write())
    assert sweep.base == (tmp_path / "base.yaml",)
    assert sweep.direction == "minimize"
    assert sweep.constraints[0] == Limit("compute/mma", True, 40.0)
    assert sweep.constraints[0].violation(50.0) == 10.0
    assert sweep.constraints[1].violation(60.0) == -10.0
    assert sweep.constraints[1].violation(float("nan")) == float("inf")
    assert read_sweep(write(objective="val/helen/auc10_interocular")).direction == "maximize"


def test_base_may_name_a_shipped_config(write: Write, tmp_path: Path) -> None:
    path = write(base=["musica", "data/tiny", "base.yaml"])
    shipped = [ROOT / "configs" / name for name in ("musica.yaml", "data/tiny.yaml")]
    expected = (*(file.resolve() for file in shipped), tmp_path / "base.yaml")
    assert read_sweep(path).base == expected
    tree = yaml.safe_load(path.read_text())
    with_absolute_bases(tree, tmp_path)  # as a study keeps it
    assert tree["base"] == [str(file) for file in expected]
    (tmp_path / "musica").write_text("trainer: {max_epochs: 3}\n")  # beside the sweep file
    assert read_sweep(path).base[0] == tmp_path / "musica"


def test_a_limit_that_needs_a_package_names_its_extra(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = read_sweep(write(constraints=["compute/onnx_latency_median_ms <= 5"]))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    expected = r"sweep.yaml: compute/onnx_latency_median_ms needs more .*\[export\]"
    with pytest.raises(UserError, match=expected):
        check_metrics(sweep)


def test_suggestions_stay_within_and_keep_their_type(write: Write) -> None:
    sweep = read_sweep(write())
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    settings = [suggest(sweep, study.ask()).chosen for _ in range(40)]
    assert all(1e-4 <= s["model.lr"] <= 1e-2 for s in settings)
    assert {s["model.width"] for s in settings} == {8, 16, 24, 32}
    assert all(s["model.taps"] in ([1, 3], [2]) for s in settings)
    arguments = suggest(sweep, study.ask()).to_arguments()
    assert any(text in ("--model.taps=[1, 3]", "--model.taps=[2]") for text in arguments)


def test_a_method_brings_its_own_files_and_parameters(write: Write, tmp_path: Path) -> None:
    methods = {
        "one": {"base": ["other.yaml"], "space": {"model.depth": {"int": [1, 3]}}},
        "two": {"base": ["other.yaml"]},
    }
    sweep = read_sweep(write(methods=methods))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        trial = study.ask()
        settings = suggest(sweep, trial)
        assert settings.base == (tmp_path / "other.yaml", tmp_path / "base.yaml")
        assert ("model.depth" in settings.chosen) == (trial.params[METHOD] == "one")
    assert {t.params[METHOD] for t in study.trials} == {"one", "two"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trails": 5}, "unknown key 'trails'; did you mean trials"),
        ({"trials": "gone"}, "no 'trials'"),
        ({"trials": "many"}, "trials is 'many'; give a whole number"),
        ({"trials": 0}, "trials is 0"),
        ({"base": ["nowhere.yaml"]}, "nowhere.yaml, which is not there; give the path of a YAML"),
        ({"base": ["musca"]}, "which is not there; did you mean musica"),
        ({"base": []}, "no base config"),
        ({"space": {}}, "nothing to search"),
        ({"space": {"a": {"float": [2, 1]}}}, "space.a is an empty range, 2 to 1"),
        ({"space": {"a": {"float": []}}}, "empty range or list"),
        ({"space": {"a": {"float": [1]}}}, "has 1 ends"),
        ({"space": {"a": {"float": ["x", 1]}}}, "give a number"),
        ({"space": {"a": {"float": [0, 1], "log": True}}}, "above 0"),
        ({"space": {"a": {"int": [1, 2.5]}}}, "give a whole number"),
        ({"space": {"a": {"range": [1, 2]}}}, "space.a.range is unknown"),
        ({"space": {"a": {}}}, "needs one of float"),
        ({"constraints": ["compute/mma < 4"]}, "write 'compute/mma <= 100'"),
        ({"constraints": ["compute/speed <= 4"]}, "no metric that a run logs"),
        ({"constraints": "compute/mma <= 4"}, "is no list"),
        ({"objective": "val/beauty"}, "objective 'val/beauty' is no metric"),
        ({"sampler": {"class": "Oracle"}}, "'Oracle' is unknown to optuna.samplers"),
        ({"sampler": {"arguments": {"depth": 3}}}, "do not fit TPESampler"),
        ({"pruner": {"kind": "Median"}}, "pruner.kind is unknown"),
        ({"storage": "here"}, "write journal, or a URL"),
        ({"storage": "sqlite:///a.db"}, "SQLite"),
        ({"name": "a study"}, "is no name"),
        ({"methods": {"one": {"bass": []}}}, "methods.one.bass is unknown"),
        ({"hours": -1}, "hours is -1"),
        ({"epochs": 0}, "epochs is 0"),
        ({"seeds": [1, 1]}, "list different numbers"),
        ({"seeds": 0}, "seeds is 0"),
        ({"seeds": 2, "settings": {"seed_everything": 1}}, "'seeds' is given; keep one"),
        ({"settings": {"model.lr": 0.1}}, "model.lr is in space and in settings"),
        ({"objective": "val/loss"}, "is a loss, which does not compare"),
        ({"constraints": ["compute/mma <= 4", "compute/mma <= 4.0"]}, "twice"),
        ({"space": {"a": {"float": [0, 1], "step": -0.1}}}, "space.a.step is -0.1"),
        ({"space": {"a": {"int": [1, 9], "step": 2, "log": True}}}, "remove step or log"),
        ({"space": {"a": {"choice": [1], "log": True}}}, "does not fit a choice"),
        ({"sampler": {"class": "BaseSampler"}}, "'BaseSampler' is unknown"),
        ({"sampler": {"class": "TPESample"}}, "did you mean TPESampler"),
        ({"pruner": {"class": "PatientPruner", "arguments": {"patience": 1}}}, "do not fit"),
        (
            {
                "pruner": {
                    "class": "PatientPruner",
                    "arguments": {"patience": 1, "wrapped_pruner": {"class": "Median"}},
                }
            },
            "'Median'",
        ),
        ({"space": {"a": {"int": [1, 4], "step": 8}}}, "is 8, which does not divide 1 to 4"),
        ({"space": {"a": {"int": [1, 10], "step": 2}}}, "move an end or the step"),
        ({"space": {"a": {"float": [0, 1], "step": 0.3}}}, "does not divide 0 to 1"),
        ({"space": {"a": {"choice": [0, 1, 0]}}}, "space.a offers 0 twice"),
        ({"space": {"a": {"choice": [[1], [1]]}}}, "space.a offers [1] twice"),
        ({"hours": 0}, "hours is 0; give a number above 0"),
        ({"storage": "redis://host"}, "scheme 'redis', which is not supported"),
        (
            {"sampler": {"class": "GridSampler", "arguments": {"search_space": {"a": [1]}}}},
            "sampler.arguments.search_space.a is no parameter of the space",
        ),
        (
            {
                "space": {"a": {"int": [1, 3]}},
                "sampler": {"class": "GridSampler", "arguments": {"search_space": {"a": [1, 7]}}},
            },
            "search_space.a holds 7",
        ),
        ({"sampler": {"class": "BruteForceSampler"}}, "needs a step of model.lr"),
        ({"methods": {"one": None}}, "methods.one is empty"),
        ({"settings": {"run": "runs/a"}}, "settings.run is the study's own"),
        ({"settings": {"wandb": {"name": "a"}}}, "settings.wandb.name is the study's own"),
        ({"space": {"resume": {"choice": ["a"]}}}, "space.resume is the study's own"),
        ({"space": {"config": {"choice": ["a"]}}}, "space.config is the study's own"),
        ({"refit": {"ckpt_path": "a"}}, "refit.ckpt_path is the study's own"),
        ({"methods": {"one": {"space": {"wandb.group": {"choice": ["a"]}}}}}, "wandb.group is the"),
        ({"space": {1: {"choice": ["a"]}}}, "space.1 is no setting"),
        ({"storage": {"url": "journal", "heartbeat": 10, "grace": 15}}, "give 20 or more"),
    ],
)
def test_bad_files_give_one_line(write: Write, changes: dict[str, Any], message: str) -> None:
    path = write(**changes)
    with pytest.raises(UserError) as caught:
        read_sweep(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_that_is_given_twice_is_told_with_its_row(write: Write) -> None:
    path = write()
    rows = path.read_text().count("\n")
    with path.open("a") as file:
        file.write("trials: 7\n")
    with pytest.raises(
        UserError, match=rf"'trials' stands in row \d+ and again, .*sweep.yaml:{rows + 1}; remove"
    ):
        read_sweep(path)


@pytest.mark.parametrize("keys", [("1e-3", "0.001"), ("1", "0x1")])
def test_keys_of_a_sweep_file_are_compared_as_values(write: Write, keys: tuple[str, str]) -> None:
    path = write()
    rows = "".join(f"    {key}: 1\n" for key in keys)
    path.write_text(path.read_text() + f"settings:\n  model.a:\n{rows}")
    with pytest.raises(UserError, match=rf"key '{keys[1]}' stands in row .* and again"):
        read_sweep(path)


def test_an_impossible_date_in_a_sweep_file_is_one_line(write: Write) -> None:
    path = write()
    path.write_text(path.read_text() + "settings:\n  model.day: 2024-06-31\n")
    row = path.read_text().count("\n")
    with pytest.raises(UserError, match=rf"sweep.yaml:{row}: '2024-06-31' cannot be read: day"):
        read_sweep(path)


def test_steps_are_counted_in_decimals(write: Write) -> None:
    space = {"a": {"float": [0.1, 0.7], "step": 0.2}, "b": {"int": [8, 8], "step": 16}}
    assert [p.step for p in read_sweep(write(space=space)).space] == [0.2, 16]


def test_the_manual_explains_every_key() -> None:
    explained = {row.split()[0] for row in describe_keys().splitlines()}
    assert explained == set(KEYS)


def test_nested_pruners_seeds_and_storages(write: Write) -> None:
    inner = {"patience": 2, "wrapped_pruner": {"class": "MedianPruner"}}
    nested = {"class": "PatientPruner", "arguments": inner}
    storage = {"url": "postgresql://me@host/db", "heartbeat": 5, "grace": 10}
    sweep = read_sweep(write(pruner=nested, seeds=3, storage=storage, hours=2.5, epochs=70))
    pruner = instantiate(*KINDS["pruner"][:2], sweep.pruner[0], dict(sweep.pruner[1]))
    assert isinstance(pruner._wrapped_pruner, optuna.pruners.MedianPruner)
    assert sweep.seeds == (0, 1, 2)
    assert (sweep.storage, sweep.heartbeat, sweep.grace) == ("postgresql://me@host/db", 5, 10)
    assert (sweep.hours, sweep.epochs) == (2.5, 70)
    assert read_sweep(write(seeds=[7])).seeds == (7,)
    assert read_sweep(write(seeds=1)).seeds == (), "the configs' own"


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [
        ("2e-5", "5E-2", (2e-5, 0.05)),
        ("1.5e-4", "1e0", (1.5e-4, 1.0)),
        (".5e-3", "+2.0e1", (0.0005, 20.0)),
    ],
)
def test_numbers_with_an_exponent_are_numbers(
    write: Write, low: str, high: str, ends: tuple[float, float]
) -> None:
    path = write(space={"model.lr": {"float": [1, 2], "log": True}}, trials=77)
    text = path.read_text().replace("- 1\n", f"- {low}\n").replace("- 2\n", f"- {high}\n")
    path.write_text(text.replace("trials: 77", "trials: 2e1"))
    sweep = read_sweep(path)
    assert (sweep.space[0].low, sweep.space[0].high) == ends
    assert sweep.trials == 20


def test_text_that_looks_like_an_exponent_stays_text(write: Write) -> None:
    path = write(space={"model.a": {"choice": ["x", "y", "z"]}})
    text = path.read_text().replace("- x\n", "- '3e-4'\n").replace("- y\n", "- 1e\n")
    path.write_text(text.replace("- z\n", "- 3e-4\n"))
    assert read_sweep(path).space[0].choices == ("3e-4", "1e", 3e-4)
