"""What the training verbs' parser does beyond LightningCLI."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Union, get_args

import pytest
import yaml
from jsonargparse import ArgumentParser

from lit_landmarks import Task
from lit_landmarks.settings.parser import count_or_share_hints, put_int_first


def test_arguments_of_the_trainer_that_are_counts_or_shares() -> None:
    hints = count_or_share_hints()
    assert {"limit_train_batches", "limit_val_batches", "val_check_interval"} <= {*hints}
    assert not {"max_epochs", "devices"} & {*hints}
    assert all(get_args(hint)[0] is int for hint in hints.values())


# In the unlucky order, as `typing` may hand them out to anybody.
@pytest.mark.parametrize("hint", [float | int | None, Union[float, int, None]])  # noqa: UP007
def test_the_int_of_a_union_is_tried_first(hint: Any) -> None:
    unlucky, mended = ArgumentParser(exit_on_error=False), ArgumentParser(exit_on_error=False)
    unlucky.add_argument("--limit", type=float | int | None)
    mended.add_argument("--limit", type=put_int_first(hint))
    for text, value in (("1", 1), ("1.0", 1.0), ("0.5", 0.5), ("null", None)):
        limit = mended.parse_args([f"--limit={text}"])["limit"]
        assert (limit, type(limit)) == (value, type(value))
    assert type(unlucky.parse_args(["--limit=1"])["limit"]) is float, "mended upstream"


@pytest.mark.parametrize("in_file", [True, False])
@pytest.mark.parametrize(("text", "value"), [("1", 1), ("1.0", 1.0), ("0.5", 0.5)])
def test_a_whole_number_is_no_share(in_file: bool, text: str, value: float, tmp_path: Path) -> None:
    faces = "{class_path: SyntheticFaces, init_args: {n: 4}}"
    file = tmp_path / "config.yaml"
    file.write_text(
        f"model: ASMNet\ndata: {{init_args: {{train: {{a: {faces}}}}}}}\n"
        f"trainer: {{limit_val_batches: {text if in_file else 7}}}\n"
    )
    overrides = [] if in_file else [f"--trainer.limit_val_batches={text}"]
    task = Task.from_files([file], overrides)
    assert type(task.settings["trainer"]["limit_val_batches"]) is type(value)
    # Resumed, the run must read what was meant.
    saved = yaml.safe_load(task.resolved)["trainer"]
    assert (saved["limit_val_batches"], type(saved["limit_val_batches"])) == (value, type(value))
    assert (saved["overfit_batches"], saved["logger"]) == (0.0, False)
