"""Facial landmark detection under a compute budget.

The Python door: `load` a trained method, build a `Task` from argument files, look up `METHODS` and
`DATASETS`. Nothing is imported before it is asked for.

Example:
    >>> import lit_landmarks
    >>> {"ASMNet", "MuSiCa"} <= set(lit_landmarks.METHODS)
    True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_landmarks.data import DATASETS
    from lit_landmarks.inference import Face, Landmarker, load
    from lit_landmarks.methods import METHODS
    from lit_landmarks.settings import Task

__version__ = "0.2.0"
__all__ = ["DATASETS", "METHODS", "Face", "Landmarker", "Task", "__version__", "load"]

#: Names of the Python door and their modules, imported when they are first asked for: the package
#: itself, and `--help`, do not wait for torch.
_MODULES = {
    "DATASETS": "lit_landmarks.data",
    "METHODS": "lit_landmarks.methods",
    "Face": "lit_landmarks.inference",
    "Landmarker": "lit_landmarks.inference",
    "Task": "lit_landmarks.settings",
    "load": "lit_landmarks.inference",
}


def __getattr__(name: str) -> Any:
    """Import a name of the Python door on first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
