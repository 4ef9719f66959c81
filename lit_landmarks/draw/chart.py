"""Charts as plain data, drawn with matplotlib: as a figure for files, as SVG for a page.

    chart_figure   with title and legend; `draw.save_figure` writes it as PNG
    chart_svg      for a page, which has the title and the legend itself and whose style sheet
                   gives the colors

One description and one way of drawing, so a page and the pictures beside it cannot disagree.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple
from xml.etree import ElementTree

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lit_landmarks.draw.colors import COLORS, GREY, INK, RULE
from lit_landmarks.draw.colors import PALETTE_SIZE as PALETTE_SIZE
from lit_landmarks.draw.plots import draw_bars, figure_svg, new_figure

#: Line styles that go with `COLORS`, as lengths of dashes and gaps in line widths; () is solid.
DASHES: tuple[tuple[float, ...], ...] = (
    (),
    (4.5, 2),
    (1.5, 1.5),
    (5, 1.5, 1, 1.5),
    (9, 2.5),
    (2.5, 1, 2.5, 4),
    (0.8, 2),
)
LINE_WIDTH = 1.6
#: A limit's line, and what lies behind a chart in a page.
_LIMIT, _PANEL = "#8a4b00", "#f7f8fa"
#: Colors of a chart -> the custom properties of a page's style sheet, which also has a dark set.
PROPERTIES: Mapping[str, str] = {color: f"--c{number}" for number, color in enumerate(COLORS)} | {
    INK: "--soft",
    GREY: "--none",
    RULE: "--rule",
    _LIMIT: "--warn",
    _PANEL: "--panel",
}
#: Inches; small, so that letters stay readable where a phone shrinks the picture to its width.
_WIDTH, _HEIGHT = 5.5, 3.8
_RANKING_ROW, _RANKING_REST = 0.46, 0.6
_LEGEND_COLUMNS, _LEGEND_ROW = 3, 0.17
#: The most letters of a label below a group of bars, and of one above a bar that lies.
_GROUP_LETTERS, _RANKING_LETTERS = 16, 56
#: A line of more points than this has no marker on each.
_MOST_MARKERS = 30
Range = tuple[float, float]
_Point = tuple[float, float, str]
Mark = Literal["dot", "square", "triangle", "diamond", "star", "cross", "speck"]
#: Marker, its area in square points and the width of its edge.
_MARKERS: Mapping[Mark, tuple[str, float, float]] = {
    "dot": ("o", 50, 0.0),
    "square": ("s", 46, 0.0),
    "triangle": ("^", 58, 0.0),
    "diamond": ("D", 40, 0.0),
    "speck": ("o", 9, 0.0),
    "star": ("*", 220, 0.8),
    "cross": ("x", 42, 1.5),
}
_LINE_MARKER_AREA = 16


@dataclass(frozen=True)
class Series:
    """A line, a staircase or single points.

    Attributes:
        name: what it shows.
        x, y: coordinates; points where one is not finite are left out.
        kind: how they are drawn.
        color: number in the palette; None is grey.
        notes: text of each point, shown when it is pointed at.
        mark: shape of single points.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    kind: Literal["line", "step", "points"] = "line"
    color: int | None = 0
    notes: Sequence[str] = ()
    mark: Mark = "dot"

    def points(self) -> list[_Point]:
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
        key: name of its file and id of its place in a page.
        title: above it.
        xlabel, ylabel: quantity and unit.
        series: what is drawn, the last on top.
        description: the same in words, for a reader who cannot see it.
        caption: what the marks mean, below the chart for everyone.
        key_marks: label, color and mark of each kind of point, for a legend of the chart's own.
        x_range, y_range: ends of the axes; None fits the points.
        limits: upright lines with a label, such as a limit on cost.
        integer_x: x counts something, so ticks are at whole numbers.
        log_x: a logarithmic scale.
        x_labels: names of x = 0, 1, 2 ... where x is a choice.
    """

    key: str
    title: str
    xlabel: str
    ylabel: str
    series: Sequence[Series]
    description: str = ""
    caption: str = ""
    key_marks: Sequence[tuple[str, int | None, Mark]] = ()
    x_range: Range | None = None
    y_range: Range | None = None
    limits: Sequence[tuple[float, str]] = ()
    integer_x: bool = False
    log_x: bool = False
    x_labels: Sequence[str] = ()

    def ranges(self) -> tuple[Range, Range]:
        """Ends of both axes."""
        points = [point for series in self.series for point in series.points()]
        xs = [point[0] for point in points] + [x for x, _ in self.limits]
        y_range = self.y_range or around(point[1] for point in points)
        if self.x_range is not None:
            return self.x_range, y_range
        if self.x_labels:
            return (-0.5, len(self.x_labels) - 0.5), y_range
        if self.log_x:
            return (min(xs) / 1.3, max(xs) * 1.3), y_range
        return around(xs), y_range


@dataclass(frozen=True)
class Bars:
    """Grouped bars.

    Attributes:
        key: name of its file and id of its place in a page.
        title: above it.
        ylabel: quantity and unit.
        groups: label of each cluster.
        series: name -> a value for each group; NaN leaves a gap.
        colors: name -> number in the palette; the others take theirs in turn.
        description: the same in words, for a reader who cannot see it.
        caption, key_marks: see `Chart`.
    """

    key: str
    title: str
    ylabel: str
    groups: Sequence[str]
    series: Mapping[str, Sequence[float]]
    colors: Mapping[str, int] = field(default_factory=dict)
    description: str = ""
    caption: str = ""
    key_marks: Sequence[tuple[str, int | None, Mark]] = ()


@dataclass(frozen=True)
class Ranking:
    """Horizontal bars with room for long labels; the first is on top.

    Attributes:
        key: name of its file and id of its place in a page.
        title: above it.
        xlabel: quantity and unit.
        labels: of the bars.
        values: 0 or more.
        description: the same in words, for a reader who cannot see it.
        caption, key_marks: see `Chart`.
    """

    key: str
    title: str
    xlabel: str
    labels: Sequence[str]
    values: Sequence[float]
    description: str = ""
    caption: str = ""
    key_marks: Sequence[tuple[str, int | None, Mark]] = ()


Drawing = Chart | Bars | Ranking


def around(values: Iterable[float], margin: float = 0.06) -> Range:
    """A range with some room around the finite values; (0, 1) without any."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    room = (high - low) * margin or abs(high) * 0.1 or 1.0
    # A quantity that is never negative is not shown as if it could be.
    return (max(low - room, 0.0) if low >= 0 else low - room), high + room


