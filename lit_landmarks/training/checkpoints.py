"""Checkpoints: read safely, and refused when they belong to something else.

What the user passes wins over what a checkpoint remembers, so its hyper-parameters are not read at
all; a checkpoint that does not fit the configured method is an error with one line.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from lit_landmarks.errors import UserError
from lit_landmarks.methods.base import IDENTITY, LandmarkModule


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content, on the CPU, without executing anything in it.

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
    return content


def check_checkpoint(path: Path, module: LandmarkModule) -> dict[str, Any]:
    """Refuses a checkpoint that does not fit the configured method, before anything is loaded.

    Args:
        path: the checkpoint.
        module: the method as it is configured now.

    Returns:
        The checkpoint's content.

    Raises:
        UserError: another class, scheme or convention list, or weights of other shapes.
    """
    content = read_checkpoint(path)
    theirs = content[IDENTITY]
    for key, ours in module.identity().items():
        if theirs.get(key) != ours:
            raise UserError(
                f"{path} has {key} {_short(theirs.get(key))}, but {_short(ours)} is configured; "
                "give a checkpoint of this method and data, or use --run with the run it is from"
            )
    _compare_shapes(content["state_dict"], module.state_dict(), path)
    return content


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


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(str(item) for item in value) + "]"
    return str(value).rpartition(".")[2]
