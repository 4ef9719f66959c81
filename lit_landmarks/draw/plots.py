"""Plots as matplotlib figures without pyplot: no display, and the same bytes for the same input."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from lit_landmarks.draw.colors import COLORS, GREY, INK, RULE
from lit_landmarks.draw.files import Image
from lit_landmarks.files import write_atomic

DPI = 120


def new_figure(width: float = 6.0, height: float = 4.0, title: str = "") -> tuple[Figure, Any]:
    """A figure of `width` x `height` inches and its only axes."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(color=GREY, labelcolor=INK)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    if title:
        axes.set_title(title)
    return figure, axes


def ced_plot(
    curves: Mapping[str, tuple[Any, Any]],
    threshold: float | None = None,
    title: str = "Cumulative error distribution",
    xlabel: str = "NME (%)",
) -> Figure:
    """Cumulative error distributions; the axis ends where there is something to see.

    Args:
        curves: name -> (thresholds (T,) in percent, fraction of faces (T,)).
        threshold: right end of the axis, percent; None: 10, or, where a curve has less than half of
            its faces by then, where the highest of such curves has nine tenths of them.
        title: above the plot.
        xlabel: name the norm here.
    """
    figure, axes = new_figure(title=title)
    end = _choose_end(curves) if threshold is None else threshold
    for index, (name, (edges, fraction)) in enumerate(curves.items()):
        x = np.concatenate([[0.0], np.asarray(edges, dtype=float)])
        y = np.concatenate([[0.0], np.asarray(fraction, dtype=float)])
        within = float(y[x <= end][-1])
        label = name if not within < 0.5 else f"{name}: {within:.0%} of faces up to {end:g} %"
        axes.plot(x, y, color=COLORS[index % len(COLORS)], label=label, linewidth=1.5)
    axes.set(xlim=(0, end), ylim=(0, 1), xlabel=xlabel, ylabel="fraction of faces")
    if curves:
        axes.legend(loc="best", frameon=False)
    return figure


def _choose_end(curves: Mapping[str, tuple[Any, Any]], usual: float = 10.0) -> float:
    """Right end of the axis of error distributions in percent."""
    ends = [usual]
    for edges, fraction in curves.values():
        x, y = np.asarray(edges, dtype=float), np.asarray(fraction, dtype=float)
        within = max(y[x <= usual], default=0.0)
        if within < 0.5 and len(y) and np.isfinite(y).all():
            place = min(int(np.searchsorted(y, 0.9)), len(x) - 1)
            ends.append(float(np.ceil(x[place])))
    return max(ends)


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
    draw_bars(axes, groups, series, errors)
    axes.set_ylabel(ylabel)
    if len(series) > 1:
        axes.legend(frameon=False)
    return figure


def draw_bars(
    axes: Any,
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    errors: Mapping[str, Sequence[float]] | None = None,
    colors: Mapping[str, str] | None = None,
) -> list[BarContainer]:
    """Draw grouped bars; long group labels are slanted.

    Args:
        axes: where to draw.
        groups: label of each cluster of bars.
        series: name -> one value per group; NaN leaves a gap.
        errors: name -> half length of the error bar per group, for series that have one.
        colors: name -> color; the others take theirs from `COLORS` in turn.

    Returns:
        The bars of each series.

    Raises:
        ValueError: a series has another number of values than there are groups.
    """
    width = 0.8 / max(1, len(series))
    centers = np.arange(len(groups))
    containers = []
    for index, (name, values) in enumerate(series.items()):
        if len(values) != len(groups):
            raise ValueError(f"series '{name}' has {len(values)} values for {len(groups)} groups")
        shift = (index - (len(series) - 1) / 2) * width
        spread = None if errors is None else errors.get(name)
        color = (colors or {}).get(name, COLORS[index % len(COLORS)])
        containers.append(
            axes.bar(
                centers + shift, values, width, color=color, label=name, yerr=spread, capsize=2
            )
        )
    slanted = max((len(group) for group in groups), default=0) * len(groups) > 60
    axes.set_xticks(
        centers,
        groups,
        rotation=30 if slanted else 0,
        ha="right" if slanted else "center",
        rotation_mode="anchor" if slanted else "default",
    )
    axes.grid(axis="x", visible=False)
    return containers


def figure_png(figure: Figure) -> bytes:
    """The figure as the content of a PNG file."""
    buffer = io.BytesIO()
    # without metadata the bytes do not depend on the version of matplotlib
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def figure_svg(figure: Figure, salt: str) -> str:
    """The figure as the content of an SVG file, with text as text.

    Args:
        figure: what to write.
        salt: goes into the ids that matplotlib makes up; figures of one page need different ones.
    """
    text = io.StringIO()
    with (
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}),
        warnings.catch_warnings(),
    ):
        # The reader's program brings the font; what matplotlib's own lacks is not missing there.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # Without metadata there is no date, so the same figure gives the same text.
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", metadata=metadata)
    return text.getvalue()


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
