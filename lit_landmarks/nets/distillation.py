"""Distillation: labels drawn towards the landmarks that a stronger, trained model predicts.

With squared errors the weighted sum of the loss on hard and on soft targets (Hinton, Vinyals and
Dean 2015, section 2) is, but for a constant, the loss on the weighted mean of the targets. Here
that mean is the target of all losses of a method: its points, stages, heat maps and edges.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from lit_landmarks.errors import UserError
from lit_landmarks.types import FaceBatch


@dataclass(frozen=True)
class TeacherOptions:
    """A trained model whose landmarks on the training faces are learned beside the labels.

    Attributes:
        run: the teacher: a run's folder, a checkpoint, or the name of weights.
        share: of the teacher in the target, above 0 and up to 1; a point that is not annotated is
            learned from the teacher alone.
        flip_average: let the teacher answer with the mean of a face and its mirror image.
    """

    run: str
    share: float = 0.5
    flip_average: bool = True

    def __post_init__(self) -> None:
        """Refuse shares that mean nothing."""
        if not 0.0 < self.share <= 1.0:
            raise UserError(
                f"model.teacher.share is {self.share}; give a number above 0, at most 1, or"
                " teacher null for none"
            )


def blend_labels(batch: FaceBatch, share: float) -> FaceBatch:
    """The batch with points between the labels and the teacher's, and the teacher's where none are.

    Args:
        batch: with `teacher`; points for which it is NaN stay as they are.
        share: of the teacher.

    Example:
        >>> points = torch.tensor([[[10.0, 20.0], [torch.nan, torch.nan]]])
        >>> teacher = torch.tensor([[[12.0, 20.0], [30.0, 40.0]]])
        >>> batch = FaceBatch.of(torch.zeros(1, 3, 64, 64), points, teacher=teacher)
        >>> blend_labels(batch, 0.5).points.tolist()
        [[[11.0, 20.0], [30.0, 40.0]]]
    """
    taught = batch.teacher.isfinite().all(-1)
    between = torch.lerp(batch.points, batch.teacher, share)
    points = torch.where(batch.mask[..., None], between, batch.teacher)
    points = torch.where(taught[..., None], points, batch.points)
    return replace(batch, points=points, mask=batch.mask | taught)
