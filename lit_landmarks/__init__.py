"""Facial landmark detection under a compute budget.

The Python door: `load` a trained method, build a `Task` from argument files, look up `METHODS` and
`DATASETS`. Nothing is imported before it is asked for.

Example:
    >>> import lit_landmarks
    >>> {"ASMNet", "MuSiCa"} <= set(lit_landmarks.METHODS)
    True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lit_landmarks.lazy import import_on_use

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

__getattr__ = import_on_use(__name__, _MODULES)
