"""Exhaustive samplers (grid, brute force): check of their space, and whether it is exhausted.

They end a study through `Study.stop`, which works in `Study.optimize` alone. Here the study's
records decide, so that all workers and each resume agree.
"""

from __future__ import annotations

import math
from typing import Any

import optuna
from optuna.samplers import BruteForceSampler, GridSampler
from optuna.trial import TrialState

from lit_landmarks.errors import UserError
from lit_landmarks.search.space import METHOD, Parameter, Sweep


def disable_stop(sampler: Any) -> Any:
    """Disables `after_trial` of an exhaustive sampler, which only calls `Study.stop`."""
    if isinstance(sampler, GridSampler | BruteForceSampler):
        sampler.after_trial = lambda *_, **__: None  # type: ignore[method-assign]
    return sampler


def is_exhausted(sweep: Sweep, study: optuna.Study) -> bool:
    """Whether an exhaustive sampler has tried all values, and no trial waits to be continued."""
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
    if last is None:
        return False
    recorder: Any = _StopRecorder(study)
    BruteForceSampler.after_trial(sampler, recorder, last, last.state, last.values)
    return bool(recorder.stopped)


class _StopRecorder:
    """Proxy of a study that records whether a sampler calls `stop`."""

    def __init__(self, study: optuna.Study) -> None:
        self._study, self.stopped = study, False

    def stop(self) -> None:
        self.stopped = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)


def check_sampler_space(sweep: Sweep) -> None:
    """Checks that a grid has the parameters of the space, and that brute force can count values.

    Raises:
        UserError: a parameter that does not fit; the message names it.
    """
    name, arguments = sweep.sampler
    if sweep.warm_start and name in ("GridSampler", "BruteForceSampler"):
        raise UserError(
            f"{sweep.file}: {name} tries every combination and learns nothing from warm_start; "
            "remove it"
        )
    parameters: dict[str, Parameter | None] = {p.key: p for p in sweep.space}
    for method, branch in sweep.methods.items():
        parameters |= {METHOD: None} | {f"{method}:{p.key}": p for p in branch.space}
    if name == "BruteForceSampler":
        for key, p in parameters.items():
            if p is not None and p.kind == "float" and p.step is None:
                raise UserError(f"{sweep.file}: BruteForceSampler needs a step of {key}; give one")
    if name != "GridSampler":
        return
    grid, where = arguments["search_space"], f"{sweep.file}: sampler.arguments.search_space"
    wrong = next((key for key in grid if key not in parameters), None)
    if wrong is not None:
        raise UserError(
            f"{where}.{wrong} is no parameter of the space; known: {', '.join(parameters)}"
        )
    for key, p in parameters.items():
        if key not in grid:
            raise UserError(f"{where} has no {key}, which is in the space; add it")
        for value in grid[key]:
            fits = value in sweep.methods if p is None else p.holds(value)
            if not fits:
                raise UserError(f"{where}.{key} holds {value!r}, which the space does not")
