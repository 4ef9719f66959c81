"""`export`: a trained method as an ONNX or LiteRT file, checked against PyTorch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lit_landmarks.cli.parsing import verb_parser
from lit_landmarks.console import plain_console
from lit_landmarks.errors import UserError
from lit_landmarks.settings.preflight import check_settings
from lit_landmarks.settings.request import Request, read_request
from lit_landmarks.training.run_directory import open_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lit_landmarks.export.exporter import Exported
    from lit_landmarks.inference.places import Places
    from lit_landmarks.types import FaceInputs

_DESCRIPTION = """Writes a trained method as one file for ONNX Runtime (.onnx) or LiteRT (.tflite).

Normalization, the network and the decoding of landmarks are inside: pixels of a crop in, points in
its pixels out. The file says how to cut faces for it and what its points are. Before it takes its
name it is run on rendered faces and noise; if a point lies farther than 0.05 px from where PyTorch
has it, nothing is written. `lit_landmarks.load(FILE)` and `test --ckpt_path FILE` run it.

A cascade with exit thresholds stops as soon as it may, in .onnx; a .tflite runs all stages.

  python -m lit_landmarks export --run runs/first --to first.onnx
  python -m lit_landmarks export --ckpt_path best.ckpt --to first.tflite --input uint8
  python -m lit_landmarks export --run runs/first --to small.onnx --quantize int8
  python -m lit_landmarks export --run runs/first --to small.onnx --quantize int8 \\
      --calibrate configs/data/helen_afw.yaml --data.init_args.root $LIT_LANDMARKS_DATA/300w"""


def run(arguments: list[str]) -> int:
    """Runs `export`."""
    parser = verb_parser("export", _DESCRIPTION)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", type=Path, help="run directory, whose best checkpoint is taken")
    source.add_argument("--ckpt_path", type=Path, metavar="FILE", help="a checkpoint")
    parser.add_argument(
        "--to", type=Path, required=True, metavar="FILE", help="ends in .onnx or .tflite"
    )
    parser.add_argument(
        "--input",
        choices=("float", "uint8"),
        default="float",
        help="float: (B, 3, S, S) float32 RGB in [0, 1]; uint8: (B, S, S, 3) RGB; default float",
    )
    parser.add_argument(
        "--outputs", nargs="+", metavar="NAME", help="beside points; default all that there are"
    )
    parser.add_argument(
        "--convention", metavar="NAME", help="answer in it; default: the caller chooses"
    )
    parser.add_argument(
        "--queries",
        metavar="NAME",
        help="fixed points of a method of queries: a scheme, or a file of places",
    )
    parser.add_argument(
        "--all_stages", action="store_true", help="of a cascade, though thresholds are set"
    )
    parser.add_argument("--quantize", choices=("int8",), help="the network in 8 bits")
    parser.add_argument(
        "--calibrate",
        action="append",
        default=[],
        type=Path,
        metavar="CONFIG",
        help="data whose faces give the ranges for 8 bits and, before and after, an NME; default"
        " the run's own",
    )
    parser.add_argument("--faces", type=int, default=64, help="to calibrate on; default 64")
    options, settings = parser.parse_with_settings(arguments)
    _check(options, settings)
    return _export(options, _read_data(options, settings))


def _check(options: argparse.Namespace, settings: list[str]) -> None:
    """Refuse what the command line alone shows to be wrong.

    Raises:
        UserError: options that do not belong together, or a number out of range.
    """
    if options.to.suffix.lower() not in (".onnx", ".tflite"):
        raise UserError(f"no format for --to {options.to}; end the name in .onnx or .tflite")
    if options.faces < 1:
        raise UserError(f"--faces is {options.faces}; give 1 or more")
    if options.quantize is None and (options.calibrate or settings):
        unused = f"--calibrate {options.calibrate[0]}" if options.calibrate else settings[0]
        raise UserError(f"{unused} is for 8 bits; add --quantize int8, or remove it")
    if options.run is not None:
        open_run(options.run)
    elif not options.ckpt_path.is_file():
        raise UserError(f"no checkpoint at {options.ckpt_path}; give a .ckpt file, or --run RUN")


def _read_data(options: argparse.Namespace, settings: list[str]) -> Request | None:
    """The request that measures what is quantized; None in single precision."""
    if options.quantize is None:
        return None
    source = ["--run", str(options.run)]
    if options.run is None:
        source = ["--ckpt_path", str(options.ckpt_path)]
    configs = [item for path in options.calibrate for item in ("--config", str(path))]
    request = read_request("validate", [*source, *configs, *settings])
    check_settings("validate", request.configs, request.overrides)
    return request


def _export(options: argparse.Namespace, request: Request | None) -> int:
    from lit_landmarks.export.exporter import ExportOptions, export_method
    from lit_landmarks.inference import load
    from lit_landmarks.methods import LandmarkModule

    landmarker = load(options.run or options.ckpt_path)
    method = landmarker.method
    if not isinstance(method, LandmarkModule):
        raise UserError(f"{options.ckpt_path} is exported already; give a checkpoint or a run")
    places = None if options.queries is None else _read_queries(options.queries)
    chosen = ExportOptions(
        options.input,
        options.outputs,
        options.convention,
        places,
        options.all_stages,
        options.quantize,
    )
    data = None if request is None else _CalibrationData(request)
    result = export_method(
        method,
        landmarker.crop,
        options.to,
        chosen,
        landmarker.notes,
        None if data is None else lambda: data.draw_faces(options.faces),
        None if data is None else data.measure,
    )
    _print(result)
    return 0


def _read_queries(name: str) -> Places:
    """The points of a scheme, by their names, or those of a file.

    Raises:
        UserError: neither a scheme with places on the template nor a file of places.
    """
    from lit_landmarks.inference.places import name_places, read_places
    from lit_landmarks.schemes import SCHEMES
    from lit_landmarks.template import query_points

    if name in SCHEMES:
        return name_places(SCHEMES[name].point_names, query_points(name))
    return read_places(name)


class _CalibrationData:
    """The data of an export in 8 bits, which is built once.

    Args:
        request: the evaluation of the checkpoint on it.
    """

    def __init__(self, request: Request) -> None:
        from lit_landmarks.settings import Task

        self._task = Task(request)

    def draw_faces(self, count: int) -> Iterator[FaceInputs]:
        """Faces of the training sets, or the validation sets where there are none."""
        import torch

        data, left = self._task.data(), count
        for batch in data.batches("train" if data.sets["train"] else "val"):
            yield batch.select(torch.arange(min(left, len(batch)))).inputs
            left -= len(batch)
            if left <= 0:
                return

    def measure(self, path: Path) -> dict[str, float]:
        """NME on the validation sets, of the checkpoint and of a file."""
        from dataclasses import replace

        task = self._task
        before = task.measure()
        task.request = replace(task.request, checkpoint=path)
        after = task.measure()
        names = [name for name in after if name.rpartition("/")[2].startswith("nme")]
        return {name: after[name] for name in names} | {
            f"{name} float32": before[name] for name in names
        }


def _print(result: Exported) -> None:
    """What was written, and how far it is from PyTorch."""
    console = plain_console()
    gaps = ", ".join(f"{n} {g:.2g}" for n, g in result.parity.gaps.items() if n != "exit_stage")
    console.print(
        f"largest gap to PyTorch on {result.parity.faces} faces: {result.parity.pixels:.2g} px"
        f" ({gaps})"
    )
    if (quantization := result.quantization) is not None:
        console.print(
            f"8 bits: {quantization.nodes} operators, {quantization.bytes_before:,} to"
            f" {result.bytes:,} bytes; points move by {quantization.parity.mean:.2g} px in the mean"
        )
        figures = quantization.metrics
        for name in [n for n in figures if f"{n} float32" in figures]:
            console.print(f"{name}: {figures[f'{name} float32']:.3f} to {figures[name]:.3f}")
    if result.description.stage_mma:
        costs = ", ".join(f"{cost:.1f}" for cost in result.description.stage_mma)
        console.print(f"faces leave early, after {costs} MMA")
    console.print(f"file: {result.path} ({result.bytes:,} bytes)")
