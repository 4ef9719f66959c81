"""A seed is a whole number, and a setting is given in one form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_landmarks import Task
from lit_landmarks.errors import UserError
from lit_landmarks.settings import compose

FACES: dict[str, Any] = {"class_path": "SyntheticFaces", "init_args": {"n": 4}}


def task_of(folder: Path, tree: dict[str, Any], *overrides: str) -> Task:
    base = {"model": {"class_path": "ASMNet"}, "data": {"init_args": {"train": {"a": FACES}}}}
    file = folder / "x.yaml"
    file.write_text(yaml.safe_dump(base | tree))
    return Task.from_files([file], overrides)


@pytest.mark.parametrize("seed", [False, "no", 2.5, 7.0, "12", None, -4, 2**32, [1]])
def test_a_seed_that_is_no_whole_number(tmp_path: Path, seed: Any) -> None:
    with pytest.raises(UserError, match=r"seed_everything: expected int, got .* 0 to 4294967295"):
        task_of(tmp_path, {"seed_everything": seed})


@pytest.mark.parametrize("text", ["off", "-1", "1.5", "1e2", "''", "99999999999"])
def test_a_seed_of_the_command_line_that_is_no_whole_number(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="seed_everything: expected int, got"):
        task_of(tmp_path, {"seed_everything": 1}, f"--seed_everything={text}")


def test_seeds(tmp_path: Path) -> None:
    assert task_of(tmp_path, {"seed_everything": 4294967295}).seed == 4294967295
    assert task_of(tmp_path, {"seed_everything": 1}, "--seed_everything", "12").seed == 12
    assert task_of(tmp_path, {}).seed == 0


@pytest.mark.parametrize(
    ("key", "tree"),
    [
        ("data.init_args.frame_size", {"init_args": {"frame_size": True}}),
        ("data.init_args.num_workers", {"init_args": {"num_workers": False}}),
    ],
)
def test_a_bool_is_no_number(tmp_path: Path, key: str, tree: dict[str, Any]) -> None:
    sets = {"init_args": {"train": {"a": FACES}, **tree["init_args"]}}
    with pytest.raises(UserError, match=f"{key}: expected int, got"):
        task_of(tmp_path, {"data": sets})


def test_dotted_keys_are_the_same_settings(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(
        "trainer.max_epochs: 4\ntrainer: {precision: 32}\ndata: {init_args.frame_size: 64}\n"
        "data.init_args.batch_size: 8\n"
    )
    later = tmp_path / "y.yaml"
    later.write_text("trainer: {max_epochs: 5}\n")
    tree = compose([file, later]).tree
    assert tree["trainer"] == {"max_epochs": 5, "precision": 32}
    assert tree["data"]["init_args"] == {"frame_size": 64, "batch_size": 8}


@pytest.mark.parametrize(
    ("text", "setting", "row"),
    [
        ("model: {class_path: ASMNet}\nmodel.class_path: MuSiCa\n", "model.class_path", 2),
        ("data:\n  init_args.root: a\n  init_args: {root: b}\n", "data.init_args.root", 3),
        ("wandb.mode: online\nwandb:\n  mode: disabled\n", "wandb.mode", 3),
    ],
)
def test_a_setting_in_two_forms(tmp_path: Path, text: str, setting: str, row: int) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=rf"{setting} is given .*x\.yaml:{row}; keep one"):
        compose([file])


def test_keys_that_stand_twice_in_values_and_their_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'a' stands in row 1 and again, --data\.weights:1"):
        task_of(tmp_path, {}, "--data.weights", "{a: 1, a: 2}")
    part = tmp_path / "augmentation.yaml"
    part.write_text("flip: 0.5\nscale: 0.1\nflip: 0\n")
    with pytest.raises(UserError, match=r"'flip' stands in row 1 and again, .*tion\.yaml:3"):
        task_of(tmp_path, {}, f"--data.augmentation={part}")
