"""Weights & Biases: one run per fit, offline by default, one nested config, always closed.

`WandbLogger(offline=True)` switches the whole process offline and adopts any run that is open. Here
the run is opened explicitly and handed to the logger, so two fits in one process are two runs and
the environment stays as it was.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import wandb
from numpy.typing import NDArray

from lit_landmarks.console import plain_console
from lit_landmarks.errors import UserError, first_line
from lit_landmarks.files import write_atomic
from lit_landmarks.training.run_directory import RunDirectory
from lit_landmarks.training.wandb_parts import (
    STEP,
    History,
    list_parts,
    list_waiting_parts,
    read_history,
)
from lit_landmarks.training.wandb_tracker import RunTracker, restart_service

Mode = Literal["offline", "online", "disabled"]

#: Seconds that a server has to answer when a run opens: the first time, and while it stays away.
_PATIENCE, _SHORT_PATIENCE = 60.0, 10.0
#: Seconds for which a server that did not answer is not asked again.
_PAUSE = 300.0
#: Seconds for what is still to be sent when a run ends; the rest waits for `wandb sync`.
_FINISH = 120.0
#: Seconds between two writes of W&B's own file; what it has not written a kill loses.
_FLUSH = 1.0


@dataclass
class WandbOptions:
    """Where and how a run is tracked.

    Attributes:
        mode: offline writes to the run directory only, and needs no account and no network
            (`wandb sync RUN/wandb/offline-*` uploads it later); online sends, and goes on offline
            if W&B does not answer; disabled tracks nothing.
        project: W&B project.
        entity: W&B user or team; None for the default of the account.
        group: runs that belong together, such as the trials of a study.
        name: name of the run; None for that of the run directory.
        tags: labels to find the run by, beside those of its method and study.
        job_type: what the run is within its group.
        artifacts: send best.ckpt and config.yaml of a fit too, or those of a study's best trial.
    """

    mode: Mode = "offline"
    project: str = "lit_landmarks"
    entity: str | None = None
    group: str | None = None
    name: str | None = None
    tags: list[str] = field(default_factory=list)
    job_type: str = "fit"
    artifacts: bool = False


class _Server:
    """When this process asks W&B again after it did not answer; 0 if it did."""

    ask_at = 0.0


def open_tracker(
    options: WandbOptions, run: RunDirectory, config: Mapping[str, Any]
) -> RunTracker | None:
    """Opens the W&B run of a run directory, the same one when the run is continued.

    An online run goes on offline where W&B does not answer, and where offline parts of it wait for
    `wandb sync`, which adds them after what was sent.

    Args:
        options: how to track.
        run: the run directory; the W&B id is stored beside its files.
        config: the resolved arguments, logged once as they are nested.

    Returns:
        A logger to pass to the trainer, or None when tracking is disabled.

    Raises:
        UserError: online tracking without an account, a setting that W&B refuses, or a run
            directory that cannot be written.
    """
    if options.mode == "disabled":
        return None
    id_file = run.tracker / "run_id"
    identity = id_file.read_text(encoding="utf-8").strip() if id_file.is_file() else ""
    # The agent of a W&B sweep names the run that it waits for.
    identity = identity or os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4)
    run.tracker.mkdir(parents=True, exist_ok=True)
    parts = list_parts(run.tracker, identity)
    tracker = None
    if options.mode == "online":
        if list_waiting_parts(run.tracker, identity):
            _say_offline(run, "offline parts of this W&B run wait to be sent")
        else:
            tracker = _open_online(options, run, config, identity)
    online = tracker is not None
    if tracker is None:
        try:
            tracker = _init(options, run, config, identity, "offline")
        except Exception as error:  # whatever W&B's service raises
            raise UserError(
                f"W&B did not open an offline run: {first_line(error)}; use --wandb.mode disabled"
            ) from error
    write_atomic(id_file, identity + "\n")
    tracker.define_metric(STEP)
    tracker.define_metric("*", step_metric=STEP, step_sync=True)
    # Online W&B numbers the rows onward itself.
    sent = tracker.summary.get(STEP) if online and tracker.resumed else None
    history = History(step=-1 if sent is None else int(sent)) if online else read_history(parts)
    return RunTracker(tracker, run.root, history)


def _open_online(
    options: WandbOptions, run: RunDirectory, config: Mapping[str, Any], identity: str
) -> Any:
    """The run, or None where W&B does not answer; the first one of a process prints it.

    Raises:
        UserError: W&B lacks an account or refuses a setting.
    """
    away = _Server.ask_at > 0
    if away and time.monotonic() < _Server.ask_at:
        return None
    try:
        tracker = _init(options, run, config, identity, "online")
    except (wandb.errors.UsageError, wandb.errors.AuthenticationError) as error:
        raise UserError(
            f"W&B did not open an online run: {first_line(error)}; "
            "use --wandb.mode offline or disabled"
        ) from error
    except Exception as error:  # whatever W&B's service or a transport raises
        restart_service()  # the one that runs keeps the id of a run that did not open
        if not away:
            _say_offline(run, f"W&B did not open an online run: {first_line(error)}")
        _Server.ask_at = time.monotonic() + _PAUSE
        return None
    _Server.ask_at = 0.0
    return tracker


def _init(
    options: WandbOptions,
    run: RunDirectory,
    config: Mapping[str, Any],
    identity: str,
    mode: Mode,
) -> Any:
    before = dict(os.environ)
    try:
        return wandb.init(
            mode=mode,
            dir=str(run.root),
            id=identity,
            # Offline there is nobody to ask whether the run exists.
            resume="allow" if mode == "online" else None,
            project=options.project,
            entity=options.entity,
            group=options.group,
            job_type=options.job_type,
            name=options.name or run.root.name,
            tags=options.tags or None,
            config=dict(config),
            reinit="create_new",
            settings=wandb.Settings(
                console="off",
                silent=True,
                init_timeout=_SHORT_PATIENCE if _Server.ask_at else _PATIENCE,
                finish_timeout=_FINISH,
                finish_timeout_raises=True,
                x_transaction_log_flush_interval=_FLUSH,
            ),
        )
    finally:
        os.environ.clear()
        os.environ.update(before)


def _say_offline(run: RunDirectory, why: str) -> None:
    plain_console().print(
        f"{why}; the run goes on offline, and is sent with: wandb sync {run.tracker}/offline-run-*"
    )


def close_tracker(
    logger: RunTracker | None, exit_code: int, summary: Mapping[str, Any] | None = None
) -> None:
    """Closes the W&B run; call it in `finally`.

    Args:
        logger: what `open_tracker` gave.
        exit_code: 0 for a run that finished, else the run is marked as failed.
        summary: final values for the run's overview.
    """
    if logger is not None:
        logger.close(exit_code, summary or {})


def log_report(
    logger: RunTracker,
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
    logger.log_row(content)
