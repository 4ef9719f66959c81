"""`data check`: reads a whole data set, tells what is wrong with it, and draws what it holds."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from lit_landmarks.cli.configs import compose, unset_variables
from lit_landmarks.cli.lightning import refuse_unknown_names, reraise
from lit_landmarks.cli.messages import one_line, unknown_name
from lit_landmarks.cli.parsing import verb_parser
from lit_landmarks.data import DATASETS, FaceDataset
from lit_landmarks.data.check import check_dataset
from lit_landmarks.draw import save_png
from lit_landmarks.errors import UserError

_DESCRIPTION = """Reads every label and image of a data set and prints counts, quantiles and the
first bad rows with their cure; draws a contact sheet of overlays.
Exit status 2 if a row is bad.

  python -m lit_landmarks data check --root DIR                      300W layout, or any .pts files
  python -m lit_landmarks data check --dataset SyntheticFaces --n 64
  python -m lit_landmarks data check --config configs/data/helen_afw.yaml

Further --key value pairs are arguments of the data set."""
_DEFAULT = "Ibug300W"


def run(arguments: list[str]) -> int:
    """Runs `data check`."""
    parser = verb_parser("data", _DESCRIPTION)
    parser.add_argument("part", choices=["check"], help="what to do")
    parser.add_argument("-c", "--config", type=Path, action="append", default=[], metavar="FILE",
                        help="check every data set that these argument files name")  # fmt: skip
    parser.add_argument("--dataset", default=_DEFAULT, help=f"one of {', '.join(DATASETS)}")
    parser.add_argument("--sheet", type=Path, default=Path("data_check"), metavar="DIR",
                        help="folder for the contact sheets")  # fmt: skip
    parser.add_argument("--rows", type=int, default=20, help="bad rows to print")
    known, rest = parser.parse_known_args(arguments)
    bad = 0
    for name, dataset in _chosen(known, rest):
        report = check_dataset(dataset)
        print("\n".join(report.lines(known.rows)))
        if report.sheet is not None:
            known.sheet.mkdir(parents=True, exist_ok=True)
            sheet = known.sheet / f"{name}.png"
            save_png(report.sheet, sheet)
            print(f"contact sheet: {sheet}")
        bad += len(report.problems) + (report.faces == 0)
    if bad:
        raise UserError(f"{bad} bad rows; mend each as told above")
    return 0


def _chosen(known: argparse.Namespace, rest: list[str]) -> Iterator[tuple[str, FaceDataset]]:
    """The data sets to check, by name."""
    if not known.config:
        if known.dataset not in DATASETS:
            raise UserError(unknown_name("data set", known.dataset, sorted(DATASETS), None))
        yield known.dataset.lower(), build_dataset(known.dataset, rest)
        return
    if rest:
        raise UserError(f"unknown argument '{rest[0]}'; with --config the files say everything")
    composed = compose(known.config)
    refuse_unknown_names(composed)
    settings = (composed.tree.get("data") or {}).get("init_args") or {}
    for text in unset_variables(settings):
        raise UserError(f"'{text}' names a variable that is not set; export it first")
    for role in ("train", "val", "test"):
        for name, spec in (settings.get(role) or {}).items():
            dataset = _instantiate(FaceDataset, {"set": spec}, None)
            if "root" in settings:
                dataset.start_from(settings["root"])
            yield f"{role}_{name}", dataset


def build_dataset(name: str, arguments: list[str]) -> FaceDataset:
    """A data set from its class name and `--key value` arguments.

    Raises:
        UserError: an argument that the class does not have, or a bad value.
    """
    return _instantiate(DATASETS[name], None, arguments)


def _instantiate(
    cls: type[Any], tree: dict[str, Any] | None, arguments: list[str] | None
) -> FaceDataset:
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    if tree is None:
        parser.add_class_arguments(cls, "set", fail_untyped=False)
        words = [f"--set.{w[2:]}" if w.startswith("--") else w for w in arguments or []]
    else:
        parser.add_subclass_arguments(cls, "set", fail_untyped=False)
    try:
        parsed = parser.parse_args(words) if tree is None else parser.parse_object(tree)
    except argparse.ArgumentError as error:
        keys = [a.dest for a in parser._actions if a.dest.startswith("set.")]
        message = one_line(str(error), None, keys).replace("set.", "")
        raise UserError(message) from error
    try:
        built: FaceDataset = parser.instantiate(parsed)["set"]
    except ValueError as error:
        reraise(error)
    return built
