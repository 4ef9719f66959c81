"""Command-line arguments as text: a parser with errors of one line, and settings as arguments."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import yaml

from lit_landmarks.errors import UserError

#: Dotted settings with plain values, or the same as `--key=value` arguments.
Overrides = Mapping[str, Any] | Sequence[str]


class OneLineParser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises `UserError` instead of dumping its usage."""

    def error(self, message: str) -> NoReturn:
        """Bad arguments, with the cure."""
        raise UserError(f"{message}; see {self.prog} --help")


def to_arguments(overrides: Overrides) -> list[str]:
    """Overriding settings as `--key=value` arguments, with values in YAML.

    Example:
        >>> to_arguments({"trainer.max_epochs": 3, "data.init_args.scheme": None})
        ['--trainer.max_epochs=3', '--data.init_args.scheme=null']
    """
    if isinstance(overrides, Mapping):
        return [f"--{key}={to_text(value)}" for key, value in overrides.items()]
    return list(overrides)


def to_text(value: Any) -> str:
    """A plain value as one line of YAML; a string as it is."""
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


def split_overrides(arguments: Sequence[str]) -> dict[str, str]:
    """Dotted keys and the texts of their last values in `--key=value` and `--key value` arguments.

    A flag without a value has the text "true". Arguments that belong to no key are left out.
    """
    values: dict[str, str] = {}
    waiting = ""
    for argument in arguments:
        if argument.startswith("--"):
            key, equals, text = argument[2:].partition("=")
            values[key] = text if equals else "true"
            waiting = "" if equals else key
        elif waiting:
            values[waiting], waiting = argument, ""
    return values
