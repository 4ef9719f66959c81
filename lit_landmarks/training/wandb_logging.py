"""Weights & Biases: one run per fit, offline by default, one nested config, always closed.

`WandbLogger(offline=True)` switches the whole process offline and adopts any run that is open. Here
the run is opened explicitly and handed to the logger, so two fits in one process are two runs and
the environment stays as it was.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import wandb
from lightning.pytorch.loggers import WandbLogger
from numpy.typing import NDArray

from lit_landmarks.errors import UserError, first_line
from lit_landmarks.files import write_atomic
from lit_landmarks.training.run_directory import RunDirectory

Mode = Literal["offline", "online", "disabled"]


@dataclass
class WandbOptions:
    """Where and how a run is tracked.

    Attributes:
        mode: offline writes to the run directory only, and needs no account and no network
            (`wandb sync RUN/wandb/offline-*` uploads it later); online sends; disabled tracks
            nothing.
        project: W&B project.
        entity: W&B user or team; None for the default of the account.
        group: runs that belong together, such as the trials of a study.
        name: name of the run; None for that of the run directory.
        tags: labels to find the run by.
    """

    mode: Mode = "offline"
    project: str = "lit_landmarks"
    entity: str | None = None
    group: str | None = None
    name: str | None = None
    tags: list[str] = field(default_factory=list)


def open_tracker(
    options: WandbOptions, run: RunDirectory, config: Mapping[str, Any], job_type: str | None = None
) -> WandbLogger | None:
    """Opens the W&B run of a run directory, the same one when the run is continued.

    Args:
        options: how to track.
        run: the run directory; the W&B id is stored beside its files.
        config: the resolved arguments, logged once as they are nested.
        job_type: what the run is within its group; None for a fit.

    Returns:
        A logger to pass to the trainer, or None when tracking is disabled.

    Raises:
        UserError: online tracking that W&B refuses (no account, no network).
    """
    if options.mode == "disabled":
        return None
    id_file = run.tracker / "run_id"
    identity = id_file.read_text(encoding="utf-8").strip() if id_file.is_file() else ""
    identity = identity or secrets.token_hex(4)
    run.tracker.mkdir(parents=True, exist_ok=True)
    before = dict(os.environ)
    try:
        tracker = wandb.init(
            mode=options.mode,
            dir=str(run.root),
            id=identity,
            # Offline there is nobody to ask whether the run exists.
            resume="allow" if options.mode == "online" else None,
            project=options.project,
            entity=options.entity,
            group=options.group,
            job_type=job_type,
            name=options.name or run.root.name,
            tags=options.tags or None,
            config=dict(config),
            reinit="create_new",
            settings=wandb.Settings(console="off", silent=True, init_timeout=60),
        )
    except (wandb.Error, OSError) as error:
        raise UserError(
            f"W&B did not open an {options.mode} run: {first_line(error)}; "
            "use --wandb.mode offline or disabled"
        ) from error
    finally:
        os.environ.clear()
        os.environ.update(before)
    write_atomic(id_file, identity + "\n")
    tracker.define_metric("trainer/global_step")
    tracker.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return WandbLogger(experiment=tracker, save_dir=str(run.root), project=options.project)


def close_tracker(
    logger: WandbLogger | None, exit_code: int, summary: Mapping[str, Any] | None = None
) -> None:
    """Closes the W&B run; call it in `finally`.

    Args:
        logger: what `open_tracker` gave.
        exit_code: 0 for a run that finished, else the run is marked as failed.
        summary: final values for the run's overview.
    """
    if logger is None:
        return
    tracker = logger.experiment
    if summary:
        tracker.summary.update(dict(summary))
    tracker.finish(exit_code=exit_code)


def log_report(
    logger: WandbLogger,
    tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[Any]]]],
    pictures: Mapping[str, NDArray[np.uint8]],
) -> None:
    """Logs tables and pictures in one step of a run.

    Args:
        logger: what `open_tracker` gave.
        tables: key -> names of the columns, and rows of plain values.
        pictures: key -> (H, W, 3) RGB.
    """
    content: dict[str, Any] = {
        key: wandb.Table(columns=list(columns), data=[list(row) for row in rows])
        for key, (columns, rows) in tables.items()
    }
    content |= {key: wandb.Image(picture) for key, picture in pictures.items()}
    logger.experiment.log(content)
