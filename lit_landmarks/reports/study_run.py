"""Report of a study that has ended: pictures in its folder and a W&B run of the whole study.

The W&B run has the study's name as its group and "study" as its job type, beside the runs of the
trials. Its id stays in STUDY/wandb/run_id, so a study that goes on continues it: its history gets
the trials that have ended since, and its tables and pictures are made anew.

    study/trials, study/pareto, study/importance            tables
    study/plots/pareto, history, importance                 pictures
    study/objective, study/best against trial               history
    best/..., trials/...                                    summary
    NAME-best                                               artifact, if `wandb.artifacts` asks
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import wandb

from lit_landmarks.draw.chart import Drawing, chart_figure
from lit_landmarks.draw.plots import figure_image, save_figure
from lit_landmarks.files import write_atomic
from lit_landmarks.reports.compare import Comparison, compare
from lit_landmarks.reports.compare_charts import (
    best_so_far,
    history_chart,
    importance_chart,
    pareto_chart,
)
from lit_landmarks.reports.entries import (
    COST,
    Entry,
    StudyRecord,
    format_value,
    open_trial_run,
    read_study_entries,
)
from lit_landmarks.reports.setting_names import setting_of, shorten_keys
from lit_landmarks.training.run_directory import RunDirectory
from lit_landmarks.training.tracking import log_best
from lit_landmarks.training.wandb_logging import WandbOptions, close_tracker, open_tracker
from lit_landmarks.training.wandb_tracker import RunTracker

#: File beside the id of the run: numbers of the trials in its history.
_LOGGED = "logged_trials.json"


def make_study_charts(study: StudyRecord) -> dict[str, Drawing]:
    """Makes the charts of a study that have data: Pareto plot, history and importance."""
    comparison = _compare_trials(study)
    charts = {
        "pareto": pareto_chart(comparison),
        "history": history_chart(study),
        "importance": importance_chart(study),
    }
    return {name: chart for name, chart in charts.items() if chart is not None}


def draw_study(study: StudyRecord) -> list[Path]:
    """Writes the charts as PNG into the study's folder and returns their paths."""
    folder = Path(study.folder)
    return [
        save_figure(chart_figure(chart), folder / f"{name}.png")
        for name, chart in make_study_charts(study).items()
    ]


def track_study(study: StudyRecord, options: WandbOptions, config: Mapping[str, Any]) -> None:
    """Writes the W&B run of the study, or continues it.

    Args:
        study: with at least one trial.
        options: mode, project, entity, tags and artifacts as the trials have them.
        config: the sweep file.

    Raises:
        UserError: W&B refuses an online run.
    """
    tags = list(dict.fromkeys([*options.tags, study.name]))
    named = replace(
        options, group=study.name, name=f"{study.name}-study", job_type="study", tags=tags
    )
    logger = open_tracker(named, RunDirectory(Path(study.folder)), config)
    if logger is None:
        return
    done = 1
    try:
        _log(study, logger)
        winner = _find_trial(study, _compare_trials(study).best)
        if options.artifacts and winner is not None and winner["run"]:
            log_best(logger, f"{study.name}-best", open_trial_run(Path(winner["run"])))
        done = 0
    finally:
        close_tracker(logger, done, summarize_record(study))


def _log(study: StudyRecord, logger: RunTracker) -> None:
    run = logger.experiment
    run.define_metric("trial")
    run.define_metric("study/*", step_metric="trial")
    logged_file = RunDirectory(Path(study.folder)).tracker / _LOGGED
    continued = run.resumed or logger.history.rows is not None
    logged = (
        set(json.loads(logged_file.read_text())) if continued and logged_file.is_file() else set()
    )
    best = dict(best_so_far(study))
    for trial in _list_ended(study):
        number = trial["number"]
        if number in logged:
            continue
        row = {"study/objective": trial["value"], "study/best": best.get(number)}
        logger.log_row({"trial": number, **{k: v for k, v in row.items() if v is not None}})
    pictures = {
        f"study/plots/{name}": wandb.Image(
            figure_image(chart_figure(chart)), caption=chart.description
        )
        for name, chart in make_study_charts(study).items()
    }
    tables = {
        f"study/{name}": wandb.Table(columns=list(heads), data=rows, allow_mixed_types=True)
        for name, (heads, rows) in make_study_tables(study).items()
    }
    logger.log_row({**tables, **pictures})
    write_atomic(logged_file, json.dumps([trial["number"] for trial in _list_ended(study)]))


