"""Comparison: order, best of each column by the metric's own direction, differences, files."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from lit_landmarks.errors import UserError
from lit_landmarks.reports.compare import (
    Comparison,
    as_csv,
    as_json,
    compare,
    describe_ranking,
    find_differences,
    format_figure,
    select_pareto_entries,
)
from lit_landmarks.reports.compare_charts import all_charts
from lit_landmarks.reports.entries import (
    Entry,
    StudyRecord,
    disambiguate,
    read_learning,
    read_run_entry,
    read_study_entries,
)
from lit_landmarks.reports.limits import parse_limit
from lit_landmarks.reports.results import Column

from .conftest import HOSTILE, Make, study_of, trial_of


def column(comparison: Comparison, heading: str) -> Column:
    return next(c for c in comparison.columns if c.heading == heading)


def test_runs_are_ranked_and_the_best_of_each_column_is_known(make_run: Make) -> None:
    entries = [read_run_entry(make_run(n, nme, mma)) for n, nme, mma in
               (("dear", 4.0, 90.0), ("bad", 7.0, 80.0), ("cheap", 5.0, 20.0))]  # fmt: skip
    comparison = compare(entries)
    assert [e.name for e in comparison.entries] == ["dear", "cheap", "bad"]
    assert comparison.best is not None
    assert comparison.best.name == "dear"
    headings = [c.heading for c in comparison.columns]
    assert headings[:3] == ["val/nme", "MMA", "parameters"]
    assert "val/helen FR10 io" in headings, "the widest threshold of the primary norm"
    assert "val/helen NME io" not in headings, "the same figures as val/nme"
    assert headings.index("val/helen AUC10 io") < headings.index("test/afw NME io")
    assert comparison.best_names(column(comparison, "val/helen AUC10 io")) == {"dear"}, (
        "more is better"
    )
    assert comparison.best_names(column(comparison, "val/helen FR10 io")) == {"dear"}, (
        "less is better"
    )
    assert comparison.best_names(column(comparison, "MMA")) == {"cheap"}
    assert [e.name for e in select_pareto_entries(comparison.entries, "val/nme")] == [
        "cheap",
        "dear",
    ]
    by_area = compare(entries, objective="val/helen/auc10_interocular")
    assert [e.name for e in by_area.entries] == ["dear", "cheap", "bad"]


def test_what_a_run_has_kept(make_run: Make) -> None:
    entry = read_run_entry(make_run("one", 5.0, 50.0))
    assert entry.learning[0] == (1.0, pytest.approx(5.0 * (1 + 4 * 0.55), abs=1e-3))
    assert len(entry.learning) == 12
    assert entry.method == "ASMNet"
    assert set(entry.curves) == {"val/helen", "test/afw"}
    assert entry.seconds == 61.5
    assert math.isnan(entry.figure("no/such"))


def test_only_settings_that_differ(make_run: Make) -> None:
    one = read_run_entry(make_run("one", 5.0, 50.0, width=8, taps=[1, 2]))
    two = read_run_entry(make_run("two", 5.0, 50.0, width=8, taps=[1, 3], extra=HOSTILE))
    assert find_differences([one, two]) == {
        "model.init_args.taps": ["[1, 2]", "[1, 3]"],
        "model.init_args.extra": ["-", HOSTILE],
    }, "not how it was tracked, not what is the same"
    assert find_differences([one, one]) == {}


def test_trials_of_a_study(study: StudyRecord, make_run: Make) -> None:
    kept = make_run("kept", 99.0, 1.0)
    first = next(n for n, t in enumerate(study.trials) if t["state"] == "finished")
    gone = next(n for n, t in enumerate(study.trials) if t["state"] == "pruned")
    trials = [dict(t) for t in study.trials]
    trials[first]["run"], trials[gone]["run"] = str(kept), str(kept.parent / "no-such")
    entries = read_study_entries(replace(study, trials=trials))
    comparison = compare(entries, [study])
    assert len(comparison.entries) == 24
    entry = next(e for e in entries if e.name == f"small-{first:04d}")
    assert entry.figure("val/nme") == trials[first]["value"], "the study's value counts"
    assert entry.figure("val/helen/fr10_interocular") > 0, "further figures come from the run"
    assert entry.learning
    fine = [t for t in study.trials if t["state"] == "finished" and t["feasible"]]
    beyond = [t for t in study.trials if t["state"] == "finished" and not t["feasible"]]
    assert fine
    assert beyond
    assert comparison.best is not None
    assert comparison.best.figure("val/nme") == min(t["value"] for t in fine)
    order = [(e.state == "finished", e.feasible) for e in comparison.entries]
    edge = len(fine)
    assert all(pair == (True, True) for pair in order[:edge])
    assert all(pair == (True, False) for pair in order[edge : edge + len(beyond)])
    assert not any(finished for finished, _ in order[edge + len(beyond) :])


def test_every_row_is_held_to_the_limits_shown(study: StudyRecord, make_run: Make) -> None:
    dear = read_run_entry(make_run("dear", 1.0, 120.0))
    fine = read_run_entry(make_run("fine", 2.0, 90.0))
    comparison = compare([*read_study_entries(study), dear, fine], [study])
    assert comparison.best is not None
    assert comparison.best.name == "fine"
    held = next(e for e in comparison.entries if e.name == "dear")
    assert (held.feasible, held.outcome) == (False, "breaks compute/mma <= 100")
    assert describe_ranking(comparison) == "val/nme within compute/mma <= 100"
    # Of two studies the tighter limit holds, and --limit comes before both.
    loose = replace(study, name="loose", limits=[parse_limit("compute/mma <= 150")])
    assert [str(x) for x in compare([fine], [study, loose]).limits] == ["compute/mma <= 100"]
    chosen = [parse_limit("compute/mma <= 50")]
    assert compare([dear, fine], [study], limits=chosen).best is None
    # What was not measured is not within a limit on it.
    slow = compare([fine], limits=[parse_limit("compute/latency_median_ms <= 5")])
    assert slow.best is None
    assert slow.entries[0].outcome.startswith("has no compute/latency_median_ms")


def test_the_front_is_of_rows_that_keep_the_limits_on_other_metrics(make_run: Make) -> None:
    few = parse_limit("compute/parameters <= 5e6")
    entries = [read_run_entry(make_run(f"{mma}", 100.0 / mma, mma)) for mma in (20.0, 40.0, 80.0)]
    within = compare(entries, limits=[few, parse_limit("compute/mma <= 30")])
    assert [e.name for e in within.front] == ["20.0", "40.0"]


def test_a_trial_of_several_seeds_has_the_mean_and_the_curves_of_the_first(make_run: Make) -> None:
    folder = make_run("seed1", 5.0, 50.0).parent
    make_run("seed2", 9.0, 50.0)
    trial = trial_of(0, 7.0, 50.0, run=str(folder))
    (entry,) = read_study_entries(study_of([trial]))
    assert entry.figure("val/nme") == 7.0
    assert entry.learning == read_learning(folder / "seed1" / "metrics.csv")
    assert entry.where == str(folder / "seed1")
    assert set(entry.curves) == {"val/helen", "test/afw"}


def test_names_are_made_distinct_and_doubles_refused() -> None:
    one, two = Entry("0001", "a/0001"), Entry("0001", "b/0001")
    assert [e.name for e in disambiguate([one, two, Entry("x", "x")])] == ["a/0001", "b/0001", "x"]
    with pytest.raises(UserError, match="a/0001 is given twice"):
        disambiguate([one, replace(one)])


def test_studies_of_one_name_and_their_untrained_trials_are_told_apart() -> None:
    trials = [trial_of(0, 5.0, 50.0), trial_of(1, None, 150.0, state="infeasible", feasible=False)]
    studies = [study_of(trials, folder=f"{place}/small") for place in ("a", "b")]
    page = compare([e for study in studies for e in read_study_entries(study)], studies)
    assert sorted(row.name for row in page.entries) == [
        f"{place}/small/trials/{number:04d}" for place in ("a", "b") for number in (0, 1)
    ]
    assert [study.name for study in page.studies] == ["a/small", "b/small"]
    keys = [chart.key for chart in all_charts(page)]
    assert len({*keys}) == len(keys), keys


def test_a_number_of_parameters_is_printed_in_full() -> None:
    assert str(parse_limit("compute/parameters<=1234567")) == "compute/parameters <= 1234567"
    assert str(parse_limit("compute/mma <= 0.5")) == "compute/mma <= 0.5"


def test_tables_hold_every_row_and_no_formula(make_run: Make) -> None:
    comparison = compare([read_run_entry(make_run("-1+1", 5.0, 50.0, width=1)),
                    read_run_entry(make_run("b", 4.0, 60.0, width=2))])  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(as_csv(comparison))))
    assert [row["name"] for row in rows] == ["b", "'-1+1"], "a spreadsheet would compute it"
    assert float(rows[0]["val/nme"]) == 4.0
    assert [row["config.model.init_args.width"] for row in rows] == ["2", "1"]
    assert [row["pareto"] for row in rows] == ["True", "True"]
    plain = json.loads(json.dumps(as_json(comparison), allow_nan=False))
    assert plain["best"] == "b"
    assert plain["rows"][1]["name"] == "-1+1"


def test_what_cannot_be_compared(make_run: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no trials yet"):
        compare([])
    run = make_run("half", 5.0, 50.0, result=False)
    with pytest.raises(UserError, match=rf"{run} holds no result\.json; .*--resume {run}"):
        read_run_entry(run)
    with pytest.raises(UserError, match=r"holds 1; give .*runs/\*"):
        read_run_entry(run.parent)
    with pytest.raises(UserError, match="no run directory"):
        read_run_entry(tmp_path / "no-such")
    (run / "result.json").write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        read_run_entry(run)
    (run / "result.json").write_text("[]")
    with pytest.raises(UserError, match="holds no metrics; remove it, then fit --resume"):
        read_run_entry(run)
    (run / "result.json").write_text("{}")
    with pytest.raises(UserError, match="holds no metrics"):
        read_run_entry(run)
    good = read_run_entry(make_run("good", 5.0, 50.0))
    with pytest.raises(UserError, match="no run has the figure val/helen/fr9_box"):
        compare([good], extra=["val/helen/fr9_box"])
    with pytest.raises(UserError, match="no better direction"):
        compare([good], objective="val/helen/faces")
    other = study_of([trial_of(0, 1.0, 2.0)], objective="val/helen/fr10_interocular")
    with pytest.raises(UserError, match="different objectives"):
        compare([good], [study_of([]), other])


def test_a_table_of_losses_only_has_no_learning_curve(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,epoch,train/loss\n1,0,0.5\n")
    assert read_learning(tmp_path / "metrics.csv") == []
    assert read_learning(tmp_path / "none.csv") == []


def test_a_single_row_or_a_tie_has_no_best() -> None:
    entries = [Entry(n, n, metrics={"val/nme": 5.0}) for n in ("a", "b")]
    comparison = compare(entries)
    assert comparison.best_names(comparison.columns[0]) == set()
    assert format_figure(math.nan, 2) == "-"
    assert format_figure(1234.5, 1) == "1,234.5"
