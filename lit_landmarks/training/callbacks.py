"""Callbacks of every fit: seeds per epoch, checkpoints, run state, progress.

Randomness is counted, not carried: all generators are reseeded from (seed, epoch) when an epoch
starts. A run that was killed in mid-epoch starts that epoch again and equals the undisturbed one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint, RichProgressBar
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only

from lit_landmarks.console import plain_console
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.metrics import higher_is_better

#: What best.ckpt, early stopping and studies watch; its direction is the metric's own.
MONITOR = "val/nme"


def monitor_mode(key: str = MONITOR) -> str:
    """`min` or `max`, from the metric's own `higher_is_better`."""
    return "max" if higher_is_better(key) else "min"


class EpochSeed(Callback):
    """Reseeds all generators from (seed, epoch) as each training epoch starts.

    Args:
        seed: the run's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seeds the generators of Python and NumPy."""
        seeds = np.random.SeedSequence([self.seed, trainer.current_epoch]).generate_state(2)
        random.seed(int(seeds[0]))
        np.random.seed(int(seeds[1]))  # third parties draw from the global one

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seeds torch on the first batch, after the loaders have drawn from its generator."""
        if batch_idx == 0:
            entropy = [self.seed, trainer.current_epoch, trainer.global_rank]
            torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


class LastCheckpoint(Checkpoint):
    """Writes last.ckpt, the full state, at the end of each epoch, after the best checkpoint.

    A mid-epoch checkpoint would need the state of every generator and loader; an epoch's end needs
    none of them, so that is the only place from which a run is continued.

    Args:
        path: the file; replaced atomically.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves last.ckpt under a temporary name, then renames it."""
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            temporary.replace(self.path)
        trainer.strategy.barrier("last.ckpt")


class BestCheckpoint(ModelCheckpoint):
    """Keeps the weights with the best monitored value, of the phases that are judged."""

    @property
    def state_key(self) -> str:
        """That of Lightning's own class, which older runs were written with."""
        return super().state_key.replace(type(self).__name__, ModelCheckpoint.__name__, 1)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the best weights unless the current phase is not judged."""
        if not isinstance(pl_module, LandmarkModule) or pl_module.phase.judged:
            super().on_validation_end(trainer, pl_module)


def make_best_checkpoint(folder: Path, monitor: str = MONITOR) -> BestCheckpoint:
    """Make the callback that writes best.ckpt, the weights with the best `monitor`."""
    return BestCheckpoint(
        dirpath=folder,
        filename="best",
        monitor=monitor,
        mode=monitor_mode(monitor),
        save_top_k=1,
        save_weights_only=False,
        enable_version_counter=False,
    )


class RunState(Callback):
    """Counts wall time over resumes and stores whether a fit was interrupted."""

    def __init__(self) -> None:
        self.interrupted = False
        self._before = 0.0
        self._started = time.monotonic()

    @property
    def wall_seconds(self) -> float:
        """Seconds of training, those before a resume included."""
        return self._before + time.monotonic() - self._started

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Store whether it was Ctrl-C, which Lightning turns into `SystemExit(1)`."""
        self.interrupted = isinstance(exception, KeyboardInterrupt)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Set the trainer's epoch before Lightning restores its loop.

        Counting the optimiser's steps starts the loader, whose workers then fetch ahead, before
        Lightning restores the loop: they would fetch the faces of epoch 0.
        """
        if trainer.state.fn == TrainerFn.FITTING:
            saved = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
            trainer.fit_loop.epoch_progress.current.completed = saved["processed"]

    def state_dict(self) -> dict[str, Any]:
        """Wall time so far."""
        return {"wall_seconds": self.wall_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues the count of the wall time."""
        self._before = float(state_dict["wall_seconds"])
        self._started = time.monotonic()


class NmeProgressBar(RichProgressBar):
    """Rich progress bar that shows the loss and val/nme, not every logged key."""

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """The loss and val/nme alone, without the other logged keys."""
        shown: dict[str, int | str | float | dict[str, float]] = {}
        for key in ("train/loss", MONITOR):
            if key in trainer.callback_metrics:
                shown[key] = float(trainer.callback_metrics[key])
        return shown


class EpochLines(Callback):
    """Prints one line for each epoch where there is no terminal for a progress bar."""

    def __init__(self) -> None:
        self._console = plain_console()
        self._start = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock of the epoch."""
        self._start = time.monotonic()

    @rank_zero_only  # type: ignore[untyped-decorator,unused-ignore]
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints epoch, loss, val/nme and seconds."""
        self._console.print(format_epoch(trainer, time.monotonic() - self._start))


def format_epoch(trainer: Trainer, seconds: float) -> str:
    """Format the line of one epoch: `epoch 3/40  loss 0.0123  val/nme 5.67  12.3 s`.

    Without a number of epochs there is no `/40`.
    """
    metrics: Mapping[str, Any] = trainer.callback_metrics
    total = trainer.max_epochs or -1
    parts = [f"epoch {trainer.current_epoch + 1}" + (f"/{total}" if total > 0 else "")]
    if "train/loss" in metrics:
        parts.append(f"loss {float(metrics['train/loss']):.4g}")
    if MONITOR in metrics:
        parts.append(f"{MONITOR} {float(metrics[MONITOR]):.3f}")
    return "  ".join([*parts, f"{seconds:.1f} s"])
