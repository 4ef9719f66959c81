"""LiteRT: converting a method for one face at a time, with its description behind the model."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lit_landmarks.errors import UserError, needs_extra
from lit_landmarks.export.module import ExportedMethod
from lit_landmarks.export.quantize_litert import quantize_litert
from lit_landmarks.inference.graph_description import GraphDescription, append_description


class LiteWriter:
    """Writes a method as a LiteRT model, in single precision and then in 8 bits.

    Args:
        module: what is written.
        description: goes into the file.

    Raises:
        UserError: litert-torch is not installed, points asked for are an input (their number would
            be fixed), or an operator that LiteRT lacks.
    """

    def __init__(self, module: ExportedMethod, description: GraphDescription) -> None:
        with needs_extra("export to LiteRT", "litert"):
            import litert_torch
        if "queries" in module.input_names:
            raise UserError(
                "a LiteRT graph has a fixed number of points; name them with --queries, a scheme or"
                " a file of places"
            )
        self.description = replace(description, batch=1)
        self._content = b""
        with _quiet():
            try:
                self._model = litert_torch.convert(module, module.example(1))
            except Exception as error:  # the converter's own, of many kinds
                name = type(module.method).__name__
                raise UserError(
                    f"{name} cannot be written for LiteRT: {_reason(error)}; write .onnx"
                ) from error

    def write(self, path: Path) -> None:
        """Write the graph in single precision."""
        with _quiet():
            self._model.export(str(path))
        self._content = path.read_bytes()
        append_description(path, self.description)

    def write_quantized(self, path: Path, faces: Sequence[dict[str, NDArray[Any]]]) -> int:
        """Write the graph with its trunk in 8 bits; the number of nodes that this concerns.

        Args:
            path: the file, written in single precision before.
            faces: batches of calibration faces, as the graph takes them.
        """
        with _quiet():
            self._content, nodes = quantize_litert(self._content, faces, self.description.inputs)
        self.description = replace(self.description, precision="int8")
        self._save(path)
        return nodes

    def describe(self, path: Path, metrics: dict[str, float]) -> None:
        """Replace the figures that a written file carries."""
        self.description = replace(self.description, metrics=metrics)
        self._save(path)

    def _save(self, path: Path) -> None:
        path.write_bytes(self._content)
        append_description(path, self.description)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides the converter's report of its steps, and what its libraries say of each other."""
    root = logging.getLogger()
    level = root.level
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        root.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            root.setLevel(level)


def _reason(error: BaseException) -> str:
    """The line of an error that names what is missing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if "error:" in line or "not implemented" in line.lower()]
    return (named or lines or [type(error).__name__])[0][:200]
