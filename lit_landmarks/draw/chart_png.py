"""The charts of `draw.chart` with matplotlib, for files and for W&B."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lit_landmarks.draw.chart import Bars, Drawing, Ranking, Series
from lit_landmarks.draw.plots import COLOURS, bar_plot, new_figure

_GREY = "#8a8a8a"
_MARKS = {"dot": "o", "star": "*", "cross": "x"}


def chart_figure(chart: Drawing) -> Figure:
    """A chart as a figure; `draw.save_figure` writes it."""
    if isinstance(chart, Bars):
        # matplotlib takes what lies between dollar signs for a formula.
        rows = {_plain(name): row for name, row in chart.series.items()}
        return bar_plot([_plain(g) for g in chart.groups], rows, chart.ylabel, chart.title)
    if isinstance(chart, Ranking):
        return _ranking(chart)
    figure, axes = new_figure(title=_plain(chart.title))
    for series in chart.series:
        _draw(axes, series)
    x_range, y_range = chart.ranges()
    for value, label in chart.limits:
        left = value > x_range[0] + 0.6 * (x_range[1] - x_range[0])
        axes.axvline(value, color=_GREY, linestyle="--", linewidth=1)
        axes.annotate(_plain(label), (value, 1), xycoords=("data", "axes fraction"),
                      xytext=(-3 if left else 3, -10), textcoords="offset points", fontsize=8,
                      ha="right" if left else "left")  # fmt: skip
    axes.set(xlabel=chart.xlabel, ylabel=chart.ylabel, xlim=x_range, ylim=y_range)
    if len(chart.series) > 1:
        axes.legend(frameon=False, fontsize=8)
    return figure


def _draw(axes: Any, series: Series) -> None:
    points = series.points()
    x, y = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    colour = _GREY if series.colour is None else COLOURS[series.colour % len(COLOURS)]
    name = _plain(series.name)
    if series.kind == "points":
        size = 130 if series.mark == "star" else 26
        axes.scatter(x, y, s=size, color=colour, marker=_MARKS[series.mark], label=name, zorder=3)
    elif series.kind == "step":
        axes.step(x, y, where="post", color=colour, label=name, linewidth=1.5)
    else:
        marker = "o" if len(x) <= 30 else None
        axes.plot(x, y, color=colour, label=name, marker=marker, markersize=4, linewidth=1.5)


def _ranking(chart: Ranking) -> Figure:
    figure, axes = new_figure(width=8.0, title=_plain(chart.title))
    places = np.arange(len(chart.labels))[::-1]
    axes.barh(places, chart.values, color=COLOURS[0], height=0.6)
    axes.set_yticks(places, [_plain(label) for label in chart.labels], fontsize=8)
    axes.set_xlabel(chart.xlabel)
    axes.grid(axis="y", visible=False)
    return figure


def _plain(text: str) -> str:
    return text.replace("$", r"\$")
