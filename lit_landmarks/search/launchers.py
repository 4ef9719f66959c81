"""SLURM and torchrun as starters of workers: each task works alone, on its own device."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

#: By these Lightning would take the workers of a study for the ranks of one training.
_OF_A_GROUP = (
    "SLURM_NTASKS", "WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK",
    "NODE_RANK", "MASTER_ADDR", "MASTER_PORT",
)  # fmt: skip
_PREFIXES = ("TORCHELASTIC_", "ROLE_", "GROUP_WORLD_")


@contextlib.contextmanager
def standing_alone() -> Iterator[None]:
    """Hides the launcher from Lightning, and takes the device of this task; all is put back."""
    before = dict(os.environ)
    place = os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID")
    if place is not None and torch.cuda.device_count() > 1:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        devices = seen.split(",") if seen else list(map(str, range(torch.cuda.device_count())))
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[int(place) % len(devices)]
    for name in list(os.environ):
        if name in _OF_A_GROUP or name.startswith(_PREFIXES):
            del os.environ[name]
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
