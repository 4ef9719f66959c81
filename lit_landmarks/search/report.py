"""What a study has come to, for a person and for a program."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table

from lit_landmarks.search.runner import counted, why
from lit_landmarks.search.study import METRICS, best_feasible, is_feasible, pareto_front
from lit_landmarks.search.sweep_file import Sweep


def one_line(trial: FrozenTrial) -> str:
    """A finished trial in one row."""
    value = "-" if trial.value is None or not math.isfinite(trial.value) else f"{trial.value:.3f}"
    cost = trial.user_attrs.get(METRICS, {}).get("compute/mma")
    told = f", {cost:.1f} MMA" if cost is not None else ""
    return f"trial {trial.number}: {value}{told}, {why(trial)}"


def summary(sweep: Sweep, study: optuna.Study) -> dict[str, Any]:
    """The state of a study; plain values for JSON."""
    best = best_feasible(study)
    return {
        "name": sweep.name,
        "total": sweep.trials,
        "trials": len(counted(study)),
        "best": None
        if best is None
        else {"number": best.number, "value": best.value, "parameters": best.params},
        "pareto": [
            {"number": t.number, "value": t.value, "mma": t.user_attrs[METRICS]["compute/mma"]}
            for t in pareto_front(study)
        ],
    }


def print_status(sweep: Sweep, study: optuna.Study) -> None:
    """A table of trials, the best one, the Pareto front and the time left."""
    trials, best, front = counted(study), best_feasible(study), pareto_front(study)
    table = Table(
        title=f"{sweep.name}: {len(trials)} of {sweep.trials} trials", title_justify="left"
    )
    for column in ("trial", sweep.objective, "MMA", "minutes", "what became of it"):
        table.add_column(column, justify="left" if column[0] == "w" else "right")
    for trial in sorted(trials, key=_rank(study)):
        value = trial.value
        cost = trial.user_attrs.get(METRICS, {}).get("compute/mma")
        table.add_row(
            str(trial.number), "-" if value is None or not math.isfinite(value) else f"{value:.3f}",
            "-" if cost is None else f"{cost:.1f}",
            f"{trial.duration.total_seconds() / 60:.1f}" if trial.duration else "-",
            why(trial),
        )  # fmt: skip
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    if best is None:
        console.print("no trial within the limits yet")
    else:
        console.print(
            f"best within the limits: trial {best.number}, {sweep.objective} {best.value:.3f}"
        )
    console.print("Pareto front: " + (", ".join(
        f"{t.value:.3f} at {t.user_attrs[METRICS]['compute/mma']:.1f} MMA" for t in front
    ) or "-"))  # fmt: skip
    spent = [t.duration.total_seconds() for t in trials if t.duration]
    left = sweep.trials - len(trials)
    if spent and left > 0:
        console.print(
            f"{left} trials left, about {left * sum(spent) / len(spent) / 60:.0f} minutes"
        )


def _rank(study: optuna.Study) -> Callable[[FrozenTrial], tuple[bool, float, int]]:
    """Order of the table: within the limits first, then by objective."""
    sign = -1.0 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1.0

    def key(trial: FrozenTrial) -> tuple[bool, float, int]:
        known = trial.state == TrialState.COMPLETE and trial.value is not None
        value = sign * float(trial.value or 0.0) if known else math.inf
        return not is_feasible(trial), value, trial.number

    return key
