"""Settings: argument files and command-line overrides, parsed to the objects of a task.

    composition.py    several YAML files become one tree; a clash names both files
    ambiguity.py      a seed that is no whole number, a setting given in two forms
    shipped.py        argument and sweep files of the package, looked up by name
    arguments.py      settings as `--key=value` text, and a parser with errors of one line
    request.py        what a training verb was asked for: files, run, checkpoint, overrides
    parser.py         LightningCLI as the parser of that tree and the overrides
    diagnosis.py      a refused setting in one line, with the cure
    task.py           `Task`: the parsed settings, and the method, data and trainer they describe
    plan.py           what a fit will do, before it begins
    costs.py          multiply-adds, parameters and latency of a configured method
    datasets.py       one data set from `--key value` arguments or a YAML entry
    schemes.py        landmark schemes that data sets and runs declare
    process_state.py  environment, signals, generators and log levels, restored after a run

`cli` and `search` use `Task`; nothing below knows about files of settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lit_landmarks.lazy import import_on_use

if TYPE_CHECKING:
    from lit_landmarks.settings.composition import Composed, compose
    from lit_landmarks.settings.request import Request, read_request
    from lit_landmarks.settings.task import Task

__all__ = ["Composed", "Request", "Task", "compose", "read_request"]


#: Names and their modules, imported when they are first asked for: the parsers of the verbs do not
#: wait for torch.
_MODULES = {
    "Composed": "lit_landmarks.settings.composition",
    "Request": "lit_landmarks.settings.request",
    "Task": "lit_landmarks.settings.task",
    "compose": "lit_landmarks.settings.composition",
    "read_request": "lit_landmarks.settings.request",
}

__getattr__ = import_on_use(__name__, _MODULES)
