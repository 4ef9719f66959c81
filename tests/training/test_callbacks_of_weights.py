"""EMA resumes exactly and is what is judged; frozen batch norms stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lit_landmarks.errors import UserError
from lit_landmarks.training.ema import EMA, RAW_STATE
from lit_landmarks.training.freeze import FreezeBatchNorm


class Tiny(LightningModule):
    """A line and a batch norm; remembers what validation saw."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.seen: list[Tensor] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return (self.net(batch) - batch.sum(1, keepdim=True)).square().mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.seen.append(self.net[0].weight.detach().clone())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.05)


def loader() -> DataLoader[Tensor]:
    rows = torch.randn(6, 8, 3, generator=torch.Generator().manual_seed(1))
    return DataLoader(rows, batch_size=None)


def fit(
    root: Path, epochs: int, callbacks: list[Callback], resume: Path | None = None, **kwargs: Any
) -> tuple[Trainer, Tiny]:
    module = Tiny()
    trainer = Trainer(
        default_root_dir=root,
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **kwargs,
    )
    trainer.fit(module, loader(), loader(), ckpt_path=resume, weights_only=True)
    return trainer, module


class Recorder(Callback):
    """The raw weights after each step, and a checkpoint after each epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.weights: list[Tensor] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        self.weights.append(pl_module.net[0].weight.detach().clone())  # type: ignore[index, union-attr]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.save_checkpoint(self.folder / f"{trainer.current_epoch}.ckpt")


def test_average_is_the_recursion_and_is_what_validation_sees(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    start = Tiny().net[0].weight.detach().clone()
    _, module = fit(tmp_path, 1, [EMA(0.5), recorder])
    average = start
    for step, weight in enumerate(recorder.weights, start=1):
        d = min(0.5, (1 + step) / (10 + step))
        average = d * average + (1 - d) * weight
    torch.testing.assert_close(module.seen[0], average)
    torch.testing.assert_close(module.net[0].weight, average)
    assert not torch.allclose(average, recorder.weights[-1])


def test_checkpoint_holds_the_average_and_the_trained_state(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    _, module = fit(tmp_path, 1, [EMA(0.9), recorder])
    stored = torch.load(tmp_path / "0.ckpt", weights_only=True)
    torch.testing.assert_close(stored["state_dict"]["net.0.weight"], module.seen[0])
    torch.testing.assert_close(stored[RAW_STATE]["net.0.weight"], recorder.weights[-1])
    assert stored["state_dict"]["net.1.num_batches_tracked"] == 6


def test_resumed_run_equals_the_undisturbed_one(tmp_path: Path) -> None:
    whole, halves = Recorder(tmp_path / "whole"), Recorder(tmp_path / "halves")
    _, expected = fit(tmp_path, 4, [EMA(0.9), whole])
    fit(tmp_path, 2, [EMA(0.9), halves])
    _, found = fit(tmp_path, 4, [EMA(0.9), halves], resume=tmp_path / "halves" / "1.ckpt")
    for name, value in expected.state_dict().items():
        assert torch.equal(value, found.state_dict()[name]), name
    assert all(torch.equal(a, b) for a, b in zip(whole.weights, halves.weights, strict=True))


def test_one_update_per_optimizer_step(tmp_path: Path) -> None:
    ema = EMA(0.9)
    trainer, _ = fit(tmp_path, 1, [ema], accumulate_grad_batches=3)
    assert trainer.global_step == ema.step == 2


def test_resume_without_average_is_told(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    fit(tmp_path, 1, [recorder])
    with pytest.raises(UserError, match="no averaged weights"):
        fit(tmp_path, 2, [EMA()], resume=tmp_path / "0.ckpt")


@pytest.mark.parametrize("make", [lambda: EMA(1.0), lambda: FreezeBatchNorm(2.0)])
def test_values_out_of_range_are_told(make: Any) -> None:
    with pytest.raises(UserError, match=r"must lie|part of training"):
        make()


def test_frozen_batch_norm_keeps_its_statistics_but_learns_its_scale(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    fit(tmp_path, 4, [FreezeBatchNorm(0.5), recorder])
    states = [torch.load(tmp_path / f"{i}.ckpt", weights_only=True)["state_dict"] for i in range(4)]
    means = [state["net.1.running_mean"] for state in states]
    assert not torch.equal(means[0], means[1])
    assert torch.equal(means[1], means[2])
    assert torch.equal(means[1], means[3])
    assert not torch.equal(states[2]["net.1.weight"], states[3]["net.1.weight"])
