"""The page in a real browser: no complaint, no request, sorting, filtering, picking out, phones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from lit_landmarks.reports.compare import compare
from lit_landmarks.reports.entries import StudyRecord, read_run_entry, read_study_entries
from lit_landmarks.reports.page import render_page

from .browser import NAMES, Tab, browser_tab, find_browser
from .conftest import HOSTILE, Make

pytestmark = pytest.mark.slow
#: The rows of the table as the page has them now.
ROWS = "[...document.querySelectorAll('#runs tbody tr')]"
SHOWN = f"{ROWS}.filter(r => r.getBoundingClientRect().height > 0).length"


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    """A tab of a browser of this machine."""
    program = find_browser()
    if program is None:
        pytest.skip(f"no browser; install one of {', '.join(NAMES)}")
    with browser_tab(program) as opened:
        yield opened


@pytest.fixture
def file(make_run: Make, study: StudyRecord, tmp_path: Path) -> Path:
    """A page with a study, and runs with names that a careless page would run."""
    runs = [make_run("first", 3.0, 60.0, width=1, note=HOSTILE),
            make_run("<img src=x onerror=alert(1)>", 5.0, 20.0, width=2, curves=False)]  # fmt: skip
    comparison = compare(
        [*read_study_entries(study), *map(read_run_entry, runs)], [study], title=HOSTILE
    )
    path = tmp_path / "compare.html"
    path.write_text(render_page(comparison), encoding="utf-8")
    return path


def column(tab: Tab, heading: str) -> list[str]:
    place = tab.ask(f"""[...document.querySelectorAll('#runs thead th')]
        .findIndex(h => h.title === '{heading}' || h.textContent === '{heading}')""")
    assert place >= 0
    values: list[str] = tab.ask(f"{ROWS}.map(r => r.cells[{place}].dataset.value)")
    return values


def sort_by(tab: Tab, heading: str) -> None:
    number = tab.ask(f"""1 + [...document.querySelectorAll('#runs thead th')]
        .findIndex(h => h.title === '{heading}' || h.textContent === '{heading}')""")
    tab.click(f"#runs thead th:nth-child({number}) button")


def test_it_opens_without_a_complaint_or_a_request(tab: Tab, file: Path) -> None:
    tab.complaints.clear()
    tab.requests.clear()
    tab.open(file, 1280, 900)
    assert tab.ask("document.querySelector('h1').textContent") == HOSTILE
    assert tab.ask(f"{ROWS}.length") == 26
    assert tab.ask("document.querySelectorAll('figure svg[role=img]').length") >= 7
    marks = tab.ask("""[...document.querySelectorAll('figure svg')].map(s =>
        [...s.querySelectorAll('path, use')]
            .filter(m => m.getBoundingClientRect().width + m.getBoundingClientRect().height > 0)
            .length)""")
    assert min(marks) > 0, "a chart without anything drawn"
    assert tab.requests == [file.as_uri()], "the page itself and nothing else"
    assert tab.complaints == []
    # The policy is obeyed: what is put in later cannot run either.
    tab.ask("""(() => { const s = document.createElement('script');
        s.textContent = 'window.ran = true'; document.body.append(s); })()""")
    assert tab.ask("window.ran === undefined")


def test_sorting_by_a_click(tab: Tab, file: Path) -> None:
    tab.open(file, 1280, 900)
    before = tab.ask(f"{ROWS}.map(r => r.dataset.name)")
    for heading, better in (("compute/mma", False), ("val/helen/auc10_interocular", True)):
        sort_by(tab, heading)
        texts = column(tab, heading)
        numbers = [float(t) for t in texts if t]
        assert numbers == sorted(numbers, reverse=better), "the best comes first"
        assert texts == [t for t in texts if t] + [""] * texts.count(""), "the missing come last"
        sort_by(tab, heading)
        again = [float(t) for t in column(tab, heading) if t]
        assert again == numbers[::-1]
    sort_by(tab, "run")
    names = tab.ask(f"{ROWS}.map(r => r.dataset.name)")
    assert names != before
    assert sorted(names) == sorted(before), "no row is lost"
    assert tab.ask("document.querySelectorAll('#runs th[aria-sort]').length") == 1


def test_filtering_and_picking_out(tab: Tab, file: Path) -> None:
    tab.open(file, 1280, 900)
    assert tab.ask(SHOWN) == 26
    tab.type("#filter", "pruned")
    assert 0 < tab.ask(SHOWN) < 26
    assert tab.ask("document.getElementById('shown').textContent").endswith(" of 26 rows")
    tab.open(file, 1280, 900)
    tab.click(".legend button[data-name='first']")
    assert tab.ask("document.querySelector('.legend [aria-pressed=true]').dataset.name") == "first"
    assert tab.ask("document.querySelectorAll('svg .chosen').length") >= 4
    opacity = "getComputedStyle(document.querySelector('svg [data-series]{0}')).opacity"
    assert float(tab.ask(opacity.format(":not(.chosen)"))) == pytest.approx(0.16)
    assert float(tab.ask(opacity.format(".chosen"))) == 1
    tab.press("Escape")
    assert tab.ask("document.querySelectorAll('.chosen').length") == 0


@pytest.mark.parametrize("width", [360, 820, 1600])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_every_screen(tab: Tab, file: Path, width: int, dark: bool) -> None:
    tab.open(file, width, 900, dark)
    assert tab.ask("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    letters = tab.ask("""[...document.querySelectorAll('figure svg')].map(s =>
        10 * s.getBoundingClientRect().width / s.viewBox.baseVal.width)""")
    assert min(letters) >= 7.5, "labels that nobody can read"
    outside = tab.ask("""[...document.querySelectorAll('figure svg text')].filter(t => {
        const a = t.getBoundingClientRect(), b = t.ownerSVGElement.getBoundingClientRect();
        return a.left < b.left - 1 || a.right > b.right + 1; }).map(t => t.textContent)""")
    assert outside == [], "labels that run out of their picture"
    picture = cv2.imdecode(np.frombuffer(tab.picture(), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    assert picture.shape == (900, width)
    assert (np.median(picture) < 80) == dark, "the paper follows the scheme"
    contrast = tab.ask("""(() => { const c = (s, p) => getComputedStyle(
            document.querySelector(s))[p].match(/[\\d.]+/g).slice(0, 3).map(v => {
                v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
        const l = (v) => 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2];
        const paper = l(c('body', 'backgroundColor'));
        return ['h1', '.soft', '#runs td', 'figcaption'].map(s => { const i = l(c(s, 'color'));
            return (Math.max(i, paper) + 0.05) / (Math.min(i, paper) + 0.05); }); })()""")
    assert min(contrast) >= 4.5, "WCAG AA for text"
