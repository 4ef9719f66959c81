"""Facial landmark detection under a compute budget: five methods, one suite."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_landmarks.settings import Task

__version__ = "0.1.0"
__all__ = ["Task", "__version__"]

#: Names of the Python door and their modules, imported when they are first asked for: the package
#: itself, and `--help`, do not wait for torch.
_MODULES = {"Task": "lit_landmarks.settings"}


def __getattr__(name: str) -> Any:
    """Imports a name of the Python door on first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
