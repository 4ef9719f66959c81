"""ONNX: tracing a method, and writing its graph with its description inside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch.export import Dim

from lit_landmarks.errors import UserError, first_line, needs_extra
from lit_landmarks.export.module import ExportedMethod
from lit_landmarks.export.quantize import quantize_onnx
from lit_landmarks.inference.graph_description import KEY, GraphDescription

if TYPE_CHECKING:
    import onnx_ir


def trace_onnx(module: ExportedMethod) -> onnx_ir.Model:
    """The graph of a method for any number of faces, and of queries where they are an input.

    Raises:
        UserError: the packages are not installed, or an operator that ONNX lacks.
    """
    with needs_extra("export to ONNX", "export"):
        import onnxscript  # noqa: F401  # what `torch.onnx.export` translates with
    faces, points = Dim("faces", min=1), Dim("queries", min=1)
    free = {name: {0: faces} for name in module.input_names}
    if "queries" in free:
        free["queries"][1] = points
    with _quiet():
        try:
            program = torch.onnx.export(
                module,
                module.example(),
                input_names=list(module.input_names),
                output_names=list(module.output_names),
                dynamo=True,
                dynamic_shapes={"tensors": tuple(free.values())},
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            name = type(module.method).__name__
            raise UserError(
                f"{name} cannot be written as ONNX: {_first_cause(error)}; take another part or"
                " backbone"
            ) from error
    assert program is not None
    return program.model


class OnnxWriter:
    """Writes a method as ONNX, in single precision and then in 8 bits.

    Args:
        module: what is written.
        description: goes into the file.
        thresholds: of the exits of a cascade whose stages the module gives; else empty.
    """

    def __init__(
        self, module: ExportedMethod, description: GraphDescription, thresholds: Sequence[float]
    ) -> None:
        self.description = description
        self._names, self._thresholds = module.signature.outputs, thresholds
        self._flat = trace_onnx(module)

    def write(self, path: Path) -> None:
        """Write the graph in single precision."""
        self._save(self._flat, path)

    def write_quantized(self, path: Path, faces: Sequence[dict[str, NDArray[Any]]]) -> int:
        """Write the graph with its trunk in 8 bits; the number of nodes that this concerns.

        Args:
            path: the file.
            faces: batches of calibration faces, as the graph takes them.
        """
        quantized, nodes = quantize_onnx(self._flat, faces)
        self.description = replace(self.description, precision="int8")
        self._save(quantized, path)
        return nodes

    def describe(self, path: Path, metrics: dict[str, float]) -> None:
        """Replace the figures that a written file carries."""
        import onnx

        self.description = replace(self.description, metrics=metrics)
        model = onnx.load(path)
        onnx.helper.set_model_props(model, {KEY: self.description.to_json()})
        onnx.save(model, path)

    def _save(self, flat: onnx_ir.Model, path: Path) -> None:
        import onnx_ir

        model = onnx_ir.from_proto(onnx_ir.to_proto(flat))  # what follows changes it
        if self._thresholds:
            from lit_landmarks.export.cascade import nest_stages

            nest_stages(model, self._names, self._thresholds)
        model.metadata_props[KEY] = self.description.to_json()
        model.producer_name = "lit_landmarks"
        model.producer_version = self.description.producer
        onnx_ir.save(model, path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides what the exporter says of its own deprecated calls and of every unused output."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _first_cause(error: BaseException) -> str:
    """First line of the error that began a chain."""
    cause: Any = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return first_line(cause)
