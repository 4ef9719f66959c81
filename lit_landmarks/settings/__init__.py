"""From argument files to objects: the room between the command line and everything that runs.

    compose.py        several YAML files become one tree; a clash names both files
    shipped.py        argument and sweep files of the package, found by name
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

from lit_landmarks.settings.compose import Composed, compose
from lit_landmarks.settings.request import Request, read_request
from lit_landmarks.settings.task import Task

__all__ = ["Composed", "Request", "Task", "compose", "read_request"]
