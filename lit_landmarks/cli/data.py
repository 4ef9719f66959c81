"""`data`: its three parts."""

from __future__ import annotations

from importlib import import_module

from lit_landmarks.errors import UserError
from lit_landmarks.settings.diagnosis import unknown_name

_PARTS = {
    "check": "read a data set, or every one below a folder; counts, bad rows, contact sheets",
    "synthesize": "write rendered faces to disk in the files of a published data set",
    "convert": "any data set to our own JSON; an ICT FaceKit clone to a head file",
}
_HELP = f"""usage: python -m lit_landmarks data <part> [arguments]

{chr(10).join(f"  {name:<11} {summary}" for name, summary in _PARTS.items())}

  python -m lit_landmarks data check --root DIR
  python -m lit_landmarks data check --all DIR
  python -m lit_landmarks data synthesize DIR --layout ibug --n 1000
  python -m lit_landmarks data convert Ibug300W --root DIR --to OUT
  python -m lit_landmarks data <part> --help"""


def run(arguments: list[str]) -> int:
    """Runs one part of `data`."""
    part, *rest = arguments or ["--help"]
    if part in ("-h", "--help"):
        print(_HELP)
        return 0
    if part not in _PARTS:
        raise UserError(unknown_name("part of data", part, sorted(_PARTS), None))
    status: int = import_module(f"lit_landmarks.cli.data_{part}").run(rest)
    return status
