"""Parsers that complain in one line, and the flags that are read before LightningCLI is asked."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from lit_landmarks.errors import UserError
from lit_landmarks.training.run_directory import RunDirectory, open_run


class OneLineParser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises `UserError` instead of dumping its usage."""

    def error(self, message: str) -> NoReturn:
        """Bad arguments, with the cure."""
        raise UserError(f"{message}; see {self.prog} --help")


def verb_parser(verb: str, description: str) -> OneLineParser:
    """The parser of an own verb; `description` may have several paragraphs."""
    return OneLineParser(
        prog=f"python -m lit_landmarks {verb}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def with_values(parser: argparse.ArgumentParser, arguments: list[str]) -> list[str]:
    """`--key value` of settings that `parser` does not know as `--key=value`.

    A parser that takes positional arguments would read the value as one of them.
    """
    known = {option for action in parser._actions for option in action.option_strings}
    joined: list[str] = []
    for word in arguments:
        last = joined[-1] if joined else ""
        waits = last.startswith("--") and "=" not in last and last not in known
        if waits and not word.startswith("--"):
            joined[-1] = f"{last}={word}"
        else:
            joined.append(word)
    return joined


@dataclass
class Request:
    """What a training verb was asked for, before its settings are parsed.

    Attributes:
        verb: fit, validate, test or predict.
        configs: argument files in their order.
        run: where a fit writes, or the run that another verb evaluates.
        resume: the run that a fit continues.
        checkpoint: the checkpoint that is evaluated.
        rest: settings, as `--key value`.
    """

    verb: str
    configs: list[Path] = field(default_factory=list)
    run: Path | None = None
    resume: RunDirectory | None = None
    checkpoint: Path | None = None
    rest: list[str] = field(default_factory=list)


def read_request(verb: str, arguments: list[str]) -> Request:
    """Splits the arguments of a training verb.

    Raises:
        UserError: flags that exclude each other, a run that is none, nothing to train or evaluate.
    """
    parser = OneLineParser(
        prog=f"python -m lit_landmarks {verb}", add_help=False, allow_abbrev=False
    )
    parser.add_argument("-c", "--config", action="append", default=[], type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--resume" if verb == "fit" else "--ckpt_path", dest="other", type=Path)
    known, rest = parser.parse_known_args(arguments)
    request = Request(verb, configs=known.config, run=known.run, rest=rest)
    if verb == "fit":
        _plan_fit(request, known.other)
    else:
        _plan_evaluation(request, known.other)
    return request


def _plan_fit(request: Request, resume: Path | None) -> None:
    if resume is None:
        if not request.configs:
            raise UserError(
                "fit needs --config FILE (such as configs/asmnet.yaml) or --resume RUN; see --help"
            )
        return
    if request.configs or request.run is not None:
        raise UserError(
            "--resume continues a run in its own folder with its own config.yaml; "
            "leave --config and --run away"
        )
    run = open_run(resume)
    if not run.last.is_file():
        raise UserError(
            f"{resume} holds no checkpoint to resume from; start it again with "
            f"`fit --config {run.config}`"
        )
    request.resume = run
    request.configs = [run.config]


def _plan_evaluation(request: Request, checkpoint: Path | None) -> None:
    if request.run is None and checkpoint is not None and not request.configs:
        # RUN/checkpoints/best.ckpt knows its run.
        request.run = checkpoint.resolve().parent.parent
        if not RunDirectory(request.run).config.is_file():
            raise UserError(f"{checkpoint} lies in no run; add --config FILE or give --run RUN")
    if request.run is not None:
        run = open_run(request.run)
        request.configs = [run.config, *request.configs]
        if checkpoint is None:
            checkpoint = run.best if run.best.is_file() else run.last
    if checkpoint is None:
        raise UserError(f"{request.verb} needs --run RUN or --ckpt_path FILE; see --help")
    if not checkpoint.is_file():
        raise UserError(f"no checkpoint at {checkpoint}; give a .ckpt file or a run with --run")
    request.checkpoint = checkpoint
