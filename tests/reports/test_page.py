"""The page of a comparison: nothing from outside, all names escaped, readable without seeing it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lit_landmarks.draw.chart import PROPERTIES
from lit_landmarks.reports.compare import compare
from lit_landmarks.reports.entries import StudyRecord, read_run_entry, read_study_entries
from lit_landmarks.reports.page import render_page

from .conftest import HOSTILE, Make, runs_below, small_study

VOID = {"meta", "link", "input", "br", "img"}


class Reader(HTMLParser):
    """Tags with their attributes, texts by tag, and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of two runs and a study."""
    make_run, study = runs_below(tmp_path_factory.mktemp("page")), small_study()
    # No folder can have a slash in its name, a W&B run can; the rest is as hostile as it gets.
    runs = [make_run("ok", 4.0, 60.0, width=1, note=HOSTILE),
            make_run(HOSTILE.replace("/", ""), 5.0, 20.0, width=2, curves=False)]  # fmt: skip
    comparison = compare(
        [*read_study_entries(study), *map(read_run_entry, runs)], [study], title=HOSTILE
    )
    return render_page(comparison)


def test_it_is_whole_and_loads_nothing(text: str) -> None:
    reader = Reader(text)
    assert reader.open == []
    ids = {attributes["id"] for _, attributes in reader.tags if "id" in attributes}
    for tag, attributes in reader.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name)
            own = value is not None and value.startswith("#") and value[1:] in ids
            assert value is None or value == "data:," or own, f"{tag} asks for {value}"
        assert not [name for name in attributes if name.startswith("on")], tag
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text), "a picture or font from elsewhere"
    assert "http://" not in text
    assert "https://" not in text


def test_names_and_settings_run_nothing(text: str) -> None:
    reader = Reader(text)
    assert len(reader.of("script")) == 1, "only our own"
    assert reader.texts["h1"] == [HOSTILE], "shown as it is"
    assert HOSTILE in reader.texts["code"], "a setting too"
    (policy,) = (m for m in reader.of("meta") if m.get("http-equiv") == "Content-Security-Policy")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    content = policy["content"] or ""
    assert content.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in content
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_hostile_name_is_the_same_name_everywhere(make_run: Make) -> None:
    name = HOSTILE.replace("/", "")
    runs = [read_run_entry(make_run(name, 4.0, 60.0)), read_run_entry(make_run("plain", 5.0, 20.0))]
    reader = Reader(render_page(compare(runs)))
    assert [tr["data-name"] for tr in reader.of("tr") if "data-name" in tr] == [name, "plain"]
    buttons = [b["data-name"] for b in reader.of("button") if "data-name" in b]
    assert buttons == [name, "plain"]
    drawn = [g["data-series"] for g in reader.of("g") if "data-series" in g]
    assert drawn.count(name) == drawn.count("plain") > 10, "in every chart"
    assert not [tag for tag, attributes in reader.tags if "onclick" in attributes]


def test_the_charts_have_the_colors_of_the_style_sheet(text: str) -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    values = dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})", light))
    assert {values[name]: name for name in PROPERTIES.values()} == dict(PROPERTIES)
    assert all(f"{name}: #" in dark for name in PROPERTIES.values()), "each has a dark value"


def test_it_can_be_read_without_seeing_it(text: str) -> None:
    reader = Reader(text)
    assert reader.of("html") == [{"lang": "en"}]
    assert [m["content"] for m in reader.of("meta") if m.get("name") == "viewport"]
    charts = [svg for svg in reader.of("svg") if svg.get("role") == "img"]
    assert len(charts) >= 7
    ids = {attributes.get("id") for _, attributes in reader.tags}
    for svg in charts:
        assert svg["aria-label"]
        assert svg["aria-describedby"] in ids
    hidden = [svg for svg in reader.of("svg") if svg.get("role") != "img"]
    assert all(svg.get("aria-hidden") == "true" for svg in hidden)
    assert all(th.get("scope") in ("col", "row") for th in reader.of("th"))
    fields = {field["id"] for field in reader.of("input")}
    assert fields == {label["for"] for label in reader.of("label")}
    regions = [d for d in reader.of("div") if d.get("role") == "region"]
    assert all(d.get("tabindex") == "0" for d in regions), "scrolled by keyboard"


def test_runs_without_error_curves_are_told_how_to_get_them(text: str) -> None:
    notes = " ".join(Reader(text).texts["code"])
    assert re.search(r"python -m lit_landmarks validate --run \S.* --ced", notes)


def test_a_study_that_trained_nothing_has_a_page(study: StudyRecord) -> None:
    dear = [t for t in study.trials if t["state"] == "infeasible"]
    empty = replace(study, trials=dear, importance={}, importance_note="too few")
    text = render_page(compare(read_study_entries(empty), [empty]))
    assert Reader(text).open == []
    assert "nothing trained is within the limits" in text


@pytest.mark.parametrize("clear", [True, False])
def test_importance_is_a_headline_only_if_it_rests_on_enough(
    study: StudyRecord, clear: bool
) -> None:
    shown = replace(study, importance_clear=clear)
    text = render_page(compare(read_study_entries(shown), [shown]))
    assert ("most important setting</dt>" in text) is clear
    assert "rests on 31 trials" in text, "the chart says so in any case"


def test_the_cards_count_what_there_is(study: StudyRecord, make_run: Make) -> None:
    run = read_run_entry(make_run("one", 4.0, 60.0))
    for comparison, count, noun in (
        (compare([run]), "1", "runs"),
        # Ended by its budget of epochs: the number of its trials was never planned.
        (compare(read_study_entries(study), [replace(study, total=None)]), "24", "trials"),
        (compare(read_study_entries(study), [study]), "24 of 24", "trials"),
        (compare([*read_study_entries(study), run], [study]), "25", "trials and runs"),
    ):
        text = render_page(comparison)
        assert f"<dt>{noun}</dt><dd>{count}<small>" in text
        assert f">All {noun}</h2>" in text
    assert "small, 1 run: comparison</title>" in text


def _with_faces(run: Path, sets: int, size: int) -> None:
    """Drawn faces of a run as a fit leaves them: two of each kind for each set, `size` bytes."""
    overlays = run / "overlays"
    (overlays / "faces").mkdir(parents=True)
    faces = []
    for number in range(sets):
        for kind in ("worst", "median", "best"):
            for place in (1, 2):
                picture = f"faces/{number}-{kind}-{place}.jpg"
                (overlays / picture).write_bytes(f"{run.name}{picture}".encode().ljust(size, b"."))
                face = ("val", f"s{number}", kind, place, f"<{kind}>.jpg", 3.25, "box", picture)
                names = ("role", "dataset", "kind", "row", "file", "nme", "norm", "picture")
                faces.append(dict(zip(names, face, strict=True)))
    (overlays / "faces.json").write_text(json.dumps({"format": 1, "faces": faces}))


@pytest.mark.parametrize(("sets", "size", "shown"), [(1, 100, 4), (2, 5_000, 8), (5, 100, 8)])
def test_the_page_shows_the_worst_typical_and_best_faces(
    make_run: Make, sets: int, size: int, shown: int
) -> None:
    runs = [make_run(name, 3.0, 50.0) for name in ("first", "second")]
    for run in runs:
        _with_faces(run, sets, size)
    page = render_page(compare([read_run_entry(run) for run in runs]))
    images = [i for i in Reader(page).of("img") if (i["src"] or "").startswith("data:image/jpeg")]
    assert len(images) == shown * len(runs)
    contents = [base64.b64decode((i["src"] or "").partition(",")[2]).rstrip(b".") for i in images]
    assert contents[0] == b"firstfaces/0-worst-1.jpg"
    assert len({*contents}) == len(images)
    assert images[0]["alt"] == "first: worst, 3.2 %, <worst>.jpg"
    kinds = [content.decode().split("-")[1] for content in contents[:4]]
    assert kinds == ["worst", "worst", "median", "best"]


@pytest.mark.parametrize("size", [300_000, 2_000_000])
def test_the_page_stays_small_enough_to_be_sent(make_run: Make, size: int) -> None:
    runs = [make_run(name, 3.0, 50.0) for name in ("first", "second")]
    plain = render_page(compare([read_run_entry(run) for run in runs]))
    for run in runs:
        _with_faces(run, 2, size)
    page = render_page(compare([read_run_entry(run) for run in runs]))
    assert len(page) - len(plain) < 1_500_000
