"""Processes of one distributed training, of which only the first writes files."""

from __future__ import annotations

import os
from pathlib import Path

from lit_landmarks.errors import UserError
from lit_landmarks.training.run_directory import RunDirectory, create_run

#: Environment: the run directory that the first process has made.
_RUN = "LIT_LANDMARKS_RUN"
#: In the order in which Lightning reads them.
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


def is_follower() -> bool:
    """Whether this is not the first process of its training.

    Lightning's own launcher and torchrun number processes by the first two variables, srun and LSF
    by the others.
    """
    number = next((n for name in _RANKS if (n := os.environ.get(name, ""))), "0")
    return int(number) > 0


def create_shared_run(path: Path | None, name: str) -> RunDirectory:
    """Creates the run directory that all processes of one training share.

    Args:
        path: where the user wants it, or None.
        name: method and data, for the default.

    Raises:
        UserError: the folder exists, or a follower got no path to it.
    """
    if not is_follower():
        run = create_run(path, name)
        os.environ[_RUN] = str(run.root.resolve())
        return run
    root = os.environ.get(_RUN) or path
    if root is None:
        raise UserError("processes started by torchrun or SLURM need --run to share a folder")
    return RunDirectory(Path(root))
