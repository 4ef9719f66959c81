"""What a page says first of a study whose truth is known: winner, methods, budgets, settings."""

from __future__ import annotations

import math
import re

import pytest

from lit_landmarks.errors import UserError
from lit_landmarks.reports.answers import (
    best_of_methods,
    best_within_budget,
    find_winner,
    shorten_names,
)
from lit_landmarks.reports.compare import Comparison, compare
from lit_landmarks.reports.compare_charts import pareto_chart
from lit_landmarks.reports.entries import read_study_entries
from lit_landmarks.reports.page import render_page
from lit_landmarks.reports.setting_names import shorten_keys
from lit_landmarks.reports.slice_charts import slice_charts

from .conftest import night_study, study_of, trial_of


@pytest.fixture(scope="module")
def night() -> Comparison:
    """The study of sixty trials, compared."""
    study = night_study()
    return compare(read_study_entries(study), [study])


def _trained() -> list[tuple[float, float, str, int]]:
    """(objective, cost, method, number) of the trials that count."""
    return sorted(
        (t["value"], t["metrics"]["compute/mma"], t["params"]["method"], t["number"])
        for t in night_study().trials
        if t["value"] is not None
    )


def test_the_winner_has_its_settings_cost_and_command(night: Comparison) -> None:
    value, mma, method, number = _trained()[0]
    winner = find_winner(night)
    assert winner is not None
    assert winner.entry.trial is not None
    assert winner.entry.trial.number == number
    assert winner.figure == f"{value:.3f}"
    assert winner.cost == f"{mma:.1f} MMA"
    assert winner.share == pytest.approx(mma / 100)
    assert winner.entry.method == method == "musica"
    assert list(winner.settings) == ["lr", "rotation", "patches"]
    assert re.fullmatch(r"0\.00\d{3,4}", winner.settings["lr"])
    assert winner.command == (
        f"python -m lit_landmarks sweep best studies/night --trial {number} --output best.yaml"
    )


def test_the_spread_over_seeds_stands_with_the_figure() -> None:
    study = study_of([trial_of(0, 4.0, 50.0, seeds=[3.9, 4.0, 4.1]), trial_of(1, 5.0, 40.0)])
    winner = find_winner(compare(read_study_entries(study), [study]))
    assert winner is not None
    assert winner.figure == "4.000 \N{PLUS-MINUS SIGN} 0.100, 3 seeds"


def test_the_best_of_each_method(night: Comparison) -> None:
    best: dict[str, int] = {}
    for _, _, method, number in _trained():
        best.setdefault(method, number)
    answers = best_of_methods(night)
    assert [a.condition for a in answers] == [*best, "asmnet"][:3]
    assert [a.entry.trial.number for a in answers if a.entry and a.entry.trial] == list(
        best.values()
    )


def test_the_best_within_parts_of_the_budget(night: Comparison) -> None:
    for share, answer in zip((0.25, 0.5, 0.75, 1.0), best_within_budget(night), strict=True):
        value, _, _, number = next(row for row in _trained() if row[1] <= 100 * share)
        assert answer.condition == f"{100 * share:.1f} MMA, {100 * share:.0f} %"
        assert answer.entry is not None
        assert answer.entry.trial is not None
        assert answer.entry.trial.number == number
        assert answer.figure == f"{value:.3f}"
    study = study_of([trial_of(0, 4.0, 60.0)])
    (quarter, *_) = best_within_budget(compare(read_study_entries(study), [study]))
    assert quarter.entry is None


def test_points_have_the_mark_of_their_method_and_pruned_ones_are_small(night: Comparison) -> None:
    chart = pareto_chart(night)
    assert chart is not None
    styles = {name: (color, mark) for name, color, mark in chart.key_marks}
    assert set(styles) == {"musica", "asmnet", "mobilenet"}
    assert len(set(styles.values())) == 3
    for series in chart.series:
        method = series.name.split(", ")[0]
        if series.name.endswith(", within the limits"):
            assert (series.color, series.mark) == styles[method]
    (pruned,) = [series for series in chart.series if series.name == "pruned"]
    states = [trial["state"] for trial in night_study().trials]
    assert pruned.mark == "speck"
    assert len(pruned.x) == states.count("pruned") > 5
    assert "small points were pruned" in chart.caption


def test_a_chart_for_each_setting_the_most_important_first(night: Comparison) -> None:
    charts = {chart.title: chart for chart in slice_charts(night)}
    assert list(charts) == ["lr", "patches", "rotation", "backbone", "width"]
    assert charts["lr"].log_x
    assert not charts["rotation"].log_x
    assert charts["backbone"].x_labels == ["mobilenetv2_100", "mobilenetv3_small_100"]
    count = sum(len(series.x) for series in charts["lr"].series)
    assert count == sum(t["state"] in ("finished", "pruned") for t in night_study().trials)


def test_the_page_names_trials_by_number_and_settings_shortly(night: Comparison) -> None:
    text = render_page(night)
    number = _trained()[0][3]
    assert f"#{number}</span></h2>" in text
    assert "night-00" not in text
    assert "init_args" not in text
    heads = re.findall(r'<th scope="col"[^>]*><button type="button">([^<]*)</button>', text)
    assert heads[-7:] == ["lr", "rotation", "patches", "backbone", "width", "method", "state"]
    several = compare(read_study_entries(night_study()), [night_study(), study_of([])])
    assert shorten_names(several).entries[0].name.startswith("night-")


def test_another_figure_may_stand_for_cost() -> None:
    study = night_study()
    comparison = compare(read_study_entries(study), [study], cost="compute/parameters")
    chart = pareto_chart(comparison)
    assert chart is not None
    assert chart.xlabel == "parameters"
    assert not chart.limits  # those are on multiply-adds
    assert best_within_budget(comparison) == []
    winner = find_winner(comparison)
    assert winner is not None
    assert winner.cost.endswith(" parameters")
    with pytest.raises(UserError, match=r"val/nme is no cost; choose one of compute/mma"):
        compare(read_study_entries(study), [study], cost="val/nme")
    with pytest.raises(UserError, match="no run has the figure compute/latency_median_ms"):
        compare(read_study_entries(study), [study], cost="compute/latency_median_ms")


def test_names_that_would_collide_keep_what_tells_them_apart() -> None:
    keys = ["model.init_args.loss", "model.init_args.loss.init_args.scale", "data.scale"]
    assert list(shorten_keys(keys).values()) == ["loss", "loss.scale", "data.scale"]
    twins = ["model.init_args.optimizer", "model.init_args.optimizer.class_path"]
    assert list(shorten_keys(twins).values()) == twins


def test_a_row_without_cost_can_win() -> None:
    study = study_of([trial_of(0, 4.0, math.nan, metrics={})], limits=[])
    winner = find_winner(compare(read_study_entries(study), [study]))
    assert winner is not None
    assert (winner.cost, winner.share) == ("", None)
