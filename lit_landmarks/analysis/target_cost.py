"""Exit thresholds for a method's target cost, written into its best checkpoint after a fit."""

from __future__ import annotations

from pathlib import Path

import torch

from lit_landmarks.analysis.early_exit import early_exit_of
from lit_landmarks.analysis.records import record_faces
from lit_landmarks.analysis.thresholds import choose_for_cost
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.files import replacing
from lit_landmarks.methods.adaptive import AdaptiveModule
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.training.checkpoints import read_checkpoint
from lit_landmarks.training.ema import RAW_STATE


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
    early_exit = early_exit_of(method)
    if early_exit is None or early_exit.target_mma is None:
        return
    device = method.device
    method.load_state_dict(read_checkpoint(checkpoint)["state_dict"])
    point = choose_for_cost(record_faces(method, data, "val", device), early_exit.target_mma)
    early_exit.set_thresholds(list(point.stop_below), float(early_exit.fail_above))
    store_thresholds(checkpoint, early_exit)


def store_thresholds(path: Path, early_exit: AdaptiveModule) -> None:
    """Writes `stop_below` and `fail_above` into a checkpoint; the file is replaced whole."""
    content = read_checkpoint(path)
    for key in ("state_dict", RAW_STATE):
        if key in content:
            content[key]["stop_below"] = early_exit.stop_below.detach().cpu().clone()
            content[key]["fail_above"] = early_exit.fail_above.detach().cpu().clone()
    with replacing(path) as temporary:
        torch.save(content, temporary)
