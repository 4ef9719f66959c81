"""The answer of a study with several objectives: its front, and the pick of one trial from it."""

from __future__ import annotations

from typing import Any

from lit_landmarks.console import plain_console, print_figures
from lit_landmarks.errors import UserError
from lit_landmarks.reports.setting_names import format_setting, setting_of, shorten_keys
from lit_landmarks.search.judged import JudgedStudy
from lit_landmarks.search.study import StudyFolder, find_front


def describe_front(study: JudgedStudy) -> str:
    """Size of the front, and the trial with the best value of each objective, in one line."""
    sweep, front = study.sweep, find_front(study)
    extremes = []
    for place, key in enumerate(sweep.objectives):
        pick = max if sweep.directions[place] == "maximize" else min
        best = pick(front, key=lambda trial: trial.values[place])
        rest = [f"{k} {v:.3f}" for k, v in zip(sweep.objectives, best.values, strict=True)]
        del rest[place]
        extremes.append(
            f"best {key} {best.values[place]:.3f} (trial {best.number}, {', '.join(rest)})"
        )
    count = f"{len(front)} trial{'s' if len(front) > 1 else ''}"
    return f"a front of {count} in {' and '.join(sweep.objectives)}; {'; '.join(extremes)}"


def summarize_front(study: JudgedStudy) -> list[dict[str, Any]]:
    """The trials of the front as plain values for JSON, the best by the first objective first."""
    return [
        {
            "number": trial.number,
            "values": dict(zip(study.sweep.objectives, trial.values, strict=True)),
            "parameters": trial.params,
        }
        for trial in find_front(study)
    ]


def print_front(study: JudgedStudy, folder: StudyFolder) -> None:
    """Prints the trials of the front with objectives and settings, and how to pick one.

    Raises:
        UserError: no trial was trained within the limits.
    """
    sweep, front = study.sweep, find_front(study)
    if not front:
        limits = ", ".join(map(str, study.limits)) or "its limits"
        raise UserError(
            f"{folder.root} has no trial within {limits}; loosen them, or run more trials"
        )
    names = {name: setting_of(name) for trial in front for name in trial.params}
    short = shorten_keys(names.values())
    settings = list(dict.fromkeys(short[key] for key in names.values()))
    rows = []
    for trial in front:
        own = {short[names[name]]: format_setting(value) for name, value in trial.params.items()}
        values = (f"{value:.3f}" for value in trial.values)
        rows.append((trial.number, *values, *(own.get(name, "-") for name in settings)))
    console = plain_console()
    title, columns = f"{sweep.name}: {describe_front(study)}", (*sweep.objectives, *settings)
    print_figures(title, ("trial", *columns), rows, labels=0, console=console)
    console.print(f"nothing is written; {describe_pick(folder)}")


def describe_pick(folder: StudyFolder) -> str:
    """How one trial of a front is picked."""
    command = f"python -m lit_landmarks sweep best {folder.root}"
    return f'pick one: {command} --trial N, or --limit "compute/mma <= 50"'
