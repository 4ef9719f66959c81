"""Argument parsers of the verbs, whose errors are one line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lit_landmarks.errors import UserError
from lit_landmarks.settings.arguments import OneLineParser

if TYPE_CHECKING:
    from lit_landmarks.reports.limits import Limit

__all__ = ["OneLineParser", "VerbParser", "parse_limits", "verb_parser"]


class VerbParser(OneLineParser):
    """Parser of a verb whose own arguments may be followed by settings, `--key value`.

    Example:
        >>> parser = VerbParser(prog="profile")
        >>> _ = parser.add_argument("--json", action="store_true")
        >>> parser.parse_with_settings(["--json", "--model.init_args.rank", "32"])
        (Namespace(json=True), ['--model.init_args.rank=32'])
    """

    def __init__(self, **arguments: Any) -> None:
        self._options: set[str] = set()
        super().__init__(**arguments)

    def add_argument(self, *names: str, **arguments: Any) -> argparse.Action:
        """Adds an argument and remembers its flags."""
        action = super().add_argument(*names, **arguments)
        self._options.update(action.option_strings)
        return action

    def parse_with_settings(self, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """Parses the verb's own arguments; returns them and the settings as `--key=value`."""
        return self.parse_known_args(self._join_settings(arguments))

    def _join_settings(self, arguments: Sequence[str]) -> list[str]:
        """Joins `--key value` of settings to `--key=value`.

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
    """Makes the parser of a verb; `description` may have several paragraphs."""
    return VerbParser(
        prog=f"python -m lit_landmarks {verb}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def parse_limits(texts: Sequence[str]) -> list[Limit]:
    """Parses the values of `--limit`, such as "compute/mma <= 50".

    Raises:
        UserError: one is no limit.
    """
    if not texts:
        return []
    # Whether it names a metric is known to the metrics, whose import takes seconds.
    from lit_landmarks.reports.limits import parse_limit

    try:
        return [parse_limit(text) for text in texts]
    except UserError as error:
        raise UserError(f"--limit {error}") from error
