"""Workers that SLURM or torchrun starts: each task is a worker on its own device."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

#: Variables by which Lightning would take the workers for the ranks of one training.
_LAUNCHER_VARIABLES = (
    "SLURM_NTASKS",
    "WORLD_SIZE",
    "RANK",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "NODE_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
)
_PREFIXES = ("TORCHELASTIC_", "ROLE_", "GROUP_WORLD_")


@contextlib.contextmanager
def hide_launcher() -> Iterator[None]:
    """Context that hides SLURM or torchrun from Lightning and selects the device of this task."""
    environment = dict(os.environ)
    rank = os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID")
    if rank is not None and torch.cuda.device_count() > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        devices = (
            visible.split(",") if visible else list(map(str, range(torch.cuda.device_count())))
        )
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[int(rank) % len(devices)]
    for name in list(os.environ):
        if name in _LAUNCHER_VARIABLES or name.startswith(_PREFIXES):
            del os.environ[name]
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
