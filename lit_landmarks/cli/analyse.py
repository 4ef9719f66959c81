"""`analyse`: early-exit thresholds, trade-off of NME and cost, attention, stability of runs."""

from __future__ import annotations

import argparse
import contextlib
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lit_landmarks.cli.analyse_parts import add_parts
from lit_landmarks.cli.analyse_places import add_places
from lit_landmarks.cli.analyse_stability import add_stability
from lit_landmarks.cli.analyse_template import add_template
from lit_landmarks.cli.run_request import add_config, read_evaluation, read_run_request
from lit_landmarks.cli.subcommands import Subcommands
from lit_landmarks.console import plain_console
from lit_landmarks.errors import UserError
from lit_landmarks.files import write_atomic
from lit_landmarks.training.run_directory import RunDirectory, write_json
from lit_landmarks.training.run_lock import lock_run

if TYPE_CHECKING:
    from lit_landmarks.analysis.calibration import Goal
    from lit_landmarks.analysis.tradeoff import TradeOff
    from lit_landmarks.methods import LandmarkModule
    from lit_landmarks.settings import Task
    from lit_landmarks.settings.request import Request

_DESCRIPTION = """Measures a trained method beyond its error: when faces may leave a cascade early,
what that costs, where the method looks, and how steady its landmarks are.

  python -m lit_landmarks analyse calibrate --run runs/musica-synthetic-001
  python -m lit_landmarks analyse tradeoff --run RUN68 --run RUN34
  python -m lit_landmarks analyse attention --run runs/musica-synthetic-001
  python -m lit_landmarks analyse reliability --run runs/spiga
  python -m lit_landmarks analyse stability --run runs/first"""

_CALIBRATE = """Finds the predicted error below which a face leaves the cascade, and the one above
which it counts as failed, on the validation sets of a run (or of another data config), and stores
both in the checkpoint. Without --mma, --nme and --slack the NME may rise by 3 percent of itself.
A method without stages (such as ASMNet with model.error_head) gets the report only.
Writes calibration.json and calibration.png into the run, or beside a checkpoint outside of one.
MMA are millions of multiply-adds.

  python -m lit_landmarks analyse calibrate --run runs/musica-synthetic-001
  python -m lit_landmarks analyse calibrate --run runs/musica-synthetic-001 --mma 60
  python -m lit_landmarks analyse calibrate --run RUN --config configs/data/helen_afw.yaml \\
      --nme 5.5"""

_TRADEOFF = """Draws NME against mean multiply-adds for runs of a cascade, such as MuSiCa with
different patches: every face cut after the same stage, and faces that leave when their predicted
error is low. Thresholds are chosen on the validation sets and measured there and on the test sets.
Writes tradeoff.json, a plot for each data set and an offline W&B run into --output.

  python -m lit_landmarks analyse tradeoff --run runs/musica-synthetic-001
  python -m lit_landmarks analyse tradeoff --run RUN68 --run RUN34 --run RUN19 --output curve"""

_ATTENTION = """Importance of each patch of a MuSiCa over the validation faces of its run (or of
other data), by iteration, pose and expression, drawn on the mean face, and its rank correlation
with an account of human attention. --keep M writes a config with the M patches that are worth most.

  python -m lit_landmarks analyse attention --run runs/musica-synthetic-001 --output attention
  python -m lit_landmarks analyse attention --run runs/musica-synthetic-001 --keep 34
  python -m lit_landmarks fit --config configs/musica.yaml --config attention/patches.yaml"""


_RELIABILITY = """Is the attention that a landmark receives evidence that it can be trusted? For the
run of a SPIGA: how well it tells visible landmarks from occluded ones and from those that the head
turns away (where the data say so), and its correlation with the error, by data set and step, each
landmark compared with itself on other faces. Writes reliability.json and sheets of the faces with
most hidden landmarks.

  python -m lit_landmarks analyse reliability --run runs/spiga --output reliability
  python -m lit_landmarks analyse reliability --run runs/spiga \\
      --config configs/data/visibility.yaml"""

