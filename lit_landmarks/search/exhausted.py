"""Samplers that try everything once: what they can try, and when nothing is left.

They end a study through `Study.stop`, which is for `Study.optimize` alone. Here the records tell,
so that all workers and each resume see the same.
"""

from __future__ import annotations

import math
from typing import Any

import optuna
from optuna.samplers import BruteForceSampler, GridSampler
from optuna.trial import FrozenTrial, TrialState

from lit_landmarks.errors import UserError
from lit_landmarks.search.space import METHOD, Parameter, Sweep


def silenced(sampler: Any) -> Any:
    """The same sampler, which no longer calls `Study.stop`; it did nothing else after a trial."""
    if isinstance(sampler, GridSampler | BruteForceSampler):
        sampler.after_trial = lambda *_, **__: None  # type: ignore[method-assign]
    return sampler


def is_exhausted(sweep: Sweep, study: optuna.Study) -> bool:
    """Whether each value has been tried, or is being tried, and no trial waits to go on."""
    sampler = study.sampler
    if not isinstance(sampler, GridSampler | BruteForceSampler):
        return False
    trials = study.get_trials(deepcopy=False)
    if any(t.state == TrialState.WAITING for t in trials):
        return False
    if isinstance(sampler, GridSampler):
        grid = sweep.sampler[1]["search_space"].values()
        tried = {t.system_attrs["grid_id"] for t in trials if "grid_id" in t.system_attrs}
        return len(tried) >= math.prod(len(values) for values in grid)
    last = next((t for t in reversed(trials) if t.state.is_finished() and t.params), None)
    return last is not None and _stops(sampler, study, last)


class _Asked:
    """A study that notes whether it is told to stop."""

    def __init__(self, study: optuna.Study) -> None:
        self._study, self.stopped = study, False

    def stop(self) -> None:
        self.stopped = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)


def _stops(sampler: BruteForceSampler, study: optuna.Study, last: FrozenTrial) -> bool:
    asked: Any = _Asked(study)
    BruteForceSampler.after_trial(sampler, asked, last, last.state, last.values)
    return bool(asked.stopped)


def refuse_incomplete(sweep: Sweep) -> None:
    """A grid of other parameters than the space's, or values that nobody can count.

    Raises:
        UserError: names the parameter.
    """
    name, arguments = sweep.sampler
    known: dict[str, Parameter | None] = {p.key: p for p in sweep.space}
    for method, branch in sweep.methods.items():
        known |= {METHOD: None} | {f"{method}:{p.key}": p for p in branch.space}
    if name == "BruteForceSampler":
        for key, p in known.items():
            if p is not None and p.kind == "float" and p.step is None:
                raise UserError(f"{sweep.file}: BruteForceSampler needs a step of {key}; give one")
    if name != "GridSampler":
        return
    grid, where = arguments["search_space"], f"{sweep.file}: sampler.arguments.search_space"
    wrong = next((key for key in grid if key not in known), None)
    if wrong is not None:
        raise UserError(f"{where}.{wrong} is no parameter of the space; known: {', '.join(known)}")
    for key, p in known.items():
        if key not in grid:
            raise UserError(f"{where} has no {key}, which is in the space; add it")
        for value in grid[key]:
            fits = value in sweep.methods if p is None else p.holds(value)
            if not fits:
                raise UserError(f"{where}.{key} holds {value!r}, which the space does not")
