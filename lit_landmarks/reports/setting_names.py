"""Short names of dotted settings, for axes, columns and headings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


def shorten_keys(keys: Iterable[str]) -> dict[str, str]:
    """Names of dotted keys by their last part, with as many parts before it as tell them apart.

    Args:
        keys: dotted keys; `init_args` of a class is no part of a name.

    Example:
        >>> shorten_keys(["model.init_args.optimizer.init_args.lr", "model.init_args.rank"])
        {'model.init_args.optimizer.init_args.lr': 'lr', 'model.init_args.rank': 'rank'}
        >>> list(shorten_keys(["data.init_args.scale", "model.init_args.scale"]).values())
        ['data_scale', 'model_scale']
    """
    parts = {key: [part for part in key.split(".") if part != "init_args"] for key in keys}
    depth = dict.fromkeys(parts, 1)
    while True:
        names = {key: "_".join(parts[key][-depth[key] :]) for key in parts}
        counts = Counter(names.values())
        short = [k for k, name in names.items() if counts[name] > 1 and depth[k] < len(parts[k])]
        if not short:
            return names
        for key in short:
            depth[key] += 1
