"""Phases: which epochs, what is frozen, which losses, which rates; and named groups."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lit_landmarks.errors import UserError
from lit_landmarks.methods.phases import Phase, Phases, check_prefixes
from lit_landmarks.methods.schedules import Constant, Cosine, Steps
from lit_landmarks.training.callbacks import EpochSeed, make_best_checkpoint
from lit_landmarks.training.freeze import FreezeBatchNorm
from tests.support.callbacks import Stop
from tests.support.two_phases import TwoPhases


def test_phases_begin_with_an_epoch() -> None:
    thirds = Phases([Phase("a", 1 / 3), Phase("b", 2 / 3), Phase("c", 1.0)])
    for epochs in range(1, 200):
        names = [thirds.at(epoch, epochs).name for epoch in range(epochs)]
        assert names == ["abc"[epoch * 3 // epochs] for epoch in range(epochs)], epochs
    assert thirds.at(500, 10).name == "c"


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ([], "end at nothing"),
        ([Phase("a", 0.5)], r"the last `until` is 1"),
        ([Phase("a", 0.7), Phase("b", 0.5), Phase("c", 1.0)], "let them rise"),
        ([Phase("a", 0.5), Phase("a", 1.0)], "one name"),
        ([Phase("a", 1.0, learns=())], "learns nothing"),
    ],
)
def test_bad_phases_are_refused(phases: list[Phase], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Phases(phases)


def test_a_prefix_that_begins_no_name_is_refused() -> None:
    phases = Phases([Phase("a", 1.0, learns=("network.haed",))])
    with pytest.raises(UserError, match=r"'network\.haed', which begins .* network\.head"):
        check_prefixes(phases, ["network.head.weight"])


def test_a_phase_has_its_own_schedule_or_goes_on_with_the_runs() -> None:
    phases = Phases([Phase("a", 0.5, schedule=Cosine()), Phase("b", 1.0)])
    factor = phases.factor(Steps([0.75], gamma=0.1), epochs=4)
    assert factor(0.0) == 1.0
    assert factor(0.25) == pytest.approx(0.5)  # in the middle of its half
    assert factor(0.5) == 1.0  # the run's own, whose step comes later
    assert factor(0.8) == pytest.approx(0.1)
    # With 3 epochs the first phase has two of them.
    assert phases.factor(Constant(), epochs=3)(1 / 3) == pytest.approx(0.5)


class Watch(Callback):
    """State and learning rates after each epoch."""

    def __init__(self) -> None:
        self.states: list[dict[str, torch.Tensor]] = []
        self.rates: list[list[float]] = []
        self.logged: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.states.append({n: v.detach().clone() for n, v in pl_module.state_dict().items()})
        self.rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])
        losses = {k: float(v) for k, v in trainer.callback_metrics.items() if "train/loss_" in k}
        self.logged.append(losses)


def fit(
    module: TwoPhases, data: Any, root: Path, *callbacks: Callback, epochs: int = 4, **more: Any
) -> Trainer:
    trainer = Trainer(
        default_root_dir=root,
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, data, weights_only=True, **more)
    return trainer


def module(**more: Any) -> TwoPhases:
    torch.manual_seed(0)
    return TwoPhases.tiny(schedule=Constant(), **more)


def test_frozen_parts_stay_and_losses_change(make_data: Callable[..., Any], tmp_path: Path) -> None:
    watch, method = Watch(), module(rates={"body": 0.1})
    first = {n: v.clone() for n, v in method.state_dict().items()}
    best = make_best_checkpoint(tmp_path)
    fit(method, make_data(4, batch_size=2), tmp_path, watch, best)
    states = [first, *watch.states]
    changed = [
        {name for name in first if not torch.equal(before[name], after[name])}
        for before, after in itertools.pairwise(states)
    ]
    head = {"head.weight", "head.bias"}
    assert changed[0] == changed[1] == head, "not even the running statistics of the body"
    assert changed[2] > head | {"body.2.weight", "body.3.weight", "body.3.running_mean"}
    assert [set(losses) for losses in watch.logged[:2]] == [{"train/loss_l2"}] * 2
    # What a phase leaves out keeps its last value.
    assert watch.logged[2]["train/loss_l2"] == watch.logged[1]["train/loss_l2"]
    assert watch.logged[3]["train/loss_l1"] != watch.logged[2]["train/loss_l1"]
    assert watch.rates[0] == pytest.approx([2e-4, 2e-4, 2e-3, 2e-3])
    stored = torch.load(best.best_model_path, weights_only=True)
    assert stored["epoch"] >= 2, "a phase that is not judged gives no best checkpoint"


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_run_stopped_in_either_phase_goes_on_bitwise(
    epoch: int, make_data: Callable[..., Any], tmp_path: Path
) -> None:
    whole, half, rest = module(), module(), TwoPhases.tiny(schedule=Constant())
    fit(whole, make_data(4, batch_size=2), tmp_path, EpochSeed(0))
    stop = Stop(tmp_path / "half.ckpt", epoch)
    fit(half, make_data(4, batch_size=2), tmp_path, EpochSeed(0), stop)
    data = make_data(4, batch_size=2)
    fit(rest, data, tmp_path, EpochSeed(0), ckpt_path=stop.path)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, rest.state_dict()[name]), name


def test_a_loss_that_the_method_does_not_compute_is_named(
    make_data: Callable[..., Any], tmp_path: Path
) -> None:
    method = module(phases=[Phase("all", 1.0, losses={"wing": 1.0})])
    with pytest.raises(UserError, match=r"phase 'all' weighs the loss wing.*it has l1, l2"):
        fit(method, make_data(2), tmp_path)


def thirds() -> list[Phase]:
    return [Phase("a", 0.25), Phase("b", 0.5), Phase("c", 1.0)]


class Norms(Callback):
    """Whether the norm of the body takes statistics of the batch, in each epoch."""

    def __init__(self) -> None:
        self.training: list[bool] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        assert isinstance(pl_module, TwoPhases)
        self.training.append(pl_module.body[3].training)


def test_norms_frozen_for_the_rest_of_training_stay_so_when_a_phase_begins(
    make_data: Callable[..., Any], tmp_path: Path
) -> None:
    """The second phase lets the body learn, whose norms were frozen with it."""
    norms = Norms()
    fit(module(), make_data(2), tmp_path, FreezeBatchNorm(0.5), norms, epochs=4)
    assert norms.training == [False] * 4
    norms = Norms()
    fit(module(), make_data(2), tmp_path, FreezeBatchNorm(0.75), norms, epochs=4)
    assert norms.training == [False, False, True, False]


class Progress(Callback):
    """Phase of each epoch, and learning rate after each step."""

    def __init__(self, last: int = 10**6) -> None:
        self.last = last
        self.phases: list[str] = []
        self.rates: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, TwoPhases)
        self.phases.append(pl_module.phase.name)
        trainer.should_stop |= trainer.current_epoch + 1 == self.last


def endless(root: Path, *callbacks: Callback, max_epochs: int = -1, **more: Any) -> Trainer:
    return Trainer(
        default_root_dir=root, accelerator="cpu", max_epochs=max_epochs, callbacks=list(callbacks),
        logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, num_sanity_val_steps=0, limit_val_batches=0, **more,
    )  # fmt: skip


def test_without_an_end_phases_and_rates_are_those_of_a_hundred_epochs(
    make_data: Callable[..., Any], tmp_path: Path
) -> None:
    """What early stopping leaves open; beyond the hundredth epoch the last rate goes on."""
    method = TwoPhases.tiny(schedule=Cosine(end=0.1), phases=thirds())
    progress = Progress(last=104)
    endless(tmp_path, progress).fit(method, make_data(4, batch_size=2))
    ends = [progress.phases.index(name) for name in "abc"]
    assert ends == [0, 25, 50]
    assert len(progress.phases) == 104
    # Half the rate in the middle, between 2e-3 and a tenth of it; 2 steps an epoch.
    assert progress.rates[99] == pytest.approx(0.55 * 2e-3)
    assert progress.rates[199:] == pytest.approx([2e-4] * 9)


def test_under_a_time_limit_phases_and_rates_go_by_the_clock(
    make_data: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightning.pytorch.callbacks import Timer

    clock = iter(range(10**6))
    # Every look at the clock is a second later; an epoch of two steps takes a few of them.
    monkeypatch.setattr(Timer, "time_elapsed", lambda self, stage="train": float(next(clock)))
    method = TwoPhases.tiny(schedule=Cosine(), phases=thirds())
    progress = Progress()
    endless(tmp_path, progress, max_time={"minutes": 2}).fit(method, make_data(4, batch_size=2))
    assert [name for name, _ in itertools.groupby(progress.phases)] == ["a", "b", "c"]
    assert progress.rates == sorted(progress.rates, reverse=True)
    assert progress.rates[0] > 1.9e-3
    assert progress.rates[-1] < 2e-4


def test_steps_end_a_training_without_epochs(make_data: Callable[..., Any], tmp_path: Path) -> None:
    method = TwoPhases.tiny(schedule=Cosine(), phases=thirds())
    progress = Progress()
    trainer = endless(tmp_path, progress, max_steps=8, accumulate_grad_batches=2)
    trainer.fit(method, make_data(4, batch_size=2))
    assert progress.phases == ["a", "a", "b", "b", "c", "c", "c", "c"], "one step an epoch"
    assert progress.rates[-1] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("max_epochs", [-1, 100])
def test_phases_divide_the_limit_that_ends_training_first(
    max_epochs: int, make_data: Callable[..., Any], tmp_path: Path
) -> None:
    """A phase has its own schedule in the epochs that it has, whichever limit gives them."""
    first, middle, _ = thirds()
    phases = [first, middle, Phase("c", 1.0, schedule=Cosine())]
    method, progress = TwoPhases.tiny(schedule=Constant(), phases=phases), Progress()
    trainer = endless(
        tmp_path, progress, max_epochs=max_epochs, max_steps=8, accumulate_grad_batches=2
    )
    trainer.fit(method, make_data(4, batch_size=2))
    assert progress.phases == ["a", "a", "b", "b", "c", "c", "c", "c"], "one step an epoch"
    shares = [rate / 2e-3 for rate in progress.rates[1::2]]
    wave = [0.5 * (1 + math.cos(math.pi * part / 4)) for part in (1, 2, 3, 4)]
    assert shares == pytest.approx([1.0, 1.0, 1.0, 1.0, *wave], abs=1e-6)


def test_steps_that_end_within_an_epoch_end_the_last_phase(
    make_data: Callable[..., Any], tmp_path: Path
) -> None:
    phases = [Phase("a", 0.5), Phase("b", 1.0, schedule=Cosine())]
    method, progress = TwoPhases.tiny(schedule=Constant(), phases=phases), Progress()
    endless(tmp_path, progress, max_steps=5).fit(method, make_data(4, batch_size=2))
    assert progress.phases == ["a", "a", "b"], "two steps an epoch"
    shares = [rate / 2e-3 for rate in progress.rates]
    assert shares == pytest.approx([1.0, 1.0, 1.0, 1.0, 0.0], abs=1e-6)


def test_another_fit_of_the_same_method_begins_as_the_first(
    make_data: Callable[..., Any], tmp_path: Path
) -> None:
    """Here the body learns last: what is frozen at the end learns first in the next fit."""
    phases = [Phase("head", 0.5, learns=["head"]), Phase("body", 1.0, learns=["body"])]
    method, watch = module(phases=phases), Watch()
    fit(method, make_data(4, batch_size=2), tmp_path, epochs=2)
    assert all(parameter.requires_grad for parameter in method.parameters())
    before = method.head.weight.detach().clone()
    trainer = fit(method, make_data(4, batch_size=2), tmp_path, watch, epochs=2)
    groups = trainer.optimizers[0].param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(method.parameters()))
    assert not torch.equal(watch.states[0]["head.weight"], before)
