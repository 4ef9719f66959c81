"""Charts as plain data, drawn as SVG for a page (`draw.svg`) or with matplotlib (`draw.chart_png`).

One description gives both, so the page and the pictures beside it cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

#: Colours and dashes of a chart's series go round after so many.
PALETTE = 7
Range = tuple[float, float]
Mark = Literal["dot", "star", "cross"]


@dataclass(frozen=True)
class Series:
    """A line, a staircase or single points.

    Attributes:
        name: what it shows.
        x, y: coordinates; points where one is not finite are left out.
        kind: how they are drawn.
        colour: place in the palette; None is grey.
        notes: text of each point, shown when it is pointed at.
        mark: shape of single points.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    kind: Literal["line", "step", "points"] = "line"
    colour: int | None = 0
    notes: Sequence[str] = ()
    mark: Mark = "dot"

    def points(self) -> list[tuple[float, float, str]]:
        """The finite points with their notes."""
        notes = self.notes or [""] * len(self.x)
        return [
            (float(x), float(y), note)
            for x, y, note in zip(self.x, self.y, notes, strict=True)
            if math.isfinite(x) and math.isfinite(y)
        ]


@dataclass(frozen=True)
class Chart:
    """Series over two axes.

    Attributes:
        key: name of its file and of its place in a page.
        title: above it.
        xlabel, ylabel: quantity and unit.
        series: what is drawn, the last on top.
        told: what a reader who cannot see it should know.
        x_range, y_range: ends of the axes; None fits the points.
        limits: upright lines with a label, such as a limit on cost.
        whole_x: x counts something, so that ticks are whole numbers.
    """

    key: str
    title: str
    xlabel: str
    ylabel: str
    series: Sequence[Series]
    told: str = ""
    x_range: Range | None = None
    y_range: Range | None = None
    limits: Sequence[tuple[float, str]] = ()
    whole_x: bool = False

    def ranges(self) -> tuple[Range, Range]:
        """Ends of both axes."""
        points = [point for series in self.series for point in series.points()]
        xs = [point[0] for point in points] + [x for x, _ in self.limits]
        ys = [point[1] for point in points]
        return self.x_range or around(xs), self.y_range or around(ys)


@dataclass(frozen=True)
class Bars:
    """Grouped bars.

    Attributes:
        key: name of its file and of its place in a page.
        title: above it.
        ylabel: quantity and unit.
        groups: label of each cluster.
        series: name -> a value for each group; NaN leaves a gap.
        colours: name -> place in the palette.
        told: what a reader who cannot see it should know.
    """

    key: str
    title: str
    ylabel: str
    groups: Sequence[str]
    series: Mapping[str, Sequence[float]]
    colours: Mapping[str, int] = field(default_factory=dict)
    told: str = ""


@dataclass(frozen=True)
class Ranking:
    """Bars that lie, with room for long labels; the first is on top.

    Attributes:
        key: name of its file and of its place in a page.
        title: above it.
        xlabel: quantity and unit.
        labels: of the bars.
        values: 0 or more.
        told: what a reader who cannot see it should know.
    """

    key: str
    title: str
    xlabel: str
    labels: Sequence[str]
    values: Sequence[float]
    told: str = ""


Drawing = Chart | Bars | Ranking


def around(values: Iterable[float], margin: float = 0.06) -> Range:
    """A range with some room around the values."""
    found = [value for value in values if math.isfinite(value)]
    if not found:
        return 0.0, 1.0
    low, high = min(found), max(found)
    room = (high - low) * margin or abs(high) * 0.1 or 1.0
    # A quantity that is never negative is not shown as if it could be.
    return (max(low - room, 0.0) if low >= 0 else low - room), high + room


def ticks(low: float, high: float, about: int = 5, whole: bool = False) -> list[float]:
    """Round numbers within a range: multiples of 1, 2 or 5 times a power of ten.

    Args:
        low: lower end.
        high: upper end, above it.
        about: how many are wanted.
        whole: no step below 1.
    """
    rough = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(f * power for f in (1.0, 2.0, 5.0, 10.0) if f * power >= rough * 0.999)
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def tick_texts(values: Sequence[float]) -> list[str]:
    """The ticks with as many digits as their step needs."""
    step = min((b - a for a, b in pairwise(values)), default=1.0)
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    return [f"{value:,.{digits}f}" for value in values]
