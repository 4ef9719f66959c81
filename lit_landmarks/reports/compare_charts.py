"""The charts of a comparison: cost against error, learning, error curves, subsets, the search."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lit_landmarks.draw.chart import (
    PALETTE_SIZE,
    Bars,
    Chart,
    Drawing,
    Mark,
    Range,
    Ranking,
    Series,
    around,
)
from lit_landmarks.metrics import higher_is_better
from lit_landmarks.reports.compare import (
    COSTS,
    Comparison,
    find_primary_norms,
    format_cost,
    select_pareto_entries,
)
from lit_landmarks.reports.entries import Entry, StudyRecord
from lit_landmarks.reports.setting_names import shorten_keys
from lit_landmarks.training.callbacks import MONITOR
from lit_landmarks.training.curves import ErrorCurve

#: Marks of methods, in turn; their colors are those of the palette.
_METHOD_MARKS: Sequence[Mark] = ("dot", "square", "triangle", "diamond")
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
    """Objective against cost; None if no row has both.

    Rows of several methods have the color and the mark of their method; those of one the color
    that they have on the page.

    Args:
        comparison: of rows that can be compared.
        number: of the group among those of a page.
    """
    heading, objective, cost = comparison.heading, comparison.objective, comparison.cost
    trained = [
        entry
        for entry in comparison.entries
        if entry.state == "finished" and _has(entry, cost) and _has(entry, objective)
    ]
    if not trained:
        return None
    others = {
        state: [e for e in comparison.entries if e.state == state and _has(e, cost)]
        for state in ("pruned", "infeasible")
    }
    pruned = [entry for entry in others["pruned"] if _has(entry, objective)]
    shown = [entry.figure(objective) for entry in (*trained, *pruned)]
    y_range, hidden = main_range(shown, objective)
    front = select_pareto_entries(comparison.entries, objective, comparison.limits, cost)
    styles = _method_styles(trained)
    best = comparison.front if comparison.further else [comparison.best]
    stars = {entry.name for entry in best if entry is not None}
    kinds = _Kinds(trained, pruned, others["infeasible"], front, stars, hidden)
    return Chart(
        key=f"pareto-{number}" if number else "pareto",
        title=f"{objective} against cost" + (f": {heading}" if heading else ""),
        xlabel=COSTS[cost][0],
        ylabel=objective,
        series=_pareto_series(comparison, kinds, styles, y_range),
        description=_describe_pareto(comparison, kinds),
        caption=_explain_marks(comparison, kinds),
        key_marks=[(name, *style) for name, style in styles.items()],
        y_range=y_range,
        limits=_cost_limits(comparison),
    )


class _Kinds(NamedTuple):
    """Rows of a chart of cost: trained, pruned, not trained, on the front of its two axes.

    Attributes:
        stars: names of the best, or of the front of several objectives.
        hidden: number of rows beyond the axes.
    """

    trained: Sequence[Entry]
    pruned: Sequence[Entry]
    untrained: Sequence[Entry]
    front: Sequence[Entry]
    stars: Container[str]
    hidden: int


def _method_styles(trained: Sequence[Entry]) -> dict[str, tuple[int, Mark]]:
    """Color and mark of each method, the best first; empty with less than two."""
    names = list(dict.fromkeys(entry.method for entry in trained if entry.method))
    if len(names) < 2:
        return {}
    marks = len(_METHOD_MARKS)
    return {name: (n % PALETTE_SIZE, _METHOD_MARKS[n % marks]) for n, name in enumerate(names)}


def _pareto_series(
    comparison: Comparison,
    kinds: _Kinds,
    styles: Mapping[str, tuple[int, Mark]],
    y_range: Range,
) -> list[Series]:
    """The front, gray rows, rows that were not trained at the edge, then each colored row."""
    objective, cost = comparison.objective, comparison.cost
    edge = y_range[0] if higher_is_better(objective) else y_range[1]
    plain: tuple[int | None, Mark] = (None, "dot")
    best = "on the front" if comparison.further else "best within the limits"
    apart = [entry for entry in kinds.trained if comparison.color(entry) is None]
    series = [
        Series(
            "Pareto front",
            [entry.figure(cost) for entry in kinds.front],
            [entry.figure(objective) for entry in kinds.front],
            "step",
            None,
        ),
        _pareto_points("pruned", kinds.pruned, comparison, None, "speck"),
        Series(
            "not trained",
            [entry.figure(cost) for entry in kinds.untrained],
            [edge] * len(kinds.untrained),
            "points",
            None,
            [f"{entry.name}: {entry.outcome}" for entry in kinds.untrained],
            "cross",
        ),
    ]
    for method in dict.fromkeys(entry.method for entry in apart):
        color, mark = styles.get(method, plain)
        rows = [entry for entry in apart if entry.method == method]
        within = [entry for entry in rows if entry.feasible and entry.name not in kinds.stars]
        stars = [entry for entry in rows if entry.name in kinds.stars]
        beyond = [entry for entry in rows if not entry.feasible]
        named = f"{method}, " if styles else ""
        series += [
            _pareto_points(f"{named}within the limits", within, comparison, color, mark),
            _pareto_points(f"{named}beyond a limit", beyond, comparison, color, "cross"),
            _pareto_points(f"{named}{best}", stars, comparison, color, "star"),
        ]
    for entry in kinds.trained:
        own = comparison.color(entry)
        if own is not None:
            color, mark = styles.get(entry.method, (own, "dot"))
            mark = mark if entry.feasible else "cross"
            mark = "star" if entry.name in kinds.stars else mark
            series.append(_pareto_points(entry.name, [entry], comparison, color, mark))
    return [part for part in series if part.points()]


def _pareto_points(
    name: str, entries: Sequence[Entry], comparison: Comparison, color: int | None, mark: Mark
) -> Series:
    return Series(
        name,
        [entry.figure(comparison.cost) for entry in entries],
        [entry.figure(comparison.objective) for entry in entries],
        "points",
        color,
        [_describe_entry(entry, comparison) for entry in entries],
        mark,
    )


def _describe_entry(entry: Entry, comparison: Comparison) -> str:
    state = f", {entry.outcome}" if entry.state == "pruned" else ""
    cost = format_cost(entry.figure(comparison.cost), comparison.cost)
    return f"{entry.name}: {entry.figure(comparison.objective):.3f} at {cost}{state}"


def _describe_pareto(comparison: Comparison, kinds: _Kinds) -> str:
    points = ", ".join(_describe_entry(e, comparison) for e in kinds.front[:6])
    marks = _explain_marks(comparison, kinds)
    return f"On the front: {points}" + (f"; {marks}" if marks else "")


def _explain_marks(comparison: Comparison, kinds: _Kinds) -> str:
    parts = []
    if comparison.further:
        parts.append(f"stars are the front of {' and '.join(comparison.objectives)}")
    elif comparison.best is not None:
        parts.append("the star is the best within the limits")
    if any(not entry.feasible for entry in kinds.trained):
        parts.append("crosses break a limit")
    if kinds.untrained:
        parts.append("crosses at the edge were not trained")
    if kinds.pruned:
        parts.append("small points were pruned")
    if kinds.hidden:
        parts.append(f"{kinds.hidden} row{'s lie' if kinds.hidden > 1 else ' lies'} beyond it")
    return "; ".join(parts)


def _has(entry: Entry, key: str) -> bool:
    return math.isfinite(entry.figure(key))


def _cost_limits(comparison: Comparison) -> list[tuple[float, str]]:
    """The limits on cost with their labels, each once."""
    labels = {
        limit.limit: str(limit).removeprefix("compute/").replace("mma", "MMA")
        for limit in comparison.cost_limits
    }
    return sorted(labels.items())


def main_range(values: Sequence[float], objective: str) -> tuple[Range, int]:
    """Axis range without runs that learned nothing, and the number of values beyond it."""
    if higher_is_better(objective):
        return around(values, 0.1), 0
    top = max(3.0 * min(values), float(np.median(values)) * 1.5)
    shown = [value for value in values if value <= top]
    return around(shown, 0.1), len(values) - len(shown)


def history_chart(study: StudyRecord) -> Chart | None:
    """Objective of each trial and the best so far; None without a figure, and for a round."""
    trained = [trial for trial in study.trials if trial["value"] is not None]
    if not trained or study.round:
        return None
    best = best_so_far(study)
    y_range, _ = main_range([trial["value"] for trial in trained], study.objective)
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
    names = shorten_keys(study.importance)
    first = sorted(((names[k], share) for k, share in study.importance.items()), key=_by_share)[:10]
    return Ranking(
        key=f"importance-{study.name}",
        title=f"Importance of the parameters of {study.name}",
        xlabel="share of importance",
        labels=[name for name, _ in first],
        values=[share for _, share in first],
        description=f"{study.importance_note}; first: {first[0][0]}",
    )


def _by_share(item: tuple[str, float]) -> float:
    return -item[1]


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
    """Cumulative error distributions, a chart for each whole data set and norm."""
    pairs = dict.fromkeys(
        (name, curve.norm)
        for entry in comparison.drawn
        for name, curve in entry.curves.items()
        if name.count("/") == 1
    )
    count = Counter(dataset for dataset, _ in pairs)
    return [_ced_chart(comparison, *pair, several=count[pair[0]] > 1) for pair in pairs]


def _ced_chart(comparison: Comparison, dataset: str, norm: str, several: bool) -> Chart:
    curves = {
        e.name: (e, e.curves[dataset])
        for e in comparison.drawn
        if dataset in e.curves and e.curves[dataset].norm == norm
    }
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
    return Chart(
        key=f"ced-{dataset.replace('/', '-')}" + f"-{norm}" * several,
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
