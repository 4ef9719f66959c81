"""YAML and JSON documents in which every key stands once.

The usual parsers take the last of two equal keys and say nothing: an optimizer written twice trains
with one of them. Here the second is an error that names its row and that of the first.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from lit_landmarks.errors import UserError

#: Both are safe; the C loader takes a tenth of the time.
_SAFE_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: What a JSON text consists of, beside numbers, `true`, `false`, `null` and blanks.
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,\n]')


class YamlLoader(_SAFE_LOADER):  # type: ignore[misc]
    """Loader of plain values, in which a value that cannot be read is an error of YAML too."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node.

        Raises:
            yaml.YAMLError: such as `2024-06-31`, which YAML takes for a date.
        """
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, OverflowError) as error:
            problem = f"{node.value!r} cannot be read: {error}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


def parse_yaml(text: str, source: str | Path, loader: type[YamlLoader] = YamlLoader) -> Any:
    r"""The content of a YAML document, of plain values.

    Args:
        text: the document.
        source: its file, for messages.
        loader: that reads further kinds of values.

    Raises:
        UserError: a key stands twice in one mapping.
        yaml.YAMLError: the text is not YAML, or a value is none of its kind, such as an impossible
            date.

    Example:
        >>> parse_yaml("lr: 0.1", "a.yaml")
        {'lr': 0.1}
        >>> parse_yaml("lr: 0.1\nlr: 0.2", "a.yaml")
        Traceback (most recent call last):
        lit_landmarks.errors.UserError: key 'lr' stands in row 1 and again, a.yaml:2; remove one
    """
    reader: Any = loader(text)
    try:
        node = reader.get_single_node()
        if node is None:
            return None
        _refuse_repeated(reader, node, source, set())
        return reader.construct_document(node)
    finally:
        reader.dispose()


def parse_json(text: str, source: str | Path, *, finite: bool = False) -> Any:
    """The content of a JSON document.

    Args:
        text: the document.
        source: its file, for messages.
        finite: refuse `NaN` and `Infinity`, which Python writes although JSON has no such numbers.

    Raises:
        UserError: a key stands twice in one object, or a number is not finite.
        json.JSONDecodeError: the text is not JSON.
    """

    def refuse(constant: str) -> float:
        raise UserError(f"{constant} is no number in JSON, {source}; correct it, or write null")

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) != len(pairs):
            for key, first, row in _list_repeated_json(text):
                raise UserError(_describe(key, first, row, source))
        return values

    def read_float(digits: str) -> float:
        return float(digits) if math.isfinite(float(digits)) else refuse(digits)

    try:
        return json.loads(
            text,
            object_pairs_hook=collect,
            parse_constant=refuse if finite else None,
            parse_float=read_float if finite else None,
        )
    except RecursionError as error:
        raise UserError(f"{source} is no readable JSON: nested too deeply; correct it") from error


def _refuse_repeated(loader: Any, node: Any, source: str | Path, visited: set[int]) -> None:
    if id(node) in visited or not isinstance(node, yaml.CollectionNode):
        return
    visited.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated(loader, item, source, visited)
        return
    rows: dict[Hashable, int] = {}
    for key, value in node.value:
        row = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode):
            # As a dict compares keys: `1` and `0x1` are one, `1` and `"1"` are two.
            name = key.value if key.tag.endswith(":merge") else loader.construct_object(key)
            if name in rows:
                raise UserError(_describe(key.value, rows[name], row, source))
            rows[name] = row
        _refuse_repeated(loader, value, source, visited)


def _list_repeated_json(text: str) -> Iterator[tuple[str, int, int]]:
    """Key, row of its first place and row of each further one in the same object."""
    row, last = 1, ""
    objects: list[dict[str, int]] = []  # one for each open object or list
    last_row = row
    for match in _JSON_TOKEN.finditer(text):
        token = match.group()
        if token == "\n":
            row += 1
            continue
        if token == ":" and last.startswith('"') and objects:
            key = json.loads(last, strict=False)
            if key in objects[-1]:
                yield key, objects[-1][key], last_row
            objects[-1].setdefault(key, last_row)
        elif token in "{[":
            objects.append({})
        elif token in "}]" and objects:
            objects.pop()
        last, last_row = token, row


def _describe(key: str, first: int, row: int, source: str | Path) -> str:
    return f"key {key[:60]!r} stands in row {first} and again, {source}:{row}; remove one"
