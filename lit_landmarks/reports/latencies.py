"""Latency of compared runs, measured in one process, one run after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.progress import track

from lit_landmarks.compute import latency
from lit_landmarks.errors import UserError
from lit_landmarks.export.latency import onnx_latency, require_onnx
from lit_landmarks.reports.entries import Entry
from lit_landmarks.training.checkpoints import find_checkpoint, load_method
from lit_landmarks.training.run_directory import RunDirectory

#: Timed calls of each run.
_REPEATS = 30


def measure_latencies(entries: Sequence[Entry]) -> list[Entry]:
    """Rows with the time of one face on one thread, in PyTorch and in ONNX Runtime.

    Args:
        entries: rows; those that were not trained to their end, or whose checkpoint is not on this
            machine, stay as they are.

    Raises:
        UserError: no row has a checkpoint, or a package of the extra `export` is missing.
    """
    require_onnx("compare --latency")
    checkpoints = [_find(entry) for entry in entries]
    if not any(checkpoints):
        raise UserError("compare --latency needs checkpoints, and no row has one on this machine")
    rows = []
    pairs = list(zip(entries, checkpoints, strict=True))
    for entry, path in track(pairs, "latency", transient=True):
        if path is None:
            rows.append(entry)
            continue
        method, _ = load_method(path)
        eager = latency(method, method.example(), repeats=_REPEATS)
        graph = onnx_latency(method, repeats=_REPEATS)
        figures = {
            "compute/latency_median_ms": eager.median_ms,
            "compute/onnx_latency_median_ms": graph.median_ms,
        }
        rows.append(replace(entry, metrics={**entry.metrics, **figures}))
    return rows


def _find(entry: Entry) -> Path | None:
    """The checkpoint of a finished row, or None."""
    if (
        entry.state != "finished"
        or not entry.where
        or not RunDirectory(Path(entry.where)).config.is_file()
    ):
        return None
    path = find_checkpoint(entry.where)
    return path if path.is_file() else None
