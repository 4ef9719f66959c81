"""Checkpoints: safe reading, checks against the configured method, and their description.

What the user passes wins over what a checkpoint remembers; a checkpoint that does not fit the
configured method is an error with one line. `checkpoint["lit_landmarks"]` holds all that is needed
to build the method again and to cut faces for it, in plain values.
"""

from __future__ import annotations

import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser
from torch import Tensor

from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.data.face_keys import face_keys
from lit_landmarks.errors import UserError
from lit_landmarks.methods.base import METHODS, LandmarkModule
from lit_landmarks.methods.identity import (
    FORMAT,
    IDENTITY,
    check_identity,
    rename_state,
    widen_state,
)
from lit_landmarks.renamed import rename_settings
from lit_landmarks.training.run_directory import open_run
from lit_landmarks.weights import describe_unknown_weights, find_weights, locate_weights

#: Key of (n, 2) keys of the validation faces, on which best.ckpt is chosen (`data.face_keys`).
CHOSEN_ON = "chosen_on"


class Explanation(Callback):
    """Adds metrics, cost, licences, training command and the faces that choose to each checkpoint.

    Args:
        command: how the fit was started.
        mma: cost of the method.
    """

    def __init__(self, command: str, mma: float) -> None:
        self.command, self.mma = command, mma
        self._faces: Tensor | None = None

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Plain values only, so that `weights_only=True` reads them; the method adds its own."""
        assert isinstance(pl_module, LandmarkModule)
        values = trainer.callback_metrics.items()
        data = getattr(trainer, "datamodule", None)
        checkpoint[IDENTITY] = {
            "metrics": {k: float(v) for k, v in values if k.startswith("val/")},
            "mma": self.mma,
            "command": self.command,
        }
        if isinstance(data, LandmarkDataModule):
            sets = data.sets["train"].items()
            checkpoint[IDENTITY]["crop"] = asdict(data.crop)
            if self._faces is None:
                keys = [face_keys(dataset) for dataset in data.sets["val"].values()]
                self._faces = torch.from_numpy(np.concatenate(keys)) if keys else None
            checkpoint[CHOSEN_ON] = self._faces
            checkpoint[IDENTITY]["licence"] = {name: s.licence for name, s in sets}


def find_checkpoint(source: str | Path) -> Path:
    """The checkpoint that a user means: a file, a run's folder, or the name of weights.

    What is there as a file or folder comes before a name.

    Args:
        source: path or name.

    Returns:
        The run's best checkpoint or, before there is one, its last; the checked file of registered
        weights; any other path as it is.

    Raises:
        UserError: a folder that is no run, a damaged file of weights, or neither a path that is
            there nor a registered name.
    """
    path = Path(source)
    if path.is_dir():
        run = open_run(path)
        return run.best if run.best.is_file() else run.last
    if path.is_file():
        return path
    entry = find_weights(str(source))
    if entry is not None:
        return locate_weights(entry)
    cure = "give a .ckpt file, a run's folder or the name of weights"
    if path.suffix != ".ckpt" and len(path.parts) == 1:
        cure += f" ({describe_unknown_weights(path.name)})"
    raise UserError(f"no checkpoint at {path}; {cure}")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU with `weights_only`, so that no code in it runs.

    Names of older versions are converted.

    Raises:
        UserError: no such file, or not a checkpoint.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(
            f"no checkpoint at {path}; give a .ckpt file or a run with --run"
        ) from error
    except (RuntimeError, EOFError, OSError, KeyError, pickle.UnpicklingError) as error:
        raise UserError(
            f"{path} is no readable checkpoint; give a .ckpt file that `fit` wrote"
        ) from error
    if not isinstance(content, dict) or "state_dict" not in content or IDENTITY not in content:
        raise UserError(f"{path} is no checkpoint of ours; give a .ckpt file that `fit` wrote")
    rename_state(content)
    widen_state(content)
    return content


def check_checkpoint(path: Path, method: LandmarkModule) -> dict[str, Any]:
    """Refuses a checkpoint that does not fit the configured method, before anything is loaded.

    Args:
        path: the checkpoint.
        method: the method as it is configured now.

    Returns:
        The checkpoint's content.

    Raises:
        UserError: another class, scheme or convention list, or weights of other shapes.
    """
    content = read_checkpoint(path)
    check_identity(content[IDENTITY], method, str(path))
    _compare_shapes(content["state_dict"], method.state_dict(), path)
    return content


def load_weights(method: LandmarkModule, path: Path) -> dict[str, Any]:
    """Load the weights (and learnt statistics) of a checkpoint, strictly.

    Returns:
        The checkpoint's content.

    Raises:
        UserError: no such file, not a checkpoint, or one that does not fit.
    """
    content = check_checkpoint(path, method)
    method.load_state_dict(content["state_dict"])
    return content


def build_method(class_path: str, init_args: dict[str, Any]) -> LandmarkModule:
    """Build a method from its class path and plain arguments.

    Args:
        class_path: dotted path or registered name of the class.
        init_args: its arguments; those that are objects as `class_path` and `init_args`.

    Raises:
        UserError: no such class, or arguments that it does not have.
    """
    name = class_path.rpartition(".")[2]
    if name in METHODS:  # wherever its module lay when it was written down
        cls = METHODS[name]
        class_path = f"{cls.__module__}.{cls.__qualname__}"
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_lightning_class_args(LandmarkModule, "model", subclass_mode=True)
    arguments = rename_settings(class_path, init_args)
    tree = {"model": {"class_path": class_path, "init_args": arguments}}
    try:
        built: LandmarkModule = parser.instantiate(parser.parse_object(tree))["model"]
    except Exception as error:  # the parser wraps whatever a constructor raised
        cause = error.__cause__ or error.__context__ or error
        raise UserError(f"{name} cannot be built again: {cause}") from error
    return built


def load_method(
    path: Path, content: dict[str, Any] | None = None
) -> tuple[LandmarkModule, dict[str, Any]]:
    """Build the method that a checkpoint describes, with its weights, in eval mode.

    Args:
        path: the checkpoint.
        content: what `read_checkpoint` gave for it; None reads it.

    Returns:
        The method, and the description stored in the checkpoint.

    Raises:
        UserError: not such a checkpoint, or one of a version that did not explain itself.
    """
    content = read_checkpoint(path) if content is None else content
    description = content[IDENTITY]
    if description.get("format", 1) < FORMAT:
        raise UserError(
            f"{path} is of an older version and does not say how it is built; "
            "load the run's folder, whose config.yaml does"
        )
    method = build_method(description["class_path"], description["init_args"])
    _compare_shapes(content["state_dict"], method.state_dict(), path)
    method.load_state_dict(content["state_dict"])
    return method.eval(), description


def _compare_shapes(theirs: dict[str, Any], ours: dict[str, Any], path: Path) -> None:
    for name in sorted(theirs.keys() | ours.keys()):
        shapes = [
            str(tuple(state[name].shape)) if name in state else "absent" for state in (theirs, ours)
        ]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"{path} does not fit the configured method: {name} is {shapes[0]} there and "
                f"{shapes[1]} here; use --run with the run it is from"
            )
