"""NME against cost: cascades cut after each stage, and the same with early exit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.table import Table

from lit_landmarks.analysis.cross_fit import choose_by_fold, spread_thresholds
from lit_landmarks.analysis.records import FaceRecords
from lit_landmarks.analysis.thresholds import measure_thresholds, operating_points
from lit_landmarks.console import print_table
from lit_landmarks.draw.colors import COLORS
from lit_landmarks.draw.plots import figure_image, new_figure
from lit_landmarks.training.run_directory import RunDirectory
from lit_landmarks.training.wandb_logging import (
    WandbOptions,
    close_tracker,
    log_report,
    open_tracker,
)

#: Most points of a curve.
_MOST = 60


@dataclass(frozen=True)
class TradeOff:
    """NME and cost of one run on one data set.

    Attributes:
        run: its name.
        dataset: name of the data set, with its role.
        cut_mma, cut_nme: cost and NME in percent when all faces leave after stage 1, 2, ...
        stop_mma, stop_nme: with early exit (under these names in JSON), cheapest first;
            thresholds were chosen on `chosen_on`.
        chosen_on: role whose faces chose the thresholds.
    """

    run: str
    dataset: str
    cut_mma: tuple[float, ...]
    cut_nme: tuple[float, ...]
    stop_mma: tuple[float, ...]
    stop_nme: tuple[float, ...]
    chosen_on: str = "val"


def measure_trade_off(
    run: str,
    chosen_on: FaceRecords,
    sets: Mapping[str, FaceRecords],
    folds: Mapping[str, NDArray[np.int64]] | None = None,
    fold: NDArray[np.int64] | None = None,
) -> list[TradeOff]:
    """NME and cost of one run on each data set.

    Args:
        run: its name.
        chosen_on: validation faces on which thresholds are chosen.
        sets: faces on which they are measured.
        folds: fold of each face of the sets (`cross_fit`), so that none is measured with thresholds
            that it has chosen; None measures all faces alike.
        fold: (F,) folds of `chosen_on`.
    """
    front = operating_points(chosen_on)
    numbers = np.unique(np.linspace(0, len(front) - 1, _MOST).round().astype(int))
    thresholds = [front[k].thresholds for k in numbers]
    fronts = [] if fold is None else choose_by_fold(chosen_on, fold, operating_points)
    # For each cost of the front, what each fold's own front affords.
    by_fold = [
        [[p for p in own if p.mma <= max(front[k].mma, own[0].mma) + 1e-9][-1] for own in fronts]
        for k in numbers
    ]
    curves = []
    for name, records in sets.items():
        part = None if folds is None else folds[name]
        points = [
            measure_thresholds(
                records,
                row if part is None else spread_thresholds(row, [p.thresholds for p in own], part),
            )
            for row, own in zip(thresholds, by_fold, strict=True)
        ]
        curves.append(
            TradeOff(
                run=run,
                dataset=name,
                cut_mma=tuple(records.costs.tolist()),
                cut_nme=tuple(records.error.mean(1).tolist()),
                stop_mma=tuple(p.mma for p in points),
                stop_nme=tuple(p.nme for p in points),
            )
        )
    return curves


def plot_trade_off(curves: Sequence[TradeOff], title: str = "") -> Figure:
    """NME against MMA of several runs on one data set."""
    figure, axes = new_figure(6.5, 4.5, title or (curves[0].dataset if curves else ""))
    for number, curve in enumerate(curves):
        color = COLORS[number % len(COLORS)]
        label = f"{curve.run}, all faces alike"
        style = {"color": color, "markersize": 4, "linewidth": 0.8}
        axes.plot(curve.cut_mma, curve.cut_nme, "s--", label=label, **style)
        label = f"{curve.run}, early exit"
        axes.plot(curve.stop_mma, curve.stop_nme, "-", color=color, linewidth=1.6, label=label)
    axes.set(xlabel="mean multiply-adds of a face (millions)", ylabel="NME (% of eye distance)")
    axes.legend(frameon=False, fontsize=8)
    return figure


def track_trade_off(
    curves: Sequence[TradeOff],
    figures: Mapping[str, Figure],
    options: WandbOptions,
    folder: RunDirectory,
    config: Mapping[str, Any],
) -> None:
    """Logs the curves as a table and as pictures in one W&B run."""
    logger = open_tracker(options, folder, config)
    if logger is None:
        return
    exit_code = 1
    try:
        rows = [
            [curve.run, curve.dataset, kind, mma, nme]
            for curve in curves
            for kind, costs, errors in (
                ("cut", curve.cut_mma, curve.cut_nme),
                ("early exit", curve.stop_mma, curve.stop_nme),
            )
            for mma, nme in zip(costs, errors, strict=True)
        ]
        columns = ["run", "data set", "kind", "MMA", "NME"]
        pictures = {f"tradeoff/{name}": figure_image(f) for name, f in figures.items()}
        log_report(logger, {"tradeoff/points": (columns, rows)}, pictures)
        exit_code = 0
    finally:
        close_tracker(logger, exit_code)


def as_dicts(curves: Sequence[TradeOff]) -> list[dict[str, Any]]:
    """Plain values for JSON."""
    return [asdict(curve) for curve in curves]


def print_trade_off(curves: Sequence[TradeOff]) -> None:
    """Prints a table: every stage's NME and cost, and the cheapest point near the best NME."""
    table = Table(title="NME (%) at a mean cost of MMA", title_justify="left")
    for column in ("run", "set", "all faces alike", "early exit within 1 % of the best NME"):
        table.add_column(column, no_wrap=column in ("run", "set"))
    for curve in curves:
        cuts = zip(curve.cut_mma, curve.cut_nme, strict=True)
        alike = ", ".join(f"{nme:.2f} at {mma:.1f}" for mma, nme in cuts)
        points = list(zip(curve.stop_mma, curve.stop_nme, strict=True))
        limit = 1.01 * min(nme for _, nme in points)
        mma, nme = min((m, n) for m, n in points if n <= limit)
        table.add_row(curve.run, curve.dataset, alike, f"{nme:.2f} at {mma:.1f}")
    print_table(table)
