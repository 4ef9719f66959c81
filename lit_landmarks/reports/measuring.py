"""From a run's result.json to a `Measurement`: figures together with what produced them."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lit_landmarks.errors import UserError
from lit_landmarks.reports.results import Column, Measurement
from lit_landmarks.training.provenance import git_state, machine
from lit_landmarks.training.run_directory import RunDirectory

_HASH_DIGITS = 10
#: Digits after the point where two are too many: counts and costs.
_DIGITS = {"parameters": 0, "learnable": 0, "faces": 0, "mma": 1, "mma_preprocess": 1}


def read_run(path: Path, overrides: Mapping[str, str] | None = None) -> Measurement:
    """The measurement that a run made.

    Args:
        path: a run directory, a result.json, or what `validate` or `test` wrote to --output.
        overrides: texts that replace those of the run: command, data, commit, date, machine.

    Raises:
        UserError: no result there, or one that does not say where it came from.
    """
    result = _read(path)
    found = {
        "command": result.get("command") or "",
        "data": _data_in_words(result.get("data") or {}),
        "commit": _commit_in_words(result.get("git")),
        "date": str(result.get("finished") or "")[:10],
        "machine": _machine_in_words(result.get("machine") or {}),
    }
    metrics = result.get("metrics") or {}
    raw = {**found, **(overrides or {}), "seed": result.get("seed")}
    raw["values"] = {k: v for k, v in metrics.items() if isinstance(v, int | float)}
    if not raw["commit"]:
        raise UserError(f"{path} ran outside a git checkout; say --commit HASH of its code")
    return Measurement.parse(raw, str(path))


def measured_here(
    values: Mapping[str, float], command: str, data: str, seed: int | None, **overrides: str
) -> Measurement:
    """A measurement made on this machine, now, by another tool than `fit`.

    Raises:
        UserError: a text is missing, or the code lies in no git checkout.
    """
    found = {
        "commit": _commit_in_words(git_state()),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": _machine_in_words(machine()),
    }
    raw = {**found, **overrides, "command": command, "data": data, "seed": seed, "values": values}
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
        return (key, float(number)) if key and equals else _not_understood(text)
    except ValueError:
        return _not_understood(text)


def _not_understood(text: str) -> tuple[str, float]:
    raise UserError(f"value {text!r} is not understood; write KEY=NUMBER")


def _read(path: Path) -> dict[str, Any]:
    if path.suffix != ".json":
        return RunDirectory(path).read_result()
    try:
        result: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); give a run or its result.json"
        ) from error
    if not isinstance(result, dict):
        raise UserError(f"{path} holds no result; give a run or its result.json")
    if "seed" not in result and "checkpoint" in result:
        # Figures of `validate` or `test`: the run of their checkpoint tells the rest.
        return RunDirectory(Path(result["checkpoint"]).parents[1]).read_result() | result
    return {str(key): value for key, value in result.items()}


def _data_in_words(data: Mapping[str, Any]) -> str:
    sets = [f"{s['role']} {s['name']} ({s['faces']:,} faces)" for s in data.get("sets") or []]
    if data.get("manifest"):
        sets.append(f"manifest {str(data['manifest'])[:_HASH_DIGITS]}")
    return ", ".join(sets)


def _commit_in_words(git: Mapping[str, Any] | None) -> str:
    if not git or not git.get("commit"):
        return ""
    return str(git["commit"])[:_HASH_DIGITS] + ("+" if git.get("dirty") else "")


def _machine_in_words(machine: Mapping[str, Any]) -> str:
    if machine.get("gpu"):
        return str(machine["gpu"])
    cores = machine.get("cores")
    return f"{cores} CPU core{'s' if cores != 1 else ''}" if cores else ""
