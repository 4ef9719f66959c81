"""Calibration of a trained method: thresholds, their figures per data set, tables and a plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console

from lit_landmarks.analysis.attention import find_open_mouths
from lit_landmarks.analysis.cross_fit import (
    CrossFit,
    choose_by_fold,
    split_folds_by_set,
)
from lit_landmarks.analysis.failures import (
    FailureDetection,
    choose_fail_above,
    measure_detection,
    rank_correlation,
)
from lit_landmarks.analysis.records import Array, FaceRecords, split_by_set
from lit_landmarks.analysis.thresholds import (
    OperatingPoint,
    Thresholds,
    choose_for_cost,
    choose_for_error,
    choose_within_cost,
    find_exit_stages,
    measure_thresholds,
)
from lit_landmarks.console import literal_console, print_figures
from lit_landmarks.draw.colors import COLORS
from lit_landmarks.draw.plots import new_figure, save_figure
from lit_landmarks.errors import UserError
from lit_landmarks.training.run_directory import RunDirectory, write_json

#: Bins of |yaw| in degrees in which the share of early exits is reported.
YAW_BINS = ((0, 15), (15, 30), (30, 45), (45, 90))
#: Allowed rise of the NME where no goal is given, percent of itself.
DEFAULT_SLACK = 3.0


@dataclass(frozen=True)
class Goal:
    """Goal of a calibration: a mean cost, an NME, or a rise of the NME (`slack`).

    Attributes:
        mma: mean cost of a face, millions of multiply-adds.
        nme: mean NME, percent.
        slack: rise over the NME of all stages, percent of that NME.
        shared: one threshold for all stages.
        confidence: probability with which the mean cost of fresh faces is to be within `mma`; None
            asks it of the recorded faces only, and fresh ones are then beyond it every other time.
    """

    mma: float | None = None
    nme: float | None = None
    slack: float = DEFAULT_SLACK
    shared: bool = False
    confidence: float | None = None

    def choose(self, records: FaceRecords) -> OperatingPoint:
        """The best operating point on recorded faces.

        Raises:
            UserError: no threshold reaches the goal.
        """
        if self.mma is not None and self.confidence is not None:
            return choose_within_cost(records, self.mma, self.shared, self.confidence)
        if self.mma is not None:
            return choose_for_cost(records, self.mma, self.shared)
        if self.nme is not None:
            return choose_for_error(records, self.nme, self.shared)
        limit = float(records.error[-1].mean()) * (1 + self.slack / 100)
        return choose_for_error(records, limit, self.shared)


@dataclass(frozen=True)
class Calibration:
    """Thresholds chosen on validation faces, with their figures on every data set.

    Attributes:
        point: operating point of the early exit on validation; None for a method without one.
        shared: whether its thresholds are the same for all stages.
        detection: failure detection on validation.
        sets: records of each data set, by role/name.
        figures: `describe_set` of each data set; a face that took part in the choice counts with
            thresholds that were chosen without it.
        by_fold: thresholds chosen without each fold of the validation faces; empty without folds.
        cross_fitted: operating point of the validation faces under those.
    """

    point: OperatingPoint | None
    shared: bool
    detection: FailureDetection
    sets: Mapping[str, FaceRecords]
    figures: Mapping[str, Mapping[str, Any]]
    by_fold: Sequence[tuple[float, ...]] = ()
    cross_fitted: OperatingPoint | None = None

    def write(self, folder: Path, checkpoint: Path) -> tuple[Path, Path]:
        """Writes calibration.json and calibration.png.

        Args:
            folder: where.
            checkpoint: named in the JSON.

        Returns:
            Both paths.
        """
        report, picture = folder / "calibration.json", folder / "calibration.png"
        content = {
            "checkpoint": str(checkpoint),
            "shared": self.shared,
            "thresholds": list(self.point.thresholds) if self.point else [],
            "chosen_on_val": self.point.as_dict() if self.point else None,
            "cross_fitted_on_val": self.cross_fitted.as_dict() if self.cross_fitted else None,
            "failure_detection_on_val": asdict(self.detection),
            "sets": self.figures,
        }
        write_json(report, content)
        detection = self.detection
        save_figure(plot_calibration(self.sets, detection.fail_above, detection.failure), picture)
        return report, picture


def calibrate(
    roles: Mapping[str, FaceRecords],
    goal: Goal | None,
    failure: float,
    recall: float | None = None,
    scheme: str | None = None,
    folds: Mapping[str, NDArray[np.int64]] | None = None,
) -> Calibration:
    """Chooses thresholds on validation faces and measures them on every data set.

    Args:
        roles: records of "val" and, if there are any, "test" faces.
        goal: of the early exit; None for a method that has none.
        failure: true NME in percent from which a face has failed.
        recall: share of failures to detect; None: the best F1.
        scheme: of the landmarks.
        folds: fold of each face by role (`cross_fit.find_folds`); None measures the faces with
            thresholds that they have chosen.

    Raises:
        UserError: no threshold reaches the goal.
    """
    faces = roles["val"]
    point = goal.choose(faces) if goal else None
    detection = choose_fail_above(faces, failure, recall)
    own = CrossFit(point.thresholds if point else (), detection.fail_above)
    folds = folds or {role: np.full(len(r), -1, np.int64) for role, r in roles.items()}
    fold = folds["val"]
    if (fold >= 0).any():
        own = _choose_without_folds(own, faces, fold, goal, failure, recall)
        measured = measure_detection(faces, own.limits_of(fold), failure)
        detection = replace(measured, fail_above=own.limit)
    sets, parts = split_by_set(roles), split_folds_by_set(roles, folds)
    figures = {
        name: describe_set(
            records, own.thresholds_of(parts[name]), own.limits_of(parts[name]), failure, scheme
        )
        for name, records in sets.items()
    }
    for values in figures.values():
        values["failures"]["fail_above"] = own.limit
    crossed = measure_thresholds(faces, own.thresholds_of(fold)) if own.by_fold else None
    shared = goal is not None and goal.shared
    return Calibration(point, shared, detection, sets, figures, own.by_fold, crossed)


def _choose_without_folds(
    own: CrossFit,
    faces: FaceRecords,
    fold: NDArray[np.int64],
    goal: Goal | None,
    failure: float,
    recall: float | None,
) -> CrossFit:
    """Thresholds and limits of all faces beside those chosen without each fold; see `calibrate`."""
    limits = choose_by_fold(faces, fold, lambda r: choose_fail_above(r, failure, recall).fail_above)
    if goal is None:
        return replace(own, limits=limits)
    by_fold = choose_by_fold(faces, fold, lambda r: _choose_if_possible(goal, r))
    return replace(own, by_fold=by_fold, limits=limits)


def _choose_if_possible(goal: Goal, records: FaceRecords) -> tuple[float, ...]:
    """The thresholds for a goal; where a part of the faces cannot reach it, none leaves early."""
    try:
        return goal.choose(records).thresholds
    except UserError:
        return (-math.inf,) * (len(records.costs) - 1)


def choose_report_folder(checkpoint: Path) -> Path:
    """Folder of the report: the run of a checkpoint, or the folder of one outside a run."""
    folder = checkpoint.resolve().parent
    run = RunDirectory(folder.parent)
    return run.root if folder == run.checkpoints and run.config.is_file() else folder


def describe_set(
    records: FaceRecords,
    thresholds: Thresholds,
    fail_above: float | Array,
    failure: float,
    scheme: str | None = None,
) -> dict[str, Any]:
    """Figures of one data set under given thresholds, of all faces or of each; plain values."""
    figures: dict[str, Any] = {
        "faces": len(records),
        "nme_by_stage": records.error.mean(1).tolist(),
        "spearman_by_stage": list(rank_correlation(records)),
        "failures": asdict(measure_detection(records, fail_above, failure)),
    }
    if len(thresholds):
        point = measure_thresholds(records, thresholds)
        figures |= {
            "nme": point.nme,
            "mma": point.mma,
            "mma_without_stop": float(records.costs[-1]),
            "exits": list(point.exit_shares),
            "stops": count_stages_by_group(records, thresholds, scheme),
        }
    return figures


def count_stages_by_group(
    records: FaceRecords, thresholds: Thresholds, scheme: str | None = None
) -> dict[str, dict[str, Any]]:
    """Mean number of stages by |yaw|, by mouth, and of frontal and neutral faces.

    Neutral is a closed mouth, the one expression that points show without a person's judgement; a
    scheme without inner lips has bins of yaw only.

    Returns:
        For each group that has faces: `faces`, mean `stages`, and the share `stopped_early`.
    """
    stages = find_exit_stages(records.predicted, thresholds) + 1
    groups = _groups(records, scheme)
    return {
        name: {
            "faces": int(rows.sum()),
            "stages": float(stages[rows].mean()),
            "stopped_early": float((stages[rows] < len(records.costs)).mean()),
        }
        for name, rows in groups.items()
        if rows.any()
    }


def _groups(records: FaceRecords, scheme: str | None) -> dict[str, NDArray[np.bool_]]:
    """(F,) masks of faces that have a pose or an expression in common.

    A face without a pose or with an unlabelled mouth is in no group that asks for it.
    """
    yaw = np.abs(records.pose[:, 0])
    groups = {f"yaw {low}-{high}": (yaw >= low) & (yaw < high) for low, high in YAW_BINS}
    mouths = None if scheme is None else find_open_mouths(records, scheme)
    if mouths is not None:
        opened, labelled = mouths
        neutral = (yaw < YAW_BINS[0][1]) & labelled & ~opened
        groups |= {
            "mouth closed": labelled & ~opened,
            "mouth open": opened,
            "frontal and neutral": neutral,
            "all others": np.isfinite(yaw) & labelled & ~neutral,
        }
    return groups


def print_calibration(calibration: Calibration) -> None:
    """Prints the thresholds, and tables with one row for each data set."""
    console, detection = literal_console(), calibration.detection
    if calibration.point and calibration.point.thresholds:
        shown = ", ".join(f"{value:.2f}" for value in calibration.point.thresholds)
        console.print(f"leave below a predicted NME of {shown} % (after each stage but the last)")
    console.print(
        f"failed (NME {detection.failure:g} % or more) if predicted above "
        f"{detection.fail_above:.2f} %"
    )
    if not detection.failures:
        console.print("no face failed that could choose this limit; it is the failure's own")
    costs = ("set", "faces", "NME all stages", "NME early exit", "MMA", "saved")
    rows = [(name, *_cost_row(figures)) for name, figures in calibration.figures.items()]
    print_figures("error and cost", costs, rows, console=console)
    errors = ("set", "left, %", "Spearman", "precision", "recall")
    rows = [(name, *_error_row(figures)) for name, figures in calibration.figures.items()]
    print_figures("predicted error", errors, rows, console=console)
    _print_stages(console, calibration.figures)


def _cost_row(figures: Mapping[str, Any]) -> tuple[str, ...]:
    faces = str(figures["faces"])
    by_stage = " ".join(f"{value:.2f}" for value in figures["nme_by_stage"])
    if "mma" not in figures:
        return faces, by_stage, "-", "-", "-"
    saved = figures["mma_without_stop"] / figures["mma"]
    return faces, by_stage, f"{figures['nme']:.2f}", f"{figures['mma']:.1f}", f"{saved:.2f} x"


def _error_row(figures: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        " ".join(f"{100 * share:.0f}" for share in figures.get("exits", [])) or "-",
        " ".join(f"{value:.2f}" for value in figures["spearman_by_stage"]),
        _percent(figures["failures"]["precision"]),
        _percent(figures["failures"]["recall"]),
    )


def _print_stages(console: Console, sets: Mapping[str, Mapping[str, Any]]) -> None:
    by_set = [figures.get("stops", {}) for figures in sets.values()]
    rows = []
    for group in dict.fromkeys(name for groups in by_set for name in groups):
        cells = [groups.get(group) for groups in by_set]
        rows.append((group, *(f"{c['stages']:.2f} ({c['faces']})" if c else "-" for c in cells)))
    if rows:
        columns = ("set", *(name.split("/", 1)[-1] for name in sets))
        print_figures("mean stages (faces)", columns, rows, console=console)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share == share else "-"


def plot_calibration(
    sets: Mapping[str, FaceRecords], fail_above: float = 10.0, failure: float = 10.0
) -> Figure:
    """Predicted against true NME after the last stage, with means of equal groups of faces."""
    figure, axes = new_figure(5.5, 5.0, "Predicted and true error, last stage")
    low, high = 100.0, 1.0
    for number, (name, records) in enumerate(sets.items()):
        x, y = records.predicted[-1].clip(0.3), records.error[-1].clip(0.3)
        color = COLORS[number % len(COLORS)]
        axes.scatter(x, y, s=5, color=color, alpha=0.25, linewidths=0)
        axes.plot(*_average_by_bins(x, y), "o-", color=color, markersize=4, label=name)
        low, high = min(low, x.min(), y.min()), max(high, x.max(), y.max())
    axes.plot([low, high], [low, high], color="0.4", linewidth=0.8, linestyle="--")
    axes.axvline(fail_above, color="0.2", linewidth=0.8)
    axes.axhline(failure, color="0.2", linewidth=0.8, linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="predicted NME (%)", ylabel="true NME (%)")
    axes.legend(frameon=False)
    return figure


def _average_by_bins(x: Array, y: Array, groups: int = 10) -> tuple[list[float], list[float]]:
    order = np.argsort(x)
    parts = [part for part in np.array_split(order, min(groups, max(len(x) // 5, 1))) if len(part)]
    return [float(x[p].mean()) for p in parts], [float(y[p].mean()) for p in parts]