_MESHES = """Writes predicted faces as triangle meshes that 3D programs open: 000000.ply and so on,
by the rows of the file of predictions. x goes to the picture's right, y up, z to the camera, in
pixels.

  python -m lit_landmarks predict --run RUN --output faces.npz
  python -m lit_landmarks analyse meshes faces.npz --output meshes --format obj --rows 0 5"""


def run(arguments: list[str]) -> int:
    """Runs a part of `analyse`, such as `analyse calibrate`."""
    parts = Subcommands("analyse", _DESCRIPTION)
    _add_calibrate(parts)
    _add_tradeoff(parts)
    _add_attention(parts)
    _add_reliability(parts)
    add_stability(parts)
    _add_meshes(parts)
    add_template(parts)
    add_places(parts)
    add_parts(parts)
    return parts.run(arguments)


def _add_calibrate(parts: Subcommands) -> None:
    summary = "thresholds of a cascade's early exit, for a cost or an NME"
    parser = parts.add("calibrate", summary, _calibrate, _CALIBRATE, takes_settings=True)
    goal = parser.add_mutually_exclusive_group()
    goal.add_argument("--mma", type=float, help="wanted mean cost of a face, million multiply-adds")
    goal.add_argument("--nme", type=float, help="wanted mean NME, percent of the eye distance")
    goal.add_argument("--slack", type=float, help="allowed rise of the NME, percent of itself")
    parser.add_argument(
        "--shared", action="store_true", help="one threshold for all stages, as the paper draws it"
    )
    parser.add_argument(
        "--failure",
        type=float,
        default=10.0,
        help="true NME in percent from which a face has failed",
    )
    parser.add_argument(
        "--recall", type=float, help="share of failures to detect; default: the best F1"
    )
    parser.add_argument("--dry", action="store_true", help="report only; write nothing")
    parser.add_argument("--run", type=Path, help="run directory")
    parser.add_argument("--ckpt_path", type=Path, help="checkpoint; default the run's best")
    add_config(parser)


def _calibrate(options: argparse.Namespace) -> int:
    _check_goal(options)
    given = (("run", options.run), ("ckpt_path", options.ckpt_path))
    arguments = [f"--{key}={value}" for key, value in given if value]
    arguments += [f"--config={path}" for path in options.config]
    request = read_evaluation([*arguments, *options.settings])
    from lit_landmarks.settings import Task

    task = Task(request)
    checkpoint = request.checkpoint
    assert checkpoint is not None
    run = RunDirectory(checkpoint.resolve().parent.parent)
    writes = not options.dry and run.config.is_file()
    with lock_run(run.root, "analyse calibrate") if writes else contextlib.nullcontext():
        return _calibrate_checkpoint(options, task, checkpoint)


def _calibrate_checkpoint(options: argparse.Namespace, task: Task, checkpoint: Path) -> int:
    from lit_landmarks.analysis.calibration import (
        calibrate,
        choose_report_folder,
        print_calibration,
    )
    from lit_landmarks.analysis.cross_fit import find_folds, make_folds
    from lit_landmarks.analysis.records import record_roles
    from lit_landmarks.analysis.target_cost import store_thresholds
    from lit_landmarks.compute import default_device
    from lit_landmarks.training.fold_thresholds import FoldThresholds

    method, data = task.load_trained()
    roles = record_roles(method, data, default_device())
    goal = _choose_goal(options, method, len(roles["val"].costs))
    folds = make_folds(data)
    by_role = {role: find_folds(folds, data, role, records) for role, records in roles.items()}
    calibration = calibrate(roles, goal, options.failure, options.recall, method.scheme, by_role)
    print_calibration(calibration)
    if options.dry:
        return 0
    report, picture = calibration.write(choose_report_folder(checkpoint), checkpoint)
    # Last: a report that cannot be written leaves the checkpoint as it was.
    console = plain_console()
    early_exit, point = method.early_exit, calibration.point
    if point and early_exit:
        early_exit.set_thresholds(list(point.thresholds), calibration.detection.fail_above)
        by_fold = np.array(calibration.by_fold, np.float64)
        store_thresholds(checkpoint, early_exit, FoldThresholds(folds.faces, folds.fold, by_fold))
        console.print(f"thresholds stored in {checkpoint}")
    console.print(f"report: {report}, {picture}")
    return 0


