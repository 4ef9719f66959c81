"""`data check`: reads a whole data set, reports what is wrong with it, and draws its faces."""

from __future__ import annotations

import argparse
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_landmarks.cli.subcommands import Subcommands
from lit_landmarks.errors import UserError
from lit_landmarks.files import check_folder, write_atomic
from lit_landmarks.settings.catalog import list_datasets
from lit_landmarks.settings.composition import compose, find_unset_variables
from lit_landmarks.settings.preflight import ROLES, check_dataset_arguments, check_names

if TYPE_CHECKING:
    from lit_landmarks.data import FaceDataset
    from lit_landmarks.data.check import CheckReport
    from lit_landmarks.data.shared_faces import CheckedSet, Fingerprint

_DESCRIPTION = """Reads every label and image of a data set and prints counts, quantiles, a pose
histogram and the first bad rows with their cure; draws a contact sheet of overlays. Labels that
the other faces do not expect (a shape model fitted without the face) are listed worst first, drawn
on a second sheet, and all ranked in a CSV file. Exit status 2 if a row is bad. With several sets,
warns of pictures, photos and people that a training set and another one share.

  python -m lit_landmarks data check --root DIR                      300W layout, or any .pts files
  python -m lit_landmarks data check --all DIR                       every data set below a folder
  python -m lit_landmarks data check --dataset SyntheticFaces --n 64
  python -m lit_landmarks data check --config configs/data/helen_afw.yaml
  python -m lit_landmarks data check --config configs/data/mixed.yaml --batch 40

Further --key value pairs are arguments of the data set."""
_DEFAULT = "Ibug300W"


def add_subcommand(parts: Subcommands) -> None:
    """Adds `data check`."""
    summary = "read a data set, or every one below a folder; counts, bad rows, contact sheets"
    parser = parts.add("check", summary, _run, _DESCRIPTION, takes_settings=True)
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="check every data set that these argument files name",
    )
    parser.add_argument("--all", type=Path, metavar="DIR", help="check what is found below DIR")
    parser.add_argument(
        "--batch", type=int, metavar="N", help="with --config: draw one training batch of N faces"
    )
    parser.add_argument(
        "--padded", action="store_true", help="with --batch: each set in its own scheme, padded"
    )
    parser.add_argument("--dataset", default=_DEFAULT, help=f"one of {', '.join(list_datasets())}")
    parser.add_argument(
        "--sheet",
        type=Path,
        default=Path("data_check"),
        metavar="DIR",
        help="folder for the contact sheets",
    )
    parser.add_argument("--rows", type=int, default=20, help="bad rows to print")


def _run(options: argparse.Namespace) -> int:
    settings: list[str] = options.settings
    if (options.all or options.config) and settings:
        cause = "with --all the folder says" if options.all else "with --config the files say"
        raise UserError(f"unknown argument '{settings[0]}'; {cause} everything")
    if options.rows < 0:
        raise UserError(f"--rows {options.rows}: give 0 or more")
    if options.all and not options.all.is_dir():
        raise UserError(f"no folder {options.all}; correct the path")
    if not (options.all or options.config or options.batch is not None):
        check_dataset_arguments(options.dataset, settings)
    check_folder(options.sheet)
    if options.batch is not None:
        return _draw_batch(options)
    bad: list[str] = []
    count = 0
    from lit_landmarks.data.shared_faces import CheckedSet, describe_shared

    checked: list[CheckedSet] = []
    for name, dataset in _select(options):
        count += 1
        if options.all:
            print(f"== {name}")
        checked.append(CheckedSet(name, _trains(options, name), dataset))
        bad += _check(options, name, dataset, checked[-1].fingerprints)
        if not options.config:  # whose roles say what is trained on
            checked += _split_up(checked[-1])
    shared = describe_shared([one for one in checked if one.fingerprints])
    print("".join(f"warning: {line}\n" for line in shared), end="")
    if options.all:
        _print_unrecognized(options.all)
        if not count:
            raise UserError(f"no data set in {options.all}; name a folder that holds one or more")
    if bad:
        raise UserError(f"{len(bad)} bad rows; fix each as described above, first: {bad[0]}")
    return 0


def _check(
    options: argparse.Namespace,
    name: str,
    dataset: FaceDataset,
    fingerprints: dict[str, Fingerprint],
) -> list[str]:
    """Checks one data set, prints the report and returns its problems."""
    from lit_landmarks.data.check import check_dataset

    try:
        report = check_dataset(dataset, fingerprints=fingerprints)
    except UserError as error:
        if not options.all:
            raise
        print(f"not readable: {error}")  # the other folders are still checked
        return [str(error)]
    print("\n".join(report.lines(options.rows)))
    _write_report(report, options.sheet, name)
    # A folder that --all has detected may hold an empty split.
    if not report.faces and not report.problems and not options.all:
        empty = f"no face in {_describe_place(dataset)}; correct the arguments, or add faces"
        if not options.config:
            raise UserError(empty)
        print(empty)
        return [empty]
    return report.problems


