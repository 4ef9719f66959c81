"""Fits whose method costs too much: nothing is trained, and W&B gets the cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback

from lit_landmarks.compute import count_mma
from lit_landmarks.console import plain_console
from lit_landmarks.files import write_atomic
from lit_landmarks.methods import LandmarkModule
from lit_landmarks.training.ranks import is_follower
from lit_landmarks.training.run_directory import RunDirectory, create_run
from lit_landmarks.training.tracking import track_untrained
from lit_landmarks.training.wandb_logging import WandbOptions


def costs_too_much(
    method: LandmarkModule,
    limit: float,
    run: Path | None,
    options: WandbOptions,
    resolved: str,
) -> bool:
    """Whether a method costs more than a limit; if so, its cost is tracked and printed.

    An adaptive method with a target cost costs that target.

    Args:
        method: the method of a fit.
        limit: most million multiply-adds for a face.
        run: run directory to make; None for a folder below `runs`.
        options: how the fit is tracked.
        resolved: its settings as YAML.

    Raises:
        UserError: the run directory exists, or W&B refuses an online run.
    """
    cost = count_mma(method, method.example())
    target = None if method.early_exit is None else method.early_exit.target_mma
    mma = cost.mma if target is None else min(cost.mma, target)
    if mma <= limit:
        return False
    if not is_follower():
        folder = create_run(run, f"{type(method).__name__.lower()}-untrained")
        write_atomic(folder.config, resolved)
        track_settings(options, folder.root, resolved, cost.record())
        plain_console().print(
            f"not trained: compute/mma is {mma:.1f}, beyond max_mma {limit:g}; {folder.root}"
        )
    return True


def track_settings(
    options: WandbOptions,
    run: Path,
    resolved: str,
    costs: Mapping[str, float],
    callbacks: Sequence[Callback] = (),
) -> None:
    """Writes the W&B run of a fit that is not trained.

    Args:
        options: how it is tracked.
        run: its run directory.
        resolved: its settings as YAML.
        costs: `compute/...` of its method.
        callbacks: observers among them add to config and summary.

    Raises:
        UserError: W&B refuses an online run.
    """
    config: dict[str, Any] = yaml.safe_load(resolved)
    track_untrained(options, RunDirectory(run), config, costs, callbacks)
