"""`data synthesize`: rendered faces on disk, in the files of a published data set."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from lit_landmarks.cli.subcommands import Subcommands
from lit_landmarks.errors import UserError
from lit_landmarks.settings.catalog import list_layouts, list_renderers
from lit_landmarks.settings.preflight import check_dataset_arguments
from lit_landmarks.settings.values import describe_unknown_name

_DESCRIPTION = """Renders faces and writes them in the files of a published data set, so that
programs written for that set read them. Goes on where a run was stopped; a larger --n adds faces.

  python -m lit_landmarks data synthesize DIR --layout ibug --n 1000
  python -m lit_landmarks data synthesize DIR --layout wflw --n 500 --image_size 256
  python -m lit_landmarks data synthesize DIR --layout ibug --source IctFaces --head HEAD.npz
  python -m lit_landmarks data synthesize DIR --layout columns --scheme dense520 --convention 3d
  python -m lit_landmarks data synthesize OTHER --layout columns --convention 3d --pictures DIR

Further --key value pairs are arguments of the source (seed, max_yaw, image_size ...)."""


def add_subcommand(parts: Subcommands) -> None:
    """Adds `data synthesize`."""
    summary = "write rendered faces to disk in the files of a published data set"
    parser = parts.add("synthesize", summary, _run, _DESCRIPTION, takes_settings=True)
    parser.add_argument("target", type=Path, help="folder to write, new or begun before")
    parser.add_argument("--layout", default="ibug", help=f"one of {', '.join(list_layouts())}")
    parser.add_argument("--n", type=int, default=1000, help="number of faces")
    sources = f"who renders: one of {', '.join(list_renderers())}"
    parser.add_argument("--source", default="SyntheticFaces", help=sources)
    parser.add_argument("--workers", type=int, help="processes (all cores)")
    parser.add_argument(
        "--pictures",
        type=Path,
        help="folder of the same faces in another scheme or convention: its pictures are linked "
        "instead of rendered again",
    )


def _run(options: argparse.Namespace) -> int:
    named = {
        "layout": (options.layout, sorted(list_layouts())),
        "source of rendered faces": (options.source, list_renderers()),
    }
    for kind, (name, names) in named.items():
        if name not in names:
            raise UserError(describe_unknown_name(kind, name, names, None))
    if options.n < 1 or (options.workers is not None and options.workers < 1):
        raise UserError("--n and --workers must be 1 or more; correct them")
    # A layout without a scheme takes any.
    if list_layouts()[options.layout].constants.get("scheme") is not None:
        for setting in options.settings:
            if setting.split("=")[0] in ("--scheme", "--convention"):
                raise UserError(f"the layout fixes scheme and convention; omit {setting}")
    check_dataset_arguments(options.source, options.settings)
    from lit_landmarks.data.layouts import LAYOUTS
    from lit_landmarks.data.synthesize import synthesize
    from lit_landmarks.settings.datasets import build_dataset

    chosen = LAYOUTS[options.layout]
    fixed = {"--n": str(options.n), "--scheme": chosen.scheme, "--convention": chosen.contour}
    given = [text for key, value in fixed.items() if value is not None for text in (key, value)]
    start = time.monotonic()
    dataset = build_dataset(options.source, [*options.settings, *given])
    layout = chosen.of(dataset)
    target, pictures = options.target, options.pictures
    count = synthesize(dataset, layout, target, options.n, options.workers, pictures)
    duration = f" in {time.monotonic() - start:.0f} s" if count else ""
    print(
        f"{options.n} faces in {target}, layout {layout.name}: "
        f"{count} {'rendered' if pictures is None else 'labeled'} now{duration}"
    )
    return 0
