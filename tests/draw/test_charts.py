"""Charts: places on the page against hand-computed ones, escaping, the same data in both forms."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lit_landmarks.draw.chart import (
    Bars,
    Chart,
    Drawing,
    Ranking,
    Series,
    around,
    tick_texts,
    ticks,
)
from lit_landmarks.draw.chart_png import chart_figure
from lit_landmarks.draw.plots import figure_image
from lit_landmarks.draw.svg import chart_svg

HOSTILE = "<script>\"'&$x$"
CHART = Chart(
    "key", "title", "x", "y",
    [Series("line", [0, 5, 10], [0, 2, 4]), Series("dots", [5], [2], "points", 1, ["five"]),
     Series("stairs", [0, 10], [1, 3], "step", 2)],
    x_range=(0, 10), y_range=(0, 4), limits=[(5, "limit")],
)  # fmt: skip
DRAWINGS: list[Drawing] = [
    CHART,
    Bars("bars", HOSTILE, "y", ["a", HOSTILE], {HOSTILE: [1.0, math.nan], "two": [2.0, 3.0]}),
    Ranking("rank", HOSTILE, "x", [HOSTILE, "b"], [0.7, 0.3]),
    Chart("empty", HOSTILE, HOSTILE, HOSTILE, [Series(HOSTILE, [math.nan], [1.0], "points")]),
]


def parse(drawing: Drawing) -> ElementTree.Element:
    return ElementTree.fromstring(chart_svg(drawing))


@pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda d: d.key)
def test_both_forms_of_every_chart(drawing: Drawing) -> None:
    root = parse(drawing)
    assert root.get("role") == "img"
    assert root.get("aria-label") == drawing.title, "well-formed, and nothing is lost by escaping"
    assert not root.findall(".//script")
    picture = figure_image(chart_figure(drawing))
    assert picture.std() > 1, "a blank picture"
    assert np.array_equal(picture, figure_image(chart_figure(drawing)))


def test_points_are_where_they_belong() -> None:
    root = parse(CHART)
    line, stairs = root.findall(".//polyline")
    (left, bottom), (middle, half), (right, top) = (
        tuple(map(float, p.split(","))) for p in line.attrib["points"].split()
    )
    assert middle == pytest.approx((left + right) / 2, abs=0.11)
    assert half == pytest.approx((bottom + top) / 2, abs=0.11)
    assert left < right
    assert top < bottom, "up is more"
    # Level until the next point, then up: three corners for two points.
    corners = [p.split(",") for p in stairs.attrib["points"].split()]
    assert len(corners) == 3
    assert corners[0][1] == corners[1][1]
    assert corners[1][0] == corners[2][0]
    dot = root.find(".//g[@data-series='dots']/circle")
    assert dot is not None
    assert (float(dot.attrib["cx"]), float(dot.attrib["cy"])) == (middle, half)
    assert root.find(".//g[@data-series='dots']/title").text == "five"  # type: ignore[union-attr]
    limit = root.find(".//line[@class='limit']")
    assert limit is not None
    assert float(limit.attrib["x1"]) == pytest.approx(middle)


def test_bars_are_as_high_as_their_values() -> None:
    root = parse(Bars("b", "t", "y", ["g"], {"one": [1.0], "three": [3.0], "gap": [math.nan]}))
    bars = {b.attrib["data-series"]: float(b.attrib["height"]) for b in root.findall(".//rect")}
    assert bars["three"] == pytest.approx(3 * bars["one"], rel=0.01)
    assert "gap" not in bars


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 9))
def test_ticks_lie_within_and_are_round(low: float, span: float, about: int) -> None:
    high = low + span
    if not high > low or span < 1e-9 * abs(low):
        return
    found = ticks(low, high, about)
    assert found
    assert low - 1e-6 * span <= found[0]
    assert found[-1] <= high + 1e-6 * span
    assert len(found) <= about + 2


def test_ticks_and_their_texts() -> None:
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert tick_texts([0.0, 0.05, 0.1]) == ["0.00", "0.05", "0.10"]
    assert tick_texts([1000.0, 2000.0]) == ["1,000", "2,000"]
    assert ticks(0.5, 2.5, about=8, whole=True) == [1, 2]


def test_a_range_has_room_and_is_never_empty() -> None:
    assert around([]) == (0.0, 1.0)
    low, high = around([5.0, 5.0])
    assert low < 5 < high
    assert around([0.1, 10.0])[0] == 0.0, "no negative end for what is never negative"
    assert around([-1.0, 1.0])[0] < -1.0


def test_long_labels_are_cut_and_kept_whole_for_readers() -> None:
    text = chart_svg(Bars("b", "t", "y", ["x" * 40] * 6, {"one": [1.0] * 6}))
    assert re.search(r'data-label="x{40}">x+…<', text)
