"""Exit thresholds of faces that took part in their choice: those that were chosen without them.

`analysis.cross_fit` chooses thresholds on all folds of the validation faces but one, for each fold;
a checkpoint holds them with the faces of each fold. An evaluation looks each face up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from lit_landmarks.data import LandmarkDataModule
from lit_landmarks.data.face_keys import face_keys, match_faces
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.types import FaceBatch

#: Key of the folds in a checkpoint.
FOLDS_KEY = "calibration"


@dataclass(frozen=True)
class FoldThresholds:
    """Thresholds of each fold of the faces on which a checkpoint's thresholds were chosen.

    Attributes:
        faces: (n, 2) keys of these faces, see `data.face_keys`.
        fold: (n,) fold of each.
        thresholds: (K, T - 1) predicted NME in percent, chosen without the faces of each fold.
    """

    faces: NDArray[np.int64]
    fold: NDArray[np.int64]
    thresholds: NDArray[np.float64]

    def as_state(self) -> dict[str, Tensor]:
        """Tensors for a checkpoint."""
        return {
            "faces": torch.from_numpy(self.faces),
            "fold": torch.from_numpy(self.fold),
            "thresholds": torch.from_numpy(self.thresholds),
        }


def read_fold_thresholds(checkpoint: Mapping[str, Any]) -> FoldThresholds | None:
    """The folds of a checkpoint's content; None where thresholds were not cross-fitted."""
    state = checkpoint.get(FOLDS_KEY)
    if state is None:
        return None
    return FoldThresholds(*(state[name].numpy() for name in ("faces", "fold", "thresholds")))


class UseFoldThresholds(Callback):
    """Evaluates each face with thresholds that were chosen without it.

    Args:
        folds: of the checkpoint that is evaluated.
    """

    def __init__(self, folds: FoldThresholds) -> None:
        self.folds = folds
        self._fold_of: list[NDArray[np.int64]] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Looks up the faces of all data sets, by `dataset_id` and row."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, LandmarkDataModule)
        self._fold_of = []
        for spec in data.spec.datasets:
            rows = match_faces(face_keys(data.sets[spec.role][spec.name]), self.folds.faces)
            self._fold_of.append(np.where(rows < 0, -1, self.folds.fold[rows]))

    def _begin(self, module: LightningModule, batch: FaceBatch) -> None:
        assert isinstance(module, LandmarkModule)
        early_exit = module.early_exit
        if early_exit is None:
            return
        pairs = zip(batch.dataset_id.tolist(), batch.index.tolist(), strict=True)
        fold = [int(self._fold_of[dataset][row]) if row >= 0 else -1 for dataset, row in pairs]
        own = early_exit.exit_thresholds
        table = torch.cat([torch.as_tensor(self.folds.thresholds).to(own), own[None]])
        early_exit.face_thresholds = table[torch.tensor(fold, device=own.device)]

    def _end(self, module: LightningModule) -> None:
        assert isinstance(module, LandmarkModule)
        if module.early_exit is not None:
            module.early_exit.face_thresholds = None

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Sets the thresholds of the batch."""
        self._begin(pl_module, batch)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Takes them back."""
        self._end(pl_module)

    on_test_batch_start = on_validation_batch_start
    on_predict_batch_start = on_validation_batch_start
    on_test_batch_end = on_validation_batch_end
    on_predict_batch_end = on_validation_batch_end
