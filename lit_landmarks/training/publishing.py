"""Weights of a run as a small file: an entry of a registry (`lit_landmarks.weights`).

A checkpoint of a fit also holds the optimizer, the state of callbacks and the weights before
averaging. What remains here is what `load`, `init_from` and an evaluation read. Tensors of two or
more axes may be stored in half precision, or as whole numbers of 8 bits with a scale for each row,
which makes the file two or four times smaller; all computing stays in single precision. What that
costs is measured by the caller on the file itself.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_landmarks.data import DATASETS
from lit_landmarks.data.synthesize import NOTES
from lit_landmarks.documents import parse_yaml
from lit_landmarks.errors import UserError
from lit_landmarks.files import atomic_path
from lit_landmarks.methods.identity import FORMAT, IDENTITY, SCALES
from lit_landmarks.training.checkpoints import CHOSEN_ON, read_checkpoint
from lit_landmarks.training.fold_thresholds import FOLDS_KEY
from lit_landmarks.training.run_directory import RunDirectory, open_run
from lit_landmarks.weights import find_weights, shipped_folder

#: Keys of a checkpoint that an evaluation reads; all others are left out.
_READ = ("epoch", "global_step", "pytorch-lightning_version", "state_dict", CHOSEN_ON, FOLDS_KEY)
#: Largest magnitude in half precision.
_LARGEST = torch.finfo(torch.float16).max


@dataclass(frozen=True)
class TrainingSource:
    """A training data set of a run, or of a run whose weights it started from.

    Attributes:
        name: of the data set in its run.
        class_name: of its reader or renderer.
        photos: why it counts as photographs; None for rendered faces.
    """

    name: str
    class_name: str
    photos: str | None


def slim_checkpoint(path: Path, precision: str, command: str | None = None) -> dict[str, Any]:
    """The content of a checkpoint without what only the training reads.

    Args:
        path: a checkpoint that `fit` wrote.
        precision: float16 or int8 in which tensors of two or more axes are stored, where their
            numbers have a place in it; float32 stores all as they are.
        command: replaces the training command in the description.

    Raises:
        UserError: no checkpoint, or one of a version that did not explain itself.
    """
    content = read_checkpoint(path)
    if content[IDENTITY].get("format", 1) < FORMAT or "crop" not in content[IDENTITY]:
        raise UserError(
            f"{path} does not say how its method is built and how faces are cut; train it again"
        )
    slim = {key: content[key] for key in _READ if content.get(key) is not None}
    slim["state_dict"] = dict(slim["state_dict"])
    described = {**content[IDENTITY], "precision": precision}
    # They stand for what is in the weights already, and may name folders of this machine.
    described["init_args"] = {**described["init_args"], "init_from": None, "teacher": None}
    if command is not None:
        described["command"] = command
    slim[IDENTITY] = described
    state, scales = slim["state_dict"], {}
    for name, value in state.items():
        if value.dtype != torch.float32 or value.ndim < 2 or not bool(value.isfinite().all()):
            continue
        if precision == "float16" and bool(value.abs().amax() < _LARGEST):
            state[name] = value.half()
        elif precision == "int8":
            state[name], scales[name] = quantize_rows(value)
    if scales:
        slim[SCALES] = scales
    return slim


def quantize_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers from -127 to 127, and the scale of each row, by which they are multiplied.

    Args:
        values: (R, ...) finite.

    Returns:
        (R, ...) int8, and (R,) scales: the largest magnitude of the row divided by 127.

    Example:
        >>> numbers, scale = quantize_rows(torch.tensor([[1.27, -0.635], [0.0, 0.0]]))
        >>> numbers.tolist(), scale.tolist()[1]
        ([[127, -64], [0, 0]], 1.0)
    """
    rows = values.flatten(1)
    scale = rows.abs().amax(1) / 127
    scale = torch.where(scale > 0, scale, 1.0)
    numbers = (rows / scale[:, None]).round().clamp(-127, 127)
    return numbers.to(torch.int8).view(values.shape), scale


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> str:
    """Write the content of a checkpoint atomically, and give the file's SHA-256."""
    with atomic_path(path) as temporary:
        torch.save(dict(content), temporary)
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    return digest


def list_training_sources(run: RunDirectory, _depth: int = 0) -> list[TrainingSource]:
    """The data sets that weights follow from, those of `init_from` and of a teacher included.

    Raises:
        UserError: the run's settings cannot be read.
    """
    tree = parse_yaml(run.config.read_text(encoding="utf-8"), run.config)
    try:
        arguments = tree["data"]["init_args"]
        sets: Mapping[str, Any] = arguments["train"]
        if (only := arguments.get("only")) is not None:
            sets = {name: spec for name, spec in sets.items() if name in only}
        model = tree["model"]["init_args"]
        earlier = {"init_from": model.get("init_from")}
        earlier["teacher"] = (model.get("teacher") or {}).get("run")
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{run.config} lacks {error}; train the run again") from error
    sources = [
        _read_source(name, spec, Path(arguments.get("root") or ".")) for name, spec in sets.items()
    ]
    for setting, start in earlier.items():
        if start is not None:
            sources += _list_earlier(setting, str(start), run, _depth)
    return sources


def _list_earlier(setting: str, start: str, run: RunDirectory, depth: int) -> list[TrainingSource]:
    """The sources of the weights that a run started from, or that taught it."""
    path = Path(start)
    entry = None if path.exists() else find_weights(start)
    if entry is not None:
        # The package's own weights are of rendered faces alone: `weights add` sees to that.
        own = entry.folder == shipped_folder()
        reason = None if own else f"weights of another registry, {entry.folder}"
        return [TrainingSource(entry.name, name, reason) for name in entry.trained_on]
    folder = path if path.is_dir() else path.resolve().parent.parent
    if not path.exists() or not RunDirectory(folder).config.is_file() or depth > 8:
        return [TrainingSource(start, setting, f"{run.root} learned from it, and it is gone")]
    return list_training_sources(open_run(folder), depth + 1)


def _read_source(name: str, spec: Any, root: Path) -> TrainingSource:
    class_path = str(spec["class_path"] if isinstance(spec, Mapping) else spec)
    class_name = class_path.rpartition(".")[2]
    arguments: Mapping[str, Any] = (
        (spec.get("init_args") or {}) if isinstance(spec, Mapping) else {}
    )
    dataset = DATASETS.get(class_name)
    if dataset is None:
        return TrainingSource(name, class_name, "no data set of the package")
    if not dataset.rendered:
        plan = root / os.path.expandvars(str(arguments.get("root", "."))) / NOTES / "plan.json"
        try:
            noted = json.loads(plan.read_text(encoding="utf-8"))
            dataset, arguments = DATASETS[noted["source"]], noted["arguments"]
        except (OSError, ValueError, KeyError, TypeError):
            return TrainingSource(name, class_name, "not rendered by `data synthesize`")
    if not dataset.rendered:
        return TrainingSource(name, dataset.__name__, "a copy of a data set of photographs")
    if arguments.get("backgrounds"):
        return TrainingSource(name, dataset.__name__, "rendered before photographs")
    return TrainingSource(name, dataset.__name__, None)
