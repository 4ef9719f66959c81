"""How far the labels of a convention lie to one side, which mirrored training cannot learn (ours).

A network that learns from faces and their mirror images answers where both agree. If labels lie a
little to the right in the pictures as they are, those of mirror images lie as far to the left, and
every answer is off by the shift. It is measured while the network learns, taken out of the labels
that it learns from, and added to what it answers for pictures as they are. Labels of 300W lie 0.4
to 0.7 % of the face's box to the right, which costs an accurate method 4 % of its NME.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lit_landmarks.errors import UserError
from lit_landmarks.nets.losses import box_side
from lit_landmarks.schemes import CONVENTIONS, convention_index
from lit_landmarks.types import FaceBatch, FaceInputs, Prediction


@dataclass(frozen=True)
class LabelShiftOptions:
    """Options of a sideways shift of labels.

    Attributes:
        conventions: whose shift is learned; a face that is asked for in none is answered in the
            reference of a correction, or the first; one of another convention without a shift.
        momentum: share of a step's faces in the running mean.
    """

    conventions: Sequence[str] = ("300w",)
    momentum: float = 0.01

    def __post_init__(self) -> None:
        """Refuse conventions that do not exist, and a mean that never or only forgets."""
        names = list(self.conventions)
        if not names or len(set(names)) != len(names) or not set(names) <= set(CONVENTIONS):
            raise UserError(
                f"model.label_shift.conventions is {names}; list different ones of"
                f" {list(CONVENTIONS)}"
            )
        if not 0.0 < self.momentum <= 1.0 or math.isnan(self.momentum):
            raise UserError(
                f"model.label_shift.momentum is {self.momentum}; give a number above 0, to 1"
            )


class LabelShift(nn.Module):
    """Running mean of how far labels lie to the right of what a method predicts.

    Args:
        options: see `LabelShiftOptions`.
        reference: convention of answers that are asked for in none; None: the first.

    Attributes:
        shift: (C,) of each convention, to the right in the image, in longer sides of the face's
            box.

    Example:
        >>> shift = LabelShift()
        >>> shift.shift[0] = 0.01
        >>> square = torch.tensor([[[0.0, 0.0], [100.0, 100.0]]])
        >>> shift(Prediction(square), FaceInputs(torch.zeros(1, 3, 64, 64))).points.tolist()
        [[[1.0, 0.0], [101.0, 100.0]]]
    """

    shift: Tensor
    rows: Tensor

    def __init__(
        self, options: LabelShiftOptions | None = None, reference: str | None = None
    ) -> None:
        super().__init__()
        self.options = options or LabelShiftOptions()
        names = list(self.options.conventions)
        self.reference = convention_index(reference or names[0])
        self.register_buffer("shift", torch.zeros(len(names)))
        # A row more for conventions without a shift.
        rows = [names.index(name) if name in names else len(names) for name in CONVENTIONS]
        self.register_buffer("rows", torch.tensor(rows), persistent=False)

    def forward(self, prediction: Prediction, inputs: FaceInputs) -> Prediction:
        """Points in the convention of each face, from those where mirror images agree.

        Args:
            prediction: in pixels of the input.
            inputs: what it was predicted from, upright as in the picture.
        """
        sign = -1.0 if inputs.mirrored else 1.0
        return shift_right(prediction, sign * self.of_conventions(inputs.convention))

    def remove(self, batch: FaceBatch) -> FaceBatch:
        """The batch with its labels where they would be without the shift."""
        side = box_side(batch.points, batch.mask)
        shift = self.of_conventions(batch.convention_id).view(-1, 1, 1)
        offset = side * shift * _right_of_images(batch)[:, None]
        return replace(batch, points=batch.points - offset)

    @torch.no_grad()
    def learn(self, prediction: Prediction, batch: FaceBatch) -> None:
        """Take a training step, of all processes together, into the running means.

        Args:
            prediction: of the step, without the shift.
            batch: of `remove`.
        """
        away = torch.where(batch.mask[..., None], batch.points - prediction.points, 0.0)
        count = batch.mask.sum(1).clamp(min=1)
        mean = away.sum(1) / count[:, None] / box_side(batch.points, batch.mask)[:, 0]
        rightward = (mean * _right_of_images(batch)).sum(-1)
        rows = self.rows[batch.convention_id]
        faces = (rows[:, None] == torch.arange(len(self.shift), device=rows.device)) & (
            batch.mask.any(1)[:, None]
        )
        sums = torch.stack((torch.where(faces, rightward[:, None], 0.0).sum(0), faces.sum(0)))
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        self.shift += self.options.momentum * sums[0] / sums[1].clamp(min=1)

    def of_conventions(self, convention: Tensor | None) -> Tensor:
        """(B,) shift by convention (B,), as in `FaceInputs`; None: (1,) that of the reference."""
        shift = torch.cat((self.shift, torch.zeros_like(self.shift[:1])))
        rows = self.rows[self.reference].view(1) if convention is None else self.rows[convention]
        return shift[rows]


def shift_right(prediction: Prediction, shift: Tensor) -> Prediction:
    """The prediction with its points moved to the right.

    Args:
        prediction: in pixels of an image.
        shift: (B,) or (1,) in longer sides of the box about the points.
    """
    points = prediction.points
    side = box_side(points, torch.ones_like(points[..., 0], dtype=torch.bool))
    across = side * shift.view(-1, 1, 1)
    return prediction.shift(torch.cat((across, torch.zeros_like(across)), -1))


def _right_of_images(batch: FaceBatch) -> Tensor:
    """(B, 2) unit vectors in frames that point to the right in the images they were cut from."""
    # The inverse of a similarity is its transpose but for the scale.
    row = batch.frame_to_image[:, 0, :2]
    length: Tensor = torch.linalg.vector_norm(row, dim=-1, keepdim=True)
    return row / length