def chart_figure(chart: Drawing) -> Figure:
    """The chart as a figure with title and legend."""
    figure, _ = _draw(chart)
    (axes,) = figure.axes
    axes.set_title(_literal(chart.title), fontsize=11)
    if not isinstance(chart, Ranking) and len(chart.series) > 1:
        # Below the axes, where it hides no point.
        rows = math.ceil(len(chart.series) / _LEGEND_COLUMNS)
        figure.set_figheight(figure.get_figheight() + _LEGEND_ROW * rows)
        figure.legend(loc="outside lower center", ncols=_LEGEND_COLUMNS, frameon=False, fontsize=8)
    return figure


def chart_svg(chart: Drawing) -> str:
    """The chart as one `<svg>` element for a page: no title, no legend, colors of the style sheet.

    Every element of a series has its name in `data-series`; `<title>` holds the note of each point.
    Nothing in it has a size or a font of its own, so both follow the place where it stands.
    """
    figure, labels = _draw(chart)
    figure.patch.set_visible(False)
    figure.axes[0].patch.set_visible(False)
    root = ElementTree.fromstring(figure_svg(figure, chart.key))
    _strip_document(root)
    _label_series(root, labels)
    _use_properties(root)
    description = ElementTree.Element("desc", id=re.sub(r"\s", "-", f"{chart.key}-description"))
    description.text = _printable(chart.description or chart.title)
    root.insert(0, description)
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-label": _printable(chart.title),
        "aria-describedby": description.attrib["id"],
    }
    return ElementTree.tostring(root, encoding="unicode")


