"""Reads a run's result.json as a `Measurement`: figures with command, data, commit and machine."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lit_landmarks.documents import parse_json
from lit_landmarks.errors import UserError
from lit_landmarks.reports.results import Column, Measurement
from lit_landmarks.training.provenance import git_state, machine
from lit_landmarks.training.run_directory import RunDirectory

_HASH_DIGITS = 10
#: Digits after the point for counts and costs; other figures have two.
_DIGITS = {
    **{"parameters": 0, "learnable": 0, "faces": 0},
    **{"mma": 1, "mma_preprocess": 1, "mma_elementwise": 1},
}


def read_run(path: Path, overrides: Mapping[str, str] | None = None) -> Measurement:
    """Reads the measurement of a run.

    Args:
        path: a run directory, a result.json, or what `validate` or `test` wrote to --output.
        overrides: texts that replace those of the run: command, data, commit, date, machine.

    Raises:
        UserError: no result there, or one without the commit of its code.
    """
    result = _read(path)
    fields = {
        "command": result.get("command") or "",
        "data": _describe_data(result.get("data") or {}),
        "commit": _describe_commit(result.get("git")),
        "date": str(result.get("finished") or "")[:10],
        "machine": _describe_machine(result.get("machine") or {}),
    }
    metrics = result.get("metrics") or {}
    raw = {**fields, **(overrides or {}), "seed": result.get("seed")}
    raw["values"] = {k: v for k, v in metrics.items() if isinstance(v, int | float)}
    if not raw["commit"]:
        raise UserError(f"{path} ran outside a git checkout; give --commit HASH of its code")
    return Measurement.parse(raw, str(path))


def measure_now(
    values: Mapping[str, float], command: str, data: str, seed: int | None, **overrides: str
) -> Measurement:
    """A measurement that another tool than `fit` has just made on this machine.

    Raises:
        UserError: a text is missing, or the code lies in no git checkout.
    """
    fields = {
        "commit": _describe_commit(git_state()),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": _describe_machine(machine()),
    }
    raw = {**fields, **overrides, "command": command, "data": data, "seed": seed, "values": values}
    return Measurement.parse(raw | {"values": dict(values)}, "this figure")


def parse_column(text: str) -> Column:
    """A column from `KEY`, `HEADING=KEY` or `HEADING=KEY:DIGITS`."""
    heading, _, key = text.rpartition("=")
    key, _, digits = key.partition(":")
    if not key or (digits and not digits.isdigit()):
        raise UserError(f"column {text!r} is not understood; write KEY or 'HEADING=KEY:DIGITS'")
    places = int(digits) if digits else _DIGITS.get(key.rpartition("/")[2], 2)
    return Column(heading or key, key, places)


def parse_value(text: str) -> tuple[str, float]:
    """A figure from `KEY=NUMBER`."""
    key, equals, number = text.rpartition("=")
    try:
        if key and equals:
            return key, float(number)
    except ValueError:
        pass
    raise UserError(f"value {text!r} is not understood; write KEY=NUMBER")


def _read(path: Path) -> dict[str, Any]:
    if path.suffix != ".json":
        return RunDirectory(path).read_result()
    try:
        result: Any = parse_json(path.read_text(encoding="utf-8"), path)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); give a run or its result.json"
        ) from error
    if not isinstance(result, dict):
        raise UserError(f"{path} holds no result; give a run or its result.json")
    if "seed" not in result and "checkpoint" in result:
        # Figures of `validate` or `test`: the run of their checkpoint has the rest.
        # A measurement in a run's own folder names it from the run's root.
        checkpoint = path.resolve().parents[1] / result["checkpoint"]
        if not checkpoint.is_file():
            checkpoint = Path(result["checkpoint"])
        return RunDirectory(checkpoint.parents[1]).read_result() | result
    return {str(key): value for key, value in result.items()}


def _describe_data(data: Mapping[str, Any]) -> str:
    sets = [f"{s['role']} {s['name']} ({s['faces']:,} faces)" for s in data.get("sets") or []]
    if data.get("manifest"):
        sets.append(f"manifest {str(data['manifest'])[:_HASH_DIGITS]}")
    return ", ".join(sets)


def _describe_commit(git: Mapping[str, Any] | None) -> str:
    if not git or not git.get("commit"):
        return ""
    return str(git["commit"])[:_HASH_DIGITS] + ("+" if git.get("dirty") else "")


def _describe_machine(machine: Mapping[str, Any]) -> str:
    if machine.get("gpu"):
        return str(machine["gpu"])
    cores = machine.get("cores")
    return f"{cores} CPU core{'s' if cores != 1 else ''}" if cores else ""
