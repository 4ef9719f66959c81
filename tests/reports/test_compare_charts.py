"""What the charts of a comparison say, against figures computed by hand."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace

import pytest

from lit_landmarks.draw.chart import Bars, Chart
from lit_landmarks.reports.compare import compare
from lit_landmarks.reports.compare_charts import (
    all_charts,
    best_so_far,
    ced_charts,
    find_runs_without_curves,
    history_chart,
    importance_chart,
    learning_chart,
    pareto_chart,
    subset_charts,
)
from lit_landmarks.reports.entries import StudyRecord, read_run_entry, read_study_entries

from .conftest import SUBSETS, Make, study_of, trial_of


def test_best_so_far_counts_only_what_keeps_the_limits() -> None:
    study = study_of([
        trial_of(0, None, 150.0, state="infeasible", feasible=False),
        trial_of(1, 8.0, 10.0),
        trial_of(2, 5.0, 120.0, feasible=False),
        trial_of(3, 9.0, 10.0),
        trial_of(4, 7.0, 10.0),
    ])  # fmt: skip
    assert best_so_far(study) == [(1, 8.0), (2, 8.0), (3, 8.0), (4, 7.0)]
    rising = study_of(
        [trial_of(0, 50.0, 1.0), trial_of(1, 40.0, 1.0), trial_of(2, 60.0, 1.0)],
        objective="val/helen/auc10_interocular",
    )
    assert [value for _, value in best_so_far(rising)] == [50.0, 50.0, 60.0]


def test_the_pareto_chart_tells_trained_from_untrained(study: StudyRecord) -> None:
    comparison = compare(read_study_entries(study), [study])
    chart = pareto_chart(comparison)
    assert chart is not None
    names = {series.name: series for series in chart.series}
    dear = [t for t in study.trials if t["state"] == "infeasible"]
    assert sorted(names["not trained"].x) == sorted(t["metrics"]["compute/mma"] for t in dear)
    front = list(zip(names["Pareto front"].x, names["Pareto front"].y, strict=True))
    assert front == sorted(front, key=lambda p: (p[0], -p[1]))
    trained = [(t["metrics"]["compute/mma"], t["value"]) for t in study.trials if t["value"]]
    for mma, nme in trained:
        assert any(x <= mma and y <= nme for x, y in front), "every trial is met or beaten"
    assert all(point in trained for point in front)
    assert chart.limits == [(100.0, "MMA <= 100")]
    stars = [s for s in chart.series if s.mark == "star"]
    assert comparison.best is not None
    assert [s.name for s in stars] == [comparison.best.name]


def test_a_run_that_learnt_nothing_does_not_flatten_the_others(make_run: Make) -> None:
    entries = [read_run_entry(make_run(str(n), nme, 10.0 + n)) for n, nme in
               enumerate((5.0, 5.5, 6.0, 300.0))]  # fmt: skip
    chart = pareto_chart(compare(entries))
    assert chart is not None
    assert chart.y_range is not None
    assert chart.y_range[1] < 20
    assert "1 row lies beyond" in chart.description


def test_history_and_importance(study: StudyRecord) -> None:
    chart = history_chart(study)
    assert isinstance(chart, Chart)
    assert [s.name for s in chart.series] == ["within the limits", "beyond a limit", "best so far"]
    best = importance_chart(study)
    assert best is not None
    assert list(best.labels) == ["width", "method"]
    assert importance_chart(study_of([], importance={})) is None
    assert history_chart(study_of([trial_of(0, None, 150.0, state="infeasible")])) is None


def test_error_curves_of_two_norms_are_two_charts(make_run: Make) -> None:
    one, two = (read_run_entry(make_run(name, 5.0, 50.0)) for name in ("one", "two"))
    curves = {name: replace(curve, norm="box") for name, curve in two.curves.items()}
    charts = ced_charts(compare([one, replace(two, curves=curves)]))
    assert [(c.xlabel, [s.name for s in c.series]) for c in charts if "helen" in c.title] == [
        ("NME (%, interocular)", ["one"]), ("NME (%, box)", ["two"])
    ]  # fmt: skip
    assert len({c.key for c in charts}) == len(charts)


def test_error_curves_and_their_absence(make_run: Make) -> None:
    with_curves = read_run_entry(make_run("new", 5.0, 50.0))
    without = read_run_entry(make_run("old", 6.0, 40.0, curves=False))
    comparison = compare([with_curves, without])
    charts = ced_charts(comparison)
    assert [c.key for c in charts] == ["ced-val-helen", "ced-test-afw"]
    (series,) = charts[0].series
    assert series.name == "new"
    assert all(a <= b for a, b in zip(series.y, series.y[1:], strict=False)), "never falls"
    curve = with_curves.curves["val/helen"]
    for x, y in list(zip(series.x, series.y, strict=True))[1:-1]:
        assert y == pytest.approx(curve.fraction[round(x / 0.01) - 1])
    ((entry, command),) = find_runs_without_curves(comparison)
    assert entry.name == "old"
    assert command == f"python -m lit_landmarks validate --run {entry.where} --ced"
    spaced = compare([replace(without, where="runs/two words"), with_curves])
    ((_, command),) = find_runs_without_curves(spaced)
    assert shlex.split(command)[-2:] == ["runs/two words", "--ced"], "a shell takes it as it is"


def test_subsets_have_a_bar_each(make_run: Make) -> None:
    comparison = compare(
        [read_run_entry(make_run("a", 4.0, 50.0)), read_run_entry(make_run("b", 6.0, 20.0))]
    )
    charts = {chart.key: chart for chart in subset_charts(comparison)}
    assert set(charts) == {"subsets-val1", "subsets-test1"}
    bars = charts["subsets-val1"]
    assert isinstance(bars, Bars)
    assert set(bars.groups) == {"helen", *SUBSETS}, "one data set: its name is not repeated"
    place = list(bars.groups).index("profile")
    assert bars.series["b"][place] == pytest.approx(6.0 * SUBSETS["profile"])
    assert bars.colors == {"a": 0, "b": 1}
    assert "nan" not in bars.description


def test_a_row_without_figures_of_subsets_has_no_bars(study: StudyRecord, make_run: Make) -> None:
    comparison = compare(
        [*read_study_entries(study), read_run_entry(make_run("a", 4.0, 50.0))], [study]
    )
    assert len(comparison.drawn) == 7
    for bars in subset_charts(comparison):
        assert list(bars.series) == ["a"], "no room for what is not there"
        assert bars.description.startswith("a: ")
        assert "nan" not in bars.description


def test_learning_curves_are_those_of_the_table(make_run: Make) -> None:
    comparison = compare(
        [
            read_run_entry(make_run("a", 4.0, 50.0)),
            read_run_entry(make_run("b", 6.0, 20.0, epochs=1)),
        ]
    )
    chart = learning_chart(comparison)
    assert chart is not None
    assert [list(s.x) for s in chart.series] == [[float(n) for n in range(1, 13)], [1.0]]
    assert chart.series[1].y[0] == pytest.approx(6.0 * 3.2, abs=1e-3)
    assert chart.integer_x


def test_every_chart_has_words_and_a_name_of_its_own(study: StudyRecord, make_run: Make) -> None:
    comparison = compare(
        [*read_study_entries(study), read_run_entry(make_run("a", 4.0, 50.0))], [study]
    )
    charts = all_charts(comparison)
    assert len({chart.key for chart in charts}) == len(charts) >= 7
    assert all(chart.description and chart.title for chart in charts)
    assert not [
        c
        for c in charts
        if isinstance(c, Chart) and not all(map(math.isfinite, sum(c.ranges(), ())))
    ]
