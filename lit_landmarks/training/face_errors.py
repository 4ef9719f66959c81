"""NME of single faces, each under the primary norm of its data set."""

from __future__ import annotations

import torch
from torch import Tensor

from lit_landmarks.metrics.functional import nme
from lit_landmarks.types import NORMS, DataSpec, FaceBatch


def measure_faces(points: Tensor, batch: FaceBatch, spec: DataSpec) -> Tensor:
    """NME of each face of a batch.

    Args:
        points: (B, N, 2) predicted, frame pixels.
        batch: the labels.
        spec: of the data; names the norm of each data set.

    Returns:
        (B,) percent; NaN where a face has no points, or not those of its norm.
    """
    columns = [NORMS.index(dataset.primary_norm) for dataset in spec.datasets]
    norm = torch.tensor(columns, device=batch.norms.device)[batch.dataset_id]
    denominators = batch.norms.gather(1, norm[:, None])[:, 0]
    return nme(points, batch.points, denominators, batch.mask)
