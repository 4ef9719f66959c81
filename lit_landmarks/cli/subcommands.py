"""Verbs that have subcommands, such as `analyse calibrate`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

from lit_landmarks.cli.parsing import OneLineParser, verb_parser
from lit_landmarks.errors import UserError
from lit_landmarks.settings.values import describe_unknown_name

#: Runs a subcommand with its options and gives the exit status.
Run = Callable[[argparse.Namespace], int]


class _Subcommand(NamedTuple):
    parser: OneLineParser
    run: Run
    takes_settings: bool


class Subcommands:
    """The parser of a verb with subcommands.

    Args:
        verb: name of the verb.
        description: text of `--help` before the list of subcommands.

    Example:
        >>> parts = Subcommands("data", "Works on data sets.")
        >>> parser = parts.add("count", "count faces", lambda options: options.n)
        >>> _ = parser.add_argument("--n", type=int)
        >>> parts.run(["count", "--n", "3"])
        3
    """

    def __init__(self, verb: str, description: str) -> None:
        self._verb = verb
        self._parser = verb_parser(verb, description)
        self._actions = self._parser.add_subparsers(dest="subcommand", required=True)
        self._subcommands: dict[str, _Subcommand] = {}

    def add(
        self,
        name: str,
        summary: str,
        run: Run,
        description: str | None = None,
        takes_settings: bool = False,
    ) -> OneLineParser:
        """Adds a subcommand and returns its parser, to which its options are added.

        Args:
            name: as it is typed after the verb.
            summary: its line in the help of the verb.
            run: called with the parsed options.
            description: text of its own `--help`; None repeats the summary.
            takes_settings: whether unknown arguments go into `options.settings` instead of being
                refused.
        """
        parser: OneLineParser = self._actions.add_parser(
            name,
            help=summary,
            description=description or summary,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._subcommands[name] = _Subcommand(parser, run, takes_settings)
        self._actions.metavar = "|".join(self._subcommands)
        return parser

    def run(self, arguments: list[str]) -> int:
        """Parses the arguments of the verb, runs the subcommand and gives its exit status.

        Raises:
            UserError: no such subcommand, or bad arguments.
        """
        first = arguments[0] if arguments else ""
        if first and not first.startswith("-") and first not in self._subcommands:
            names = sorted(self._subcommands)
            raise UserError(describe_unknown_name(f"part of {self._verb}", first, names, None))
        options, rest = self._parser.parse_known_args(arguments)
        subcommand = self._subcommands[options.subcommand]
        if rest and not subcommand.takes_settings:
            raise UserError(f"unknown argument '{rest[0]}'; see {subcommand.parser.prog} --help")
        options.settings = rest
        return subcommand.run(options)
