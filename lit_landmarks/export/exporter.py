"""`export_method`: a trained method written as a file, and the file checked against PyTorch."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from lit_landmarks import __version__
from lit_landmarks.errors import UserError
from lit_landmarks.export.litert_file import LiteWriter
from lit_landmarks.export.module import ExportedMethod, Signature, check_outputs
from lit_landmarks.export.onnx_file import OnnxWriter
from lit_landmarks.export.parity import LIMITS, Parity, compare, draw_faces
from lit_landmarks.files import atomic_path
from lit_landmarks.inference.graph_description import OUTPUTS, GraphDescription, PixelFormat
from lit_landmarks.inference.graphs import as_arrays, open_graph
from lit_landmarks.inference.places import Places
from lit_landmarks.inference.runtimes import is_graph
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.nets.early_exit import run_all_stages
from lit_landmarks.schemes import convention_index, get_scheme, scheme_json
from lit_landmarks.types import CropSpec, FaceInputs

#: A quantized file whose points lie farther than this from those of PyTorch in the mean, as a
#: share of the crop's side, has lost the landmarks, not some precision.
_LOST = 0.05


@dataclass(frozen=True)
class ExportOptions:
    """How a method is written.

    Attributes:
        pixels: "float" or "uint8"; see `GraphDescription.pixels`.
        outputs: names, the points always among them; None for all that the method gives.
        convention: the one that is answered in; None lets the caller of the graph choose.
        places: fixed points of a method of queries without a scheme; None makes them an input.
        all_stages: run every stage of a cascade for every face, though thresholds are set.
        quantize: "int8", or None for single precision.
    """

    pixels: PixelFormat = "float"
    outputs: list[str] | None = None
    convention: str | None = None
    places: Places | None = None
    all_stages: bool = False
    quantize: Literal["int8"] | None = None


@dataclass(frozen=True)
class Quantization:
    """What 8 bits have changed.

    Attributes:
        nodes: operators that run in 8 bits.
        parity: gaps of the quantized file on the faces that parity was checked on.
        bytes_before: size of the file in single precision.
        metrics: figures of the quantized file.
    """

    nodes: int
    parity: Parity
    bytes_before: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Exported:
    """A written file.

    Attributes:
        path: the file.
        bytes: its size.
        description: what it says of itself.
        parity: gaps against PyTorch, in single precision.
        quantization: None in single precision.
    """

    path: Path
    bytes: int
    description: GraphDescription
    parity: Parity
    quantization: Quantization | None = None


def export_method(
    method: LandmarkModule,
    crop: CropSpec,
    path: Path,
    options: ExportOptions | None = None,
    notes: Mapping[str, Any] | None = None,
    calibration: Callable[[], Iterable[FaceInputs]] | None = None,
    measure: Callable[[Path], dict[str, float]] | None = None,
) -> Exported:
    """Write a trained method as ONNX or LiteRT, and compare the file with it.

    Args:
        method: weights loaded; on the CPU.
        crop: how it was trained to see faces.
        path: ends in .onnx or .tflite; written whole or not at all.
        options: see `ExportOptions`.
        notes: what its checkpoint says of it: metrics, licence, command, mma.
        calibration: gives faces from which the ranges of activations are taken.
        measure: gives figures of a quantized file, which it then carries in place of the
            checkpoint's.

    Returns:
        The file and the gaps.

    Raises:
        UserError: options that the method cannot have, packages that are not installed, an operator
            that the format lacks, or a file that gives other landmarks than PyTorch.
    """
    options, notes = options or ExportOptions(), dict(notes or {})
    if not is_graph(path):
        raise UserError(f"no format for {path}; end the name in .onnx or .tflite")
    if options.quantize is not None and calibration is None:
        raise UserError("8 bits need faces to take the ranges of activations from; add --calibrate")
    method = method.cpu().eval()
    signature = _signature(method, options, path)
    module = ExportedMethod(method, signature)
    description = describe(method, crop, module, options, notes)
    writer: OnnxWriter | LiteWriter
    if path.suffix.lower() == ".onnx":
        writer = OnnxWriter(module, description, _thresholds(method, signature))
    else:
        writer = LiteWriter(module, description)
    leave = nullcontext() if signature.stages else run_all_stages(method.early_exit)
    inputs = draw_faces(method, crop, description.conventions)
    if module.queries is not None:
        inputs.queries = module.queries.expand(len(inputs), -1, -1)
    with leave, atomic_path(path) as temporary:
        writer.write(temporary)
        parity = compare(method, open_graph(temporary, threads=1), inputs)
        _refuse_gaps(parity, path)
        quantization = None
        if options.quantize is not None:
            assert calibration is not None
            size = temporary.stat().st_size
            faces = [as_arrays(batch, description) for batch in calibration()]
            nodes = writer.write_quantized(temporary, faces)
            lossy = compare(method, open_graph(temporary, threads=1), inputs)
            _refuse_lost(lossy, crop, path)
            metrics = {} if measure is None else measure(temporary)
            quantization = Quantization(nodes, lossy, size, metrics)
            # The figures of the checkpoint are not those of the file.
            writer.describe(temporary, metrics)
    return Exported(path, path.stat().st_size, writer.description, parity, quantization)


def describe(
    method: LandmarkModule,
    crop: CropSpec,
    module: ExportedMethod,
    options: ExportOptions,
    notes: Mapping[str, Any],
) -> GraphDescription:
    """What a file will say of itself."""
    scheme: str | dict[str, Any] | None = None
    points: tuple[str, ...] = ()
    if method.scheme is not None:
        scheme, points = scheme_json(method.scheme), get_scheme(method.scheme).point_names
    elif options.places is not None:
        points = options.places.names
        digest = hashlib.sha256("\n".join(points).encode()).hexdigest()[:8]
        scheme = {"name": f"places_{digest}", "points": [*points]}
    names = (*module.signature.outputs, *(["exit_stage"] if module.signature.stages else []))
    mma = notes.get("mma")
    return GraphDescription(
        method=type(method).__name__,
        scheme=scheme,
        points=tuple(points),
        size=method.frame_size,
        crop=dataclasses.asdict(crop),
        pixels=options.pixels,
        queries=() if module.queries is None else tuple(map(tuple, module.queries.tolist())),
        inputs=module.input_names,
        outputs={name: OUTPUTS[name] for name in names},
        conventions=module.signature.conventions,
        label_shift=_label_shift(method, module.signature.conventions),
        whole=method.normalizer is not None,
        stage_mma=tuple(method.stage_costs()) if module.signature.stages else (),
        mma=method.total_mma() if mma is None else float(mma),
        metrics={k: float(v) for k, v in dict(notes.get("metrics") or {}).items()},
        licence={str(k): str(v) for k, v in dict(notes.get("licence") or {}).items()},
        command=str(notes.get("command") or ""),
        producer=__version__,
    )


def _label_shift(method: LandmarkModule, conventions: tuple[str, ...]) -> tuple[float, ...]:
    """See `GraphDescription.label_shift`."""
    if method.label_shift is None:
        return ()
    numbers = torch.tensor([convention_index(name) for name in conventions])
    shift = method.label_shift.of_conventions(numbers if conventions else None)
    return tuple(shift.tolist())


def _signature(method: LandmarkModule, options: ExportOptions, path: Path) -> Signature:
    conventions = () if method.correction is None else method.correction.conventions
    if options.convention is not None:
        if options.convention not in conventions:
            choices = ", ".join(conventions) or "none, since it has no correction"
            raise UserError(
                f"{type(method).__name__} answers in no convention '{options.convention}'; it has"
                f" {choices}"
            )
        conventions = (options.convention,)
    if options.places is not None and method.scheme is not None:
        raise UserError(
            f"{type(method).__name__} answers points of {method.scheme} alone; omit --queries"
        )
    outputs = check_outputs(options.outputs, method)
    early_exit = method.early_exit
    leaves = early_exit is not None and early_exit.thresholds is not None
    loops = leaves and not options.all_stages and path.suffix.lower() == ".onnx"
    if loops and "error" not in outputs:
        outputs = (outputs[0], "error", *outputs[1:])
    return Signature(
        pixels=options.pixels,
        conventions=conventions,
        queries=None if options.places is None else torch.from_numpy(options.places.queries),
        outputs=outputs,
        stages=early_exit.stages if loops and early_exit is not None else 0,
    )


def _thresholds(method: LandmarkModule, signature: Signature) -> list[float]:
    """Thresholds of the exits that are in the graph."""
    if not signature.stages:
        return []
    assert method.early_exit is not None
    return [float(value) for value in method.early_exit.exit_thresholds]


def _refuse_gaps(parity: Parity, path: Path) -> None:
    if failures := parity.failures():
        name = failures[0]
        raise UserError(
            f"{path} would give other {name} than PyTorch: they differ by {parity.gaps[name]:.4g},"
            f" more than {LIMITS[name]:g}; nothing was written, report this with the config"
        )


def _refuse_lost(parity: Parity, crop: CropSpec, path: Path) -> None:
    if not parity.mean <= _LOST * crop.size:
        raise UserError(
            f"{path} has lost the landmarks in 8 bits: {parity.mean:.1f} px in the mean from those"
            " of PyTorch; calibrate on more faces, or omit --quantize"
        )
