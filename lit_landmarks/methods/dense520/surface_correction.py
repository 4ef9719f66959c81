"""One dense face, read off where each data set's annotators put its 68 points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.nets.correction import SemanticCorrection
from lit_landmarks.template.fitted_points import FITTED_CONVENTIONS
from lit_landmarks.template.mesh import skull_places
from lit_landmarks.types import Prediction

#: The fits' convention, and those of points that are placed by hand or fixed to the skull.
FITS_AND_HANDS = (
    "300w_lp",
    "300w",
    "wflw",
    "cofw68",
    "youtube_faces",
    "merl_rav",
    "lapa",
    "face_synthetics",
    "synthetic_visible",
    "synthetic_3d",
    "custom",
)


class SurfaceCorrection(SemanticCorrection):
    """iBUG's 68 among dense points of the fits of 300W-LP, as people place them.

    Jaw, brows and nose of the fits lie elsewhere on the face than annotators have them
    (`template.fitted_points`). Both are places of one surface, so the annotators' points are blends
    of the dense points around them, with weights measured on the template: nothing is learned.
    The jaw is that of a frontal face: it does not follow the visible contour.

    Args:
        conventions: the fits' convention, then those that are answered as people place points.
    """

    moved: Tensor
    sources: Tensor
    weights: Tensor

    def __init__(self, *, conventions: Sequence[str] = FITS_AND_HANDS) -> None:
        super().__init__(conventions=conventions)
        if self.conventions[0] not in FITTED_CONVENTIONS:
            raise UserError(
                f"correction.conventions begins with {self.conventions[0]!r}; the first is that of"
                f" the dense points, one of {', '.join(FITTED_CONVENTIONS)}"
            )
        moved, sources, weights = skull_places()
        # Constants of the template, not state: a checkpoint does not carry them.
        self.register_buffer("moved", torch.from_numpy(moved), persistent=False)
        self.register_buffer("sources", torch.from_numpy(sources), persistent=False)
        self.register_buffer("weights", torch.from_numpy(weights).float(), persistent=False)

    def connect(self, scheme: str | None, template: Tensor | None) -> None:
        """See `SemanticCorrection.connect`: the blends are of `dense520`."""
        if scheme != "dense520":
            raise UserError(
                f"SurfaceCorrection reads points off dense520, not {scheme}; set model.correction"
                " null, or data.init_args.scheme dense520"
            )

    def displace(self, prediction: Prediction, rows: Tensor) -> Tensor:
        """See `SemanticCorrection.displace`; the same for all conventions but the first."""
        return self._offsets(prediction.points)

    def forward(self, prediction: Prediction, convention: Tensor | None) -> Prediction:
        """See `SemanticCorrection.forward`; points in 3D have the depth of their places too."""
        result = super().forward(prediction, convention)
        if convention is None or prediction.points3d is None or result.points3d is None:
            return result
        depth = prediction.points3d[..., 2:]
        reference = (self.rows[convention] == 0).view(-1, 1, 1)
        offset = torch.where(reference, torch.zeros_like(depth), self._offsets(depth))
        moved = depth + offset - offset.mean(1, keepdim=True)  # its mean stays 0
        return replace(result, points3d=torch.cat((result.points3d[..., :2], moved), -1))

    def _offsets(self, points: Tensor) -> Tensor:
        """(B, N, D) ways from dense points to where people have them; 0 for those that agree."""
        blended = (points[:, self.sources] * self.weights[..., None]).sum(-2)
        return torch.zeros_like(points).index_copy(1, self.moved, blended - points[:, self.moved])
