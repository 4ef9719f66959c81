"""Latency of a method in ONNX Runtime, which multiply-adds alone do not tell."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lit_landmarks.compute import Latency, latency
from lit_landmarks.errors import needs_extra
from lit_landmarks.export.exporter import ExportOptions, export_method
from lit_landmarks.inference.graphs import GraphMethod, open_graph
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.types import TIGHT_SCALE, CropSpec


def require_onnx(what: str) -> None:
    """Checks that methods can be written as ONNX and run.

    Args:
        what: needs it.

    Raises:
        UserError: a package of the extra `export` is not installed.
    """
    with needs_extra(what, "export"):
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401


@contextlib.contextmanager
def exported_graph(method: LandmarkModule, threads: int = 1) -> Iterator[GraphMethod]:
    """Context with a method as an opened ONNX graph, all stages of a cascade run.

    Args:
        method: trained or not; its file is written and checked in a temporary folder.
        threads: of the runtime.

    Raises:
        UserError: as `export_method`.
    """
    crop = CropSpec(method.frame_size, method.tight_frame, TIGHT_SCALE)
    options = ExportOptions(outputs=["points"], all_stages=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "method.onnx"
        export_method(method, crop, path, options)
        yield open_graph(path, threads)


def onnx_latency(method: LandmarkModule, threads: int = 1, repeats: int = 50) -> Latency:
    """Time of one face in ONNX Runtime on the CPU; see `exported_graph`.

    Args:
        method: trained or not.
        threads: of the runtime.
        repeats: timed calls.

    Raises:
        UserError: as `export_method`.
    """
    with exported_graph(method, threads) as graph:
        return latency(graph, method.example(), threads, repeats)
