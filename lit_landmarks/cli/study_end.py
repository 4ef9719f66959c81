"""What `sweep run` and `sweep resume` do when the trials are done: pictures and a W&B run."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from lit_landmarks import search
from lit_landmarks.console import plain_console
from lit_landmarks.errors import UserError
from lit_landmarks.reports.study_run import draw_study, track_study
from lit_landmarks.search.records import study_record
from lit_landmarks.settings.composition import compose, read_yaml
from lit_landmarks.training.run_directory import RunDirectory
from lit_landmarks.training.wandb_logging import WandbOptions


def conclude(folder: search.StudyFolder, sweep: search.Sweep, study: search.Study) -> None:
    """Draws the study into its folder and tells W&B of it, and says where.

    A tracker that refuses costs the W&B run only: the trials are safe, and the line says so.
    """
    console = plain_console()
    record = study_record(folder, sweep, study)
    if not record.trials:
        return
    for path in draw_study(record):
        console.print(f"drawn: {path}", markup=False)
    options = tracking(sweep)
    try:
        track_study(record, options, {"sweep": read_yaml(folder.file)})
    except UserError as error:
        console.print(f"the study is complete, but not in W&B: {error}", markup=False)
    else:
        if options.mode != "disabled":
            console.print(f"W&B run, {options.mode}: {RunDirectory(folder.root).tracker}",
                          markup=False)  # fmt: skip
    console.print(
        f"compare: python -m lit_landmarks compare {folder.root} --output compare.html",
        markup=False,
    )


def tracking(sweep: search.Sweep) -> WandbOptions:
    """How the trials are tracked, which is how their study is: base configs, then settings."""
    branch = next(iter(sweep.methods.values()), None)
    files: list[Path] = [*(branch.base if branch else ()), *sweep.base]
    told: Any = compose(files).tree.get("wandb")
    found = dict(told) if isinstance(told, dict) else {}
    start = "wandb."
    found |= {k.removeprefix(start): v for k, v in sweep.settings.items() if k.startswith(start)}
    known = {field.name for field in fields(WandbOptions)}
    return WandbOptions(**{k: v for k, v in found.items() if k in known and v is not None})
