"""Rows that were not measured alike are not ranked against each other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from lit_landmarks.reports.comparable import MeasuredOn, read_measured_on
from lit_landmarks.reports.compare import as_json, compare
from lit_landmarks.reports.compare_charts import all_charts
from lit_landmarks.reports.compare_terminal import print_comparison
from lit_landmarks.reports.entries import Entry
from lit_landmarks.reports.page import render_page
from lit_landmarks.training.run_directory import RunDirectory

HELEN = MeasuredOn(
    "ibug68",
    {"val": ("interocular",), "test": ("interocular",)},
    {"val": ("helen",), "test": ("afw",)},
    {"val": "a" * 64, "test": "c" * 64},
    "f" * 64,
)


def row(name: str, nme: float, mma: float, measured: MeasuredOn | None) -> Entry:
    metrics = {"val/nme": nme, "test/nme": nme + 1, "compute/mma": mma}
    return Entry(name, f"runs/{name}", metrics=metrics, measured_on=measured)


@pytest.mark.parametrize(
    ("other", "heading"),
    [
        (replace(HELEN, scheme="wflw98"), "wflw98, interocular NME, val/helen aaaaaaaa"),
        (replace(HELEN, norms={"val": ("height",)}), "ibug68, height NME, val/helen aaaaaaaa"),
        (
            replace(HELEN, manifests={"val": "b" * 64}),
            "ibug68, interocular NME, val/helen bbbbbbbb",
        ),
        (replace(HELEN, manifests={}), "ibug68, interocular NME, val/helen ffffffff"),
        (
            replace(HELEN, parts={"val": ("helen (16 of 100 faces)",)}),
            "ibug68, interocular NME, val/helen aaaaaaaa, only helen (16 of 100 faces)",
        ),
        (MeasuredOn("ibug68"), "ibug68, unknown data"),
        (None, "unknown data"),
    ],
)
def test_another_measure_is_another_group(other: MeasuredOn | None, heading: str) -> None:
    rows = [row("a", 5.0, 20.0, HELEN), row("b", 4.0, 40.0, HELEN), row("own", 1.0, 10.0, other)]
    comparison = compare(rows)
    assert [(g.heading, [e.name for e in g.entries]) for g in comparison.groups] == [
        ("ibug68, interocular NME, val/helen aaaaaaaa", ["b", "a"]),
        (heading, ["own"]),
    ]
    assert comparison.best is None
    assert comparison.best_names(comparison.columns[0]) == {"b"}
    assert [entry.name for entry in comparison.front] == ["a", "b", "own"]
    content = as_json(comparison)
    assert content["best"] is None
    assert [(g["heading"], g["best"]) for g in content["groups"]][1] == (heading, "own")
    assert [(r["name"], r["group"]) for r in content["rows"]][2] == ("own", heading)
    keys = [chart.key for chart in all_charts(comparison)]
    assert keys[:2] == ["pareto", "pareto-1"]
    page = render_page(comparison)
    assert page.count('<tbody class="heading">') == 2
    assert f">{heading}</th>" in page
    console = Console(record=True, width=160)
    print_comparison(comparison, console)
    text = console.export_text()
    assert "not measured alike" in text
    assert text.count("Pareto front") == 2
    assert heading in text


def test_rows_that_were_measured_alike_are_one_group() -> None:
    elsewhere = replace(HELEN, manifests={**HELEN.manifests, "train": "9" * 64}, manifest="1" * 64)
    rows = [row("a", 5.0, 20.0, HELEN), row("b", 4.0, 40.0, elsewhere)]
    comparison = compare(rows)
    assert comparison.best is not None
    assert comparison.best.name == "b"
    assert [group.heading for group in comparison.groups] == [""]
    assert "group" not in as_json(comparison)["rows"][0]
    assert '<tbody class="heading">' not in render_page(comparison)


def test_the_role_of_the_objective_decides() -> None:
    other = replace(HELEN, manifests={"val": "b" * 64, "test": "c" * 64})
    rows = [row("a", 5.0, 20.0, HELEN), row("b", 4.0, 40.0, other)]
    assert len(compare(rows).groups) == 2
    assert len(compare(rows, objective="test/nme").groups) == 1
    assert len(compare(rows, objective="compute/mma").groups) == 1


def test_trials_that_were_never_trained_stand_with_the_others() -> None:
    costly = Entry("c", "", "infeasible", "too costly", False, {"compute/mma": 90.0})
    rows = [row("a", 5.0, 20.0, HELEN), row("x", 3.0, 9.0, None), row("b", 4.0, 40.0, HELEN)]
    groups = compare([*rows, costly]).groups
    assert [[e.name for e in group.entries] for group in groups] == [["b", "a", "c"], ["x"]]


def test_means_over_other_test_sets_are_apart() -> None:
    chosen = replace(HELEN, left_out=("afw",))
    rows = [row("a", 5.0, 20.0, HELEN), row("b", 4.0, 40.0, chosen)]
    assert len(compare(rows).groups) == 1
    groups = compare(rows, objective="test/nme").groups
    assert [group.heading for group in groups] == [
        "ibug68, interocular NME, test/afw cccccccc, mean without afw",
        "ibug68, interocular NME, test/afw cccccccc",
    ]


def test_an_unfinished_row_stands_with_those_of_its_data() -> None:
    part = replace(HELEN, parts={"val": ("helen (16 of 100 faces)",)})
    pruned = replace(row("p", 9.0, 20.0, HELEN), state="pruned")
    rows = [row("a", 5.0, 20.0, part), row("x", 3.0, 9.0, None), pruned]
    groups = compare(rows).groups
    assert [[e.name for e in group.entries] for group in groups] == [["a", "p"], ["x"]]


def test_what_was_measured_of_each_set_and_left_out(tmp_path: Path) -> None:
    sets = [
        {"role": "val", "name": "a", "faces": 64},
        {"role": "val", "name": "b", "faces": 9},
        {"role": "test", "name": "b", "faces": 9, "chosen_on": True},
    ]
    metrics = {"val/a/faces": 16.0, "val/b/faces": 9.0, "test/b/faces": 9.0}
    measured = read_measured_on(
        RunDirectory(tmp_path), {"metrics": metrics, "data": {"sets": sets}}
    )
    assert measured.parts == {"val": ("a (16 of 64 faces)",)}
    assert measured.left_out == ("b",)


def test_what_a_run_was_measured_on(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert read_measured_on(run) == MeasuredOn()
    sets = {
        "val/helen": {"faces": 1, "norm": "interocular", "target": "ibug68"},
        "test/afw": {"faces": 1, "norm": "box", "target": "ibug68"},
    }
    record = {"manifest": "f", "roles": {"val": "a"}, "sets": sets, "changes": []}
    run.data.write_text(json.dumps(record))
    expected = MeasuredOn(
        "ibug68",
        {"val": ("interocular",), "test": ("box",)},
        {"val": ("helen",), "test": ("afw",)},
        {"val": "a"},
        "f",
    )
    assert read_measured_on(run) == expected
    named = [
        {"role": key.split("/")[0], "name": key.split("/")[1], "norm": s["norm"]}
        for key, s in sets.items()
    ]
    data = {"manifest": "f", "roles": {"val": "a"}, "sets": named}
    assert read_measured_on(run, {"scheme": "ibug68", "data": data}) == expected
    old = {"scheme": "ibug68", "data": {"manifest": "f", "sets": [{"role": "val", "name": "x"}]}}
    assert read_measured_on(run, old) == MeasuredOn("ibug68", {"val": ()}, {"val": ("x",)}, {}, "f")
    assert read_measured_on(run, {"metrics": {}}) == MeasuredOn()
