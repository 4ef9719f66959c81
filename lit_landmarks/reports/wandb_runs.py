"""Runs of a W&B project as rows of a comparison, through W&B's public API."""

from __future__ import annotations

import math
import netrc
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import wandb

from lit_landmarks.errors import UserError, first_line
from lit_landmarks.reports.entries import LEARNING, Entry, State, drop_repeated_subsets, flatten
from lit_landmarks.training.callbacks import MONITOR

_PATH = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
#: Job type of the run of a whole study, which is no row.
STUDY = "study"
_STATES: Mapping[str, State] = {"finished": "finished", "running": "unfinished"}
_SECONDS = 20


def is_project(text: str) -> bool:
    """Whether `text` reads as entity/project."""
    return _PATH.fullmatch(text) is not None


def open_api() -> Any:
    """Opens W&B's public API without ever prompting for a key.

    Raises:
        UserError: offline by W&B's own variable, no key, or no network.
    """
    if os.environ.get("WANDB_MODE", "online") in ("offline", "disabled", "dryrun"):
        raise UserError("WANDB_MODE says offline; unset it to ask W&B")
    if not (os.environ.get("WANDB_API_KEY") or wandb.setup().settings.api_key or _has_saved_key()):
        raise UserError("no W&B account is known here; run `wandb login`, or give folders of runs")
    try:
        return wandb.Api(timeout=_SECONDS)
    except Exception as error:  # what a transport raises is not known here
        raise UserError(f"W&B cannot be asked ({first_line(error)}); give folders of runs") from (
            error
        )


def _has_saved_key() -> bool:
    """Whether `wandb login` has stored a key in the netrc file."""
    host = urlsplit(wandb.setup().settings.base_url).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def read_project_entries(path: str, api: Any = None) -> list[Entry]:
    """Reads the fits of a W&B project as rows of a comparison.

    Args:
        path: entity/project.
        api: W&B's API; None opens it.

    Raises:
        UserError: W&B cannot be asked, or knows no such project, or it holds no fit.
    """
    client = open_api() if api is None else api
    try:
        runs = [run for run in client.runs(path, per_page=100) if run.job_type != STUDY]
        rows = [_read_entry(run) for run in runs]
    except Exception as error:  # what a transport raises is not known here
        raise UserError(
            f"W&B does not give the runs of {path}: {first_line(error)}; check the name and the "
            "network, or give folders of runs"
        ) from error
    entries = [entry for entry in rows if entry.metrics]
    if not entries:
        raise UserError(
            f"{path} holds no finished fit of lit_landmarks; sync some, or name another"
        )
    return entries


def _read_entry(run: Any) -> Entry:
    summary = dict(run.summary)
    # `fit` writes its final figures under "final"; see training.fitting.
    final = summary.get("final") or {}
    metrics = {str(k): float(v) for k, v in dict(final).items() if _is_number(v)}
    state = _STATES.get(run.state, "failed")
    if state == "finished" and not metrics:
        state = "unfinished"
    rows = run.scan_history(keys=["epoch", MONITOR, LEARNING]) if metrics else []
    # W&B gives only rows that have all keys: those of epochs.
    learning = [
        (float(row["epoch"]) + 1, float(row[MONITOR]))
        for row in rows
        if _is_number(row.get("epoch")) and _is_number(row.get(MONITOR))
    ]
    entry = Entry(
        name=str(run.name),
        where=str(run.url),
        state=state,
        outcome=str(run.state),
        metrics=metrics,
        config=flatten(dict(run.config)),
        learning=learning,
        seconds=float(summary["_runtime"]) if _is_number(summary.get("_runtime")) else None,
    )
    return drop_repeated_subsets(entry)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
