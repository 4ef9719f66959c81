"""Exit thresholds for a method's target cost, written into its best checkpoint after a fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lit_landmarks.analysis.calibration import Goal
from lit_landmarks.analysis.cross_fit import choose_by_fold, find_folds, make_folds
from lit_landmarks.analysis.records import record_faces
from lit_landmarks.analysis.thresholds import CONFIDENCE
from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.files import atomic_path
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.methods.identity import RAW_STATE
from lit_landmarks.nets.early_exit import EarlyExit
from lit_landmarks.training.checkpoints import read_checkpoint
from lit_landmarks.training.fold_thresholds import FOLDS_KEY, FoldThresholds


def reach_target_cost(checkpoint: Path, method: LandmarkModule, data: LandmarkDataModule) -> None:
    """Gives a checkpoint the thresholds for `target_mma`, chosen on the validation faces.

    The mean cost keeps a margin, so that fresh faces stay within the target too, and the validation
    faces are evaluated with thresholds that were chosen without them (`cross_fit`). Does nothing
    for a method without that target.

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
    records = record_faces(method, data, "val", device)
    goal = Goal(mma=early_exit.target_mma, confidence=CONFIDENCE)
    folds = make_folds(data)
    fold = find_folds(folds, data, "val", records)
    point = goal.choose(records)
    by_fold = [p.thresholds for p in choose_by_fold(records, fold, goal.choose)]
    early_exit.set_thresholds(list(point.thresholds))
    table = FoldThresholds(folds.faces, folds.fold, np.array(by_fold, np.float64))
    store_thresholds(checkpoint, early_exit, table)


def store_thresholds(
    path: Path, early_exit: EarlyExit, folds: FoldThresholds | None = None
) -> None:
    """Write the thresholds of an early exit into a checkpoint; the file is replaced whole.

    Args:
        path: the checkpoint.
        early_exit: with the thresholds.
        folds: those by which the faces that chose them are evaluated; None for no such faces.
    """
    content = read_checkpoint(path)
    content.pop(FOLDS_KEY, None)
    if folds is not None:
        content[FOLDS_KEY] = folds.as_state()
    for key in ("state_dict", RAW_STATE):
        if key in content:
            for name, value in early_exit.state_dict().items():
                content[key][f"early_exit.{name}"] = value.detach().cpu().clone()
    with atomic_path(path) as temporary:
        torch.save(content, temporary)
