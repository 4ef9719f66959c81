"""NME against cost: cascades cut after each stage, and the same with an early stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import wandb
from matplotlib.figure import Figure

from lit_landmarks.draw.plots import COLORS, figure_image, new_figure
from lit_landmarks.training.calibration import candidates, operate
from lit_landmarks.training.records import FaceRecords
from lit_landmarks.training.run_directory import RunDirectory
from lit_landmarks.training.wandb_logging import WandbOptions, close_tracker, open_tracker

#: Points of a curve that are kept.
_MOST = 60


@dataclass(frozen=True)
class TradeOff:
    """One run on one data set.

    Attributes:
        run: its name.
        dataset: name of the data set, with its role.
        cut_mma, cut_nme: cost and NME in percent when all faces leave after stage 1, 2, ...
        stop_mma, stop_nme: with early stop, cheapest first; thresholds were chosen on `chosen_on`.
        chosen_on: role whose faces chose the thresholds.
    """

    run: str
    dataset: str
    cut_mma: tuple[float, ...]
    cut_nme: tuple[float, ...]
    stop_mma: tuple[float, ...]
    stop_nme: tuple[float, ...]
    chosen_on: str = "val"


def trade_off(run: str, chosen_on: FaceRecords, sets: Mapping[str, FaceRecords]) -> list[TradeOff]:
    """The curves of one run.

    Args:
        run: its name.
        chosen_on: validation faces on which thresholds are chosen.
        sets: faces on which they are measured.
    """
    operations = candidates(chosen_on)
    keep = np.unique(np.linspace(0, len(operations) - 1, _MOST).round().astype(int))
    chosen = [operations[k].stop_below for k in keep]
    found = []
    for name, records in sets.items():
        told = [operate(records, stop) for stop in chosen]
        found.append(TradeOff(
            run, name,
            tuple(records.costs.tolist()), tuple(records.error.mean(1).tolist()),
            tuple(o.mma for o in told), tuple(o.nme for o in told),
        ))  # fmt: skip
    return found


def trade_off_plot(curves: Sequence[TradeOff], title: str = "") -> Figure:
    """NME against MMA of several runs on one data set."""
    figure, axes = new_figure(6.5, 4.5, title or (curves[0].dataset if curves else ""))
    for number, curve in enumerate(curves):
        colour = COLORS[number % len(COLORS)]
        axes.plot(curve.cut_mma, curve.cut_nme, "s--", color=colour, markersize=4, linewidth=0.8,
                  label=f"{curve.run}, all faces alike")  # fmt: skip
        axes.plot(curve.stop_mma, curve.stop_nme, "-", color=colour, linewidth=1.6,
                  label=f"{curve.run}, early stop")  # fmt: skip
    axes.set(xlabel="mean multiply-adds of a face (millions)", ylabel="NME (% of eye distance)")
    axes.legend(frameon=False, fontsize=8)
    return figure


def track_trade_off(
    curves: Sequence[TradeOff], figures: Mapping[str, Figure], options: WandbOptions,
    folder: RunDirectory, config: Mapping[str, Any],
) -> None:  # fmt: skip
    """Curves as a table and as pictures in one W&B run."""
    logger = open_tracker(options, folder, config)
    if logger is None:
        return
    done = 1
    try:
        rows = [
            [c.run, c.dataset, kind, mma, nme]
            for c in curves
            for kind, xs, ys in (
                ("cut", c.cut_mma, c.cut_nme), ("early stop", c.stop_mma, c.stop_nme)
            )
            for mma, nme in zip(xs, ys, strict=True)
        ]  # fmt: skip
        table = wandb.Table(columns=["run", "data set", "kind", "MMA", "NME"], data=rows)
        pictures = {f"tradeoff/{name}": wandb.Image(figure_image(f)) for name, f in figures.items()}
        logger.experiment.log({"tradeoff/points": table, **pictures})
        done = 0
    finally:
        close_tracker(logger, done)


def as_dicts(curves: Sequence[TradeOff]) -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(curve) for curve in curves]
