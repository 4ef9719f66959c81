"""Short names of settings, and values at three digits, where a whole key would not be read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

#: Parts of a key that say how a setting is written, not what it is.
_GRAMMAR = ("init_args", "class_path")


def setting_of(parameter: str) -> str:
    """The dotted key of a study's parameter: one of a single method has its name before a colon.

    Example:
        >>> setting_of("musica:model.init_args.patches")
        'model.init_args.patches'
    """
    return parameter.rpartition(":")[2]


def is_number(value: Any) -> bool:
    """Whether a value is a number, which a truth value is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def shorten_key(key: str) -> str:
    """A dotted key without the parts that are grammar.

    Example:
        >>> shorten_key("model.init_args.optimizer.init_args.lr")
        'model.optimizer.lr'
    """
    return ".".join(part for part in key.split(".") if part not in _GRAMMAR)


def shorten_keys(keys: Iterable[str]) -> dict[str, str]:
    """The shortest endings that still tell settings apart: key -> name.

    Example:
        >>> keys = ["model.init_args.rank", "model.init_args.scale", "data.init_args.crop.scale"]
        >>> list(shorten_keys(keys).values())
        ['rank', 'model.scale', 'crop.scale']
    """
    plain = {key: shorten_key(key).split(".") for key in dict.fromkeys(keys)}
    names: dict[str, str] = {}
    for key, parts in plain.items():
        others = [other for rest, other in plain.items() if rest != key]
        count = 1
        while count < len(parts) and any(o[-count:] == parts[-count:] for o in others):
            count += 1
        names[key] = ".".join(parts[-count:])
    if len(set(names.values())) < len(names):  # a key and the class that it belongs to
        return {key: key for key in names}
    return names


def format_setting(value: Any) -> str:
    """A value as text: numbers at three digits, the name of a class without its module.

    Example:
        >>> [format_setting(v) for v in (0.00123456, 16384, None, [1, 0], "torch.optim.AdamW")]
        ['0.00123', '16384', 'null', '[1, 0]', 'AdamW']
    """
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, str):
        head, _, last = value.rpartition(".")
        return last if head and last.isidentifier() and last[0].isupper() else value
    return json.dumps(value, ensure_ascii=False, default=str)
