"""Charts: marks at hand-computed places, names and notes, colors of the page, escaping, ranges."""

from __future__ import annotations

import math
import re
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest

from lit_landmarks.draw.chart import (
    DASHES,
    PALETTE_SIZE,
    PROPERTIES,
    Bars,
    Chart,
    Drawing,
    Ranking,
    Series,
    around,
    chart_figure,
    chart_svg,
)
from lit_landmarks.draw.colors import COLORS
from lit_landmarks.draw.plots import figure_image

HOSTILE = "<script>\"'&$x$\x01"
SHOWN = HOSTILE.replace("\x01", "\ufffd")  # XML cannot hold control characters
CHART = Chart(
    "key",
    "title",
    "x",
    "y",
    [
        Series("line", [0, 5, 10], [0, 2, 4], notes=["a", "b", "c"]),
        Series("dots", [5, 99], [2, 2], "points", 1, ["five", "beyond"]),
        Series("stairs", [0, 10], [1, 3], "step", 2),
        Series("star", [10], [4], "points", 3, mark="star"),
        Series("cross", [0], [4], "points", None, mark="cross"),
    ],
    x_range=(0, 10),
    y_range=(0, 4),
    limits=[(5, "limit")],
)
DRAWINGS: list[Drawing] = [
    CHART,
    Bars("bars", HOSTILE, "y", ["a", HOSTILE], {HOSTILE: [1.0, math.nan], "two": [2.0, 3.0]}),
    Ranking("rank", HOSTILE, "x", [HOSTILE, "b"], [0.7, 0.3]),
    Chart("empty", HOSTILE, HOSTILE, HOSTILE, [Series(HOSTILE, [math.nan], [1.0], "points")]),
]


def parse(drawing: Drawing) -> ElementTree.Element:
    return ElementTree.fromstring(chart_svg(drawing))


def series(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return root.findall(f".//g[@data-series='{name}']")


def corners(path: ElementTree.Element) -> np.ndarray:
    """(N, 2) places of the corners of a path of straight lines."""
    numbers = re.findall(r"-?\d+(?:\.\d+)?", path.attrib["d"])
    return np.array(numbers, dtype=float).reshape(-1, 2)


@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda d: d.key)
def test_both_forms_of_every_chart(drawing: Drawing) -> None:
    root = parse(drawing)
    assert root.get("role") == "img"
    assert root.get("aria-label") == drawing.title.replace("\x01", "\ufffd"), "nothing is lost"
    assert [root.find(f".//*[@id='{root.get('aria-describedby')}']").tag] == ["desc"]  # type: ignore[union-attr]
    assert {element.tag for element in root.iter()} <= {
        "svg", "desc", "title", "g", "path", "use", "text", "defs", "clipPath", "rect",
    }, "nothing that runs, loads or styles the page around it"  # fmt: skip  # one set, one line
    texts = [text.text for text in root.iter("text")]
    if isinstance(drawing, Ranking):
        assert SHOWN in texts, "dollar signs are no formula"
    assert chart_svg(drawing) == chart_svg(drawing), "no date, no random ids"
    picture = figure_image(chart_figure(drawing))
    assert picture.std() > 1, "a blank picture"
    assert np.array_equal(picture, figure_image(chart_figure(drawing)))


def test_points_are_where_they_belong() -> None:
    root = parse(CHART)
    # The axes as their frame has them: the clip of everything that is drawn in them.
    frame = root.find(".//clipPath/rect")
    assert frame is not None
    left, top, width, height = (float(frame.attrib[k]) for k in ("x", "y", "width", "height"))
    line, marks = series(root, "line")
    places = np.array(
        [(left, top + height), (left + width / 2, top + height / 2), (left + width, top)]
    )
    path = line.find("path")
    assert path is not None
    assert corners(path) == pytest.approx(places, abs=1e-3)
    drawn = np.array([(float(u.attrib["x"]), float(u.attrib["y"])) for u in marks.iter("use")])
    assert drawn == pytest.approx(places, abs=1e-3)
    assert [t.text for t in marks.findall(".//use/title")] == ["a", "b", "c"]
    # Level until the next point, then up: three corners for two points.
    (stairs,) = series(root, "stairs")
    low, high = top + height * 3 / 4, top + height / 4
    assert corners(stairs.find("path")) == pytest.approx(  # type: ignore[arg-type]
        np.array([(left, low), (left + width, low), (left + width, high)]), abs=1e-3
    )


def test_a_point_beyond_the_axes_is_left_out_and_one_at_the_edge_is_whole() -> None:
    root = parse(CHART)
    (dots,) = series(root, "dots")
    assert [title.text for title in dots.findall(".//use/title")] == ["five"]
    (star,) = series(root, "star")
    assert len(star.findall(".//use")) == 1
    assert not [element for element in star.iter() if "clip-path" in element.attrib]


