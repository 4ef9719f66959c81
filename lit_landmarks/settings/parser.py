"""LightningCLI as the parser of all training verbs.

What differs from plain LightningCLI:
    * It parses and does nothing else; `Task` builds what is asked for. So a checkpoint's
      hyper-parameters never win silently over what the user passes.
    * Argument files are merged before they are parsed (`composition.py`), and errors are one line
      (`diagnosis.py`).
    * `scheme` and `frame_size` are stated by the data and linked to the method.
    * A whole number stays one where a share may stand too (`limit_val_batches: 1`).
"""

from __future__ import annotations

import argparse
import functools
import inspect
import operator
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.methods import LandmarkModule

# Imported for their short names: `class_path: QueryCorrection` is found among imported classes.
from lit_landmarks.nets import (  # noqa: F401
    canonical_correction,
    query_correction,
    similarity_normalizer,
)
from lit_landmarks.settings.composition import LINKED, Composed, Tree
from lit_landmarks.settings.diagnosis import explain, reraise
from lit_landmarks.settings.process_state import preserve_process_state
from lit_landmarks.settings.request import Request
from lit_landmarks.settings.verb_texts import (
    ACCEPT_HELP,
    CHECKPOINT_HELP,
    CURVES_HELP,
    DESCRIPTIONS,
    FLIP_HELP,
    FOLDS_HELP,
    MAX_MMA_HELP,
    OUTPUT_HELP,
    RESUME_HELP,
    RUN_HELP,
    describe_usage,
)
from lit_landmarks.training.loggers import LoggerOptions
from lit_landmarks.training.wandb_logging import WandbOptions

TRAINER_DEFAULTS = {"logger": False, "num_sanity_val_steps": 0}


class SettingsCLI(LightningCLI):
    """Parses the settings of one training verb; builds nothing and runs nothing.

    Args:
        verb: fit, validate, test or predict.
        arguments: settings as `--key value`, `--config FILE` among them.

    Attributes:
        config: the parsed settings.
        parser: the parser, which also builds objects from settings and writes them as YAML.
    """

    def __init__(self, verb: str, arguments: list[str]) -> None:
        self.verb = verb
        super().__init__(
            LandmarkModule,
            LandmarkDataModule,
            save_config_callback=None,
            seed_everything_default=0,
            parser_kwargs={
                "usage": describe_usage(verb),
                "description": DESCRIPTIONS[verb],
                "exit_on_error": False,
                "allow_abbrev": False,
            },
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=arguments,
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds trainer, method and data as LightningCLI does, with ints first in the trainer."""
        hints = count_or_share_hints()
        parser.add_class_arguments(
            Trainer,
            "trainer",
            fail_untyped=False,
            instantiate=False,
            sub_configs=True,
            skip={*hints},
        )
        parameters = inspect.signature(Trainer.__init__).parameters
        for key, hint in hints.items():
            parser.add_argument(
                f"--trainer.{key}",
                type=hint,
                default=parameters[key].default,
                help="An int (a count) or a float (a share); see lightning.pytorch.Trainer.",
            )
        parser.set_defaults({f"trainer.{key}": value for key, value in TRAINER_DEFAULTS.items()})
        parser.add_lightning_class_args(LandmarkModule, "model", subclass_mode=True)
        parser.add_lightning_class_args(LandmarkDataModule, "data", subclass_mode=True)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds tracking, the flags of `read_request` (for --help), and the links."""
        parser.add_class_arguments(WandbOptions, "wandb")
        parser.add_class_arguments(LoggerOptions, "loggers")
        run_help = RUN_HELP.get(self.verb, RUN_HELP["other"])
        parser.add_argument("--run", type=Path | None, help=run_help)
        if self.verb == "fit":
            parser.add_argument("--resume", type=Path | None, help=RESUME_HELP)
            parser.add_argument("--folds", type=int | None, help=FOLDS_HELP)
            parser.add_argument("--max_mma", type=float | None, help=MAX_MMA_HELP)
            parser.add_argument("--accept_changed_data", action="store_true", help=ACCEPT_HELP)
        else:
            parser.add_argument("--ckpt_path", type=Path | None, help=CHECKPOINT_HELP)
            parser.add_argument("--output", type=Path | None, help=OUTPUT_HELP)
            parser.add_argument("--flip_average", action="store_true", help=FLIP_HELP)
        if self.verb in ("validate", "test"):
            parser.add_argument("--ced", action="store_true", help=CURVES_HELP)
        for key in LINKED:
            parser.link_arguments(f"data.init_args.{key}", f"model.init_args.{key}")
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=int)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses without the warning about `sys.argv`, which does not matter here."""
        self.config = parser.parse_args(args)  # type: ignore[arg-type]

    def instantiate_classes(self) -> None:
        """Builds nothing: `Task` builds each part when it is asked for."""


def count_or_share_hints() -> dict[str, Any]:
    """Type hints of the trainer's arguments that take an int (a count) or a float (a share).

    They ask for the int first: `limit_val_batches: 1` is one batch and `1.0` all of them, and the
    parser takes the first type that a value fits. The trainer's own hints cannot be relied on:
    `typing` hands out one object for `Union[int, float]` and `Union[float, int]`, in the order that
    was asked for first in the process, so any library could decide it.
    """
    hints = get_type_hints(Trainer.__init__)
    return {
        k: put_int_first(hint) for k, hint in hints.items() if {int, float} <= {*get_args(hint)}
    }


def put_int_first(hint: Any) -> Any:
    """A union with `int` as its first member; only `|` keeps an order of its own."""
    return functools.reduce(operator.or_, [m for m in get_args(hint) if m is not int], int)


@contextmanager
def write_temporary_config(tree: Tree) -> Iterator[Path]:
    """The merged tree as a temporary file, the one form in which a parser takes all of it."""
    with tempfile.TemporaryDirectory(prefix="lit_landmarks_") as folder:
        file = Path(folder) / "merged.yaml"
        file.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
        yield file


def print_help(verb: str, arguments: list[str]) -> None:
    """Prints `<verb> --help`, or `--model.help NAME` and its like: all that LightningCLI knows."""
    SettingsCLI(verb, arguments)


def parse_settings(request: Request, composed: Composed) -> SettingsCLI:
    """Parses the merged argument files and overriding settings of a request.

    Raises:
        UserError: what the parser or a class of the package refuses, in one line.
    """
    with write_temporary_config(composed.tree) as file, preserve_process_state():
        try:
            return SettingsCLI(request.verb, ["--config", str(file), *request.overrides])
        except argparse.ArgumentError as error:
            message = str(error).replace(str(file), "the configuration")
            raise explain(request.verb, composed, request.overrides, message) from error
        except ValueError as error:
            reraise(error)
