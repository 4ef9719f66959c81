"""`data`: its three parts, and how a data set is named on the command line."""

from __future__ import annotations

import argparse
import re
from importlib import import_module
from typing import Any

from jsonargparse import ArgumentParser

from lit_landmarks.cli.lightning import reraise
from lit_landmarks.cli.messages import one_line, unknown_name
from lit_landmarks.data import DATASETS, FaceDataset
from lit_landmarks.errors import UserError

#: What the parser says of an argument without a default; the first name.
_MISSING = re.compile(r"arguments are required: ([\w.]+)")
_PARTS = {
    "check": "read a data set, or every one below a folder; counts, bad rows, contact sheets",
    "synthesize": "write rendered faces to disk in the files of a published data set",
    "convert": "any data set to our own JSON; an ICT FaceKit clone to a head file",
}
_HELP = f"""usage: python -m lit_landmarks data <part> [arguments]

{chr(10).join(f"  {name:<11} {told}" for name, told in _PARTS.items())}

  python -m lit_landmarks data check --root DIR
  python -m lit_landmarks data check --all DIR
  python -m lit_landmarks data synthesize DIR --layout ibug --n 1000
  python -m lit_landmarks data convert Ibug300W --root DIR --to OUT
  python -m lit_landmarks data <part> --help"""


def run(arguments: list[str]) -> int:
    """Runs one part of `data`."""
    part, *rest = arguments or ["--help"]
    if part in ("-h", "--help"):
        print(_HELP)
        return 0
    if part not in _PARTS:
        raise UserError(unknown_name("part of data", part, sorted(_PARTS), None))
    status: int = import_module(f"lit_landmarks.cli.data_{part}").run(rest)
    return status


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
        arguments: `--key value` words, if `tree` is None.

    Raises:
        UserError: an argument that the class does not have, or a bad value.
    """
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    if tree is None:
        parser.add_class_arguments(cls, "set", fail_untyped=False)
        words = [f"--set.{w[2:]}" if w.startswith("--") else w for w in arguments or []]
    else:
        parser.add_subclass_arguments(cls, "set", fail_untyped=False)
    try:
        parsed = parser.parse_args(words) if tree is None else parser.parse_object(tree)
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
