"""Charts as SVG text, for a page that brings the style: colours are classes, not values.

    text, .axis, .grid, .limit      ink and lines
    .s0 ... .s6, .none              colour of a series, or grey
    .line, .mark, .bar              what is drawn; each carries `data-series`

All text is escaped. Units are those of the view box; the picture takes the width of its place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise

from lit_landmarks.draw.chart import (
    PALETTE,
    Bars,
    Chart,
    Drawing,
    Range,
    Ranking,
    Series,
    tick_texts,
    ticks,
)

#: View box. Small, so that letters stay readable on a phone.
_WIDTH, _HEIGHT = 480.0, 330.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 54.0, 14.0, 12.0, 46.0
#: Height of a label and its lying bar.
_ROW = 38.0
#: Mean width of a letter at 12 units.
_LETTER = 6.2


def chart_svg(chart: Drawing) -> str:
    """A chart as one `<svg>` element."""
    if isinstance(chart, Bars):
        body = _bars(chart)
    else:
        body = _ranking(chart) if isinstance(chart, Ranking) else _chart(chart)
    names = escape(chart.key)
    height = _ranking_height(chart) if isinstance(chart, Ranking) else _HEIGHT
    return (
        f'<svg viewBox="0 0 {_WIDTH:g} {height:g}" role="img" '
        f'aria-label="{escape(chart.title)}" aria-describedby="{names}-told">'
        f'<desc id="{names}-told">{escape(chart.told or chart.title)}</desc>'
        f"{''.join(body)}</svg>"
    )


def colour_class(colour: int | None) -> str:
    """The class of a series' colour."""
    return "none" if colour is None else f"s{colour % PALETTE}"


class _Frame:
    """The axes: from values to places."""

    def __init__(self, x: Range, y: Range) -> None:
        self.x, self.y = x, y

    def across(self, value: float) -> float:
        """Place of an x."""
        share = (value - self.x[0]) / (self.x[1] - self.x[0])
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def up(self, value: float) -> float:
        """Place of a y."""
        share = (value - self.y[0]) / (self.y[1] - self.y[0])
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _text(x: float, y: float, text: str, anchor: str = "middle", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _side(frame: _Frame, label: str) -> Iterable[str]:
    """The y axis with its grid."""
    values = ticks(*frame.y)
    for value, text in zip(values, tick_texts(values), strict=True):
        y = frame.up(value)
        yield _line(_LEFT, y, _WIDTH - _RIGHT, y, "grid")
        yield _text(_LEFT - 6, y + 4, text, "end")
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    yield _text(0, 0, label, more=f' transform="translate(13 {middle:.1f}) rotate(-90)"')


def _foot(frame: _Frame, label: str, whole: bool) -> Iterable[str]:
    """The x axis."""
    floor = _HEIGHT - _BOTTOM
    yield _line(_LEFT, floor, _WIDTH - _RIGHT, floor, "axis")
    values = ticks(*frame.x, about=6, whole=whole)
    for value, text in zip(values, tick_texts(values), strict=True):
        yield _line(frame.across(value), floor, frame.across(value), floor + 4, "axis")
        yield _text(frame.across(value), floor + 17, text)
    yield _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, label)


def _chart(chart: Chart) -> Iterable[str]:
    frame = _Frame(*chart.ranges())
    yield from _side(frame, chart.ylabel)
    yield from _foot(frame, chart.xlabel, chart.whole_x)
    for value, label in chart.limits:
        x = frame.across(value)
        left = x > _WIDTH * 0.6
        yield _line(x, _TOP, x, _HEIGHT - _BOTTOM, "limit")
        yield _text(x + (-5 if left else 5), _TOP + 11, label, "end" if left else "start")
    clip = f"{escape(chart.key)}-clip"
    yield (
        f'<clipPath id="{clip}"><rect x="{_LEFT - 6:g}" y="{_TOP - 6:g}" '
        f'width="{_WIDTH - _LEFT - _RIGHT + 12:g}" height="{_HEIGHT - _TOP - _BOTTOM + 12:g}"/>'
        f'</clipPath><g clip-path="url(#{clip})">'
    )
    for series in chart.series:
        yield from _series(frame, series)
    yield "</g>"