class _Label(NamedTuple):
    """What a page says about an artist, found by the artist's gid.

    Attributes:
        series: name of its series; empty for what belongs to none.
        title: of the artist as a whole.
        notes: one for each of its points, if it has points.
    """

    series: str
    title: str
    notes: Sequence[str] = ()


_Labels = dict[str, _Label]


def _draw(chart: Drawing) -> tuple[Figure, _Labels]:
    """The chart without title and legend, and labels by gid."""
    if isinstance(chart, Chart):
        figure, axes = new_figure(_WIDTH, _HEIGHT)
        return figure, _draw_chart(axes, chart)
    if isinstance(chart, Bars):
        figure, axes = new_figure(_WIDTH, _HEIGHT)
        return figure, _draw_groups(axes, chart)
    figure, axes = new_figure(_WIDTH, _RANKING_ROW * len(chart.labels) + _RANKING_REST)
    return figure, _draw_ranking(axes, chart)


def _draw_chart(axes: Any, chart: Chart) -> _Labels:
    x_range, y_range = chart.ranges()
    axes.set_xlabel(_literal(chart.xlabel))
    axes.set_ylabel(_literal(chart.ylabel))
    if chart.log_x:
        axes.set_xscale("log")
    axes.set(xlim=x_range, ylim=y_range)
    axes.ticklabel_format(axis="y" if chart.log_x else "both", style="plain", useOffset=False)
    if chart.x_labels:
        shown = [_literal(_shortened(label, _GROUP_LETTERS)) for label in chart.x_labels]
        axes.set_xticks(range(len(shown)), shown)
    elif chart.integer_x:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for value, label in chart.limits:
        left = value > x_range[0] + 0.6 * (x_range[1] - x_range[0])
        axes.axvline(value, color=_LIMIT, linestyle="--", linewidth=1.2)
        axes.annotate(
            _literal(label),
            (value, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-4 if left else 4, -10),
            textcoords="offset points",
            ha="right" if left else "left",
            color=INK,
        )
    labels: _Labels = {}
    for number, series in enumerate(chart.series):
        points = series.points()
        if series.kind != "points" and points:
            _draw_line(axes, series, points, f"line-{number}")
            labels[f"line-{number}"] = _Label(series.name, series.name)
        if series.kind == "points" or (series.kind == "line" and len(points) <= _MOST_MARKERS):
            # Marks are not clipped, so that one at the edge is whole; those beyond are left out.
            inside = [
                (x, y, note)
                for x, y, note in points
                if x_range[0] <= x <= x_range[1] and y_range[0] <= y <= y_range[1]
            ]
            _draw_marks(axes, series, inside, f"marks-{number}")
            notes = [note or series.name for _, _, note in inside]
            labels[f"marks-{number}"] = _Label(series.name, series.name, notes)
    return labels


def _draw_line(axes: Any, series: Series, points: Sequence[_Point], gid: str) -> None:
    dashes = () if series.color is None else DASHES[series.color % len(DASHES)]
    axes.plot(
        [x for x, _, _ in points],
        [y for _, y, _ in points],
        drawstyle="steps-post" if series.kind == "step" else "default",
        color=_color(series),
        linestyle=(0, dashes) if dashes else "-",
        linewidth=LINE_WIDTH,
        label=_legend_label(series.name),
        gid=gid,
    )


def _draw_marks(axes: Any, series: Series, points: Sequence[_Point], gid: str) -> None:
    marker, area, edge = _MARKERS[series.mark]
    single = series.kind == "points"
    axes.scatter(
        [x for x, _, _ in points],
        [y for _, y, _ in points],
        s=area if single else _LINE_MARKER_AREA,
        marker=marker,
        color=None if series.mark == "star" else _color(series),
        facecolors=_color(series) if series.mark == "star" else None,
        edgecolors=_PANEL if series.mark == "star" else None,
        linewidths=edge,
        alpha=0.75 if series.color is None else None,
        label=_legend_label(series.name) if single else None,
        clip_on=False,
        zorder=3,
        gid=gid,
    )


