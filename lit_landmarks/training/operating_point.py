"""The operating point of an adaptive method: thresholds found after a fit, in its checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch

from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.files import replacing
from lit_landmarks.methods.adaptive import AdaptiveModule
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.training.calibration import for_cost
from lit_landmarks.training.checkpoints import read_checkpoint
from lit_landmarks.training.ema import RAW_STATE
from lit_landmarks.training.records import record_faces


def reach_target(checkpoint: Path, method: LandmarkModule, data: LandmarkDataModule) -> None:
    """Gives a checkpoint the thresholds for `target_mma`, on the validation faces.

    Does nothing for a method without that target.

    Args:
        checkpoint: the best one of the fit; it is replaced.
        method: the method; takes the checkpoint's weights.
        data: its data module.

    Raises:
        UserError: the target is below the cost of the first stage.
    """
    if not isinstance(method, AdaptiveModule) or method.target_mma is None:
        return
    device = method.device
    method.load_state_dict(read_checkpoint(checkpoint)["state_dict"])
    found = for_cost(record_faces(method, data, "val", device), method.target_mma)
    method.set_thresholds(list(found.stop_below), float(method.fail_above))
    store_thresholds(checkpoint, method)


def store_thresholds(path: Path, method: AdaptiveModule) -> None:
    """Both thresholds of a method into a checkpoint; the file is replaced whole."""
    content = read_checkpoint(path)
    for key in ("state_dict", RAW_STATE):
        if key in content:
            content[key]["stop_below"] = method.stop_below.detach().cpu().clone()
            content[key]["fail_above"] = method.fail_above.detach().cpu().clone()
    with replacing(path) as temporary:
        torch.save(content, temporary)
