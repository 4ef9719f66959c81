"""End of `sweep run` and `sweep resume`: pictures of the study and its W&B run."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from lit_landmarks import search
from lit_landmarks.console import plain_console
from lit_landmarks.errors import first_line
from lit_landmarks.reports.study_run import draw_study, track_study
from lit_landmarks.search.records import build_study_records
from lit_landmarks.settings.composition import compose, read_yaml
from lit_landmarks.training.run_directory import RunDirectory
from lit_landmarks.training.wandb_logging import WandbOptions


def conclude(folder: search.StudyFolder, sweep: search.Sweep, study: search.JudgedStudy) -> None:
    """Draws the study into its folder, writes W&B runs of it and its rounds, says where they are.

    An error of W&B is a printed line and not raised: the trials are complete without it.
    """
    console = plain_console()
    records = [record for record in build_study_records(folder, study) if record.trials]
    if not records:
        return
    for path in draw_study(records[0]):
        console.print(f"drawn: {path}", markup=False)
    options = read_tracking_options(sweep)
    try:
        for record in records:
            file = search.StudyFolder(Path(record.folder)).file
            track_study(record, options, {"sweep": read_yaml(file)})
    except Exception as error:  # whatever W&B or what it answered raises
        console.print(f"the study is complete, but not in W&B: {first_line(error)}", markup=False)
    else:
        if options.mode != "disabled":
            console.print(
                f"W&B run, {options.mode}: {RunDirectory(folder.root).tracker}", markup=False
            )
    console.print(
        f"compare: python -m lit_landmarks compare {folder.root} --output compare.html",
        markup=False,
    )


def read_tracking_options(sweep: search.Sweep) -> WandbOptions:
    """Reads the W&B options of the trials, for their study: base configs, then settings."""
    branch = next(iter(sweep.methods.values()), None)
    files: list[Path] = [*(branch.base if branch else ()), *sweep.base]
    tree: Any = compose(files).tree.get("wandb")
    settings = dict(tree) if isinstance(tree, dict) else {}
    start = "wandb."
    settings |= {k.removeprefix(start): v for k, v in sweep.settings.items() if k.startswith(start)}
    names = {field.name for field in fields(WandbOptions)}
    return WandbOptions(**{k: v for k, v in settings.items() if k in names and v is not None})
