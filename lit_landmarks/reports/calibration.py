"""What calibrated thresholds do to measured faces: figures, tables for a person, and a plot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from lit_landmarks.draw.plots import COLORS, new_figure
from lit_landmarks.reports.attention import open_mouths
from lit_landmarks.training.calibration import (
    Detection,
    exit_stages,
    measure_detection,
    operate,
    rank_correlation,
)
from lit_landmarks.training.records import Array, FaceRecords

#: Bins of |yaw| in degrees in which the stop rate is told.
YAW_BINS = ((0, 15), (15, 30), (30, 45), (45, 90))


def describe_set(
    records: FaceRecords, stop_below: tuple[float, ...], fail_above: float, failure: float,
    scheme: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Figures of one data set under some thresholds; plain values for JSON."""
    told: dict[str, Any] = {
        "faces": len(records),
        "nme_by_stage": records.error.mean(1).tolist(),
        "spearman_by_stage": list(rank_correlation(records)),
        "failures": asdict(measure_detection(records, fail_above, failure)),
    }
    if stop_below:
        with_stop = operate(records, stop_below)
        told |= {
            "nme": with_stop.nme,
            "mma": with_stop.mma,
            "mma_without_stop": float(records.costs[-1]),
            "exits": list(with_stop.exits),
            "stops": stops_by_group(records, stop_below, scheme),
        }
    return told


def stops_by_group(
    records: FaceRecords, stop_below: tuple[float, ...], scheme: str | None = None
) -> dict[str, dict[str, Any]]:
    """How many stages faces take, by |yaw|, by mouth, and those that are frontal and neutral.

    Neutral is a closed mouth, the one expression that points tell without a person; a scheme
    without inner lips has bins of yaw only.

    Returns:
        For each group that has faces: `faces`, mean `stages`, and the share `stopped_early`.
    """
    taken = exit_stages(records.predicted, stop_below) + 1
    yaw = np.abs(records.pose[:, 0])
    groups = {f"yaw {low}-{high}": (yaw >= low) & (yaw < high) for low, high in YAW_BINS}
    opened = None if scheme is None else open_mouths(records, scheme)
    if opened is not None:
        plain = (yaw < YAW_BINS[0][1]) & ~opened
        groups |= {"mouth closed": ~opened, "mouth open": opened,
                   "frontal and neutral": plain, "all others": ~plain}  # fmt: skip
    return {
        name: {
            "faces": int(rows.sum()),
            "stages": float(taken[rows].mean()),
            "stopped_early": float((taken[rows] < len(records.costs)).mean()),
        }
        for name, rows in groups.items()
        if rows.any()
    }


def print_calibration(
    sets: Mapping[str, Mapping[str, Any]], stop_below: tuple[float, ...], detection: Detection
) -> None:
    """Tables: thresholds, and one row for each data set."""
    console = Console()
    if stop_below:
        shown = ", ".join(f"{value:.2f}" for value in stop_below)
        console.print(f"stop below a predicted NME of {shown} % (after each stage but the last)")
    console.print(
        f"failed (NME {detection.failure:g} % or more) if predicted above "
        f"{detection.fail_above:.2f} %"
    )
    if not detection.failures:
        console.print("no face failed that could choose this limit; it is the failure's own")
    costs = ("faces", "NME all stages", "NME stop", "MMA", "saved")
    _print_table(console, "error and cost", costs, {
        name: (
            str(told["faces"]),
            " ".join(f"{value:.2f}" for value in told["nme_by_stage"]),
            f"{told['nme']:.2f}" if "nme" in told else "-",
            f"{told['mma']:.1f}" if "mma" in told else "-",
            f"{told['mma_without_stop'] / told['mma']:.2f} x" if "mma" in told else "-",
        )
        for name, told in sets.items()
    })  # fmt: skip
    _print_table(console, "predicted error", ("left, %", "Spearman", "precision", "recall"), {
        name: (
            " ".join(f"{100 * share:.0f}" for share in told.get("exits", [])) or "-",
            " ".join(f"{value:.2f}" for value in told["spearman_by_stage"]),
            _percent(told["failures"]["precision"]),
            _percent(told["failures"]["recall"]),
        )
        for name, told in sets.items()
    })  # fmt: skip
    _print_stops(console, sets)


def _print_stops(console: Console, sets: Mapping[str, Mapping[str, Any]]) -> None:
    names = list(dict.fromkeys(group for told in sets.values() for group in told.get("stops", {})))
    rows = {}
    for group in names:
        found = [told["stops"].get(group) for told in sets.values()]
        rows[group] = tuple(
            f"{one['stages']:.2f} ({one['faces']})" if one else "-" for one in found
        )
    if rows:
        columns = tuple(name.split("/", 1)[-1] for name in sets)
        _print_table(console, "mean stages (faces)", columns, rows)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share == share else "-"


def _print_table(
    console: Console, title: str, columns: tuple[str, ...], rows: Mapping[str, tuple[str, ...]]
) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("set", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for name, row in rows.items():
        table.add_row(name, *row)
    console.print(table)


def calibration_plot(
    sets: Mapping[str, FaceRecords], fail_above: float = 10.0, failure: float = 10.0
) -> Figure:
    """Predicted against true NME after the last stage, with means of equal groups of faces."""
    figure, axes = new_figure(5.5, 5.0, "Predicted and true error, last stage")
    low, high = 100.0, 1.0
    for number, (name, records) in enumerate(sets.items()):
        x, y = records.predicted[-1].clip(0.3), records.error[-1].clip(0.3)
        colour = COLORS[number % len(COLORS)]
        axes.scatter(x, y, s=5, color=colour, alpha=0.25, linewidths=0)
        axes.plot(*_binned(x, y), "o-", color=colour, markersize=4, label=name)
        low, high = min(low, x.min(), y.min()), max(high, x.max(), y.max())
    axes.plot([low, high], [low, high], color="0.4", linewidth=0.8, linestyle="--")
    axes.axvline(fail_above, color="0.2", linewidth=0.8)
    axes.axhline(failure, color="0.2", linewidth=0.8, linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="predicted NME (%)", ylabel="true NME (%)")
    axes.legend(frameon=False)
    return figure


def _binned(x: Array, y: Array, groups: int = 10) -> tuple[list[float], list[float]]:
    order = np.argsort(x)
    parts = [part for part in np.array_split(order, min(groups, max(len(x) // 5, 1))) if len(part)]
    return [float(x[p].mean()) for p in parts], [float(y[p].mean()) for p in parts]
