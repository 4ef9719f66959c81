"""LightningCLI as this project uses it: same settings for every verb, one meaning for each.

What differs from plain LightningCLI:
    * What the user passes wins over a checkpoint; plain LightningCLI lets a checkpoint's
      hyper-parameters win silently, even over the class.
    * Argument files are merged before they are parsed (`cli/configs.py`), and errors are one line.
    * `scheme` and `frame_size` are stated by the data and linked to the method.
    * A fit has its run directory, tracker and callbacks whatever the YAML says.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from operator import or_
from pathlib import Path
from types import UnionType
from typing import Any, NoReturn, Union, get_args, get_origin

import yaml
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from lit_landmarks.cli.configs import LINKED, Composed, compose, unset_variables
from lit_landmarks.cli.declared import declare_runs, declare_sets
from lit_landmarks.cli.messages import one_line, unknown_name
from lit_landmarks.cli.parsing import Request
from lit_landmarks.data import DATASETS, LandmarkDataModule
from lit_landmarks.errors import UserError
from lit_landmarks.methods import METHODS, LandmarkModule
from lit_landmarks.training.wandb_logging import WandbOptions
from lit_landmarks.types import ROLES

#: Settings that say where and how to start, not what to run; they stay out of config.yaml.
NOT_SAVED = (
    "config", "run", "resume", "ckpt_path", "output", "ced", "verbose", "return_predictions",
)  # fmt: skip

DESCRIPTIONS = {
    "fit": "Train a method and evaluate its best checkpoint. "
    "Settings come from --config files (later ones win), then from --key value pairs. "
    "Ctrl-C keeps the last finished epoch; continue with --resume RUN.",
    "validate": "Measure a run's best checkpoint on its validation sets (--run RUN), or on the "
    "sets of further --config files.",
    "test": "Measure a run's best checkpoint on its test sets (--run RUN), or on the sets of "
    "further --config files.",
    "predict": "Write a run's landmarks, in pixels of the image files, to an .npz file.",
}
RUN_HELP = {
    "fit": "Run directory to make; default runs/<method>-<data>-<counter>.",
    "other": "Run directory whose config.yaml and best checkpoint are used.",
}


class LandmarkCLI(LightningCLI):
    """Parses the settings of a training verb; subclasses say what is done with them.

    Args:
        request: the verb and its flags.
        composed: the merged argument files.
        file: where the merged tree was written for the parser; None for --help.
    """

    def __init__(self, request: Request, composed: Composed, file: Path | None) -> None:
        self.request = request
        self.composed = composed
        shared = {"exit_on_error": False, "allow_abbrev": False}
        super().__init__(
            LandmarkModule,
            LandmarkDataModule,
            save_config_callback=None,
            trainer_defaults={"logger": False, "num_sanity_val_steps": 0},
            seed_everything_default=0,
            parser_kwargs={
                **shared,
                **{verb: {**texts(verb), **shared} for verb in DESCRIPTIONS},
            },
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=[request.verb, *(["--config", str(file)] if file else []), *request.rest],
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    @staticmethod
    def prepare(composed: Composed) -> None:
        """Changes the merged tree before it is parsed; nothing here."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Verbs and the trainer's arguments that are not the user's to set."""
        ours = {"model", "dataloaders", "datamodule", "weights_only", "ckpt_path"}
        return {
            "fit": {*ours, "train_dataloaders", "val_dataloaders"} - {"dataloaders"},
            "validate": {*ours, "verbose"},
            "test": {*ours, "verbose"},
            "predict": {*ours, "return_predictions"},
        }

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds tracking, the flags of `read_request` (for --help), and the links."""
        verb = next(v for v, text in DESCRIPTIONS.items() if text == parser.description)
        parser.add_class_arguments(WandbOptions, "wandb")
        parser.add_argument("--run", type=Path | None, help=RUN_HELP.get(verb, RUN_HELP["other"]))
        if verb == "fit":
            parser.add_argument(
                "--resume", type=Path | None, help="Run to continue in place, from last.ckpt."
            )
        else:
            parser.add_argument(
                "--ckpt_path", type=Path | None, help="Checkpoint; default the run's best."
            )
            parser.add_argument(
                "--output", type=Path | None, help="File for the figures (.json) or points (.npz)."
            )
        if verb in ("validate", "test"):
            parser.add_argument(
                "--ced", action="store_true", help="Write the run's error curves for `compare`."
            )
        for key in LINKED:
            parser.link_arguments(f"data.init_args.{key}", f"model.init_args.{key}")
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=int)
        keep_whole_numbers(parser)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Without the warning about `sys.argv`, which is nobody's business here."""
        self.config = parser.parse_args(args)  # type: ignore[arg-type]

    def _parse_ckpt_path(self) -> None:
        """Nothing: what the user passes wins over what a checkpoint remembers."""

    def before_instantiate_classes(self) -> None:
        """What must be told before anything is built, and the schemes that it is built for."""
        self.refuse_unset_variables()
        self.declare_schemes()

    def declare_schemes(self) -> None:
        """Makes known the schemes that data declares, and the run that is evaluated or resumed."""
        data = self.settings().clone()["data"]["init_args"].as_dict()
        declare_sets(data, data["root"])
        # A new fit follows its data, even if its settings are those of a run.
        if self.request.verb != "fit" or self.request.resume is not None:
            declare_runs(self.request.configs)

    def settings(self) -> Namespace:
        """The parsed settings of the verb."""
        parsed: Namespace = self.config[self.request.verb]
        return parsed

    def resolved(self) -> str:
        """The settings as YAML that `fit --config` accepts."""
        kept = self.settings().clone()
        for key in NOT_SAVED:
            kept.pop(key, None)
        # Relative to the working folder until now; read again, it would start at the run's.
        root = kept["data"]["init_args"]["root"]
        kept["data"]["init_args"]["root"] = root if "$" in root else str(Path(root).resolve())
        text: str = self._parser(self.request.verb).dump(kept, skip_validation=True)
        return text

    def make_trainer(self, factory: Any = Trainer, **arguments: Any) -> Any:
        """Calls `factory`, and tells what the user can mend in one line."""
        try:
            return factory(**arguments)
        except UserError:
            raise
        except (MisconfigurationException, ValueError, ImportError) as error:
            raise UserError(f"trainer: {error}; mend the trainer's settings") from error

    def refuse_unset_variables(self) -> None:
        """Paths that name an environment variable which is not set.

        Raises:
            UserError: naming the variable and the file.
        """
        data = yaml.safe_load(self.resolved()).get("data", {})
        for text in unset_variables(data):
            origin = self.composed.origin_of("root")
            where = f" in {origin}" if origin else ""
            raise UserError(f"'{text}'{where} names a variable that is not set; export it first")


