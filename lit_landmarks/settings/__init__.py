"""Settings: argument files and command-line overrides, parsed to the objects of a task.

    composition.py    several YAML files become one tree; a clash names both files
    ambiguity.py      a seed that is no whole number, a setting given in two forms
    shipped.py        argument and sweep files of the package, looked up by name
    arguments.py      settings as `--key=value` text, and a parser with errors of one line
    request.py        what a training verb was asked for: files, run, checkpoint, overrides
    parser.py         LightningCLI as the parser of that tree and the overrides
    diagnosis.py      a refused setting in one line, with the cure
    task.py           `Task`: the parsed settings, and the method, data and trainer they describe
    costs.py          multiply-adds, parameters and latency of a configured method
    datasets.py       one data set from `--key value` arguments or a YAML entry
    schemes.py        landmark schemes that data sets and runs declare
    process_state.py  environment, signals, generators and log levels, restored after a run

`cli` and `search` use `Task`; nothing below knows about files of settings.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_landmarks.settings.composition import Composed, compose
    from lit_landmarks.settings.request import Request, read_request
    from lit_landmarks.settings.task import Task

__all__ = ["Composed", "Request", "Task", "compose", "read_request"]


#: Names and their modules, imported when they are first asked for: the parsers of the verbs do not
#: wait for torch.
_MODULES = {
    "Composed": "composition",
    "Request": "request",
    "Task": "task",
    "compose": "composition",
    "read_request": "request",
}


def __getattr__(name: str) -> Any:
    """Imports a name on first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"lit_landmarks.settings.{_MODULES[name]}"), name)
