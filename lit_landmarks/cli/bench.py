"""`bench`: speeds and searches, measured beside what they are compared with."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from lit_landmarks.cli import bench_samplers
from lit_landmarks.cli.parsing import verb_parser
from lit_landmarks.errors import UserError
from lit_landmarks.methods.adaptive import AdaptiveModule
from lit_landmarks.reports.bench_cascade import bench_cascade
from lit_landmarks.reports.bench_data import bench_data
from lit_landmarks.settings import Task

_DESCRIPTION = """data measures on embedded synthetic faces, in one run, in rounds that take turns:
  cached source crops to augmented batches of 32, and the same without augmentation
  a training step of a timm backbone on such a batch, and which part of it a batch takes
  albumentations and OpenCV doing the same work (pip install 'lit-landmarks[bench]')
  rendering of synthetic faces
  caching of source crops beside decoding the same JPEG files alone

  python -m lit_landmarks bench data
  python -m lit_landmarks bench data --size 224 --json
  python -m lit_landmarks bench data --head ict_facekit.npz

cascade measures a calibrated run on its validation faces, one thread: one face at a time and
batches of 64, with and without early stop, in turns.

  python -m lit_landmarks bench cascade --run runs/musica-synthetic-001

sweep measures what a study costs beside its fits: time around a trial, of one that is too dear to
be trained, memory over many trials, and two workers beside one.

  python -m lit_landmarks bench sweep --rounds 5 --trials 200

samplers runs one study with several samplers and seeds, at an equal number of trials; a killed
comparison goes on when it is called again.

  python -m lit_landmarks bench samplers --sweep sweeps/samplers.yaml"""


def run(arguments: list[str]) -> int:
    """Runs the verb."""
    parser = verb_parser("bench", _DESCRIPTION)
    parts = ["data", "cascade", "sweep", "samplers"]
    parser.add_argument("part", choices=parts, help="what to measure")
    parser.add_argument("--size", type=int, default=128, help="side of a frame in pixels")
    parser.add_argument("--faces", type=int, default=96, help="faces that are cached")
    parser.add_argument("--rounds", type=int, default=12, help="times that each figure is taken")
    parser.add_argument("--head", help="an ICT FaceKit head file: measure its rendering too")
    parser.add_argument("--run", type=Path, help="cascade: a run that `calibrate` has seen")
    parser.add_argument("--sweep", type=Path, help="samplers: the sweep file")
    parser.add_argument("--samplers", nargs="+", default=["TPESampler", "RandomSampler"],
                        help="samplers: classes of optuna.samplers")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=5, help="samplers: studies of each")
    parser.add_argument("--trials", type=int, help="sweep: trials of its memory, 200;"
                        " samplers: of each study, the file's")  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path("studies/samplers"),
                        help="samplers: folder of the studies")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    known, rest = parser.parse_known_args(arguments)
    if known.part == "cascade":
        return _cascade(known.run, rest, known.json)
    if known.part == "samplers" and not rest:
        return bench_samplers.run(known.sweep, known.samplers, known.seeds, known.trials,
                                  known.output, known.json)  # fmt: skip
    if rest:
        raise UserError(f"unknown argument {rest[0]}; see {parser.prog} --help")
    if known.part == "sweep":
        from lit_landmarks.cli.bench_sweep import bench_sweep

        measured = bench_sweep(known.rounds, 200 if known.trials is None else known.trials)
        print(json.dumps(asdict(measured), indent=2) if known.json
              else "\n".join(measured.lines()))  # fmt: skip
        return 0
    if known.size < 32 or known.faces < 32 or known.rounds < 1:
        raise UserError("bench needs --size and --faces of 32 or more and --rounds of 1 or more")
    found = bench_data(known.size, known.faces, known.rounds, head=known.head)
    if known.json:
        print(json.dumps({**asdict(found), "faces_per_s": found.faces_per_second}, indent=2))
    else:
        print("\n".join(found.lines()))
    return 0


def _cascade(path: Path | None, rest: list[str], as_json: bool) -> int:
    if path is None:
        raise UserError("bench cascade needs --run RUN; see --help")
    method, data = Task.from_run(path, rest).load_trained()
    if not isinstance(method, AdaptiveModule):
        raise UserError(f"{path} is a {type(method).__name__}; give a run of a cascade")
    found = bench_cascade(method, data)
    print(json.dumps(asdict(found), indent=2) if as_json else "\n".join(found.lines()))
    return 0
