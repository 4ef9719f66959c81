"""`data synthesize`: rendered faces on disk, in the files of a published data set."""

from __future__ import annotations

import time
from pathlib import Path

from lit_landmarks.cli.parsing import verb_parser
from lit_landmarks.data import DATASETS
from lit_landmarks.data.layouts import LAYOUTS
from lit_landmarks.data.synthesize import synthesize
from lit_landmarks.errors import UserError
from lit_landmarks.settings.datasets import build_dataset
from lit_landmarks.settings.diagnosis import unknown_name

_DESCRIPTION = """Renders faces and writes them in the files of a published data set, so that
programs written for that set read them. Goes on where a run was stopped; a larger --n adds faces.

  python -m lit_landmarks data synthesize DIR --layout ibug --n 1000
  python -m lit_landmarks data synthesize DIR --layout wflw --n 500 --image_size 256
  python -m lit_landmarks data synthesize DIR --layout ibug --source IctFaces --head HEAD.npz

Further --key value pairs are arguments of the source (seed, max_yaw, image_size ...)."""


def run(arguments: list[str]) -> int:
    """Runs `data synthesize`."""
    parser = verb_parser("data synthesize", _DESCRIPTION)
    parser.add_argument("target", type=Path, help="folder to write, new or begun before")
    parser.add_argument("--layout", default="ibug", help=f"one of {', '.join(LAYOUTS)}")
    parser.add_argument("--n", type=int, default=1000, help="number of faces")
    rendered = [name for name, cls in DATASETS.items() if cls.rendered]
    parser.add_argument("--source", default="SyntheticFaces",
                        help=f"who renders: one of {', '.join(rendered)}")  # fmt: skip
    parser.add_argument("--workers", type=int, help="processes (all cores)")
    known, rest = parser.parse_known_args(arguments)
    if known.layout not in LAYOUTS:
        raise UserError(unknown_name("layout", known.layout, sorted(LAYOUTS), None))
    if known.source not in rendered:
        raise UserError(unknown_name("source of rendered faces", known.source, rendered, None))
    if known.n < 1 or (known.workers is not None and known.workers < 1):
        raise UserError("--n and --workers must be 1 or more; correct them")
    for word in rest:
        if word.split("=")[0] in ("--scheme", "--convention"):
            raise UserError(f"the layout fixes scheme and convention; leave {word} away")
    layout = LAYOUTS[known.layout]()
    fixed = ["--n", str(known.n), "--scheme", layout.scheme, "--convention", layout.contour]
    start = time.monotonic()
    made = synthesize(build_dataset(known.source, [*rest, *fixed]), layout, known.target, known.n,
                      known.workers)  # fmt: skip
    speed = f" in {time.monotonic() - start:.0f} s" if made else ""
    print(f"{known.n} faces in {known.target}, layout {layout.name}: {made} rendered now{speed}")
    return 0
