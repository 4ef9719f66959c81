"""What each searched setting did: the objective of every trial against its value."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from lit_landmarks.draw.chart import Chart, Series
from lit_landmarks.reports.compare import Comparison
from lit_landmarks.reports.compare_charts import main_range
from lit_landmarks.reports.entries import Entry, StudyRecord
from lit_landmarks.reports.setting_names import format_setting, is_number, setting_of, shorten_keys

#: The most settings that are drawn, the most important first.
MOST_SLICES = 8
#: A range whose upper end is this many times the lower one may be drawn logarithmically.
_LOG_FROM = 20.0


def slice_charts(comparison: Comparison) -> list[Chart]:
    """A chart for each searched setting of each study that took two values or more."""
    return [
        chart
        for study in comparison.studies
        for chart in _slices(study, [e for e in comparison.entries if study.holds(e)])
    ]


def searched_keys(entries: Sequence[Entry]) -> list[str]:
    """Settings that the trials among some rows were searched for, in their order."""
    return list(dict.fromkeys(k for e in entries if e.trial is not None for k in e.trial.searched))


def _slices(study: StudyRecord, entries: Sequence[Entry]) -> list[Chart]:
    keys = searched_keys(entries)
    names = shorten_keys(keys)
    weights: dict[str, float] = {}
    for name, weight in study.importance.items():
        key = setting_of(name)
        weights[key] = max(weight, weights.get(key, 0.0))
    charts = []
    for key in sorted(keys, key=lambda key: -weights.get(key, 0.0)):
        rows = [
            entry
            for entry in entries
            if entry.trial is not None
            and key in entry.trial.searched
            and entry.state in ("finished", "pruned")
            and math.isfinite(entry.figure(study.objective))
        ]
        chart = _slice(study, key, names[key], rows)
        if chart is not None:
            charts.append(chart)
    return charts[:MOST_SLICES]


def _slice(study: StudyRecord, key: str, name: str, rows: Sequence[Entry]) -> Chart | None:
    values = [row.trial.searched[key] for row in rows if row.trial is not None]
    if len({str(value) for value in values}) < 2:
        return None
    numeric = all(map(is_number, values))
    labels: list[str] = []
    if numeric:
        places = [float(value) for value in values]
    else:
        labels = sorted({format_setting(value) for value in values})
        places = [float(labels.index(format_setting(value))) for value in values]
    y_range, _ = main_range([row.figure(study.objective) for row in rows], study.objective)
    return Chart(
        key=f"slice-{study.name}-{name}",
        title=name,
        xlabel=name,
        ylabel=study.objective,
        series=_points(study, rows, dict(zip((row.name for row in rows), places, strict=True))),
        description=f"{study.objective} of {len(rows)} trials against {name}",
        y_range=y_range,
        integer_x=numeric and all(isinstance(value, int) for value in values),
        log_x=numeric and _is_logarithmic(places),
        x_labels=labels,
    )


def _is_logarithmic(values: Sequence[float]) -> bool:
    """Whether values over a wide range lie about its geometric middle."""
    low, high = min(values), max(values)
    if low <= 0 or high / low < _LOG_FROM:
        return False
    middle = statistics.median(values)
    return abs(middle - math.sqrt(low * high)) < abs(middle - (low + high) / 2)


def _points(study: StudyRecord, rows: Sequence[Entry], places: Mapping[str, float]) -> list[Series]:
    kinds: list[tuple[str, list[Entry], dict[str, Any]]] = [
        ("pruned", [r for r in rows if r.state == "pruned"], {"color": None, "mark": "speck"}),
        (
            "beyond a limit",
            [r for r in rows if r.state == "finished" and not r.feasible],
            {"color": None, "mark": "cross"},
        ),
        (
            "within the limits",
            [r for r in rows if r.state == "finished" and r.feasible],
            {"color": 0, "mark": "dot"},
        ),
    ]
    return [
        Series(
            name,
            [places[row.name] for row in some],
            [row.figure(study.objective) for row in some],
            "points",
            notes=[f"{row.name}: {row.figure(study.objective):.3f}" for row in some],
            **style,
        )
        for name, some, style in kinds
        if some
    ]
