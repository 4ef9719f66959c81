"""What the training verbs' parser does beyond LightningCLI."""

from __future__ import annotations

from pathlib import Path

import pytest
from lightning.pytorch.cli import LightningArgumentParser

from lit_landmarks.settings.parser import restore_whole_numbers, whole_or_share


def test_arguments_of_the_trainer_that_are_counts_or_shares() -> None:
    names = whole_or_share()
    assert {"limit_train_batches", "limit_val_batches", "val_check_interval"} <= {*names}
    assert "max_epochs" not in names
    assert "devices" not in names


@pytest.mark.parametrize("in_file", [True, False])
@pytest.mark.parametrize(
    ("text", "expected"), [("1", 1), ("1.0", 1.0), ("0.5", 0.5), ("null", None)]
)
def test_a_whole_number_is_no_share(
    in_file: bool, text: str, expected: float | None, tmp_path: Path
) -> None:
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    # In the unlucky order, as `typing` may hand them out to anybody.
    parser.add_argument("--trainer.limit_val_batches", type=float | int | None)
    file = tmp_path / "config.yaml"
    file.write_text(f"trainer: {{limit_val_batches: {text if in_file else 7}}}")
    overrides = [] if in_file else [f"--trainer.limit_val_batches={text}"]
    trainer = parser.parse_args(["--config", str(file), *overrides])["trainer"]
    assert not isinstance(trainer["limit_val_batches"], int), "else the fault is mended upstream"
    written = {"limit_val_batches": {"null": None}.get(text, float(text) if "." in text else 1)}
    restore_whole_numbers(trainer, written if in_file else {"limit_val_batches": 7}, overrides)
    assert trainer["limit_val_batches"] == expected
    assert type(trainer["limit_val_batches"]) is type(expected)


def test_a_whole_number_of_a_group_and_the_last_one_of_two() -> None:
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_argument("--trainer.limit_val_batches", type=float | int | None)
    trainer = parser.parse_args(["--trainer.limit_val_batches=3"])["trainer"]
    restore_whole_numbers(trainer, {}, ["--trainer", "{limit_val_batches: 3}"])
    assert type(trainer["limit_val_batches"]) is int
    trainer = parser.parse_args(["--trainer.limit_val_batches=1.0"])["trainer"]
    twice = ["--trainer.limit_val_batches=1", "--trainer.limit_val_batches", "1.0"]
    restore_whole_numbers(trainer, {"limit_val_batches": 1}, twice)
    assert type(trainer["limit_val_batches"]) is float