def _compare_trials(study: StudyRecord) -> Comparison:
    """The trials as their records say; no run directory is read."""
    return compare(read_study_entries(study, files=False), [study], max_drawn=1)


def _find_trial(study: StudyRecord, entry: Entry | None) -> Mapping[str, Any] | None:
    """The record of a row; None without one."""
    if entry is None or entry.trial is None:
        return None
    number = entry.trial.number
    return next(trial for trial in study.trials if trial["number"] == number)


def _list_ended(study: StudyRecord) -> list[Mapping[str, Any]]:
    ended = [trial for trial in study.trials if trial["state"] != "unfinished"]
    return sorted(ended, key=lambda trial: trial["number"])


def make_study_tables(study: StudyRecord) -> dict[str, tuple[list[str], list[list[Any]]]]:
    """Headings and rows of the tables: trials, pareto, importance."""
    params = sorted({name for trial in study.trials for name in trial["params"]})
    limits = [str(limit) for limit in study.limits]
    heads = [
        "trial",
        "state",
        "what became of it",
        "within limits",
        study.objective,
        COST,
        "compute/parameters",
        "minutes",
        "run",
    ]
    rows = [
        [
            t["number"],
            t["state"],
            t["outcome"],
            t["feasible"],
            t["value"],
            t["metrics"].get(COST),
            t["metrics"].get("compute/parameters"),
            None if t["seconds"] is None else t["seconds"] / 60,
            t["run"],
            *(t["constraints"].get(limit) for limit in limits),
            *(_to_plain(t["params"].get(name)) for name in params),
        ]
        for t in study.trials
    ]
    front = _compare_trials(study).front
    axes = list(study.objectives) if study.further else [COST, study.objective]
    return {
        "trials": ([*heads, *(f"violation of {limit}" for limit in limits), *params], rows),
        "pareto": (
            ["trial", *axes],
            [[e.name, *map(e.figure, axes)] for e in front],
        ),
        "importance": (
            ["parameter", "share of importance"],
            [[name, share] for name, share in study.importance.items()],
        ),
    }


def _to_plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else format_value(value)


def summarize_record(study: StudyRecord) -> dict[str, Any]:
    """Counts of trials, and the best within the limits if there is one, or the front."""
    states = [trial["state"] for trial in study.trials]
    fine = [t for t in study.trials if t["feasible"] and t["value"] is not None]
    summary: dict[str, Any] = {
        "trials": {
            "all": len(states),
            **({} if study.total is None else {"wanted": study.total}),
            "within_limits": len(fine),
            **{state: states.count(state) for state in sorted(set(states))},
        },
        "importance_note": study.importance_note,
    }
    comparison = _compare_trials(study)
    if study.further:
        summary["front"] = [
            {"trial": e.name, **{key: e.figure(key) for key in study.objectives}}
            for e in comparison.front
        ]
    winner = _find_trial(study, comparison.best)
    if winner is not None:
        keys = {name: setting_of(name) for name in winner["params"]}
        names = shorten_keys(keys.values())
        summary["best"] = {
            "trial": winner["number"],
            study.objective: winner["value"],
            COST: winner["metrics"].get(COST),
            "run": winner["run"],
            "hp": {names[keys[n]]: _to_plain(value) for n, value in winner["params"].items()},
        }
    return summary
