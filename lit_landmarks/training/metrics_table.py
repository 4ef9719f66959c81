"""metrics.csv: logged values as one table that survives kill and resume.

Lightning's CSV logger deletes the old table when a run is continued; this one keeps the rows up to
the checkpoint and drops those of the epoch that is run again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from lit_landmarks.files import write_atomic

Row = dict[str, float | int | str]


class MetricsTable(Logger):
    """Writes `step, <name>, ...` rows to a CSV file.

    Args:
        path: the CSV file.
        resume_step: keep rows of an existing file up to this step; None starts an empty table.
    """

    def __init__(self, path: Path, resume_step: int | None = None) -> None:
        super().__init__()
        self.path = path
        self.rows: dict[int, Row] = {}
        if resume_step is not None and path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                for record in csv.DictReader(file):
                    step = int(record["step"])
                    if step < resume_step:
                        self.rows[step] = {k: v for k, v in record.items() if v and k != "step"}

    @property
    def name(self) -> str:
        """Constant, since a run has one table."""
        return "metrics"

    @property
    def version(self) -> str:
        """Constant, since a run has one table."""
        return ""

    @rank_zero_only  # type: ignore[untyped-decorator,unused-ignore]
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Adds values to the row of `step`."""
        self.rows.setdefault(step or 0, {}).update(metrics)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: config.yaml holds the hyperparameters."""

    @rank_zero_only  # type: ignore[untyped-decorator,unused-ignore]
    def save(self) -> None:
        """Writes the table; called by the trainer at the end of an epoch and of the run."""
        if not self.rows:
            return
        names = sorted({name for row in self.rows.values() for name in row} - {"epoch"})
        text = io.StringIO()
        writer = csv.DictWriter(text, ["step", "epoch", *names], lineterminator="\n")
        writer.writeheader()
        for step in sorted(self.rows):
            writer.writerow({"step": step, **self.rows[step]})
        write_atomic(self.path, text.getvalue())

    def finalize(self, status: str) -> None:
        """Write the rows that are not yet in the file."""
        self.save()