def test_colors_and_fonts_are_those_of_the_page() -> None:
    text = chart_svg(CHART)
    styles = " ".join(re.findall(r'style="([^"]*)"', text))
    assert not re.search(r"#[0-9a-f]{3}", styles), "a color that dark mode cannot change"
    used = set(re.findall(r"var\((--[\w-]+)\)", styles))
    assert {"--c0", "--c1", "--c2", "--c3", "--none", "--soft", "--rule", "--warn"} <= used
    assert used <= set(PROPERTIES.values())
    assert "font-family" not in text
    named = chart_svg(Ranking("rank", COLORS[0], COLORS[1], [COLORS[2]], [1.0]))
    assert all(f">{color}<" in named for color in COLORS[1:3]), "a text is no style"


def test_every_color_has_a_line_style() -> None:
    assert PALETTE_SIZE == len(COLORS) == len(DASHES)
    assert len(set(DASHES)) == PALETTE_SIZE
    lines = [Series(str(n), [0, 1], [n, n], color=n) for n in range(PALETTE_SIZE)]
    root = parse(Chart("key", "title", "x", "y", lines))
    styles = {series(root, line.name)[0].find("path").attrib["style"] for line in lines}  # type: ignore[union-attr]
    dashes = {re.sub(r"stroke: var\(--c\d\);?", "", style) for style in styles}
    assert len(dashes) == PALETTE_SIZE, "told apart without color"


def test_bars_are_as_high_as_their_values() -> None:
    bars = Bars(
        "b", "t", "y", ["g", "h"],
        {"one": [1.0, 2.0], "three": [3.0, math.nan], "gap": [math.nan, math.nan]}, {"three": 5},
    )  # fmt: skip  # the values of a table
    root = parse(bars)

    def height(bar: ElementTree.Element) -> float:
        return float(np.ptp(corners(bar.find("path"))[:, 1]))  # type: ignore[arg-type]

    one, two = series(root, "one")
    (three,) = series(root, "three")
    assert height(two) == pytest.approx(2 * height(one), rel=1e-3)
    assert height(three) == pytest.approx(3 * height(one), rel=1e-3)
    assert three.find("title").text == "three, g: 3.000"  # type: ignore[union-attr]
    assert three.find("path").attrib["style"] == "fill: var(--c5)"  # type: ignore[union-attr]
    assert series(root, "gap") == []


def test_a_ranking_has_the_first_on_top() -> None:
    root = parse(Ranking("r", "t", "share", ["most", "least"], [0.75, 0.25]))
    labels = {t.text: float(t.attrib["y"]) for t in root.iter("text")}
    assert labels["most"] < labels["least"]
    assert {"0.75", "0.25"} <= set(labels), "its figure beside each bar"
    notes = [title.text for title in root.iter("title")]
    assert notes == ["most: 0.750", "least: 0.250"]


def test_long_labels_are_shortened_and_whole_in_the_note() -> None:
    name = "validation/" + "x" * 40
    root = parse(Bars("b", "t", "y", [name] * 6, {"one": [1.0] * 6}))
    assert "…" + "x" * 15 in [text.text for text in root.iter("text")]
    assert f"one, {name}: 1.000" in [title.text for title in root.iter("title")]


def test_letters_that_only_the_reader_has_are_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = chart_svg(Ranking("rank", "顔", "顔", ["顔の点"], [1.0]))
    assert ">顔の点<" in text


def test_a_count_has_whole_ticks() -> None:
    chart = Chart("k", "t", "epoch", "y", [Series("a", [1, 2], [3.0, 2.5])], integer_x=True)
    axes = chart_figure(chart).axes[0]
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert ticks == [1, 2]


def test_the_legend_lies_below_the_axes() -> None:
    figure = chart_figure(CHART)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["line", "dots", "stairs", "star", "cross"]
    assert legend.get_window_extent().y1 <= figure.axes[0].get_tightbbox().y0 + 1


def test_a_range_has_room_and_is_never_empty() -> None:
    assert around([]) == (0.0, 1.0)
    low, high = around([5.0, 5.0])
    assert low < 5 < high
    assert around([0.1, 10.0])[0] == 0.0, "no negative end for what is never negative"
    assert around([-1.0, 1.0])[0] < -1.0


def test_a_name_that_begins_with_an_underscore_is_in_the_legend() -> None:
    chart = Chart("k", "t", "x", "y", [Series(n, [0, 1], [0, 1]) for n in ("_first", "second")])
    (legend,) = chart_figure(chart).legends
    assert [text.get_text().strip() for text in legend.get_texts()] == ["_first", "second"]
