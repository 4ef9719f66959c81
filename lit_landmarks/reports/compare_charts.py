"""The charts of a comparison: cost against error, learning, error curves, subsets, the search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lit_landmarks.draw.chart import Bars, Chart, Drawing, Mark, Range, Ranking, Series, around
from lit_landmarks.metrics import higher_is_better
from lit_landmarks.reports.compare import Comparison, pareto, primaries
from lit_landmarks.reports.entries import COST, Entry, StudyRecord
from lit_landmarks.training.callbacks import MONITOR

#: Clusters of bars that fit into one chart.
_GROUPS = 8
#: Error curves end where the worst drawn run has this share of its faces.
_ENOUGH = 0.9


def all_charts(told: Comparison) -> list[Drawing]:
    """Every chart for which there are figures, the most telling first."""
    found: list[Drawing | None] = [pareto_chart(told)]
    for study in told.studies:
        found += [history_chart(study), importance_chart(study)]
    found += [learning_chart(told), *ced_charts(told), *subset_charts(told)]
    return [chart for chart in found if chart is not None]


def pareto_chart(told: Comparison) -> Chart | None:
    """Objective against multiply-adds; None if no row has both."""
    known = [e for e in told.entries if e.state == "finished" and _both(e, told.objective)]
    if not known:
        return None
    front = pareto(told.entries, told.objective)
    best = told.best
    plain = [e for e in known if told.colour(e) is None and e.feasible]
    beyond = [e for e in known if told.colour(e) is None and not e.feasible]
    y_range, left_out = _window([e.figure(told.objective) for e in known], told.objective)
    untrained = [e for e in told.entries if e.state == "infeasible" and _finite(e, COST)]
    edge = y_range[1] if not higher_is_better(told.objective) else y_range[0]
    series = [
        Series("Pareto front", [e.figure(COST) for e in front],
               [e.figure(told.objective) for e in front], "step", None),
        _dots("within the limits", plain, told),
        _dots("beyond a limit", beyond, told, mark="cross"),
        Series("not trained", [e.figure(COST) for e in untrained], [edge] * len(untrained),
               "points", None, [f"{e.name}: {e.told}" for e in untrained], "cross"),
    ]  # fmt: skip
    for entry in (e for e in known if told.colour(e) is not None):
        star = best is not None and entry.name == best.name
        mark: Mark = "star" if star else "dot" if entry.feasible else "cross"
        series.append(_dots(entry.name, [entry], told, mark))
    words = ["On the front: " + ", ".join(_note(e, told) for e in front[:6])]
    words += ["the star is the best within the limits"] if best else []
    words += ["crosses break a limit"] if any(not e.feasible for e in known) else []
    words += ["crosses at the edge were not trained"] if untrained else []
    if left_out:
        words.append(f"{left_out} rows lie beyond the picture")
    return Chart(
        "pareto", f"{told.objective} against cost", "multiply-adds of a face (millions)",
        told.objective, [s for s in series if s.points()], told="; ".join(words),
        y_range=y_range, limits=_limits(told.studies),
    )  # fmt: skip


def _dots(name: str, entries: Sequence[Entry], told: Comparison, mark: Mark = "dot") -> Series:
    return Series(
        name, [e.figure(COST) for e in entries], [e.figure(told.objective) for e in entries],
        "points", told.colour(entries[0]) if len(entries) == 1 else None,
        [_note(e, told) for e in entries], mark,
    )  # fmt: skip


def _note(entry: Entry, told: Comparison) -> str:
    return f"{entry.name}: {entry.figure(told.objective):.3f} at {entry.figure(COST):.1f} MMA"


def _both(entry: Entry, objective: str) -> bool:
    return _finite(entry, COST) and _finite(entry, objective)


def _finite(entry: Entry, key: str) -> bool:
    return math.isfinite(entry.figure(key))


def _limits(studies: Sequence[StudyRecord]) -> list[tuple[float, str]]:
    found = {limit.limit: str(limit).removeprefix("compute/").replace("mma", "MMA")
             for study in studies for limit in study.limits if limit.metric == COST}  # fmt: skip
    return sorted(found.items())


def _window(values: Sequence[float], objective: str) -> tuple[Range, int]:
    """The part of an axis that matters: a run that learnt nothing must not flatten the others."""
    if higher_is_better(objective):
        return around(values, 0.1), 0
    top = max(3.0 * min(values), float(np.median(values)) * 1.5)
    shown = [value for value in values if value <= top]
    return around(shown, 0.1), len(values) - len(shown)


def history_chart(study: StudyRecord) -> Chart | None:
    """Objective of each trial and the best within the limits so far; None without a figure."""
    trained = [t for t in study.trials if t["value"] is not None]
    if not trained:
        return None
    best = best_so_far(study)
    fine, beyond = ([t for t in trained if t["feasible"] is ok] for ok in (True, False))
    y_range, _ = _window([t["value"] for t in trained], study.objective)
    parts: list[tuple[str, list[Any], Mark]] = [
        ("within the limits", fine, "dot"), ("beyond a limit", beyond, "cross")
    ]  # fmt: skip
    series = [
        Series(name, [t["number"] for t in trials], [t["value"] for t in trials], "points", None,
               [f"trial {t['number']}: {t['value']:.3f}, {t['told']}" for t in trials], mark)
        for name, trials, mark in parts
    ]  # fmt: skip
    series.append(Series("best so far", [n for n, _ in best], [v for _, v in best], "step", 0))
    last = f"{best[-1][1]:.3f}" if best else "none"
    return Chart(
        f"history-{study.name}", f"Search of {study.name}", "trial", study.objective,
        [s for s in series if s.points()],
        told=f"The line is the best within the limits so far, {last} after {len(study.trials)} "
        f"trials{'; crosses break a limit' if beyond else ''}",
        y_range=y_range, whole_x=True,
    )  # fmt: skip


def best_so_far(study: StudyRecord) -> list[tuple[int, float]]:
    """(number of a trial, best objective within the limits up to it), from the first that has."""
    better = max if higher_is_better(study.objective) else min
    found: list[tuple[int, float]] = []
    for trial in sorted(study.trials, key=lambda t: t["number"]):
        value = trial["value"] if trial["feasible"] else None
        if value is not None and not (found and better(value, found[-1][1]) == found[-1][1]):
            found.append((trial["number"], value))
        elif found:
            found.append((trial["number"], found[-1][1]))
    return found


def importance_chart(study: StudyRecord) -> Ranking | None:
    """Which parameters matter, at most ten; None where that is not known."""
    if not study.importance:
        return None
    first = sorted(study.importance.items(), key=lambda item: -item[1])[:10]
    return Ranking(
        f"importance-{study.name}", f"What mattered in {study.name}", "share of importance",
        [name for name, _ in first], [share for _, share in first],
        told=f"{study.importance_told}; first: {first[0][0]}",
    )  # fmt: skip


def learning_chart(told: Comparison) -> Chart | None:
    """val/nme by epoch of the drawn rows; None if none has kept it."""
    drawn = [e for e in told.drawn if e.learning]
    if not drawn:
        return None
    series = [
        Series(e.name, [x for x, _ in e.learning], [y for _, y in e.learning], "line",
               told.colour(e), [f"{e.name}, epoch {x:g}: {y:.3f}" for x, y in e.learning])
        for e in drawn
    ]  # fmt: skip
    # The first epochs are far off and would flatten the rest.
    lows = [min(y for _, y in e.learning) for e in drawn]
    starts = [y for e in drawn for _, y in e.learning]
    top = min(max(starts), 3.0 * max(lows))
    return Chart(
        "learning", f"{MONITOR} by epoch", "epoch", f"{MONITOR} (%)", series,
        told="; ".join(f"{e.name} ends at {e.learning[-1][1]:.3f}" for e in drawn),
        y_range=around([min(lows), top]), whole_x=True,
    )  # fmt: skip


def ced_charts(told: Comparison) -> list[Chart]:
    """Cumulative error distributions, a chart for each whole data set."""
    places = dict.fromkeys(name for e in told.drawn for name in e.curves if name.count("/") == 1)
    return [_ced_chart(told, place) for place in places]


def _ced_chart(told: Comparison, place: str) -> Chart:
    drawn = [(e, e.curves[place]) for e in told.drawn if place in e.curves]
    ends = [curve.edges[min(int(np.searchsorted(curve.fraction, _ENOUGH)), len(curve.edges) - 1)]
            for _, curve in drawn]  # fmt: skip
    end = float(math.ceil(max(ends)))
    series, words = [], []
    for entry, curve in drawn:
        # Only where it rises: 5,000 abscissae make a page heavy and say no more.
        rises = np.flatnonzero(np.diff(curve.fraction, prepend=0.0) > 0)
        rises = rises[curve.edges[rises] <= end]
        x = [0.0, *curve.edges[rises].tolist(), end]
        y = [0.0, *curve.fraction[rises].tolist()]
        series.append(Series(entry.name, x, [*y, y[-1]], "step", told.colour(entry)))
        half = curve.edges[min(int(np.searchsorted(curve.fraction, 0.5)), len(curve.edges) - 1)]
        words.append(f"{entry.name}: half of the faces up to {half:.2f} %")
    return Chart(
        f"ced-{place.replace('/', '-')}", f"Errors of {place}",
        f"NME (%, {drawn[0][1].normaliser})", "share of faces", series, told="; ".join(words),
        x_range=(0.0, end), y_range=(0.0, 1.0),
    )  # fmt: skip


def subset_charts(told: Comparison) -> list[Bars]:
    """NME of data sets and their subsets under the primary normaliser; one chart each role."""
    drawn = [e for e in told.drawn if e.state == "finished"]
    groups: dict[str, dict[str, str]] = {}
    for place, normaliser in primaries(drawn).items():
        role, _, dataset = place.partition("/")
        whole = f"{place}/nme_{normaliser}"
        known = {k for e in drawn for k in e.metrics}
        for key in sorted(k for k in known if k == whole or k.startswith(f"{whole}/")):
            groups.setdefault(role, {})[dataset + key.removeprefix(whole)] = key
    groups = {role: _shorter(keys) for role, keys in groups.items()}
    found = []
    for role, keys in groups.items():
        names = list(keys)
        for part, start in enumerate(range(0, len(names), _GROUPS), 1):
            chosen = names[start : start + _GROUPS]
            more = f", part {part}" if len(names) > _GROUPS else ""
            found.append(Bars(
                f"subsets-{role}{part}", f"NME by subset, {role}{more}", "NME (%)", chosen,
                {e.name: [e.figure(keys[name]) for name in chosen] for e in drawn},
                {e.name: told.colour(e) or 0 for e in drawn},
                "; ".join(f"{e.name}: {e.figure(keys[chosen[0]]):.2f} on {chosen[0]}"
                          for e in drawn),
            ))  # fmt: skip
    return found


def _shorter(keys: dict[str, str]) -> dict[str, str]:
    """Subsets without the name of their data set, if there is only one."""
    datasets = {name.partition("/")[0] for name in keys}
    if len(datasets) > 1:
        return keys
    return {name.partition("/")[2] or name: key for name, key in keys.items()}


def missing_curves(told: Comparison) -> list[tuple[Entry, str]]:
    """Drawn runs without error curves, each with the command that makes them."""
    return [
        (e, f"python -m lit_landmarks validate --run {e.where} --ced")
        for e in told.drawn
        if not e.curves and e.state == "finished" and "://" not in e.where and e.where
    ]
