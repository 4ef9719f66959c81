"""The command line, `python -m lit_landmarks <verb>`: the only room that knows argv.

Adding a verb (2 files to touch):
    1. A module here with `run(arguments: list[str]) -> int`: build an `ArgumentParser` from
       `cli/parsing.py`, or `Subcommands` from `cli/subcommands.py` for a verb with several parts;
       raise `UserError` for bad input, return the exit status.
    2. One row in `VERBS` (`cli/verbs.py`).
"""

from lit_landmarks.cli.entry import main

__all__ = ["main"]
