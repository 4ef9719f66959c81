"""Latency of a method in ONNX Runtime, which multiply-adds alone do not tell."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lit_landmarks.compute import Latency, latency
from lit_landmarks.export.exporter import ExportOptions, export_method
from lit_landmarks.inference.graphs import open_graph
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.types import TIGHT_SCALE, CropSpec


def onnx_latency(method: LandmarkModule, threads: int = 1, repeats: int = 50) -> Latency:
    """Time of one face in ONNX Runtime on the CPU, all stages of a cascade run.

    Args:
        method: trained or not; its file is written, checked and timed in a temporary folder.
        threads: of the runtime.
        repeats: timed calls.

    Raises:
        UserError: as `export_method`.
    """
    crop = CropSpec(method.frame_size, method.tight_frame, TIGHT_SCALE)
    options = ExportOptions(outputs=["points"], all_stages=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "method.onnx"
        export_method(method, crop, path, options)
        return latency(open_graph(path, threads), method.example(), threads, repeats)
