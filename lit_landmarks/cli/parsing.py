"""Argument parsers of the verbs, which complain in one line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from lit_landmarks.settings.arguments import OneLineParser

__all__ = ["OneLineParser", "VerbParser", "verb_parser"]


class VerbParser(OneLineParser):
    """The parser of an own verb that may be followed by settings, `--key value`."""

    def __init__(self, **arguments: Any) -> None:
        self._options: set[str] = set()
        super().__init__(**arguments)

    def add_argument(self, *names: str, **arguments: Any) -> argparse.Action:
        """Adds an argument and remembers its flags."""
        action = super().add_argument(*names, **arguments)
        self._options.update(action.option_strings)
        return action

    def parse_with_settings(self, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """The verb's own arguments, and the settings as `--key=value`."""
        return self.parse_known_args(self._joined(arguments))

    def _joined(self, arguments: Sequence[str]) -> list[str]:
        """`--key value` of settings as `--key=value`.

        A parser that takes positional arguments would read the value as one of them.
        """
        joined: list[str] = []
        for argument in arguments:
            last = joined[-1] if joined else ""
            waits = last.startswith("--") and "=" not in last and last not in self._options
            if waits and not argument.startswith("--"):
                joined[-1] = f"{last}={argument}"
            else:
                joined.append(argument)
        return joined


def verb_parser(verb: str, description: str) -> VerbParser:
    """The parser of an own verb; `description` may have several paragraphs."""
    return VerbParser(
        prog=f"python -m lit_landmarks {verb}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
