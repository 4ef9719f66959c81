"""`data convert`: a data set into another layout, or a clone of ICT FaceKit into a head file."""

from __future__ import annotations

import sys
from pathlib import Path

from lit_landmarks.cli.parsing import verb_parser
from lit_landmarks.data import DATASETS
from lit_landmarks.data.convert import convert, convert_to_json
from lit_landmarks.data.layouts import LAYOUTS
from lit_landmarks.errors import UserError
from lit_landmarks.settings.datasets import build_dataset
from lit_landmarks.settings.diagnosis import unknown_name

_HEAD = "ict-facekit"
_DESCRIPTION = f"""Writes a data set as our own JSON (all labels, the pictures as they are, read by
JsonFaces) or in the files of another data set, or makes a head file.

  python -m lit_landmarks data convert Ibug300W --root DIR --to OUT
  python -m lit_landmarks data convert Wflw --root DIR --to OUT --layout ibug
  python -m lit_landmarks data convert {_HEAD} CLONE HEAD.npz

With --layout, points are mapped to its scheme; faces that would miss one are left out and counted.
Goes on where a run was stopped. Further --key value pairs are arguments of the data set."""


def run(arguments: list[str]) -> int:
    """Runs `data convert`."""
    if arguments[:1] == [_HEAD]:
        return _head(arguments[1:])
    parser = verb_parser("data convert", _DESCRIPTION)
    parser.add_argument("dataset", help=f"one of {', '.join(DATASETS)}; or {_HEAD}")
    parser.add_argument("--to", type=Path, required=True, help="folder to write")
    parser.add_argument("--layout", default="json", help=f"one of {', '.join(LAYOUTS)}")
    parser.add_argument("--workers", type=int, help="processes (all cores)")
    known, rest = parser.parse_known_args(arguments)
    if known.layout not in LAYOUTS:
        raise UserError(unknown_name("layout", known.layout, sorted(LAYOUTS), None))
    if known.workers is not None and known.workers < 1:
        raise UserError("--workers must be 1 or more; correct it")
    dataset = build_dataset(known.dataset, rest)
    if known.layout == "json":
        print(f"{convert_to_json(dataset, known.to)} faces in {known.to / 'faces.json'}")
        return 0
    written, left = convert(dataset, LAYOUTS[known.layout](), known.to, known.workers)
    print(f"{written} faces in {known.to}, layout {known.layout}")
    if left:
        print(f"{left} faces left out: they lack points that the layout has", file=sys.stderr)
    return 0


def _head(words: list[str]) -> int:
    """ICT FaceKit's files to one head file."""
    parser = verb_parser(f"data convert {_HEAD}", _DESCRIPTION)
    parser.add_argument("source", type=Path, help="clone of ICT-FaceKit, or its FaceXModel folder")
    parser.add_argument("target", type=Path, help=".npz to write")
    known = parser.parse_args(words)
    from lit_landmarks.data.ict import make_head_file

    make_head_file(known.source, known.target)
    print(f"head file: {known.target}; use it as data set IctFaces with --head {known.target}")
    return 0
