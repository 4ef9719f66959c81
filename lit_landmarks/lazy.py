"""Names of a package that are imported when they are first asked for (PEP 562)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def import_on_use(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose import, and `--help`, must not wait for torch.

    Args:
        package: its `__name__`.
        modules: name -> the module that defines it.

    Example:
        >>> find = import_on_use("some_package", {"sqrt": "math"})
        >>> find("sqrt")(9.0)
        3.0
    """

    def find(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(modules[name]), name)

    return find
