"""Points that are asked for beside others, so that the shape of a face does not depend on those.

The mesh by which landmarks are visible or hidden is bent to the predicted face. A method that is
asked for three points says too little of the face, and for other three something else; so it is
asked for iBUG's 68 points too, whose answers leave out nothing of the face and are dropped again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import torch
from torch import Tensor

from lit_landmarks.template import query_points
from lit_landmarks.types import FaceInputs, Prediction

#: The points that are asked for too.
ANCHOR_SCHEME = "ibug68"
#: Number of them.
ANCHORS = 68
#: Where the points are among the axes of a prediction's tensors.
_POINT_AXIS = {
    "points": 1,
    "stages": 2,
    "log_sigma": 1,
    "visibility": 1,
    "points3d": 1,
    "head3d": 1,
}


def with_anchors(inputs: FaceInputs) -> FaceInputs:
    """The inputs with iBUG's 68 points behind their own queries.

    Args:
        inputs: with queries (B, N, 3).

    Example:
        >>> inputs = FaceInputs(torch.zeros(2, 3, 64, 64), queries=torch.zeros(2, 5, 3))
        >>> with_anchors(inputs).queries.shape
        torch.Size([2, 73, 3])
    """
    assert inputs.queries is not None
    anchors = query_points(ANCHOR_SCHEME).to(inputs.queries).expand(len(inputs), -1, -1)
    return replace(inputs, queries=torch.cat((inputs.queries, anchors), 1))


def answer_beside_anchors(
    predict: Callable[[FaceInputs], Prediction],
    add_visibility: Callable[[Prediction, FaceInputs, int], Prediction],
    inputs: FaceInputs,
) -> tuple[Prediction, Prediction]:
    """The prediction, and the same without graph and with visibility; anchors last in both.

    Args:
        predict: a method of queries, or what stands for one.
        add_visibility: its own.
        inputs: with queries.
    """
    wide = with_anchors(inputs)
    prediction = predict(wide)
    return prediction, add_visibility(prediction.detach(), wide, ANCHORS)


def take_points(prediction: Prediction, count: int) -> Prediction:
    """The prediction of the first points alone.

    Args:
        prediction: of at least `count` points; `aux` stays as it is.
        count: number of points.
    """
    cut = {}
    for field in fields(prediction):
        value = getattr(prediction, field.name)
        if isinstance(value, Tensor) and field.name in _POINT_AXIS:
            cut[field.name] = value.narrow(_POINT_AXIS[field.name], 0, count)
    return replace(prediction, **cut)


def without_places(prediction: Prediction, queries: Tensor) -> Prediction:
    """The prediction with NaN for points whose queries (B, N, 3) have no place."""
    placed = queries.isfinite().all(-1)
    if bool(placed.all()):
        return prediction
    points = torch.where(placed[..., None], prediction.points, torch.nan)
    stages, points3d = prediction.stages, prediction.points3d
    if stages is not None:
        stages = torch.where(placed[..., None], stages, torch.nan)
    if points3d is not None:
        points3d = torch.where(placed[..., None], points3d, torch.nan)
    return replace(prediction, points=points, stages=stages, points3d=points3d)
