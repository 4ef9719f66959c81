"""`analyse places`: a new scheme's points on the template, from a few labelled pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from lit_landmarks.cli.run_request import add_config, read_run_request
from lit_landmarks.cli.subcommands import Subcommands
from lit_landmarks.console import plain_console
from lit_landmarks.errors import UserError

_PLACES = """Finds where on the template the points of a new scheme lie, from a few labelled
pictures: those of the training sets of --config. The trained method is frozen; its answers at the
fitted places are the new landmarks. Writes a JSON file that Landmarker takes as queries
(lit_landmarks.inference.read_places). Faces are cut by the boxes of the data, which must be those
of whole faces, from the brows to the chin: a box tight about five points shows too little.

  python -m lit_landmarks analyse places --run runs/infinite3d --config my_points.yaml --faces 16"""


#: Percent of the box of the labels above which places were hardly found.
_FAR = 10.0


def add_places(parts: Subcommands) -> None:
    """Add the subcommand."""
    summary = "a new scheme's points on the template, from a few labelled pictures"
    parser = parts.add("places", summary, _fit, _PLACES, takes_settings=True)
    parser.add_argument("--run", type=Path, required=True, help="run of a method of queries")
    add_config(parser)
    parser.add_argument("--faces", type=int, default=16, help="how many of them are taken (16)")
    parser.add_argument("--output", type=Path, default=Path("places.json"), help="file")


def _fit(options: argparse.Namespace) -> int:
    if options.faces < 1:
        raise UserError(f"--faces is {options.faces}; give 1 or more")
    if not options.config:
        raise UserError("analyse places needs --config FILE with the labelled pictures")
    request = read_run_request(options.run, options)
    import torch

    from lit_landmarks.analysis.placement import fit_places
    from lit_landmarks.compute import default_device
    from lit_landmarks.inference.places import name_places
    from lit_landmarks.schemes import get_scheme
    from lit_landmarks.settings import Task

    method, data = Task(request).load_apart()
    schemes = {spec.scheme for spec in data.spec.in_role("train")}
    if len(schemes) != 1:
        raise UserError(f"the training sets have the schemes {sorted(schemes)}; give one")
    batches, count = [], 0
    for batch in data.batches("train"):
        some = batch.select(torch.arange(len(batch))[: options.faces - count])
        batches.append(some.to(default_device()))
        count += len(some)
        if count >= options.faces:
            break
    placement = fit_places(method.to(default_device()).eval(), batches)
    names = get_scheme(schemes.pop()).point_names
    name_places(names, placement.queries[: len(names)]).write(options.output)
    plain_console().print(
        f"{len(names)} places from {count} faces: {placement.before:.2f} -> {placement.after:.2f} %"
        f" of the box of their labels\nplaces: {options.output}"
    )
    if placement.after > _FAR:
        plain_console().print(
            f"note: more than {_FAR:g} % is far; is `box` of each face in the data that of a whole"
            " face, from the brows to the chin, as the run has seen faces?"
        )
    return 0
