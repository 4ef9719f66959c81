"""Refused settings in one line: the innermost mistake, what would be accepted, and the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_landmarks import Task
from lit_landmarks.errors import UserError
from lit_landmarks.settings.datasets import build_dataset, dataset_from_entry
from lit_landmarks.settings.diagnosis import class_arguments
from lit_landmarks.settings.values import apply_overrides

FACES: dict[str, Any] = {"class_path": "SyntheticFaces", "init_args": {"n": 4}}


def message_of(folder: Path, tree: dict[str, Any], *overrides: str) -> str:
    file = folder / "x.yaml"
    base = {"model": {"class_path": "ASMNet"}, "data": {"init_args": {"train": {"a": FACES}}}}
    file.write_text(yaml.safe_dump(base | tree))
    with pytest.raises(UserError) as caught:
        Task.from_files([file], overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("tree", "parts"),
    [
        ({"model": {"class_path": "torch.nn.Linear"}}, ["unknown method 'torch.nn.Linear'"]),
        (
            {"trainer": {"callbacks": [{"class_path": "EarlyStoping"}]}},
            ["unknown callback 'EarlyStoping' in", "did you mean EarlyStopping?"],
        ),
        (
            {
                "trainer": {
                    "callbacks": [{"class_path": "EarlyStopping", "init_args": {"patienc": 1}}]
                }
            },
            ["unknown setting of EarlyStopping 'patienc'", "did you mean patience?"],
        ),
        (
            {"trainer": {"callbacks": [{"class_path": "EarlyStopping"}]}},
            ["EarlyStopping needs a value for monitor"],
        ),
        (
            {
                "model": {
                    "class_path": "ASMNet",
                    "init_args": {
                        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": "x"}}
                    },
                }
            },
            ["optimizer.init_args.lr: expected", "float", "got x"],
        ),
        ({"wandb": {"mode": "loud"}}, ["wandb.mode: expected one of", "'offline'", "got loud"]),
        ({"data": {"init_args": {"train": {"a": FACES}, "batch": 3}}}, ["did you mean batch_size"]),
        (
            {
                "data": {
                    "init_args": {
                        "train": {"a": {"class_path": "SyntheticFaces", "init_args": {"n": "few"}}}
                    }
                }
            },
            ["train.a.init_args.n: expected int, got few"],
        ),
        (
            {"data": {"init_args": {"train": {"a": FACES}, "augmentation": {"rotate": 1}}}},
            ["unknown setting of Augmentation 'rotate'"],
        ),
        ({"seed_everything": "x"}, ["seed_everything: expected int, got 'x'"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_mistakes_in_files(tmp_path: Path, tree: dict[str, Any], parts: list[str]) -> None:
    line = message_of(tmp_path, tree)
    assert all(part in line for part in parts), line


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("--model.init_args.dropuot=1", ["unknown setting of ASMNet 'dropuot'", "dropout?"]),
        ("--model.dropuot=1", ["unknown setting of ASMNet 'dropuot'"]),
        ("--model.init_args.dropout=much", ["model.init_args.dropout: expected float, got much"]),
        ("--modl.init_args.dropout=1", ["unknown argument '--modl.init_args.dropout'"]),
        ("--model=ASMNt", ["unknown method 'ASMNt'", "MobileNetBaseline"]),
        ("--wandb.mod=offline", ["unknown argument '--wandb.mod'", "--wandb.mode?"]),
        ("--data.init_args.train.a.init_args.n=few", ["init_args.n: expected int, got few"]),
    ],
)
def test_mistakes_in_overrides(tmp_path: Path, override: str, parts: list[str]) -> None:
    line = message_of(tmp_path, {}, override)
    assert all(part in line for part in parts), line


def test_arguments_of_one_data_set() -> None:
    assert build_dataset("SyntheticFaces", ["--n", "3", "--seed=2"]).index().points.shape[0] == 3
    for arguments, part in (
        (["--m", "3"], "unknown argument '--m'"),
        (["--n", "few"], "n: expected int, got few"),
    ):
        with pytest.raises(UserError) as caught:
            build_dataset("SyntheticFaces", arguments)
        assert part in str(caught.value)
    with pytest.raises(UserError, match="Ibug300W needs root; give --root DIR"):
        build_dataset("Ibug300W", [])
    with pytest.raises(UserError, match="unknown data set 'Sinthetic'"):
        dataset_from_entry({"class_path": "Sinthetic"})
    with pytest.raises(UserError, match="unknown setting of SyntheticFaces 'm'"):
        dataset_from_entry({"class_path": "SyntheticFaces", "init_args": {"m": 1}})


def test_arguments_of_a_class_are_those_of_its_bases_too() -> None:
    class Base:
        def __init__(self, size: int, name: str = "x") -> None:
            self.size, self.name = size, name

    class Child(Base):
        def __init__(self, depth: float | None = None, **more: Any) -> None:
            super().__init__(**more)
            self.depth = depth

    class Closed(Base):
        def __init__(self) -> None:
            super().__init__(3)

    arguments = class_arguments(Child)
    assert list(arguments) == ["depth", "size", "name"]
    assert [a.required for a in arguments.values()] == [False, True, False]
    assert arguments["size"].hint is int
    assert class_arguments(Closed) == {}


def test_a_value_that_yaml_takes_for_an_impossible_date_is_text() -> None:
    assert apply_overrides({}, {"a": "2024-06-31", "b": "'1"}) == {"a": "2024-06-31", "b": "'1"}


def test_overrides_take_their_places() -> None:
    tree = {"model": {"class_path": "M", "init_args": {"a": 1}}, "trainer": {"x": 1}}
    texts = {"model.b": "2", "model.init_args.a": "3", "trainer.y.z": "[1]"}
    assert apply_overrides(tree, texts) == {
        "model": {"class_path": "M", "init_args": {"a": 3, "b": 2}},
        "trainer": {"x": 1, "y": {"z": [1]}},
    }
    assert tree["trainer"] == {"x": 1}
