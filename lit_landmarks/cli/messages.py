"""From a parser's tree of complaints to one line with the cure.

jsonargparse explains a wrong key by walking every type it tried. A user needs the innermost cause:
which key, of which class, and what would have been accepted.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lit_landmarks.cli.configs import Composed, short_name

_UNKNOWN_CLASS = re.compile(r"Expected a dot import path string: (\S+)")
_NOT_SUBCLASS = re.compile(r"(?:Import path|class_path) '?([\w.]+)'? (?:does not|is not|not)")
_UNKNOWN_SETTING = re.compile(
    r"Problem with given class_path '([\w.]+)':\s+Option '([\w.]+)' is not accepted"
)
_MISSING_SETTING = re.compile(
    r"Problem with given class_path '([\w.]+)':\s+the following arguments are required: ([\w., ]+)"
)
_UNKNOWN_KEY = re.compile(r"does not accept option '([^']+)'")
_UNKNOWN_FLAG = re.compile(r"unrecognized arguments: (.+)")
_KEY = re.compile(r'Parser key "([^"]+)"')
_EXPECTED = re.compile(r"Expected an? (?!<class 'NoneType'>)(.+?)(?:\. Got value|\n|$)")
_GIVEN = re.compile(r"(?:Got value|Given value): (.+)")
_NOISE = (
    "Subtypes:",
    "Errors:",
    "Given value",
    "Expected a <class 'NoneType'>",
    "Does not validate",
)


def one_line(message: str, composed: Composed | None, keys: Iterable[str] = ()) -> str:
    """The innermost cause of a parser's message, in one line.

    Args:
        message: what the parser said, of any number of lines.
        composed: the argument files, to name the one that holds the key.
        keys: dotted keys that the verb accepts, for a suggestion.
    """
    known = sorted(keys)
    if found := _UNKNOWN_SETTING.search(message):
        class_path, key = found.groups()
        accepted = settings_of(class_path)
        return _unknown(f"setting of {short_name(class_path)}", key, accepted, composed)
    if found := _UNKNOWN_CLASS.search(message) or _NOT_SUBCLASS.search(message):
        kind, names = _candidates(message)
        return _unknown(kind, found.group(1), names, composed)
    if found := _MISSING_SETTING.search(message):
        return f"{short_name(found.group(1))} needs a value for {found.group(2).strip()}; set it"
    if found := _UNKNOWN_KEY.search(message):
        return _unknown("key", found.group(1), known, composed)
    if found := _UNKNOWN_FLAG.search(message):
        flag = found.group(1).split()[0].split("=")[0]
        flags = [f"--{key}" for key in known]
        return _unknown("argument", flag, flags, None)
    names = _KEY.findall(message)
    if (expected := _EXPECTED.findall(message)) and names:
        kinds = " or ".join(dict.fromkeys(map(_plain_type, expected)))
        given = _GIVEN.search(message)
        got = f", got {given.group(1).strip()}" if given else ""
        return f"{'.'.join(names)}: expected {kinds}{got}; mend that value"
    return flatten(message)


def _plain_type(text: str) -> str:
    """`int` for `<class 'int'>`, `one of 'a', 'b'` for a literal."""
    text = re.sub(r"<class '([\w.]+)'>", lambda match: short_name(match.group(1)), text)
    return re.sub(r"typing\.Literal\[(.+)\]", r"one of \1", text)


def flatten(message: str) -> str:
    """Any text as one line, without the parser's lists of tried types."""
    rows = [row.strip(" -\t") for row in message.splitlines()]
    return "; ".join(row for row in rows if row and not row.startswith(_NOISE)) or "bad arguments"


def settings_of(class_path: str) -> list[str]:
    """Names of the arguments that a class (with its bases) accepts; empty if it cannot be found."""
    module_name, _, name = class_path.rpartition(".")
    try:
        module = __import__(module_name, fromlist=[name])
        cls = getattr(module, name)
    except (ImportError, AttributeError, ValueError):
        return []
    names: set[str] = set()
    for base in inspect.getmro(cls):
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        names.update(
            p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        )
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return sorted(names - {"self"})


def _candidates(message: str) -> tuple[str, list[str]]:
    """What kind of class was asked for where the message arose, and the names that exist."""
    keys = _KEY.findall(message)
    if keys and keys[0] == "model" and len(keys) == 1:
        from lit_landmarks.methods import METHODS

        return "method", sorted(METHODS)
    if keys and keys[0] == "data" and len(keys) > 1:
        from lit_landmarks.data import DATASETS

        return "data set", sorted(DATASETS)
    if keys and keys[0] == "trainer.callbacks":
        from lightning.pytorch import Callback

        return "callback", sorted({cls.__name__ for cls in _subclasses(Callback)})
    return "class", []


def _subclasses(cls: type[Any]) -> list[type[Any]]:
    below = [sub for child in cls.__subclasses__() for sub in (child, *_subclasses(child))]
    return [
        sub for sub in below if not inspect.isabstract(sub) and not sub.__name__.startswith("_")
    ]


def unknown_name(kind: str, name: str, known: list[str], origin: Path | None) -> str:
    """`unknown method 'ASMNe' in x.yaml; known: ...; did you mean ASMNet?`."""
    where = f" in {origin}" if origin else ""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    cure = f"did you mean {close[0]}?" if close else "correct or remove it"
    # A short list is worth its room, the trainer's hundred keys are not.
    listed = f" known: {', '.join(known)};" if 0 < len(known) <= 24 else ""
    return f"unknown {kind} '{name}'{where};{listed} {cure}"


def _unknown(kind: str, name: str, known: list[str], composed: Composed | None) -> str:
    leaf = name.rpartition(".")[2]
    origin = composed.origin_of(name) or composed.origin_of(leaf) if composed else None
    return unknown_name(kind, name, known, origin)
