"""The line before the first epoch and the time left, as a fit prints them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from lightning.pytorch import Trainer

from lit_landmarks.cli import main
from lit_landmarks.training import outline
from tests.cli.test_own_scheme import write_config, write_faces


@pytest.fixture(autouse=True)
def few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shape statistics of 30 shapes are enough here."""
    monkeypatch.setattr("lit_landmarks.data.module._SHAPES", 30)


@pytest.fixture
def run_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Fits eight faces (six for training) in batches of four, and gives what it printed."""
    write_faces(tmp_path / "faces")

    def fit(method: str, *more: object) -> list[str]:
        config = write_config(tmp_path, method)
        command = ["fit", "--config", config, *more]
        assert main([str(part) for part in command]) == 0
        return capsys.readouterr().out.splitlines()

    return fit


@pytest.mark.parametrize(
    ("method", "more", "length", "few"),
    [
        ("MuSiCa", (), "1 steps per epoch, 1 epochs", 1),
        ("ASMNet", ("--trainer.max_epochs", 2), "1 steps per epoch, 2 epochs", 2),
        ("MuSiCa", ("--data.init_args.epoch_faces", 24), "6 steps per epoch, 1 epochs", 6),
    ],
)
def test_it_says_what_is_trained_on_what_and_for_how_long(
    method: str,
    more: tuple[Any, ...],
    length: str,
    few: int,
    run_fit: Callable[..., list[str]],
    tmp_path: Path,
) -> None:
    lines = run_fit(method, "--run", tmp_path / "run", *more)
    (line,) = [each for each in lines if each.startswith(f"{method}: ")]
    assert line.startswith(f"{method}: 6 faces for training, 2 for validation; ")
    assert line.endswith(f" parameters; cpu; {length}")
    (note,) = [each for each in lines if "steps in all" in each]
    assert note.startswith(f"note: {few} steps in all are few")
    table = next(each for each in lines if "mean shape" in each)
    assert "NME" in table
    metrics = json.loads((tmp_path / "run/result.json").read_text())["metrics"]
    beaten = metrics["val/nme"] < metrics["val/nme_mean_shape"]
    warned = [each for each in lines if each.startswith("warning: no better than the mean shape")]
    assert len(warned) == (0 if beaten else 1)
    left = [each for each in lines if each.startswith("about ") and each.endswith(" left")]
    assert len(left) == ("--trainer.max_epochs" in more)


def test_a_run_from_trained_weights_says_what_it_took_and_not_that_steps_are_few(
    run_fit: Callable[..., list[str]], tmp_path: Path
) -> None:
    run_fit("ASMNet", "--run", tmp_path / "a")
    checkpoint = tmp_path / "a/checkpoints/best.ckpt"
    more = ("--model.init_args.init_from", checkpoint, "--model.init_args.dropout", 0.1)
    lines = run_fit("ASMNet", "--run", tmp_path / "b", *more)
    (line,) = [each for each in lines if each.startswith("init_from ")]
    assert line.startswith(f"init_from {checkpoint} (ASMNet, mine5): took ")
    assert "fresh" not in line
    assert not [each for each in lines if "are few" in each]


@pytest.mark.parametrize(
    ("epochs", "most", "batches", "expected"),
    [(3, -1, 10, 30), (-1, 25, 10, 25), (3, 25, 10, 25), (-1, -1, 10, None)],
)
def test_steps_end_with_epochs_or_steps_whichever_is_first(
    epochs: int, most: int, batches: int, expected: int | None
) -> None:
    trainer = SimpleNamespace(
        max_epochs=epochs, max_steps=most, num_training_batches=batches, accumulate_grad_batches=1
    )
    assert outline.total_steps(cast(Trainer, trainer)) == expected
    trainer.accumulate_grad_batches = 4
    assert outline.steps_per_epoch(cast(Trainer, trainer)) == 3


@pytest.mark.parametrize(
    ("seconds", "text"), [(89, "89 s"), (600, "10 min"), (5400, "1.5 h"), (129_600, "1.5 days")]
)
def test_durations(seconds: float, text: str) -> None:
    assert outline.format_duration(seconds) == text
