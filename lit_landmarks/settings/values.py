"""Values of settings against their type hints, and what is said of one that is refused.

Shared by `preflight.py`, which knows classes by their source, and `diagnosis.py`, which imports
them; nothing here imports torch.
"""

from __future__ import annotations

import argparse
import difflib
import types
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from jsonargparse import ArgumentParser

from lit_landmarks.documents import YamlLoader
from lit_landmarks.errors import UserError
from lit_landmarks.settings.composition import LINKED, Tree

#: Settings of a verb itself, beside those of the trainer, the tracker, the method and the data.
_OWN = ("seed_everything", "model", "data", "config", "run")
_OF_VERB = {"fit": ("resume", "accept_changed_data", "folds", "max_mma")}
_OF_EVALUATION = ("ckpt_path", "output", "ced", "flip_average")


def list_own_keys(verb: str) -> list[str]:
    """Top-level settings of a verb, without groups that are taken apart."""
    return [*_OWN, *_OF_VERB.get(verb, _OF_EVALUATION)]


def refuse_linked(overrides: Sequence[str]) -> None:
    """Refuses settings that the method takes from the data; given twice, they could disagree.

    Raises:
        UserError: naming the setting that decides.
    """
    for key in LINKED:
        for prefix in ("--model.init_args.", "--model."):
            if any(item.split("=")[0] == f"{prefix}{key}" for item in overrides):
                raise UserError(f"{prefix}{key} is taken from the data; set --data.init_args.{key}")


def describe_unknown_name(kind: str, name: str, names: Sequence[str], origin: Path | None) -> str:
    """`unknown method 'ASMNe' in x.yaml; known: ...; did you mean ASMNet?`."""
    where = f" in {origin}" if origin else ""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    cure = f"did you mean {close[0]}?" if close else "correct or remove it"
    # A short list is worth its room, the trainer's hundred keys are not.
    listed = f" known: {', '.join(names)};" if 0 < len(names) <= 24 else ""
    return f"unknown {kind} '{name}'{where};{listed} {cure}"


def describe_bad_value(key: str, hint: Any, value: Any) -> str:
    """`model.rank: expected int, got many; correct that value`."""
    return f"{key}: expected {describe_hint(hint)}, got {value}; correct that value"


def read_value(text: str) -> Any:
    """A value of the command line, read as YAML; what is none is text."""
    try:
        return yaml.load(text, YamlLoader)
    except yaml.YAMLError:
        return text


def apply_overrides(tree: Tree, texts: Mapping[str, str]) -> Tree:
    """A copy of a merged tree with overriding settings in their places, values read as YAML."""
    copy = deepcopy(tree)
    for key, text in texts.items():
        value = read_value(text)
        *parents, last = key.split(".")
        node: Any = copy
        for name in parents:
            node = _inside(node, name).setdefault(name, {})
            if not isinstance(node, dict):
                break
        if isinstance(node, dict):
            target = _inside(node, last)
            is_name = last in ("model", "data") and isinstance(value, str)
            target[last] = {"class_path": value} if is_name else value
    return copy


def _inside(node: Tree, name: str) -> Tree:
    """`--model.dropout` is short for `--model.init_args.dropout`."""
    if "class_path" in node and name not in ("class_path", "init_args", "dict_kwargs"):
        arguments: Tree = node.setdefault("init_args", {})
        return arguments
    return node


def union_members(hint: Any) -> list[Any]:
    """Members of a union; any other hint alone."""
    return list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]


def describe_hint(hint: Any) -> str:
    """`int` for `int | None`, `one of 'a', 'b'` for a literal."""
    texts = []
    for member in union_members(hint):
        if get_origin(member) is Literal:
            texts.append("one of " + ", ".join(map(repr, get_args(member))))
        elif member is not type(None):
            name = isinstance(member, type) and not get_args(member)
            texts.append(member.__name__ if name else str(member).replace("typing.", ""))
    return " or ".join(dict.fromkeys(texts)) or "null"


def fits(hint: Any, value: Any) -> bool:
    """Whether a parser with this argument alone accepts the value."""
    parser = ArgumentParser(exit_on_error=False)
    try:
        parser.add_argument("--value", type=hint)
    except ValueError:  # no type that a parser checks
        return True
    try:
        parser.parse_object({"value": value})
    except argparse.ArgumentError:
        return isinstance(value, int | float) and str in union_members(hint)
    return True


def first_leaf(key: str, value: Any) -> list[str]:
    """Parts of the dotted key of the first setting in a nested value."""
    if isinstance(value, dict) and value:
        inner, item = next(iter(value.items()))
        return [key, *first_leaf(str(inner), item)]
    return [key]


def holds_class(value: Any) -> bool:
    """Whether a class is described somewhere in a value, whose links only the whole parser sees."""
    if isinstance(value, dict):
        return "class_path" in value or any(map(holds_class, value.values()))
    return isinstance(value, list) and any(map(holds_class, value))


def refuse_arguments(name: str, accepted: Mapping[str, bool], texts: Mapping[str, str]) -> None:
    """Refuses arguments that a class does not have, and required ones that are missing.

    Args:
        name: of the class.
        accepted: its arguments, and whether they are required.
        texts: what was given, by dotted key.

    Raises:
        UserError: the first of them, in one line with the cure.
    """
    for key in texts:
        if key.split(".")[0] not in accepted:
            flags = [f"--{argument}" for argument in sorted(accepted)]
            raise UserError(describe_unknown_name("argument", f"--{key}", flags, None))
    for key, required in accepted.items():
        if required and key not in texts:
            value = "DIR" if key == "root" else "VALUE"
            raise UserError(f"{name} needs {key}; give --{key} {value}")
