"""How a data set is named on the command line."""

from __future__ import annotations

import argparse
import re
from typing import Any

from jsonargparse import ArgumentParser

from lit_landmarks.cli.lightning import reraise
from lit_landmarks.cli.messages import one_line, unknown_name
from lit_landmarks.data import DATASETS, FaceDataset
from lit_landmarks.errors import UserError

#: What the parser says of an argument without a default; the first name.
_MISSING = re.compile(r"arguments are required: ([\w.]+)")


def build_dataset(name: str, arguments: list[str]) -> FaceDataset:
    """A data set from its class name and `--key value` arguments.

    Raises:
        UserError: no such class, an argument that it does not have, or a bad value.
    """
    if name not in DATASETS:
        raise UserError(unknown_name("data set", name, sorted(DATASETS), None))
    return instantiate(DATASETS[name], None, arguments)


def instantiate(
    cls: type[Any], tree: dict[str, Any] | None, arguments: list[str] | None
) -> FaceDataset:
    """A data set from arguments, or from the `class_path` and `init_args` of an argument file.

    Args:
        cls: the class, or the base of the class that `tree` names.
        tree: {"set": {"class_path": ..., "init_args": ...}}, or None.
        arguments: `--key value` pairs, if `tree` is None.

    Raises:
        UserError: an argument that the class does not have, or a bad value.
    """
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    if tree is None:
        parser.add_class_arguments(cls, "set", fail_untyped=False)
        given = [f"--set.{a[2:]}" if a.startswith("--") else a for a in arguments or []]
    else:
        parser.add_subclass_arguments(cls, "set", fail_untyped=False)
    try:
        parsed = parser.parse_args(given) if tree is None else parser.parse_object(tree)
    except argparse.ArgumentError as error:
        keys = [a.dest for a in parser._actions if a.dest.startswith("set.")]
        if tree is None and (missing := _MISSING.search(str(error))):
            name = missing.group(1).replace("set.", "")
            value = "DIR" if name == "root" else "VALUE"
            raise UserError(f"{cls.__name__} needs {name}; give --{name} {value}") from error
        message = one_line(str(error), None, keys).replace("set.", "")
        raise UserError(message) from error
    try:
        built: FaceDataset = parser.instantiate(parsed)["set"]
    except ValueError as error:
        reraise(error)
    return built
