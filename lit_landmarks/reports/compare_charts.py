"""The charts of a comparison: cost against error, learning, error curves, subsets, the search."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence

import numpy as np

from lit_landmarks.draw.chart import Bars, Chart, Drawing, Mark, Range, Ranking, Series, around
from lit_landmarks.metrics import higher_is_better
from lit_landmarks.reports.compare import Comparison, find_primary_norms, select_pareto_entries
from lit_landmarks.reports.entries import COST, Entry, StudyRecord
from lit_landmarks.reports.limits import Limit
from lit_landmarks.training.callbacks import MONITOR
from lit_landmarks.training.curves import ErrorCurve

#: The most clusters of bars in one chart.
_MOST_GROUPS = 8
#: Error curves end where the worst drawn run has this share of its faces.
_SHARE_SHOWN = 0.9


def all_charts(comparison: Comparison) -> list[Drawing]:
    """Every chart for which there are figures, cost against error first."""
    charts: list[Drawing | None] = [
        pareto_chart(part, number) for number, part in enumerate(comparison.split())
    ]
    for study in comparison.studies:
        charts += [history_chart(study), importance_chart(study)]
    charts += [learning_chart(comparison), *ced_charts(comparison), *subset_charts(comparison)]
    return [chart for chart in charts if chart is not None]


def pareto_chart(comparison: Comparison, number: int = 0) -> Chart | None:
    """Objective against multiply-adds; None if no row has both.

    Args:
        comparison: of rows that can be compared.
        number: of the group among those of a page.
    """
    heading = comparison.heading
    objective = comparison.objective
    trained = [
        entry
        for entry in comparison.entries
        if entry.state == "finished" and _has(entry, COST) and _has(entry, objective)
    ]
    if not trained:
        return None
    y_range, hidden = _main_range([entry.figure(objective) for entry in trained], objective)
    untrained = [e for e in comparison.entries if e.state == "infeasible" and _has(e, COST)]
    front = select_pareto_entries(comparison.entries, objective, comparison.limits)
    return Chart(
        key=f"pareto-{number}" if number else "pareto",
        title=f"{objective} against cost" + (f": {heading}" if heading else ""),
        xlabel="multiply-adds per face (MMA)",
        ylabel=objective,
        series=_pareto_series(comparison, trained, untrained, front, y_range),
        description=_describe_pareto(comparison, trained, untrained, front, hidden),
        y_range=y_range,
        limits=_cost_limits(comparison.limits),
    )


def _pareto_series(
    comparison: Comparison,
    trained: Sequence[Entry],
    untrained: Sequence[Entry],
    front: Sequence[Entry],
    y_range: Range,
) -> list[Series]:
    """The front, gray rows, rows that were not trained at the edge, then each colored row."""
    objective, best = comparison.objective, comparison.best
    edge = y_range[0] if higher_is_better(objective) else y_range[1]
    gray = [entry for entry in trained if comparison.color(entry) is None]
    series = [
        Series(
            "Pareto front",
            [entry.figure(COST) for entry in front],
            [entry.figure(objective) for entry in front],
            "step",
            None,
        ),
        _pareto_points("within the limits", [e for e in gray if e.feasible], comparison),
        _pareto_points("beyond a limit", [e for e in gray if not e.feasible], comparison, "cross"),
        Series(
            "not trained",
            [entry.figure(COST) for entry in untrained],
            [edge] * len(untrained),
            "points",
            None,
            [f"{entry.name}: {entry.outcome}" for entry in untrained],
            "cross",
        ),
    ]
    for entry in trained:
        if comparison.color(entry) is not None:
            mark: Mark = "dot" if entry.feasible else "cross"
            if best is not None and entry.name == best.name:
                mark = "star"
            series.append(_pareto_points(entry.name, [entry], comparison, mark))
    return [part for part in series if part.points()]


def _pareto_points(
    name: str, entries: Sequence[Entry], comparison: Comparison, mark: Mark = "dot"
) -> Series:
    return Series(
        name,
        [entry.figure(COST) for entry in entries],
        [entry.figure(comparison.objective) for entry in entries],
        "points",
        comparison.color(entries[0]) if len(entries) == 1 else None,
        [_describe_entry(entry, comparison) for entry in entries],
        mark,
    )


def _describe_entry(entry: Entry, comparison: Comparison) -> str:
    return f"{entry.name}: {entry.figure(comparison.objective):.3f} at {entry.figure(COST):.1f} MMA"


def _describe_pareto(
    comparison: Comparison,
    trained: Sequence[Entry],
    untrained: Sequence[Entry],
    front: Sequence[Entry],
    hidden: int,
) -> str:
    parts = ["On the front: " + ", ".join(_describe_entry(e, comparison) for e in front[:6])]
    if comparison.best is not None:
        parts.append("the star is the best within the limits")
    if any(not entry.feasible for entry in trained):
        parts.append("crosses break a limit")
    if untrained:
        parts.append("crosses at the edge were not trained")
    if hidden:
        parts.append(f"{hidden} row{'s lie' if hidden > 1 else ' lies'} beyond the picture")
    return "; ".join(parts)


def _has(entry: Entry, key: str) -> bool:
    return math.isfinite(entry.figure(key))


def _cost_limits(limits: Sequence[Limit]) -> list[tuple[float, str]]:
    """The limits on cost with their labels, each once."""
    labels = {
        limit.limit: str(limit).removeprefix("compute/").replace("mma", "MMA")
        for limit in limits
        if limit.metric == COST
    }
    return sorted(labels.items())


def _main_range(values: Sequence[float], objective: str) -> tuple[Range, int]:
    """Axis range without runs that learned nothing, and the number of values beyond it."""
    if higher_is_better(objective):
        return around(values, 0.1), 0
    top = max(3.0 * min(values), float(np.median(values)) * 1.5)
    shown = [value for value in values if value <= top]
    return around(shown, 0.1), len(values) - len(shown)


def history_chart(study: StudyRecord) -> Chart | None:
    """Objective of each trial and the best within the limits so far; None without a figure."""
    trained = [trial for trial in study.trials if trial["value"] is not None]
    if not trained:
        return None
    best = best_so_far(study)
    y_range, _ = _main_range([trial["value"] for trial in trained], study.objective)
    series = []
    parts: list[tuple[str, bool, Mark]] = [
        ("within the limits", True, "dot"),
        ("beyond a limit", False, "cross"),
    ]
    for name, feasible, mark in parts:
        trials = [trial for trial in trained if trial["feasible"] is feasible]
        numbers = [trial["number"] for trial in trials]
        values = [trial["value"] for trial in trials]
        notes = [f"trial {t['number']}: {t['value']:.3f}, {t['outcome']}" for t in trials]
        series.append(Series(name, numbers, values, "points", None, notes, mark))
    series.append(Series("best so far", [n for n, _ in best], [v for _, v in best], "step", 0))
    last = f"{best[-1][1]:.3f}" if best else "none"
    crosses = "" if all(trial["feasible"] for trial in trained) else "; crosses break a limit"
    return Chart(
        key=f"history-{study.name}",
        title=f"Search of {study.name}",
        xlabel="trial",
        ylabel=study.objective,
        series=[part for part in series if part.points()],
        description=f"The line is the best within the limits so far, {last} after "
        f"{len(study.trials)} trials{crosses}",
        y_range=y_range,
        integer_x=True,
    )


def best_so_far(study: StudyRecord) -> list[tuple[int, float]]:
    """(trial number, best objective within the limits up to it), from the first that has one."""
    better = max if higher_is_better(study.objective) else min
    history: list[tuple[int, float]] = []
    for trial in sorted(study.trials, key=lambda trial: trial["number"]):
        values = [value for _, value in history[-1:]]
        if trial["feasible"] and trial["value"] is not None:
            values.append(trial["value"])
        if values:
            history.append((trial["number"], better(values)))
    return history


def importance_chart(study: StudyRecord) -> Ranking | None:
    """The ten most important parameters; None where importances could not be computed."""
    if not study.importance:
        return None
    first = sorted(study.importance.items(), key=lambda item: -item[1])[:10]
    return Ranking(
        key=f"importance-{study.name}",
        title=f"Importance of the parameters of {study.name}",
        xlabel="share of importance",
        labels=[name for name, _ in first],
        values=[share for _, share in first],
        description=f"{study.importance_note}; first: {first[0][0]}",
    )


def learning_chart(comparison: Comparison) -> Chart | None:
    """val/nme by epoch of the drawn rows; None if none has a learning curve."""
    drawn = [entry for entry in comparison.drawn if entry.learning]
    if not drawn:
        return None
    series = []
    for entry in drawn:
        epochs, values = zip(*entry.learning, strict=True)
        notes = [f"{entry.name}, epoch {epoch:g}: {value:.3f}" for epoch, value in entry.learning]
        series.append(Series(entry.name, epochs, values, "line", comparison.color(entry), notes))
    # The first epochs are far off and would flatten the rest.
    lows = [min(value for _, value in entry.learning) for entry in drawn]
    high = max(value for entry in drawn for _, value in entry.learning)
    return Chart(
        key="learning",
        title=f"{MONITOR} by epoch",
        xlabel="epoch",
        ylabel=f"{MONITOR} (%)",
        series=series,
        description="; ".join(f"{e.name} ends at {e.learning[-1][1]:.3f}" for e in drawn),
        y_range=around([min(lows), min(high, 3.0 * max(lows))]),
        integer_x=True,
    )


def ced_charts(comparison: Comparison) -> list[Chart]:
    """Cumulative error distributions, a chart for each whole data set."""
    datasets = dict.fromkeys(
        name for entry in comparison.drawn for name in entry.curves if name.count("/") == 1
    )
    return [_ced_chart(comparison, dataset) for dataset in datasets]


def _ced_chart(comparison: Comparison, dataset: str) -> Chart:
    curves = {e.name: (e, e.curves[dataset]) for e in comparison.drawn if dataset in e.curves}
    end = float(math.ceil(max(_quantile(curve, _SHARE_SHOWN) for _, curve in curves.values())))
    series, medians = [], []
    for entry, curve in curves.values():
        # Only the points where the curve rises: all 5,000 would make the page heavy.
        rises = np.flatnonzero(np.diff(curve.fraction, prepend=0.0) > 0)
        rises = rises[curve.edges[rises] <= end]
        x = [0.0, *curve.edges[rises].tolist(), end]
        y = [0.0, *curve.fraction[rises].tolist()]
        series.append(Series(entry.name, x, [*y, y[-1]], "step", comparison.color(entry)))
        median = f"{_quantile(curve, 0.5):.2f}\N{NO-BREAK SPACE}%"
        medians.append(f"{entry.name}: half of the faces up to {median}")
    norm = next(iter(curves.values()))[1].norm
    return Chart(
        key=f"ced-{dataset.replace('/', '-')}",
        title=f"Errors of {dataset}",
        xlabel=f"NME (%, {norm})",
        ylabel="share of faces",
        series=series,
        description="; ".join(medians),
        x_range=(0.0, end),
        y_range=(0.0, 1.0),
    )


def _quantile(curve: ErrorCurve, share: float) -> float:
    """Quantile of an error curve: the first edge with this share of faces, or the last edge."""
    place = int(np.searchsorted(curve.fraction, share))
    return float(curve.edges[min(place, len(curve.edges) - 1)])


def subset_charts(comparison: Comparison) -> list[Bars]:
    """NME of data sets and their subsets under the primary norm; one chart for each role."""
    drawn = [entry for entry in comparison.drawn if entry.state == "finished"]
    metrics = sorted({key for entry in drawn for key in entry.metrics})
    keys_of_role: dict[str, dict[str, str]] = {}
    for place, norm in find_primary_norms(drawn).items():
        role, _, dataset = place.partition("/")
        whole = f"{place}/nme_{norm}"
        for key in metrics:
            if key == whole or key.startswith(f"{whole}/"):
                keys_of_role.setdefault(role, {})[dataset + key.removeprefix(whole)] = key
    charts = []
    for role, long_keys in keys_of_role.items():
        keys = list(_drop_single_dataset(long_keys).items())
        for part, start in enumerate(range(0, len(keys), _MOST_GROUPS), 1):
            title = f"NME by subset, {role}" + (
                f", part {part}" if len(keys) > _MOST_GROUPS else ""
            )
            groups = dict(keys[start : start + _MOST_GROUPS])
            charts.append(_subset_chart(comparison, f"subsets-{role}{part}", title, groups))
    return charts


def _subset_chart(comparison: Comparison, key: str, title: str, groups: dict[str, str]) -> Bars:
    """Bars of the rows that have a figure of some group: group -> key of its metric."""
    drawn = [e for e in comparison.drawn if any(_has(e, metric) for metric in groups.values())]
    first, metric = next(iter(groups.items()))
    return Bars(
        key=key,
        title=title,
        ylabel="NME (%)",
        groups=list(groups),
        series={e.name: [e.figure(metric) for metric in groups.values()] for e in drawn},
        colors={e.name: comparison.color(e) or 0 for e in drawn},
        description="; ".join(
            f"{e.name}: {e.figure(metric):.2f} on {first}" for e in drawn if _has(e, metric)
        ),
    )


def _drop_single_dataset(keys: dict[str, str]) -> dict[str, str]:
    """Subsets without the name of their data set, if there is only one."""
    datasets = {name.partition("/")[0] for name in keys}
    if len(datasets) > 1:
        return keys
    return {name.partition("/")[2] or name: key for name, key in keys.items()}


def find_runs_without_curves(comparison: Comparison) -> list[tuple[Entry, str]]:
    """Drawn runs without error curves, each with the command that writes them."""
    return [
        (entry, f"python -m lit_landmarks validate --run {shlex.quote(entry.where)} --ced")
        for entry in comparison.drawn
        if not entry.curves
        and entry.state == "finished"
        and "://" not in entry.where
        and entry.where
    ]