def keep_whole_numbers(parser: LightningArgumentParser) -> None:
    """Lets every setting that may be `int | float` try `int` first.

    `limit_val_batches: 1` is one batch and `1.0` all of them. `typing` hands out one object for
    `Union[int, float]` and `Union[float, int]`, in the order that was asked for first in the
    process, and the parser takes the first type that a value fits; so any library could decide it.
    """
    for action in parser._actions:
        hint = getattr(action, "_typehint", None)
        if get_origin(hint) in (Union, UnionType) and {int, float} <= set(get_args(hint)):
            # Only `|` keeps an order of its own.
            kinds = [kind for kind in get_args(hint) if kind is not int]
            setattr(action, "_typehint", reduce(or_, kinds, int))  # noqa: B010


def refuse_linked(arguments: Sequence[str]) -> None:
    """Settings of the method that it takes from the data; given twice, they could disagree.

    Raises:
        UserError: naming the setting that decides.
    """
    for key in LINKED:
        for prefix in ("--model.init_args.", "--model."):
            if any(word.split("=")[0] == f"{prefix}{key}" for word in arguments):
                raise UserError(f"{prefix}{key} is taken from the data; set --data.init_args.{key}")


def refuse_unknown_names(composed: Composed) -> None:
    """Bare class names that no method or data set has; the parser would say less about them.

    Raises:
        UserError: the name, its file, and the known names.
    """
    model, data = composed.tree.get("model") or {}, composed.tree.get("data") or {}
    asked: list[tuple[str, str, Any, Collection[str]]]
    asked = [("method", "model.class_path", model.get("class_path"), METHODS)]
    for role in ROLES:
        sets = (data.get("init_args") or {}).get(role) or {}
        for name, spec in sets.items() if isinstance(sets, dict) else ():
            path = spec.get("class_path") if isinstance(spec, dict) else spec
            asked.append(("data set", f"{role}.{name}.class_path", path, DATASETS))
    for kind, key, path, known in asked:
        if isinstance(path, str) and "." not in path and path not in known:
            raise UserError(unknown_name(kind, path, sorted(known), composed.origin_of(key)))


@contextmanager
def parsed_file(tree: dict[str, Any]) -> Iterator[Path]:
    """The merged tree as a temporary file, the one form in which a parser takes all of it."""
    with tempfile.TemporaryDirectory(prefix="lit_landmarks_") as folder:
        file = Path(folder) / "merged.yaml"
        file.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
        yield file


def run_cli(cli: type[LandmarkCLI], request: Request, *more: Any) -> Any:
    """Parses and runs; every complaint of the parser becomes one line.

    Args:
        cli: what to do.
        request: the verb and its flags.
        more: handed to `cli` beside what it needs to parse.

    Returns:
        The finished CLI object.

    Raises:
        UserError: bad settings.
    """
    composed = compose(request.configs)
    refuse_linked(request.rest)
    cli.prepare(composed)
    refuse_unknown_names(composed)
    with parsed_file(composed.tree) as file:
        try:
            return cli(request, composed, file, *more)
        except argparse.ArgumentError as error:
            message = str(error).replace(str(file), "the configuration")
            raise UserError(one_line(message, composed, _known_keys(request.verb))) from error
        except ValueError as error:
            reraise(error)


def reraise(error: Exception) -> NoReturn:
    """Raises the `UserError` that a class raised when it was made: the parser wraps it."""
    found: BaseException | None = error.__cause__ or error.__context__
    while found is not None and not isinstance(found, UserError):
        found = found.__cause__ or found.__context__
    raise error if found is None or isinstance(error, UserError) else found


def texts(verb: str) -> dict[str, str]:
    """What `<verb> --help` says before its long list of settings."""
    flags = "--config FILE... | --resume RUN" if verb == "fit" else "--run RUN | --ckpt_path FILE"
    usage = f"python -m lit_landmarks {verb} {flags} [--key value ...]"
    return {"usage": usage, "description": DESCRIPTIONS[verb]}


def print_help(verb: str, asked: list[str]) -> None:
    """`<verb> --help`, or `--model.help NAME` and its like: all that LightningCLI knows."""
    LandmarkCLI(Request(verb, rest=asked), Composed({}), None)


def _known_keys(verb: str) -> list[str]:
    """Dotted names of the trainer's and the verb's own settings, for suggestions."""
    parser = LightningArgumentParser()
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.add_class_arguments(WandbOptions, "wandb")
    keys = [action.dest for action in parser._actions]
    own = ["seed_everything", "model", "data", "config", "run"]
    return [*keys, *own, *(["resume"] if verb == "fit" else ["ckpt_path", "output", "ced"])]