def _check_goal(options: argparse.Namespace) -> None:
    for name in ("mma", "nme", "failure"):
        value = getattr(options, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UserError(f"--{name} is {value}; give a number above 0")
    if options.slack is not None and not (math.isfinite(options.slack) and options.slack >= 0):
        raise UserError(f"--slack is {options.slack}; give 0 percent or more")
    if options.recall is not None and not 0 < options.recall <= 1:
        raise UserError(f"--recall is {options.recall}; give a share above 0 and at most 1")


def _choose_goal(options: argparse.Namespace, method: LandmarkModule, stages: int) -> Goal | None:
    """The goal of the early exit; None for a method of one stage."""
    if method.early_exit is None or stages < 2:
        if any(value is not None for value in (options.mma, options.nme, options.slack)):
            raise UserError(
                f"{type(method).__name__} has one stage, so no face can leave early; "
                "omit --mma, --nme and --slack"
            )
        return None
    from lit_landmarks.analysis.calibration import DEFAULT_SLACK, Goal
    from lit_landmarks.analysis.thresholds import CONFIDENCE

    slack = DEFAULT_SLACK if options.slack is None else options.slack
    return Goal(options.mma, options.nme, slack, options.shared, CONFIDENCE)


def _add_tradeoff(parts: Subcommands) -> None:
    summary = "NME against multiply-adds of cascades, with and without early exit"
    parser = parts.add("tradeoff", summary, _measure_trade_off, _TRADEOFF, takes_settings=True)
    parser.add_argument(
        "--run", dest="runs", action="append", default=[], type=Path, help="run directory"
    )
    add_config(parser)
    parser.add_argument("--output", type=Path, default=Path("tradeoff"), help="folder")
    parser.add_argument("--wandb", choices=["offline", "online", "disabled"], default="offline")


def _measure_trade_off(options: argparse.Namespace) -> int:
    if not options.runs:
        raise UserError("analyse tradeoff needs --run RUN, once for each run; see --help")
    names = [path.resolve().name for path in options.runs]
    if len(set(names)) < len(names):
        raise UserError("two runs have the same folder name; rename one")
    requests = [read_run_request(path, options) for path in options.runs]
    from lit_landmarks.analysis.tradeoff import (
        as_dicts,
        plot_trade_off,
        print_trade_off,
        track_trade_off,
    )
    from lit_landmarks.draw.plots import save_figure
    from lit_landmarks.training.wandb_logging import WandbOptions

    curves: list[TradeOff] = []
    for request, name in zip(requests, names, strict=True):
        curves += _measure_run(request, name)
    figures = {
        dataset: plot_trade_off([c for c in curves if c.dataset == dataset])
        for dataset in dict.fromkeys(c.dataset for c in curves)
    }
    output: Path = options.output
    for dataset, figure in figures.items():
        save_figure(figure, output / f"{dataset.replace('/', '_')}.png")
    write_json(output / "tradeoff.json", {"curves": as_dicts(curves)})
    config = {"runs": [str(path) for path in options.runs]}
    track_trade_off(curves, figures, WandbOptions(mode=options.wandb), RunDirectory(output), config)
    print_trade_off(curves)
    plain_console().print(f"curves: {output}")
    return 0


def _measure_run(request: Request, name: str) -> list[TradeOff]:
    from lit_landmarks.analysis.cross_fit import find_folds, make_folds, split_folds_by_set
    from lit_landmarks.analysis.records import record_roles, split_by_set
    from lit_landmarks.analysis.tradeoff import measure_trade_off
    from lit_landmarks.compute import default_device
    from lit_landmarks.settings import Task

    method, data = Task(request).load_trained()
    if method.early_exit is None or method.early_exit.stages < 2:
        kind = type(method).__name__
        raise UserError(f"{request.run} is a {kind} of one stage; give runs of a cascade")
    roles = record_roles(method, data, default_device(), name)
    folds = make_folds(data)
    by_role = {role: find_folds(folds, data, role, records) for role, records in roles.items()}
    sets = split_by_set(roles)
    parts = split_folds_by_set(roles, by_role)
    return measure_trade_off(name, roles["val"], sets, parts, by_role["val"])


def _add_attention(parts: Subcommands) -> None:
    summary = "where a patch cascade looks, and which patches to keep"
    parser = parts.add("attention", summary, _measure_attention, _ATTENTION, takes_settings=True)
    parser.add_argument("--run", type=Path, required=True, help="run directory")
    add_config(parser)
    parser.add_argument("--output", type=Path, default=Path("attention"), help="folder")
    parser.add_argument("--keep", type=int, help="number of patches for patches.yaml")


def _measure_attention(options: argparse.Namespace) -> int:
    path: Path = options.run
    request = read_run_request(path, options)
    from lit_landmarks.analysis.attention import (
        measure_attention,
        print_attention,
        select_patches,
        write_attention,
    )
    from lit_landmarks.analysis.records import record_faces
    from lit_landmarks.compute import default_device
    from lit_landmarks.methods.musica import MuSiCa
    from lit_landmarks.settings import Task

    method, data = Task(request).load_trained()
    if not isinstance(method, MuSiCa) or method.scheme is None:
        raise UserError(f"{path} is a {type(method).__name__}; give a run of MuSiCa")
    patches = method.network.chosen.tolist()
    if options.keep is not None and not 4 <= options.keep <= len(patches):
        raise UserError(
            f"--keep is {options.keep}; the run has {len(patches)} patches, keep 4 or more"
        )
    records = record_faces(method, data, "val", default_device())
    attention = measure_attention(records, method.scheme, patches)
    console = plain_console()
    print_attention(attention, console)
    write_attention(attention, options.output)
    if options.keep is not None:
        selected = select_patches(attention, options.keep)
        file = options.output / "patches.yaml"
        write_atomic(
            file,
            f"# The {len(selected)} patches of {path} worth most, by attention.\n"
            f"model:\n  init_args:\n    patches: {list(selected)}\n",
        )
        console.print(f"patches: {file}")
    console.print(f"figures: {options.output}")
    return 0


def _add_reliability(parts: Subcommands) -> None:
    summary = "whether attention tells which landmarks can be trusted"
    parser = parts.add(
        "reliability", summary, _measure_reliability, _RELIABILITY, takes_settings=True
    )
    parser.add_argument("--run", type=Path, required=True, help="run directory")
    add_config(parser)
    parser.add_argument("--output", type=Path, default=Path("reliability"), help="folder")
    parser.add_argument("--faces", type=int, default=24, help="faces of a sheet")


def _measure_reliability(options: argparse.Namespace) -> int:
    if options.faces < 1:
        raise UserError(f"--faces is {options.faces}; give 1 or more")
    request = read_run_request(options.run, options)
    from lit_landmarks.analysis.reliability import (
        HiddenFaces,
        Reliability,
        measure_reliability,
        print_reliability,
        record_landmarks,
        write_reliability,
    )
    from lit_landmarks.compute import default_device
    from lit_landmarks.draw.files import Image
    from lit_landmarks.settings import Task

    method, data = Task(request).load_trained()
    results: dict[str, list[Reliability]] = {}
    sheets: dict[str, Image] = {}
    for role in data.measured_roles:
        hidden = HiddenFaces(options.faces)
        records = record_landmarks(method, data, role, default_device(), hidden)
        results |= {f"{role}/{name}": measure_reliability(r) for name, r in records.items()}
        sheets[role] = hidden.sheet()
    console = plain_console()
    print_reliability(results, console)
    write_reliability(results, sheets, options.output)
    console.print(f"report: {options.output}")
    return 0


def _add_meshes(parts: Subcommands) -> None:
    parser = parts.add("meshes", "predicted 3D faces as .ply or .obj files", _write_meshes, _MESHES)
    parser.add_argument("predictions", type=Path, help=".npz that predict has written")
    parser.add_argument("--output", type=Path, default=Path("meshes"), help="folder")
    parser.add_argument("--format", choices=("ply", "obj"), default="ply")
    parser.add_argument("--rows", type=int, nargs="+", help="faces by their rows; all")


def _write_meshes(options: argparse.Namespace) -> int:
    from lit_landmarks.inference.meshes import write_predicted_meshes

    paths = write_predicted_meshes(
        options.predictions, options.output, options.format, options.rows
    )
    plain_console().print(f"{len(paths)} meshes: {options.output}")
    return 0
