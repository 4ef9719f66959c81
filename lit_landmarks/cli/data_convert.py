"""`data convert`: a data set into another layout, or a clone of ICT FaceKit into a head file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lit_landmarks.cli.parsing import verb_parser
from lit_landmarks.cli.subcommands import Subcommands
from lit_landmarks.errors import UserError
from lit_landmarks.settings.catalog import list_datasets, list_layouts
from lit_landmarks.settings.preflight import check_dataset_arguments
from lit_landmarks.settings.values import describe_unknown_name

_HEAD = "ict-facekit"
_COCO = "coco"
_DESCRIPTION = f"""Writes a data set as our own JSON (all labels, the pictures as they are, read by
JsonFaces), as COCO keypoints, or in the files of another data set; or makes a head file. What
annotation tools export is read by CocoKeypoints (CVAT, Roboflow, Label Studio), CvatXml, LabelMe
and DlibXml.

  python -m lit_landmarks data convert Ibug300W --root DIR --to OUT
  python -m lit_landmarks data convert CocoKeypoints --root DIR --to OUT
  python -m lit_landmarks data convert JsonFaces --root DIR --to OUT --layout coco
  python -m lit_landmarks data convert Wflw --root DIR --to OUT --layout ibug
  python -m lit_landmarks data convert {_HEAD} CLONE HEAD.npz

With another layout, points are mapped to its scheme; faces that would miss one are left out and
counted. Goes on where a run was stopped.
Further --key value pairs are arguments of the data set."""


def add_subcommand(parts: Subcommands) -> None:
    """Adds `data convert`."""
    summary = "any data set to our own JSON; an ICT FaceKit clone to a head file"
    parser = parts.add("convert", summary, _run, _DESCRIPTION, takes_settings=True)
    parser.add_argument("dataset", help=f"one of {', '.join(list_datasets())}; or {_HEAD}")
    parser.add_argument("--to", type=Path, help="folder to write")
    layouts = ", ".join((_COCO, *list_layouts()))
    parser.add_argument("--layout", default="json", help=f"one of {layouts}")
    parser.add_argument("--workers", type=int, help="processes (all cores)")


def _run(options: argparse.Namespace) -> int:
    if options.dataset == _HEAD:
        return _convert_head(options.settings)
    if options.to is None:
        raise UserError("data convert needs --to DIR; see --help")
    if options.layout not in (layouts := sorted((_COCO, *list_layouts()))):
        raise UserError(describe_unknown_name("layout", options.layout, layouts, None))
    if options.workers is not None and options.workers < 1:
        raise UserError("--workers must be 1 or more; correct it")
    check_dataset_arguments(options.dataset, options.settings)
    from lit_landmarks.data.convert import convert, convert_to_coco, convert_to_json
    from lit_landmarks.data.layouts import LAYOUTS
    from lit_landmarks.settings.datasets import build_dataset

    dataset = build_dataset(options.dataset, options.settings)
    if options.layout == "json":
        count = convert_to_json(dataset, options.to)
        print(f"{count} faces in {options.to / 'faces.json'}")
        return 0
    if options.layout == _COCO:
        count = convert_to_coco(dataset, options.to)
        print(f"{count} faces in {options.to / 'annotations.json'}")
        return 0
    layout = LAYOUTS[options.layout].of(dataset)
    written, left_out = convert(dataset, layout, options.to, options.workers)
    print(f"{written} faces in {options.to}, layout {options.layout}")
    if left_out:
        print(f"{left_out} faces left out: they lack points that the layout has", file=sys.stderr)
    return 0


def _convert_head(arguments: list[str]) -> int:
    """Converts a clone of ICT FaceKit to one head file."""
    parser = verb_parser(f"data convert {_HEAD}", _DESCRIPTION)
    parser.add_argument("source", type=Path, help="clone of ICT-FaceKit, or its FaceXModel folder")
    parser.add_argument("target", type=Path, help=".npz to write")
    options = parser.parse_args(arguments)
    from lit_landmarks.data.ict import make_head_file

    make_head_file(options.source, options.target)
    print(f"head file: {options.target}; use it as data set IctFaces with --head {options.target}")
    return 0
