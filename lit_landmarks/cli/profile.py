"""`profile`: what a configured method costs, without data and without training."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser
from rich.console import Console
from rich.table import Table

from lit_landmarks.cli.configs import DATA_CLASS, Composed
from lit_landmarks.cli.declared import declare_runs, declare_sets
from lit_landmarks.cli.lightning import LandmarkCLI, run_cli
from lit_landmarks.cli.parsing import Request, verb_parser, with_values
from lit_landmarks.compute import Profile, profile_module
from lit_landmarks.errors import UserError
from lit_landmarks.methods import LandmarkModule
from lit_landmarks.schemes import SCHEMES
from lit_landmarks.training.run_directory import open_run
from lit_landmarks.types import ROLES

_DESCRIPTION = """Multiply-adds (MMA, millions per face), parameters and latency of a configured
method.
Needs no data and no training. A config is an argument file, a run's config.yaml or a run's folder;
further --key value pairs override it.

  python -m lit_landmarks profile configs/asmnet.yaml
  python -m lit_landmarks profile configs/asmnet.yaml --data.init_args.frame_size 224
  python -m lit_landmarks profile runs/asmnet-synthetic-001 --json"""


class MethodCLI(LandmarkCLI):
    """Parses all settings and builds the method only: no data is read, no trainer is made."""

    @staticmethod
    def prepare(composed: Composed) -> None:
        """Sets the data sets aside: what they are, and whether they are here, changes no cost."""
        data = composed.tree.setdefault("data", {"class_path": DATA_CLASS})
        arguments = data.setdefault("init_args", {})
        composed.set_aside.update({role: arguments.get(role) for role in ROLES})
        arguments.update(train={}, val={}, test={}, weights={})

    def before_instantiate_classes(self) -> None:
        """Only the scheme must be known: from the run, or else from data that is here.

        Raises:
            UserError: the scheme is unknown, and a data set that may declare it cannot be read.
        """
        declare_runs(self.request.configs)
        data = self.settings().clone()["data"]["init_args"].as_dict()
        for sets in (data, self.composed.set_aside):
            if data["scheme"] is not None and data["scheme"] not in SCHEMES:
                with contextlib.suppress(TypeError):  # arguments that nobody has checked
                    declare_sets(sets, data["root"])

    def instantiate_classes(self) -> None:
        """The method alone; the links have filled in scheme and frame size."""
        parser = LightningArgumentParser(exit_on_error=False)
        parser.add_lightning_class_args(LandmarkModule, "model", subclass_mode=True)
        self.model = parser.instantiate(parser.parse_object({"model": self.settings()["model"]}))[
            "model"
        ]

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing to run."""


def build_method(configs: list[Path], settings: list[str]) -> LandmarkModule:
    """The method of a config, with random weights.

    Args:
        configs: argument files, a run's config.yaml among them, or folders of runs.
        settings: overrides, as `--key value`.

    Raises:
        UserError: bad settings.
    """
    files = [open_run(path).config if path.is_dir() else path for path in configs]
    if not files:
        raise UserError("profile needs a config or a run, such as configs/asmnet.yaml; see --help")
    built = run_cli(MethodCLI, Request("fit", configs=files, rest=settings))
    model: LandmarkModule = built.model
    return model


def run(arguments: list[str]) -> int:
    """Runs the verb."""
    parser = verb_parser("profile", _DESCRIPTION)
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="CONFIG", help="argument file or run"
    )
    parser.add_argument("-c", "--config", action="append", default=[], type=Path, help="the same")
    parser.add_argument("--run", action="append", default=[], type=Path, help="the same, a run")
    parser.add_argument("--repeats", type=int, default=50, help="timed calls; 0: no latency")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads for the latency")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    known, settings = parser.parse_known_args(with_values(parser, arguments))
    method = build_method([*known.paths, *known.config, *known.run], settings)
    profile = profile_module(method, method.example(), threads=known.threads, repeats=known.repeats)
    if known.json:
        print(json.dumps(describe(method, profile), indent=2))
    else:
        _print(method, profile)
    return 0


def describe(method: LandmarkModule, profile: Profile) -> dict[str, Any]:
    """The figures with what they belong to."""
    return {
        "method": type(method).__name__,
        "scheme": method.scheme,
        "frame_size": method.frame_size,
        **profile.record(),
    }


def _print(method: LandmarkModule, profile: Profile) -> None:
    title = f"{type(method).__name__}, {method.scheme}, {method.frame_size} px, one face"
    table = Table(title=title, title_justify="left", show_header=False)
    for key, value in profile.record().items():
        shown = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
        table.add_row(key, shown)
    Console().print(table)
