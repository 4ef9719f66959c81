"""`load`: a run, a checkpoint, registered weights or an exported graph as a `Landmarker`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from lit_landmarks.data.module import FRAME_SCALES
from lit_landmarks.documents import parse_yaml
from lit_landmarks.errors import UserError
from lit_landmarks.inference.graphs import open_graph
from lit_landmarks.inference.landmarker import Landmarker
from lit_landmarks.inference.runtimes import is_graph
from lit_landmarks.methods.identity import FORMAT, IDENTITY
from lit_landmarks.training.checkpoints import (
    build_method,
    find_checkpoint,
    load_method,
    load_weights,
    read_checkpoint,
)
from lit_landmarks.training.run_directory import RunDirectory, open_run
from lit_landmarks.types import CropSpec, FrameKind


def load(source: str | Path, flip_average: bool = False) -> Landmarker:
    """A trained method, ready for pictures.

    Args:
        source: a run's folder, whose best checkpoint is taken, a .ckpt file, the name of registered
            weights (`list weights`), or an exported graph, .onnx or .tflite.
        flip_average: answer with the mean of each face and its mirror image: somewhat more
            accurate, at twice the cost.

    Returns:
        The landmarker, on the CPU.

    Raises:
        UserError: no such file or name, a damaged file of weights, not a checkpoint, or one that
            does not say how it was built; a graph whose runtime is not installed; `flip_average` of
            points without left-right pairs.
    """
    landmarker = _load(source)
    return landmarker.average_flips() if flip_average else landmarker


def _load(source: str | Path) -> Landmarker:
    path = Path(source)
    if is_graph(path):
        graph = open_graph(path)
        return Landmarker(graph, graph.description.crop_spec, asdict(graph.description))
    if path.is_dir():
        run = open_run(path)
        run.declare_schemes()
        checkpoint = run.best if run.best.is_file() else run.last
        content = read_checkpoint(checkpoint)
        if content[IDENTITY].get("format", 1) < FORMAT:
            return _load_by_config(run, checkpoint)
        return _load_checkpoint(checkpoint, content)
    path = find_checkpoint(source)
    run = RunDirectory(path.resolve().parent.parent)
    if run.config.is_file():
        run.declare_schemes()
    return _load_checkpoint(path)


def _load_checkpoint(path: Path, content: dict[str, Any] | None = None) -> Landmarker:
    method, said = load_method(path, content)
    if "crop" not in said:
        raise UserError(
            f"{path} does not say how faces were cut for it; give a checkpoint that `fit` wrote"
        )
    return Landmarker(method, CropSpec(**said["crop"]), said)


def _load_by_config(run: RunDirectory, checkpoint: Path) -> Landmarker:
    """A run of a version whose checkpoints did not explain themselves: its config.yaml does."""
    try:
        tree: dict[str, Any] = parse_yaml(run.config.read_text(encoding="utf-8"), run.config)
        model, data = tree["model"], tree["data"]["init_args"]
        class_path, size = model["class_path"], data["frame_size"]
        kind: FrameKind = data.get("frame", "tight")
        crop = CropSpec(int(size), kind, data.get("frame_scale") or FRAME_SCALES[kind])
        init_args = {
            **model["init_args"],
            "scheme": data.get("scheme", "ibug68"),
            "frame_size": size,
        }
    except KeyError as error:
        raise UserError(
            f"{run.config}: {error.args[0]!r} is missing or unknown; train the run again"
        ) from error
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{run.config} cannot be read ({reason}); train the run again") from error
    method = build_method(class_path, init_args)
    load_weights(method, checkpoint)
    return Landmarker(method, crop)
