"""Checks of a study before its first trial: settings, metrics, data."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from lit_landmarks.compute import count_mma
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.errors import UserError
from lit_landmarks.export.latency import require_onnx
from lit_landmarks.methods import LandmarkModule
from lit_landmarks.metrics.keys import possible_keys
from lit_landmarks.search.launchers import hide_launcher
from lit_landmarks.search.space import Branch, Parameter, Sweep
from lit_landmarks.search.task_runner import limit_to_one_device
from lit_landmarks.settings import Task
from lit_landmarks.settings.arguments import to_arguments
from lit_landmarks.settings.costs import LATENCY_KEYS, ONNX_LATENCY_KEYS
from lit_landmarks.types import Role


def check_settings(sweep: Sweep) -> None:
    """Builds the method once for every boundary value and every choice of each parameter.

    The other parameters are at their first value meanwhile. Reads no data.

    Raises:
        UserError: a parameter or a setting that the configs do not know, or of a wrong type.
    """
    for where, files, space in iterate_branches(sweep):
        first = {p.key: p.probes()[0] for p in space}
        _build(sweep, where, files, first)
        if sweep.refit:
            _build(sweep, f"{where}, refit", files, {**first, **sweep.refit})
        for place, part in enumerate(sweep.rounds, 1):
            _build(sweep, f"{where}, round {place}", files, {**first, **part.settings})
        most = max((len(p.probes()) for p in space), default=0)
        for number in range(1, most):
            others = {p.key: p.probes()[number] for p in space if len(p.probes()) > number}
            try:
                _build(sweep, where, files, first | others)
            except UserError:
                # Two values may only not go together, and then some trials fail; a value that
                # fails by itself is a mistake.
                for key, value in others.items():
                    _build(sweep, f"{where}, {key}: {value}", files, first | {key: value})


def check_metrics(sweep: Sweep) -> None:
    """Builds each method with its data, and compares objective and limits with what is logged.

    Raises:
        UserError: no such metric, a package that measures it is not installed, or data that is not
            there or does not fit.
    """
    for metric in sweep.timed:
        if metric in ONNX_LATENCY_KEYS:
            require_onnx(f"{sweep.file}: {metric}")
    for where, files, space in iterate_branches(sweep):
        first = {p.key: p.probes()[0] for p in space}
        arguments = to_arguments({**sweep.settings, **first})
        try:
            task = Task.from_files(files, limit_to_one_device(files, arguments))
            task.connect()
            # The trainer is built too, so that a missing device is an error before any trial.
            with hide_launcher():
                task.trainer()
        except UserError as error:
            raise UserError(f"{sweep.file}{where}: {error}") from error
        logged = list_logged_keys(task.method(), task.data())
        for metric in sweep.metrics:
            if metric not in logged:
                raise UserError(f"{sweep.file}{where}: {_describe_missing_metric(metric, logged)}")


def list_logged_keys(method: LandmarkModule, data: LandmarkDataModule) -> set[str]:
    """Lists the metric keys that a run of this method on this data can log at its end."""
    example = method.example()
    cost = count_mma(method, example)
    keys = {*cost.record(), *LATENCY_KEYS, *ONNX_LATENCY_KEYS}
    with torch.no_grad():
        prediction = method.eval()(example)
    roles: tuple[Role, ...] = ("val", "test")
    for role in roles:
        keys |= possible_keys(data.spec, role, prediction, adaptive=cost.mma_min is not None)
    return keys


def iterate_branches(sweep: Sweep) -> Iterator[tuple[str, list[Path], tuple[Parameter, ...]]]:
    """Yields a label for messages, argument files and parameters of each method."""
    branches = dict(sweep.methods) or {"": Branch((), ())}
    for name, branch in branches.items():
        where = f" (method {name})" if name else ""
        yield where, [*branch.base, *sweep.base], (*branch.space, *sweep.space)


def _build(sweep: Sweep, where: str, files: list[Path], chosen: dict[str, Any]) -> None:
    try:
        Task.from_files(files, {**sweep.settings, **chosen}, data_sets=False).build_method()
    except UserError as error:
        raise UserError(f"{sweep.file}{where}: {error}") from error


def _describe_missing_metric(metric: str, logged: set[str]) -> str:
    """Message for an unknown metric with similar ones, those of other data sets first."""
    parts = metric.split("/")
    same = [k for k in logged if len(parts) > 2 and k.split("/")[2:] == parts[2:]]
    near = sorted(same) or difflib.get_close_matches(metric, sorted(logged), 3, 0.5)
    names = ", ".join(near[:4] or sorted(logged)[:6])
    cure = f"near it: {names}" if near else f"logged are {names}"
    return f"no part of the run logs '{metric}'; {cure}"
