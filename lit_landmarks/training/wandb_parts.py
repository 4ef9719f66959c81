"""Parts of a W&B run on disk: what history they hold, and which of them wait for `wandb sync`.

W&B makes a folder each time that a run is opened, a part. `wandb sync` appends the rows of a part
to those that the server has, as they are. So a part that continues an offline one numbers its rows
onward (`_step`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The x axis of a fit's curves, as Lightning names it.
STEP = "trainer/global_step"


@dataclass(frozen=True)
class History:
    """End of the history of a W&B run.

    Attributes:
        rows: number of the next row, `_step`; None leaves it to W&B.
        step: optimizer step of the last row; -1 for none.

    Example:
        >>> History().step
        -1
    """

    rows: int | None = None
    step: int = -1


def list_parts(tracker: Path, identity: str) -> list[Path]:
    """The files of a run's parts, the oldest first.

    Args:
        tracker: folder of the parts.
        identity: id of the run.
    """
    parts = tracker.glob(f"*run-*-{identity}*/run-{identity}.wandb")
    return sorted(parts, key=lambda path: path.parent.name.removeprefix("offline-"))


def list_waiting_parts(tracker: Path, identity: str) -> list[Path]:
    """The offline parts that were not synced yet; W&B marks those that were."""
    return [
        path
        for path in list_parts(tracker, identity)
        if path.parent.name.startswith("offline-")
        and not path.with_suffix(".wandb.synced").exists()
    ]


def read_history(parts: Sequence[Path]) -> History:
    """The end of the history that parts hold, by W&B's own reader of its files.

    Args:
        parts: the oldest first. The last one with a row decides, since its rows are numbered
            onward. A file that cannot be read counts as one without rows.
    """
    for part in reversed(parts):
        if rows := _read_rows(part):
            steps = [int(row[STEP]) for row in rows if STEP in row]
            return History(1 + max(int(row["_step"]) for row in rows), max(steps, default=-1))
    return History()


def _read_rows(part: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(part)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    # A run that was killed may end within a record.
    records = [json.loads(line) for line in answer.stdout.splitlines() if line.endswith("}")]
    return [record["history"]["item"] for record in records if record.get("type") == "history"]
