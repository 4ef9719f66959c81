"""One data set from `--key value` arguments, or from its entry in an argument file."""

from __future__ import annotations

import argparse
import contextlib
import importlib
from collections.abc import Sequence
from typing import Any

from jsonargparse import ArgumentParser

from lit_landmarks.data import DATASETS, FaceDataset
from lit_landmarks.errors import UserError
from lit_landmarks.settings.arguments import split_overrides
from lit_landmarks.settings.diagnosis import (
    class_arguments,
    explain_arguments,
    explain_entry,
    reraise,
)
from lit_landmarks.settings.values import describe_unknown_name, read_value, refuse_arguments


def build_dataset(name: str, arguments: Sequence[str]) -> FaceDataset:
    """A data set from its class name and `--key value` arguments.

    Args:
        name: registered name, or the import path of a class of one's own.
        arguments: what the class takes.

    Raises:
        UserError: no such class, an argument that it does not have, a bad value, or one missing.
    """
    if "." in name:
        with contextlib.suppress(ImportError):  # the class registers itself
            importlib.import_module(name.rpartition(".")[0])
        name = name.rpartition(".")[2]
    if name not in DATASETS:
        raise UserError(describe_unknown_name("data set", name, sorted(DATASETS), None))
    cls = DATASETS[name]
    texts = split_overrides(arguments)
    accepted = class_arguments(cls)
    refuse_arguments(name, {key: item.required for key, item in accepted.items()}, texts)
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_class_arguments(cls, "set", fail_untyped=False)
    try:
        parsed = parser.parse_args([f"--set.{key}={text}" for key, text in texts.items()])
    except argparse.ArgumentError as error:
        values = {key: read_value(text) for key, text in texts.items()}
        raise explain_arguments(cls, values, str(error)) from error
    return _instantiate(parser, parsed)


def dataset_from_entry(entry: Any) -> FaceDataset:
    """A data set from its entry in an argument file: a class name, or `class_path` and `init_args`.

    Raises:
        UserError: an argument that the class does not have, or a bad value.
    """
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_subclass_arguments(FaceDataset, "set", fail_untyped=False)
    try:
        parsed = parser.parse_object({"set": entry})
    except argparse.ArgumentError as error:
        raise explain_entry(entry, str(error)) from error
    return _instantiate(parser, parsed)


def _instantiate(parser: ArgumentParser, parsed: Any) -> FaceDataset:
    try:
        built: FaceDataset = parser.instantiate(parsed)["set"]
    except ValueError as error:
        reraise(error)
    return built
