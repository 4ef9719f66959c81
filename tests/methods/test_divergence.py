"""A training that is NaN or infinite ends with one line, whatever is broken and wherever."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lit_landmarks.errors import UserError
from lit_landmarks.methods import METHODS
from lit_landmarks.training.divergence import (
    Diverged,
    DivergenceStop,
    refuse_broken_predictions,
)


class Break(Callback):
    """Breaks a weight before an epoch, or for the validations alone."""

    def __init__(self, value: float, epoch: int, only_validation: bool = False) -> None:
        self.value, self.epoch, self.only_validation = value, epoch, only_validation
        self.whole: torch.Tensor | None = None

    def _break(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            weight = next(module.parameters())
            self.whole = weight.detach().clone()
            with torch.no_grad():
                weight[(0,) * weight.ndim] = self.value

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.only_validation:
            self._break(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.only_validation and not trainer.sanity_checking:
            self._break(trainer, pl_module)


@pytest.mark.parametrize("name", ["ASMNet", "MuSiCa"])
@pytest.mark.parametrize("value", [math.nan, -math.inf])
@pytest.mark.parametrize("only_validation", [False, True], ids=["training", "validation"])
def test_a_broken_weight_ends_the_fit(
    name: str,
    value: float,
    only_validation: bool,
    make_data: Callable[..., Any],
    tmp_path: Path,
) -> None:
    method = METHODS[name].tiny()
    best = tmp_path / "best.ckpt"
    best.touch()
    trainer = Trainer(
        default_root_dir=tmp_path, accelerator="cpu", max_epochs=5, logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        callbacks=[Break(value, 1, only_validation), DivergenceStop(best)],
    )  # fmt: skip
    with pytest.raises(Diverged, match=r"diverged in epoch [23], .*best\.ckpt") as raised:
        trainer.fit(method, make_data())
    # A weight of -inf may leave the validation's points finite, and break the next step's loss.
    seen = only_validation and not math.isinf(value)
    assert raised.match(
        ".*(val/nme|val/loss) is" if seen else ".*(a finite number|val/loss is|inf)"
    )


class Overflowing(Callback):
    """Puts losses in place of those of the steps."""

    def __init__(self, stop: DivergenceStop, losses: list[float]) -> None:
        self.stop, self.losses = stop, losses

    def run(self, trainer: Any) -> int:
        for step, loss in enumerate(self.losses):
            try:
                self.stop.on_train_batch_end(
                    trainer, torch.nn.Module(), {"loss": torch.tensor(loss)}, None, step
                )
            except Diverged:
                return step
        return len(self.losses)


class Scaled:
    """The part of a trainer that scales gradients of 16 bits."""

    world_size = 1
    current_epoch = global_step = 0

    def __init__(self, scaler: object) -> None:
        self.scaler = scaler
        self.strategy = self

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        assert not all, "one process is enough"
        return decision


def test_a_scaler_may_overflow_for_a_while(tmp_path: Path) -> None:
    nan, fine = [math.nan], [1.0]
    cases = [
        (object(), fine + 20 * nan + fine + 19 * nan, None),
        (object(), fine + 21 * nan, 21),
        (None, fine + nan, 1),
        (None, [math.inf], 0),
    ]
    for scaler, losses, end in cases:
        steps = Overflowing(DivergenceStop(tmp_path), losses).run(Scaled(scaler))
        assert steps == (len(losses) if end is None else end)


def test_an_evaluation_of_broken_weights_is_refused() -> None:
    refuse_broken_predictions({"val/nme": 7.0, "test/nme": math.inf}, "val")
    refuse_broken_predictions({"val/nme": math.nan}, "val")  # no face has the norm
    with pytest.raises(UserError, match="test/nme is infinite"):
        refuse_broken_predictions({"test/nme": math.inf}, "test")