def _trains(options: argparse.Namespace, name: str) -> bool:
    """Tells whether a set is trained on: by its role, or by its name where it has none."""
    if options.config:
        return name.startswith("train_")
    return any(part.lower().startswith("train") for part in re.split(r"[_/\s-]", name))


def _split_up(whole: CheckedSet) -> list[CheckedSet]:
    """The splits of a set that was checked as a whole, with the fingerprints of their pictures."""
    from lit_landmarks.data.shared_faces import CheckedSet

    parts = []
    for name, dataset in whole.dataset.parts().items():
        paths = [path for path in dataset.scan()[0].paths if path in whole.fingerprints]
        prints = {path: whole.fingerprints[path] for path in paths}
        trains = name.lower().startswith("train")
        parts.append(CheckedSet(f"{whole.name} {name}", trains, dataset, prints))
    if parts:  # the whole would share its faces with its own parts
        whole.fingerprints.clear()
    return parts


def _describe_place(dataset: FaceDataset) -> str:
    """Describes the file or folder of a data set, for messages."""
    if not isinstance(root := getattr(dataset, "root", None), str):
        return repr(dataset)
    file = getattr(dataset, "file", None)
    return str(dataset.resolve(root) / file if isinstance(file, str) else dataset.resolve(root))


def _print_unrecognized(root: Path) -> None:
    """Prints the folders right below `root` in which no data set was found."""
    from lit_landmarks.data.recognize import unrecognized

    for folder in unrecognized(root):
        names = sorted(file.name for file in folder.iterdir())
        listed = ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
        print(f"== {folder.relative_to(root)}\nno faces that a reader knows ({listed})")


def _write_report(report: CheckReport, folder: Path, name: str) -> None:
    """Writes contact sheets and the ranking of suspect labels."""
    from lit_landmarks.draw import save_png

    stem = folder / name
    stem.parent.mkdir(parents=True, exist_ok=True)
    if report.sheet is not None:
        print(f"contact sheet: {save_png(report.sheet, folder / f'{name}.png')}")
    if report.suspect_sheet is not None:
        sheet = save_png(report.suspect_sheet, folder / f"{name}_labels.png")
        print(f"labels to look at first: {sheet}")
        buffer = io.StringIO()
        table = csv.writer(buffer, lineterminator="\n")
        table.writerow(["row", "file", "point", "standard_deviations", "percent_of_box"])
        for s in report.ranking:
            table.writerow([s.row, s.where, s.point, f"{s.score:.2f}", f"{s.residual:.2f}"])
        write_atomic(folder / f"{name}_labels.csv", buffer.getvalue())


def _draw_batch(options: argparse.Namespace) -> int:
    """Draws one training batch of all training sets."""
    if not options.config or options.batch < 1:
        raise UserError(
            "--batch N needs --config FILE that names training sets, and N of 1 or more"
        )
    settings = _read_settings(options.config)
    sets = dict(_iterate_role(settings, "train"))
    if not sets:
        raise UserError(
            f"no training set in {options.config[-1]}; name them under data.init_args.train"
        )
    plain = {k: v for k, v in settings.items() if k not in (*ROLES, "augmentation")}
    if options.padded:
        plain["scheme"] = None
    from lit_landmarks.data.mixture import draw_batch
    from lit_landmarks.draw import save_png

    sheet, lines = draw_batch(sets, options.batch, plain)
    print("\n".join(lines))
    print(f"batch: {save_png(sheet, options.sheet / 'batch.png')}")
    return 0


def _read_settings(files: list[Path]) -> dict[str, Any]:
    """Reads `data.init_args` of argument files.

    Raises:
        UserError: an unknown name, or a variable that is not set.
    """
    composed = compose(files)
    check_names(composed)
    settings: dict[str, Any] = (composed.tree.get("data") or {}).get("init_args") or {}
    for text in find_unset_variables(settings):
        raise UserError(f"'{text}' names a variable that is not set; export it first")
    return settings


def _iterate_role(settings: dict[str, Any], role: str) -> Iterator[tuple[str, FaceDataset]]:
    from lit_landmarks.settings.datasets import dataset_from_entry

    for name, spec in (settings.get(role) or {}).items():
        dataset = dataset_from_entry(spec)
        if "root" in settings:
            dataset.start_from(settings["root"])
        yield name, dataset


def _select(options: argparse.Namespace) -> Iterator[tuple[str, FaceDataset]]:
    """Yields the data sets to check with their names."""
    if options.all:
        from lit_landmarks.data.recognize import walk

        yield from walk(options.all)
    elif options.config:
        settings = _read_settings(options.config)
        for role in ROLES:
            for name, dataset in _iterate_role(settings, role):
                yield f"{role}_{name}", dataset
    else:
        from lit_landmarks.settings.datasets import build_dataset

        yield options.dataset.lower(), build_dataset(options.dataset, options.settings)
