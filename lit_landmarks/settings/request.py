"""Request of a training verb: argument files, run, checkpoint and overriding settings."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lit_landmarks.errors import UserError
from lit_landmarks.settings.arguments import OneLineParser
from lit_landmarks.training.run_directory import RunDirectory, open_run

TrainingVerb = Literal["fit", "validate", "test", "predict"]


@dataclass
class Request:
    """Arguments of a training verb before its settings are parsed.

    Attributes:
        verb: fit, validate, test or predict.
        configs: argument files in their order.
        run: where a fit writes, or the run that another verb evaluates.
        resume: the run that a fit continues.
        checkpoint: the checkpoint that is evaluated.
        overrides: settings after the files, as `--key value` arguments.
        accept_changed_data: go on with a run whose faces or labels have changed.
        folds: number of folds that a fit trains, one after the other; None trains once.
    """

    verb: TrainingVerb
    configs: list[Path] = field(default_factory=list)
    run: Path | None = None
    resume: RunDirectory | None = None
    checkpoint: Path | None = None
    overrides: list[str] = field(default_factory=list)
    accept_changed_data: bool = False
    folds: int | None = None

    def command(self) -> str:
        """The command line that repeats this request."""
        arguments = ["python", "-m", "lit_landmarks", self.verb]
        if self.resume is not None:
            arguments += ["--resume", str(self.resume.root)]
            arguments += ["--accept_changed_data"] if self.accept_changed_data else []
        else:
            arguments += [item for path in self.configs for item in ("--config", str(path))]
            arguments += ["--run", str(self.run)] if self.run is not None else []
            arguments += ["--folds", str(self.folds)] if self.folds is not None else []
        return shlex.join([*arguments, *self.overrides])


def read_request(verb: TrainingVerb, arguments: Sequence[str]) -> Request:
    """Splits the arguments of a training verb into flags and overriding settings.

    Raises:
        UserError: flags that exclude each other, a folder that is no run, or nothing to train or
            evaluate.
    """
    parser = OneLineParser(
        prog=f"python -m lit_landmarks {verb}", add_help=False, allow_abbrev=False
    )
    parser.add_argument("-c", "--config", action="append", default=[], type=Path)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--resume" if verb == "fit" else "--ckpt_path", dest="other", type=Path)
    if verb == "fit":
        parser.add_argument("--accept_changed_data", action="store_true")
        parser.add_argument("--folds", type=int)
    flags, overrides = parser.parse_known_args(arguments)
    request = Request(verb, configs=flags.config, run=flags.run, overrides=overrides)
    if verb == "fit":
        request.accept_changed_data = flags.accept_changed_data
        if flags.accept_changed_data and flags.other is None:
            raise UserError("--accept_changed_data is for a run that goes on; give --resume RUN")
        _plan_fit(request, flags.other)
        _plan_folds(request, flags.folds)
    else:
        _plan_evaluation(request, flags.other)
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
            "omit --config and --run"
        )
    run = open_run(resume)
    if not run.last.is_file():
        raise UserError(
            f"{resume} holds no checkpoint to resume from, as its first epoch did not end; start"
            f" anew with `fit --config {run.config}`, which makes another folder, and remove this"
            " one"
        )
    request.resume = run
    request.configs = [run.config]


def _plan_folds(request: Request, folds: int | None) -> None:
    if folds is None:
        return
    if folds < 2:
        raise UserError(f"--folds is {folds}; give the number of folds, 2 or more")
    if request.run is None:
        raise UserError(
            "--folds writes a run for each fold into one folder, and goes on there when it is given"
            " again; name it with --run RUN"
        )
    request.folds = folds


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
            if not checkpoint.is_file():
                raise UserError(
                    f"{request.run} has no checkpoint yet: its first epoch has not ended; wait for"
                    " it, or train it anew"
                )
    if checkpoint is None:
        raise UserError(f"{request.verb} needs --run RUN or --ckpt_path FILE; see --help")
    if not checkpoint.is_file():
        raise UserError(f"no checkpoint at {checkpoint}; give a .ckpt file or a run with --run")
    request.checkpoint = checkpoint