def _color(series: Series) -> str:
    return GREY if series.color is None else COLORS[series.color % len(COLORS)]


def _draw_groups(axes: Any, chart: Bars) -> _Labels:
    groups = [_literal(_shortened(group, _GROUP_LETTERS)) for group in chart.groups]
    colors = {
        _legend_label(name): COLORS[number % len(COLORS)] for name, number in chart.colors.items()
    }
    series = {_legend_label(name): values for name, values in chart.series.items()}
    containers = draw_bars(axes, groups, series, colors=colors)
    axes.set_ylabel(_literal(chart.ylabel))
    labels: _Labels = {}
    for name, bars in zip(chart.series, containers, strict=True):
        for group, value, bar in zip(chart.groups, chart.series[name], bars, strict=True):
            if not math.isfinite(value):
                bar.remove()
                continue
            gid = f"bar-{len(labels)}"
            bar.set_gid(gid)
            labels[gid] = _Label(name, f"{name}, {group}: {value:.3f}")
    return labels


def _draw_ranking(axes: Any, chart: Ranking) -> _Labels:
    bars = axes.barh(range(len(chart.labels)), chart.values, color=COLORS[0], height=0.34)
    axes.bar_label(bars, fmt="%.2f", padding=4, color=INK)
    axes.set(xlabel=_literal(chart.xlabel), yticks=[], xmargin=0.12)
    axes.set_ylim(len(chart.labels) - 0.5, -0.75)  # the first on top, with room for its label
    axes.autoscale(axis="x")
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    labels: _Labels = {}
    for number, (label, value, bar) in enumerate(
        zip(chart.labels, chart.values, bars, strict=True)
    ):
        text = axes.annotate(
            _literal(_shortened(label, _RANKING_LETTERS)),
            (0, number - 0.24),
            color=INK,
            va="bottom",
        )
        text.set_in_layout(False)  # a long label must not push the bars aside
        bar.set_gid(f"bar-{number}")
        labels[f"bar-{number}"] = _Label("", f"{label}: {value:.3f}")
    return labels


def _shortened(text: str, letters: int) -> str:
    """The end of a long text, which is what tells settings and subsets apart."""
    return text if len(text) <= letters else "…" + text[1 - letters :]


def _literal(text: str) -> str:
    """Text as matplotlib shows it unchanged: without this, dollar signs enclose a formula."""
    return _printable(text).replace("$", r"\$")


def _legend_label(name: str) -> str:
    """A name as the legend shows it: matplotlib leaves out those that begin with an underscore."""
    return _literal(f" {name}" if name.startswith("_") else name)


def _printable(text: str) -> str:
    """Text without the characters that XML cannot hold."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def _strip_document(root: ElementTree.Element) -> None:
    """Make an element of a page out of a document: no namespaces, no style that leaks out of it."""
    for parent in list(root.iter()):
        parent.tag = parent.tag.rpartition("}")[2]
        parent.attrib = {key.rpartition("}")[2]: value for key, value in parent.attrib.items()}
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("style", "metadata"):
                parent.remove(child)


def _label_series(root: ElementTree.Element, labels: _Labels) -> None:
    """Name series and points, and drop the ids to which nothing refers."""
    for element in root.iter("g"):
        label = labels.get(element.attrib.pop("id", ""))
        if label is None:
            continue
        if label.series:
            element.set("data-series", _printable(label.series))
        for mark, note in zip(element.iter("use"), label.notes, strict=bool(label.notes)):
            ElementTree.SubElement(mark, "title").text = _printable(note)
        title = ElementTree.Element("title")
        title.text = _printable(label.title)
        element.insert(0, title)


def _use_properties(root: ElementTree.Element) -> None:
    """Colors become custom properties of the style sheet, and fonts those of the page."""

    def property_of(match: re.Match[str]) -> str:
        name = PROPERTIES.get(match[0])
        return f"var({name})" if name else match[0]

    for element in root.iter():
        if "style" in element.attrib:
            style = re.sub(r" *font-family:[^;]*;?", "", element.attrib["style"])
            element.set("style", re.sub(r"#[0-9a-f]{6}", property_of, style))
