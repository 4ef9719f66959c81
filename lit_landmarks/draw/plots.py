"""Plots as matplotlib figures without pyplot: no global state, no display, the same bytes twice."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lit_landmarks.draw.files import Image
from lit_landmarks.files import write_atomic

#: Colours that stay apart for colour-blind readers (Okabe and Ito's set, without yellow).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DPI = 120


def new_figure(width: float = 6.0, height: float = 4.0, title: str = "") -> tuple[Figure, Any]:
    """A figure of `width` x `height` inches and its only axes."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if title:
        axes.set_title(title)
    return figure, axes


def ced_plot(
    curves: Mapping[str, tuple[Any, Any]],
    threshold: float = 10.0,
    title: str = "Cumulative error distribution",
    xlabel: str = "NME (%)",
) -> Figure:
    """Cumulative error distributions up to a threshold.

    Args:
        curves: name -> (thresholds (T,) in percent, fraction of faces (T,)).
        threshold: right end of the axis, percent.
        title: above the plot.
        xlabel: name the normaliser here.
    """
    figure, axes = new_figure(title=title)
    for index, (name, (edges, fraction)) in enumerate(curves.items()):
        x = np.concatenate([[0.0], np.asarray(edges, dtype=float)])
        y = np.concatenate([[0.0], np.asarray(fraction, dtype=float)])
        axes.plot(x, y, color=COLOURS[index % len(COLOURS)], label=name, linewidth=1.5)
    axes.set(xlim=(0, threshold), ylim=(0, 1), xlabel=xlabel, ylabel="fraction of faces")
    if curves:
        axes.legend(loc="lower right", frameon=False)
    return figure


def curve_plot(
    series: Mapping[str, tuple[Any, Any]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    *,
    log_x: bool = False,
    log_y: bool = False,
) -> Figure:
    """Lines with markers where there are few points: name -> (x (T,), y (T,))."""
    figure, axes = new_figure(title=title)
    for index, (name, (x, y)) in enumerate(series.items()):
        marker = "o" if len(x) <= 30 else None
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(x, y, color=colour, label=name, marker=marker, markersize=4, linewidth=1.5)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if log_x:
        axes.set_xscale("log")
    if log_y:
        axes.set_yscale("log")
    if len(series) > 1:
        axes.legend(frameon=False)
    return figure


def bar_plot(
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    ylabel: str,
    title: str = "",
    errors: Mapping[str, Sequence[float]] | None = None,
) -> Figure:
    """Grouped bars, for example NME per subset (groups) and method (series).

    Args:
        groups: label of each cluster of bars.
        series: name -> one value per group; NaN leaves a gap.
        ylabel: quantity and unit.
        title: above the plot.
        errors: name -> half length of the error bar per group, for series that have one.

    Raises:
        ValueError: a series has another number of values than there are groups.
    """
    figure, axes = new_figure(width=max(6.0, 0.9 * len(groups)), title=title)
    width = 0.8 / max(1, len(series))
    places = np.arange(len(groups))
    for index, (name, values) in enumerate(series.items()):
        if len(values) != len(groups):
            raise ValueError(f"series '{name}' has {len(values)} values for {len(groups)} groups")
        shift = (index - (len(series) - 1) / 2) * width
        spread = None if errors is None else errors.get(name)
        colour = COLOURS[index % len(COLOURS)]
        axes.bar(places + shift, values, width, color=colour, label=name, yerr=spread, capsize=2)
    slanted = max((len(g) for g in groups), default=0) * len(groups) > 60
    axes.set_xticks(
        places, groups, rotation=30 if slanted else 0, ha="right" if slanted else "center"
    )
    axes.set_ylabel(ylabel)
    axes.grid(axis="x", visible=False)
    if len(series) > 1:
        axes.legend(frameon=False)
    return figure


def figure_png(figure: Figure) -> bytes:
    """The figure as the content of a PNG file."""
    buffer = io.BytesIO()
    # without metadata the bytes do not depend on the version of matplotlib
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def figure_image(figure: Figure) -> Image:
    """The figure as RGB uint8 (H, W, 3)."""
    decoded = cv2.imdecode(np.frombuffer(figure_png(figure), np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise RuntimeError("matplotlib gave a picture that OpenCV cannot read")
    return np.ascontiguousarray(decoded[..., ::-1]).astype(np.uint8)


def save_figure(figure: Figure, path: Path | str) -> Path:
    """Write the figure as PNG, atomically.

    Raises:
        UserError: the file cannot be written.
    """
    target = Path(path)
    write_atomic(target, figure_png(figure))
    return target
