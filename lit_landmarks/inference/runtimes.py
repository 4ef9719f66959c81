"""Runtimes of exported graphs: ONNX Runtime and LiteRT, arrays in and arrays out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lit_landmarks.errors import UserError, first_line, needs_extra
from lit_landmarks.inference.graph_description import (
    GRAPH_SUFFIXES,
    KEY,
    GraphDescription,
    read_appended_description,
)

Arrays = Mapping[str, NDArray[Any]]


class Runtime(Protocol):
    """An opened graph."""

    description: GraphDescription

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Outputs of B faces by name; `description` has the names, shapes and units."""


class OnnxRuntime:
    """A graph in ONNX Runtime, on the CPU.

    Args:
        path: an .onnx file that `export` wrote.
        threads: None for as many as torch uses.

    Raises:
        UserError: onnxruntime is not installed, there is no such file, or it is another's.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        with needs_extra(str(path), "export"):
            import onnxruntime
        if not path.is_file():
            raise UserError(f"no graph at {path}; give a file that `export` wrote")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors share no class of their own
            raise UserError(
                f"ONNX Runtime cannot read {path} ({first_line(error)}); export the method again"
            ) from error
        text = self.session.get_modelmeta().custom_metadata_map.get(KEY)
        if text is None:
            raise UserError(f"{path} was not written by `export`; export the method again")
        self.description = GraphDescription.from_json(text, path)
        self._names = [output.name for output in self.session.get_outputs()]

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """See `Runtime.run`; a cascade that faces leave early runs them one by one."""
        if not self.description.stage_mma:
            return dict(zip(self._names, self.session.run(None, dict(inputs)), strict=True))
        parts = [self.session.run(None, face) for face in split_faces(inputs)]
        columns = zip(*parts, strict=True)
        return {n: np.concatenate(c) for n, c in zip(self._names, columns, strict=True)}


class LiteRuntime:
    """A graph in LiteRT, on the CPU.

    Args:
        path: a .tflite file that `export` wrote.
        threads: None for as many as torch uses.

    Raises:
        UserError: LiteRT is not installed, there is no such file, or it is another's.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.description = read_appended_description(path)
        with needs_extra(str(path), "litert"):
            from ai_edge_litert.interpreter import Interpreter
        try:
            self._interpreter = Interpreter(
                str(path), num_threads=threads or torch.get_num_threads()
            )
            self._run = self._interpreter.get_signature_runner()
            self._types = {k: v["dtype"] for k, v in self._run.get_input_details().items()}
        except (ValueError, RuntimeError) as error:
            raise UserError(
                f"LiteRT cannot read {path} ({first_line(error)}); export the method again"
            ) from error

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """See `Runtime.run`; faces are run one by one, as many as the graph takes at once."""
        parts = [self._run(**self._arguments(face)) for face in split_faces(inputs)]
        return {
            name: np.concatenate([part[f"output_{number}"] for part in parts])
            for number, name in enumerate(self.description.outputs)
        }

    def _arguments(self, face: Arrays) -> dict[str, NDArray[Any]]:
        """Inputs by the names that the converter gives; it makes whole numbers shorter."""
        named = {f"args_{number}": face[k] for number, k in enumerate(self.description.inputs)}
        return {name: array.astype(self._types[name]) for name, array in named.items()}


def split_faces(inputs: Arrays) -> Iterator[dict[str, NDArray[Any]]]:
    """The inputs of each face by itself."""
    for row in range(len(inputs["image"])):
        yield {k: np.ascontiguousarray(values[row : row + 1]) for k, values in inputs.items()}


def is_graph(path: Path | None) -> bool:
    """Whether a path has the name of an exported graph."""
    return path is not None and path.suffix.lower() in GRAPH_SUFFIXES


def open_runtime(path: Path, threads: int | None = None) -> Runtime:
    """Open an exported graph by the ending of its name.

    Raises:
        UserError: another ending, no such file, a file of another program, or a runtime that is
            not installed.
    """
    if not is_graph(path):
        raise UserError(f"{path} is no exported graph; give a file in .onnx or .tflite")
    return (OnnxRuntime if path.suffix.lower() == ".onnx" else LiteRuntime)(path, threads)
