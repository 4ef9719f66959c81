"""What the processes of one distributed training or evaluation exchange and share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, Strategy
from numpy.typing import NDArray

T = TypeVar("T")

#: Threads of this process before a trainer has divided the cores among several.
_THREADS = torch.get_num_threads()


def use_threads_of_one(trainer: Trainer) -> None:
    """Lets each of several CPU processes use as many threads as a single one would.

    The last bits of matrix products depend on the number of threads, and figures must not depend
    on the number of processes. Call it before an evaluation.
    """
    if trainer.world_size > 1 and trainer.strategy.root_device.type == "cpu":
        # Read where processes start; together they have more threads than there are cores.
        os.environ.setdefault("OMP_NUM_THREADS", str(_THREADS))
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        torch.set_num_threads(_THREADS)


def gather(value: T) -> list[T]:
    """The values of all processes by rank, in every process; call it in each of them."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [value]
    values: list[T | None] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return [item for item in values if item is not None]


def gather_faces(columns: Mapping[str, Sequence[NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Columns of faces of all processes, each face once and in file order, in every process.

    Args:
        columns: name -> one array for each batch of this process, faces first; `dataset_id` and
            `index` among them. Faces with an `index` of -1 are repeats and are left out.

    Returns:
        name -> rows of all faces; empty if there are none.
    """
    own = {name: np.concatenate(parts) for name, parts in columns.items() if len(parts)}
    every = [part for part in gather(own) if part]
    if not every:
        return {}
    joined = {name: np.concatenate([part[name] for part in every]) for name in every[0]}
    order = np.lexsort((joined["index"], joined["dataset_id"]))
    order = order[joined["index"][order] >= 0]
    return {name: rows[order] for name, rows in joined.items()}


def allow_unused_parameters(strategy: Strategy) -> None:
    """Let processes agree on gradients though a phase does not compute all parts of a method."""
    if isinstance(strategy, DDPStrategy):
        strategy._ddp_kwargs["find_unused_parameters"] = True


def start_by_command(strategy: Strategy | str | None) -> Strategy | str | None:
    """The strategy with processes that repeat the command line.

    Processes that are spawned or forked from this one (`ddp_spawn`, `ddp_fork`) would take
    predictions and error curves with them when they end.

    Args:
        strategy: `trainer.strategy` as configured.

    Example:
        >>> start_by_command("ddp_fork_find_unused_parameters_true")
        'ddp_find_unused_parameters_true'
    """
    if isinstance(strategy, str):
        for start in ("spawn", "forkserver", "fork", "notebook"):
            strategy = strategy.replace(f"ddp_{start}", "ddp")
    elif isinstance(strategy, DDPStrategy):
        strategy._start_method = "popen"
    return strategy
