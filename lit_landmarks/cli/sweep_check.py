"""What is wrong with a study, told before any trial starts: settings, metrics, data."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from lit_landmarks.cli.isolation import isolated
from lit_landmarks.cli.lightning import LandmarkCLI, run_cli
from lit_landmarks.cli.parsing import Request
from lit_landmarks.cli.profile import build_method
from lit_landmarks.compute import count_mma, latency
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.errors import UserError
from lit_landmarks.methods import LandmarkModule
from lit_landmarks.metrics.keys import possible_keys
from lit_landmarks.search import several, standing_alone
from lit_landmarks.search.space import Branch, Parameter, Sweep
from lit_landmarks.search.trial import Settings
from lit_landmarks.training.build import connect
from lit_landmarks.training.evaluation import evaluation_trainer
from lit_landmarks.types import Role

#: Names under which latency is logged.
_LATENCY = ("compute/latency_median_ms", "compute/latency_p90_ms")
#: Timed calls of a method on one thread, and those before; a trial is not to wait for more.
_REPEATS, _WARMUP = 30, 3


class TaskCLI(LandmarkCLI):
    """Parses all settings, builds method, data and trainer as a fit does, and trains nothing."""

    model: LandmarkModule
    datamodule: LandmarkDataModule

    def instantiate_classes(self) -> None:
        """Method and data; labels are read, pixels are not."""
        self.config_init = self.parser.instantiate(self.config)
        self.datamodule = self._get(self.config_init, "data")
        self.model = self._get(self.config_init, "model")
        connect(self.model, self.datamodule, "fit")
        arguments = dict(self._get(self.config_init, "trainer"))
        if not several(arguments.get("devices")):
            arguments["devices"] = 1
        # One that keeps no files: a device that is not here is told before any trial.
        with isolated(), standing_alone():
            self.make_trainer(evaluation_trainer, arguments=arguments)

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing to run."""


def costs(base: list[Path], settings: list[str], timed: bool = False) -> dict[str, float]:
    """Costs of a trial, from the shapes alone; with latency (CPU, one thread) if `timed`."""
    method = build_method(base, settings)
    example = method.example()
    found = count_mma(method, example).record()
    if timed:
        time = latency(method, example, threads=1, repeats=_REPEATS, warmup=_WARMUP)
        found |= dict(zip(_LATENCY, (time.median_ms, time.p90_ms), strict=True))
    return found


def check_settings(sweep: Sweep) -> None:
    """Every value at an end of a range, and every choice, is parsed and builds a method.

    Other parameters are at their first value meanwhile. Needs no data.

    Raises:
        UserError: a parameter or a setting that the configs do not know, or of a wrong type.
    """
    for where, files, space in _branches(sweep):
        first = {p.key: p.probes()[0] for p in space}
        _build(sweep, where, files, first)
        if sweep.refit:
            _build(sweep, f"{where}, refit", files, {**first, **sweep.refit})
        rounds = max((len(p.probes()) for p in space), default=0)
        for number in range(1, rounds):
            others = {p.key: p.probes()[number] for p in space if len(p.probes()) > number}
            try:
                _build(sweep, where, files, first | others)
            except UserError:
                # Two values may only not go together, and then some trials fail; a value that
                # fails by itself is a mistake.
                for key, value in others.items():
                    _build(sweep, f"{where}, {key}: {value}", files, first | {key: value})


def check_metrics(sweep: Sweep) -> None:
    """Builds each method with its data, and looks whether objective and limits are logged.

    Raises:
        UserError: no such metric, or data that is not there or does not fit.
    """
    for where, files, space in _branches(sweep):
        first = {p.key: p.probes()[0] for p in space}
        words = Settings((), {**sweep.settings, **first}).words()
        try:
            task = run_cli(TaskCLI, Request("fit", configs=files, rest=words))
        except UserError as error:
            raise UserError(f"{sweep.file}{where}: {error}") from error
        logged = logged_keys(task.model, task.datamodule)
        for metric in sweep.metrics:
            if metric not in logged:
                raise UserError(f"{sweep.file}{where}: {_no_such(metric, logged)}")


def logged_keys(model: LandmarkModule, data: LandmarkDataModule) -> set[str]:
    """Keys that a run of this method on this data can log at its end."""
    example = model.example()
    cost = count_mma(model, example)
    keys = {*cost.record(), *_LATENCY}
    with torch.no_grad():
        prediction = model.eval()(example)
    roles: tuple[Role, ...] = ("val", "test")
    for role in roles:
        keys |= possible_keys(data.spec, role, prediction, adaptive=cost.mma_min is not None)
    return keys


def _branches(sweep: Sweep) -> Iterator[tuple[str, list[Path], tuple[Parameter, ...]]]:
    """For each method: how to name it, its argument files, its parameters."""
    branches = dict(sweep.methods) or {"": Branch((), ())}
    for name, branch in branches.items():
        where = f" (method {name})" if name else ""
        yield where, [*branch.base, *sweep.base], (*branch.space, *sweep.space)


def _build(sweep: Sweep, where: str, files: list[Path], chosen: dict[str, Any]) -> None:
    try:
        build_method(files, Settings((), {**sweep.settings, **chosen}).words())
    except UserError as error:
        raise UserError(f"{sweep.file}{where}: {error}") from error


def _no_such(metric: str, logged: set[str]) -> str:
    """Names what comes near: other data sets of that metric first."""
    parts = metric.split("/")
    same = [k for k in logged if len(parts) > 2 and k.split("/")[2:] == parts[2:]]
    near = sorted(same) or difflib.get_close_matches(metric, sorted(logged), 3, 0.5)
    known = ", ".join(near[:4] or sorted(logged)[:6])
    cure = f"near it: {known}" if near else f"logged are {known}"
    return f"no part of the run logs '{metric}'; {cure}"
