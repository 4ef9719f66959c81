"""`analyse normalizer`, `shape` and `label-shift`: what the parts of a method are worth."""

from __future__ import annotations

import argparse
from pathlib import Path

from lit_landmarks.cli.run_request import add_config, read_run_request
from lit_landmarks.cli.subcommands import Subcommands
from lit_landmarks.console import plain_console

_NORMALIZER = """Shows each face shifted, zoomed and rolled by exact amounts, and compares how far
its labelled landmarks spread in the wide inputs with how far they spread in the crops that the
run's normalizer chooses. Writes normalizer.json into RUN or --output.

  python -m lit_landmarks analyse normalizer --run runs/wide
  python -m lit_landmarks analyse normalizer --run runs/wide --zoom 2 --roll 40"""

_SHAPE = """Compares the 3D shape, pose and visibility that a run predicts with those of the mean
face fitted by POSIT to the same 2D points, on sets whose labels have them, such as rendered faces.
Writes shape.json into RUN or --output.

  python -m lit_landmarks analyse shape --run runs/infinite3d"""


_LABEL_SHIFT = """Measures how far the labels of each data set lie to the right of the mean answer
for a face and its mirror image, which prefers no side. A network that learns from mirror images is
off by that much, unless model.label_shift names the convention of the labels. Writes
label_shift.json into RUN or --output.

  python -m lit_landmarks analyse label-shift --run runs/helen"""


def add_parts(parts: Subcommands) -> None:
    """Add the subcommands."""
    summary = "what a spatial normalizer undoes"
    parser = parts.add("normalizer", summary, _normalizer, _NORMALIZER, takes_settings=True)
    _add_run(parser)
    parser.add_argument("--shift", type=float, default=0.1, help="largest, in sides of the input")
    parser.add_argument("--zoom", type=float, default=1.4, help="largest factor, both ways")
    parser.add_argument("--roll", type=float, default=20.0, help="largest, degrees")
    parser.add_argument("--count", type=int, default=8, help="placements of each face")
    summary = "3D shape, pose and visibility against the mean face fitted by POSIT"
    parser = parts.add("shape", summary, _shape, _SHAPE, takes_settings=True)
    _add_run(parser)
    summary = "how far the labels of data sets lie to one side"
    _add_run(parts.add("label-shift", summary, _label_shift, _LABEL_SHIFT, takes_settings=True))


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", type=Path, required=True, help="run directory")
    add_config(parser)
    parser.add_argument("--output", type=Path, help="folder; default RUN")


def _normalizer(options: argparse.Namespace) -> int:
    request = read_run_request(options.run, options)
    from lit_landmarks.analysis.framing import Placements, Spread, measure_spread, print_spread
    from lit_landmarks.compute import default_device
    from lit_landmarks.settings import Task
    from lit_landmarks.training.run_directory import write_json

    placements = Placements(options.shift, options.zoom, options.roll, options.count)
    method, data = Task(request).load_trained()
    results: dict[str, Spread] = {}
    for role in data.measured_roles:
        spread = measure_spread(method, data, role, placements, default_device())
        results |= {f"{role}/{name}": value for name, value in spread.items()}
    console = plain_console()
    print_spread(results, console)
    path = (options.output or options.run) / "normalizer.json"
    rows = {name: {**vars(value), "ratio": value.ratio} for name, value in results.items()}
    write_json(path, {"placements": vars(placements), "sets": rows})
    console.print(f"report: {path}")
    return 0


def _shape(options: argparse.Namespace) -> int:
    request = read_run_request(options.run, options)
    from lit_landmarks.analysis.mean_shape import measure_shapes, print_shapes
    from lit_landmarks.compute import default_device
    from lit_landmarks.settings import Task
    from lit_landmarks.training.run_directory import write_json

    method, data = Task(request).load_trained()
    figures: dict[str, tuple[float, float]] = {}
    for role in data.measured_roles:
        figures |= measure_shapes(method, data, role, default_device())
    console = plain_console()
    print_shapes(figures, console)
    path = (options.output or options.run) / "shape.json"
    rows = {key: {"predicted": own, "mean_face": mean} for key, (own, mean) in figures.items()}
    write_json(path, {"figures": rows})
    console.print(f"report: {path}")
    return 0


def _label_shift(options: argparse.Namespace) -> int:
    request = read_run_request(options.run, options)
    from lit_landmarks.analysis.label_shift import (
        SidewaysShift,
        measure_label_shift,
        print_label_shift,
    )
    from lit_landmarks.compute import default_device
    from lit_landmarks.settings import Task
    from lit_landmarks.training.run_directory import write_json

    method, data = Task(request).load_trained()
    shifts: dict[str, SidewaysShift] = {}
    for role in data.measured_roles:
        measured = measure_label_shift(method, data, role, default_device())
        shifts |= {f"{role}/{name}": value for name, value in measured.items()}
    console = plain_console()
    print_label_shift(shifts, console)
    path = (options.output or options.run) / "label_shift.json"
    write_json(path, {"sets": {name: vars(value) for name, value in shifts.items()}})
    console.print(f"report: {path}")
    return 0