def _series(frame: _Frame, series: Series) -> Iterable[str]:
    points = [(frame.across(x), frame.up(y), note) for x, y, note in series.points()]
    colour, name = colour_class(series.colour), escape(series.name, quote=True)
    if series.kind == "points":
        for x, y, note in points:
            told = escape(note or series.name)
            yield (
                f'<g class="mark {colour}" data-series="{name}"><title>{told}</title>'
                f"{_mark(series.mark, x, y)}</g>"
            )
        return
    if not points:
        return
    path = _staircase(points) if series.kind == "step" else points
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y, *_ in path)
    yield (
        f'<g class="{colour}" data-series="{name}"><title>{name}</title>'
        f'<polyline class="line" points="{places}"/>'
    )
    if series.kind == "line" and len(points) <= 30:
        yield from (
            f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="2.6"><title>'
            f"{escape(note or series.name)}</title></circle>"
            for x, y, note in points
        )
    yield "</g>"


def _staircase(points: Sequence[tuple[float, float, str]]) -> list[tuple[float, float]]:
    """Level until the next point: what has been reached stays reached."""
    path = [points[0][:2]]
    for (_, level, _), (x, y, _) in pairwise(points):
        path += [(x, level), (x, y)]
    return path


def _mark(shape: str, x: float, y: float) -> str:
    if shape == "cross":
        return (
            f'<path class="cross" d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"/>'
            f'<circle class="halo" cx="{x:.1f}" cy="{y:.1f}" r="8"/>'
        )
    if shape == "star":
        turns = [(math.pi * (k / 5 - 0.5), 9.5 if k % 2 == 0 else 4.0) for k in range(10)]
        corners = " ".join(f"{x + r * math.cos(a):.1f},{y + r * math.sin(a):.1f}" for a, r in turns)
        return f'<polygon class="star" points="{corners}"/>'
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
        f'<circle class="halo" cx="{x:.1f}" cy="{y:.1f}" r="9"/>'
    )


def _bars(chart: Bars) -> Iterable[str]:
    values = [v for row in chart.series.values() for v in row if math.isfinite(v)]
    frame = _Frame((0.0, max(len(chart.groups), 1)), (0.0, max(values, default=1.0) * 1.06 or 1.0))
    yield from _side(frame, chart.ylabel)
    floor = _HEIGHT - _BOTTOM
    room = (_WIDTH - _LEFT - _RIGHT) / max(len(chart.groups), 1)
    for place, label in enumerate(chart.groups):
        letters = max(int(room / _LETTER), 3)
        told = label if len(label) <= letters else label[: letters - 1] + "…"
        # Two rows in turn, so that long labels have twice the room.
        yield _text(frame.across(place + 0.5), floor + (17 if place % 2 == 0 else 32), told,
                    more=f' data-label="{escape(label, quote=True)}"')  # fmt: skip
    width = 0.82 / max(len(chart.series), 1)
    for number, (name, row) in enumerate(chart.series.items()):
        colour, label = colour_class(chart.colours.get(name, number)), escape(name, quote=True)
        for place, value in enumerate(row):
            if not math.isfinite(value):
                continue
            left = frame.across(place + 0.09 + number * width)
            right = frame.across(place + 0.09 + (number + 1) * width)
            top = frame.up(value)
            yield (
                f'<rect class="bar {colour}" data-series="{label}" x="{left:.1f}" y="{top:.1f}" '
                f'width="{max(right - left - 1, 1):.1f}" height="{max(floor - top, 0.5):.1f}">'
                f"<title>{label}, {escape(chart.groups[place])}: {value:.3f}</title></rect>"
            )
    yield _line(_LEFT, floor, _WIDTH - _RIGHT, floor, "axis")


def _ranking_height(chart: Ranking) -> float:
    return _TOP + _ROW * len(chart.labels) + 30


def _ranking(chart: Ranking) -> Iterable[str]:
    highest = max((v for v in chart.values if math.isfinite(v)), default=1.0) or 1.0
    letters = int((_WIDTH - 20) / _LETTER)
    for place, (label, value) in enumerate(zip(chart.labels, chart.values, strict=True)):
        top = _TOP + place * _ROW
        told = label if len(label) <= letters else "…" + label[1 - letters :]
        width = value / highest * (_WIDTH - 70)
        yield _text(8, top + 10, told, "start")
        yield (
            f'<rect class="bar s0" x="8" y="{top + 15:.1f}" width="{max(width, 1):.1f}" '
            f'height="12"><title>{escape(label)}: {value:.3f}</title></rect>'
        )
        yield _text(14 + width, top + 25, f"{value:.2f}", "start")
    yield _text(_WIDTH / 2, _ranking_height(chart) - 8, chart.xlabel)
