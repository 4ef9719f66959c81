"""Settings that can be read in two ways, refused before a parser takes one of them in silence.

A key that stands twice in one file is found while the file is read (`documents.py`). Here are the
other forms of it, a setting written both as `trainer.max_epochs: 3` and below `trainer:` or a
mapping on the command line, and a seed that is no whole number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lit_landmarks.documents import parse_json, parse_yaml
from lit_landmarks.errors import UserError
from lit_landmarks.settings.arguments import split_overrides

Tree = dict[str, Any]

SEED = "seed_everything"
#: Seeds that the generators of Python, NumPy and PyTorch all take.
SEEDS = range(2**32)
#: Groups of settings that dotted keys of a file may reach into.
_GROUPS = ("trainer", "model", "data", "wandb")
#: Arguments of the data module whose files hold faces.
_DATA_SETS = ("train", "val", "test")


def nest_dotted_keys(tree: Tree, path: Path, text: str) -> Tree:
    """A file's settings with `trainer.max_epochs: 3` as `trainer: {max_epochs: 3}`.

    Only the groups themselves and one level below: deeper, a dot may belong to a name.

    Args:
        tree: content of the file.
        path: the file, for messages.
        text: the file's text, for the row in messages.

    Raises:
        UserError: a setting is given in both forms.

    Example:
        >>> nest_dotted_keys({"trainer": {"a": 1}, "trainer.b": 2}, Path("x.yaml"), "")
        {'trainer': {'a': 1, 'b': 2}}
    """
    nested: Tree = {}
    for key, value in tree.items():
        if key in _GROUPS and isinstance(value, dict):
            plain = {name: item for name, item in value.items() if "." not in str(name)}
            nested[key] = {**plain, **_as_group(nested.get(key))}
            for name, item in value.items():
                if name not in plain:
                    _insert(nested, [key, *name.split(".")], item)
        elif isinstance(key, str) and key.split(".")[0] in _GROUPS and "." in key:
            _insert(nested, key.split("."), value)
        else:
            nested[key] = value
    for dotted in _list_repeated(tree):
        last = re.escape(dotted.rpartition(".")[2])
        rows = [n for n, row in enumerate(text.splitlines(), 1) if re.search(rf"\b{last}\b", row)]
        where = f"{path}:{rows[-1]}" if rows else str(path)
        raise UserError(f"{dotted} is given with dots and without, {where}; keep one of them")
    return nested


def refuse_ambiguous(tree: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Refuses a seed that is no whole number, and keys that stand twice in values and their files.

    Args:
        tree: the merged argument files.
        overrides: settings after them, as `--key value`.

    Raises:
        UserError: the setting, what it is and what it should be.
    """
    texts = split_overrides(overrides)
    seed = tree.get(SEED, 0)
    if SEED in texts:
        seed = int(texts[SEED]) if re.fullmatch(r"\d{1,18}", texts[SEED]) else texts[SEED]
    if type(seed) is not int or seed not in SEEDS:
        shown = repr(seed) if isinstance(seed, str) else str(seed).lower()
        raise UserError(
            f"{SEED}: expected int, got {shown}; give a whole number from 0 to {SEEDS[-1]}"
        )
    values: list[Any] = [tree]
    for key, text in texts.items():
        try:
            values.append(parse_yaml(text, f"--{key}"))
        except yaml.YAMLError:
            values.append(text)  # a plain text for the parser
    for file in _list_files(values):
        parse = parse_json if file.suffix == ".json" else parse_yaml
        try:
            parse(file.read_text(encoding="utf-8"), file)
        except UserError:
            raise
        except (OSError, ValueError, yaml.YAMLError):
            continue  # the parser says what is wrong, if it is settings at all


def _as_group(value: Any) -> Tree:
    return value if isinstance(value, dict) else {}


def _insert(tree: Tree, parts: Sequence[str], value: Any) -> None:
    for part in parts[:-1]:
        tree[part] = tree = dict(_as_group(tree.get(part)))
    old = tree.get(parts[-1])
    both = isinstance(old, dict) and isinstance(value, dict)
    tree[parts[-1]] = {**_as_group(old), **value} if both else value


def _list_repeated(tree: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of settings that one mapping holds both as `a.b` and as `b` below `a`."""
    if isinstance(tree, list):
        for item in tree:
            yield from _list_repeated(item, prefix)
    if not isinstance(tree, Mapping):
        return
    spelled: dict[str, str] = {}
    for key, value in tree.items():
        for name in _list_leaves(str(key), value):
            if spelled.setdefault(name, str(key)) != str(key):
                yield f"{prefix}{name}"
    for key, value in tree.items():
        yield from _list_repeated(value, f"{prefix}{key}.")


def _list_leaves(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _list_leaves(f"{key}.{name}", item)
    else:
        yield key


def _list_files(value: Any) -> Iterator[Path]:
    """Files of settings that values name, which a parser reads in their place; not of data sets."""
    if isinstance(value, Mapping):
        value = [item for key, item in value.items() if key not in _DATA_SETS]
    if isinstance(value, list):
        for item in value:
            yield from _list_files(item)
    elif isinstance(value, str) and value.endswith((".yaml", ".yml", ".json")):
        yield from (path for path in [Path(value)] if path.is_file())
