"""Exit thresholds for a method's target cost, written into its best checkpoint after a fit."""

from __future__ import annotations

from pathlib import Path

import torch

from lit_landmarks.analysis.records import record_faces
from lit_landmarks.analysis.thresholds import choose_for_cost
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.files import atomic_path
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.methods.identity import RAW_STATE
from lit_landmarks.nets.early_exit import EarlyExit
from lit_landmarks.training.checkpoints import read_checkpoint


def reach_target_cost(checkpoint: Path, method: LandmarkModule, data: LandmarkDataModule) -> None:
    """Gives a checkpoint the thresholds for `target_mma`, chosen on the validation faces.

    Does nothing for a method without that target.

    Args:
        checkpoint: the best one of a fit; it is replaced.
        method: the method; takes the checkpoint's weights.
        data: its data module.

    Raises:
        UserError: the target is below the cost of the first stage.
    """
    early_exit = method.early_exit
    if early_exit is None or early_exit.target_mma is None:
        return
    device = method.device
    method.load_state_dict(read_checkpoint(checkpoint)["state_dict"])
    point = choose_for_cost(record_faces(method, data, "val", device), early_exit.target_mma)
    early_exit.set_thresholds(list(point.thresholds))
    store_thresholds(checkpoint, early_exit)


def store_thresholds(path: Path, early_exit: EarlyExit) -> None:
    """Write the thresholds of an early exit into a checkpoint; the file is replaced whole."""
    content = read_checkpoint(path)
    for key in ("state_dict", RAW_STATE):
        if key in content:
            for name, value in early_exit.state_dict().items():
                content[key][f"early_exit.{name}"] = value.detach().cpu().clone()
    with atomic_path(path) as temporary:
        torch.save(content, temporary)
