"""`weights`: lists trained weights, makes an entry of a registry from a run, checks files."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_landmarks.cli.listing import describe_weights, format_rows
from lit_landmarks.cli.run_request import add_config
from lit_landmarks.cli.subcommands import Subcommands
from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.training.run_directory import RunDirectory, open_run
from lit_landmarks.weights import (
    TABLE,
    MeasuredNme,
    Weights,
    find_weights,
    locate_weights,
    read_table,
    shipped_folder,
    write_table,
)
from lit_landmarks.weights.registry import check_name

if TYPE_CHECKING:
    from lit_landmarks.settings import Task
    from lit_landmarks.types import Role

#: Most bytes of all files inside the package.
SHIPPED_LIMIT = 10_000_000
#: Largest rise of an NME, in percent of its norm, by fewer bits: more would be seen in print.
_LARGEST_RISE = 0.005

_DESCRIPTION = """Trained weights by name, for `lit_landmarks.load("NAME")` and
--model.init_args.init_from NAME.

  python -m lit_landmarks weights list
  python -m lit_landmarks weights add runs/mine --name mine --to ~/weights
  python -m lit_landmarks weights check

A registry is a folder with weights.yaml and the files that it names. That of the package holds
weights of rendered faces alone; $LIT_LANDMARKS_WEIGHTS names folders of your own."""
_ADD = """Makes an entry from a finished run: a file with the weights of its best checkpoint and
what they need to be loaded, without optimizer and other state, and its row in the table. The file
is measured as it is stored: on the run's test sets (validation sets where it has none), or on those
of further --config files, and compared with the checkpoint: fewer bits that cost accuracy are
refused.

  python -m lit_landmarks weights add runs/mine --name mine --to ~/weights
  python -m lit_landmarks weights add runs/heads --name musica-68-synthetic \\
      --config configs/data/helen_afw.yaml"""


def run(arguments: list[str]) -> int:
    """Runs `weights list`, `weights add` or `weights check`."""
    parts = Subcommands("weights", _DESCRIPTION)
    parts.add("list", "weights that there are, by name", _list)
    _add_parser(parts)
    check = parts.add("check", "compare every file of a registry with its table", _check)
    check.add_argument("--to", type=Path, metavar="FOLDER", help="registry (the package's)")
    return parts.run(arguments or ["--help"])


def _add_parser(parts: Subcommands) -> None:
    parser = parts.add("add", "make an entry from a run", _add, _ADD)
    add = parser.add_argument
    add("run", type=Path, help="folder of a finished fit")
    add("--name", required=True, help="of the weights: lower-case letters, digits, - . _")
    folder = "registry of your own, whatever it was trained on (the package's, of rendered faces)"
    add("--to", type=Path, metavar="FOLDER", help=folder)
    add("--licence", help="terms of use of the weights (from those of the training data)")
    add("--command", help="training command to note, instead of the run's own")
    add("--commit", help="commit of the code, of a run outside of a git checkout")
    kinds = ("int8", "float16", "float32")
    add("--precision", choices=kinds, default="float16", help="of large tensors (float16)")
    change = f"largest rise of an NME in percent by fewer bits ({_LARGEST_RISE})"
    add("--tolerance", type=float, default=_LARGEST_RISE, help=change)
    add("--replace", action="store_true", help="an entry of this name in that registry")
    add_config(parser)


def _list(options: argparse.Namespace) -> int:
    print("\n".join(format_rows(describe_weights())))
    return 0


def _add(options: argparse.Namespace) -> int:
    folder = (options.to or shipped_folder()).expanduser()
    run = open_run(options.run)
    result = run.read_result()
    git = result.get("git") or {}
    commit = str(git.get("commit") or "")[:10] + ("+" if git.get("dirty") else "")
    commit = options.commit or commit
    if not commit:
        raise UserError(f"{run.root} ran outside a git checkout; give --commit HASH of its code")
    _refuse_taken_name(options.name, folder, options.replace)
    from lit_landmarks.training.publishing import list_training_sources, slim_checkpoint

    sources = list_training_sources(run)
    photos = [f"{s.name} ({s.class_name}: {s.photos})" for s in sources if s.photos is not None]
    if photos and folder.resolve() == shipped_folder():
        raise UserError(
            f"{run.root} was trained on more than rendered faces, {', '.join(photos)}, and the"
            " package ships no such weights; give a registry of your own with --to FOLDER"
        )
    best = run.best if run.best.is_file() else run.last
    content = slim_checkpoint(best, options.precision, options.command)
    path = folder / f"{options.name}.ckpt"
    digest, figures = _write_measured(run, best, path, content, options)
    said: Mapping[str, Any] = content["lit_landmarks"]
    licences = {str(text) for text in said.get("licence", {}).values() if text}
    entry = Weights(
        name=options.name,
        file=path.name,
        sha256=digest,
        method=str(said["class_path"]).rpartition(".")[2],
        scheme=said["scheme"],
        crop={key: said["crop"][key] for key in ("size", "kind", "scale")},
        licence=options.licence or ("; ".join(sorted(licences)) if photos else "MIT"),
        trained_on=tuple(dict.fromkeys(s.class_name for s in sources)),
        command=str(said["command"]),
        commit=commit,
        date=str(result.get("finished") or "")[:10],
        parameters=int(result["metrics"]["compute/parameters"]),
        mma=round(float(result["metrics"]["compute/mma"]), 3),
        precision=options.precision,
        nme=tuple(figures),
        folder=folder,
    )
    entries = read_table(folder) if (folder / TABLE).is_file() else {}
    write_table(folder, {**entries, entry.name: entry})
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, SHA-256 {digest[:12]}")
    print("\n".join(format_rows([(entry.name, entry.describe())])))
    if photos:
        print(f"note: trained on more than rendered faces: {', '.join(photos)}")
    return 0


def _write_measured(
    run: RunDirectory,
    best: Path,
    path: Path,
    content: Mapping[str, Any],
    options: argparse.Namespace,
) -> tuple[str, list[MeasuredNme]]:
    """Writes the file of an entry and measures it; what is refused leaves the folder as it was."""
    from lit_landmarks.training.publishing import write_checkpoint

    before = [] if options.precision == "float32" else _measure(run, best, options)
    existing = path.read_bytes() if path.is_file() else None
    digest = write_checkpoint(path, content)
    try:
        figures = _measure(run, path, options)
        for old, new in zip(before, figures, strict=bool(before)):
            if not new.nme - old.nme <= options.tolerance:
                raise UserError(
                    f"{options.precision} raises the NME on {new.set} from {old.nme:.3f} to"
                    f" {new.nme:.3f} %, {path}; give a higher --precision, or a --tolerance"
                )
            print(f"{options.precision}: {old.nme:.3f} -> {new.nme:.3f} % on {new.set}")
        _refuse_large(path)
    except BaseException:
        if existing is None:
            path.unlink()
        else:
            write_atomic(path, existing)
        raise
    return digest, figures


def _measure(run: RunDirectory, checkpoint: Path, options: argparse.Namespace) -> list[MeasuredNme]:
    """NME of a checkpoint on each test set, or validation set where there are none."""
    from lit_landmarks.settings import Task

    arguments = [f"--run={run.root}", f"--ckpt_path={checkpoint}"]
    arguments += [f"--config={path}" for path in options.config]
    task = Task.from_arguments("test", arguments)
    if not task.settings["data"]["init_args"]["test"]:
        task = Task.from_arguments("validate", arguments)
    return list_figures(task, task.measure())


def list_figures(task: Task, metrics: Mapping[str, float]) -> list[MeasuredNme]:
    """The NME of each data set that a task has measured, under its primary norm."""
    role: Role = "val" if task.request.verb == "validate" else "test"
    figures = []
    for spec in task.data().spec.in_role(role):
        place, key = f"{role}/{spec.name}", f"nme_{spec.primary_norm}"
        inner = metrics.get(f"{place}/{key}_inner")
        figures.append(
            MeasuredNme(
                set=place,
                boxes=str(getattr(task.data().sets[role][spec.name], "boxes", "ground_truth")),
                norm=spec.primary_norm,
                faces=int(metrics.get(f"{place}/faces", spec.size)),
                nme=round(float(metrics[f"{place}/{key}"]), 4),
                inner=None if inner is None or math.isnan(inner) else round(float(inner), 4),
            )
        )
    return figures


def _refuse_taken_name(name: str, folder: Path, replaces: bool) -> None:
    check_name(name)
    other = find_weights(name)
    if (folder / TABLE).is_file() and (own := read_table(folder).get(name)) is not None:
        other = replace(own, folder=folder)
        if replaces:
            return
    if other is not None:
        cure = "; give --replace" if other.folder == folder else ""
        raise UserError(
            f"there are weights {name!r} in {other.folder} already; choose another --name{cure}"
        )


def _refuse_large(path: Path) -> None:
    """Refuses to let the package's files grow beyond their limit."""
    folder = path.resolve().parent
    if folder != shipped_folder():
        return
    files = {folder / entry.file for entry in read_table(folder).values()} | {path.resolve()}
    total = sum(file.stat().st_size for file in files)
    if total > SHIPPED_LIMIT:
        raise UserError(
            f"the weights inside the package would have {total / 1e6:.1f} MB, of"
            f" {SHIPPED_LIMIT / 1e6:.0f} MB at most; make them smaller, or give --to FOLDER"
        )


def _check(options: argparse.Namespace) -> int:
    folder = options.to or shipped_folder()
    entries = read_table(folder)
    from lit_landmarks.training.checkpoints import load_method

    for entry in entries.values():
        method, said = load_method(locate_weights(entry))
        values = (type(method).__name__, method.scheme, said["crop"]["size"], said["precision"])
        noted = (entry.method, entry.scheme, entry.crop["size"], entry.precision)
        if values != noted:
            raise UserError(
                f"{entry.path} holds {values}, {folder / TABLE} says {noted}; add it anew"
            )
    total = sum(entry.path.stat().st_size for entry in entries.values())
    print(f"{folder}: {len(entries)} entries, {total / 1e6:.2f} MB, all as their table says")
    return 0
