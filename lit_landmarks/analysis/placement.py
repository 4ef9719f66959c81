"""A new scheme's points on the template, from a few labelled pictures; nothing else learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from rich.progress import track
from torch import Tensor

from lit_landmarks.errors import UserError
from lit_landmarks.methods.base import LandmarkModule
from lit_landmarks.nets.losses import box_side, point_distance
from lit_landmarks.template import query_points
from lit_landmarks.types import FaceBatch

#: Steps of Adam, and its first rate in head units.
STEPS, _RATE = 150, 0.01
#: Weight of the squared way from the starting place, in head units: turned faces alone
#: show depth, which stays where it was without them.
_STAY = 0.02


@dataclass(frozen=True)
class Placement:
    """Fitted places of N points.

    Attributes:
        queries: (N, 3) head frame.
        before, after: mean distance of the labels from the answers at the starting places and at
            the fitted ones, the best of all steps, percent of the longer side of the boxes of the
            faces' labels.
        labelled: (N,) int64 number of faces on which each point was labelled.
    """

    queries: Tensor
    before: float
    after: float
    labelled: Tensor


def fit_places(
    method: LandmarkModule, batches: Sequence[FaceBatch], steps: int = STEPS
) -> Placement:
    """Fit where on the template the points of labelled faces lie.

    Each point starts at the dense template point that is seen nearest to its labels, and moves so
    that the frozen method's answers meet the labels.

    Args:
        method: a trained method of queries, in evaluation mode.
        batches: the faces; their queries are not read.
        steps: of Adam.

    Raises:
        UserError: the method has fixed points, or a point is labelled on no face.
    """
    if not method.answers_queries:
        raise UserError(
            f"{type(method).__name__} has fixed points; give a run of a method of queries, such as"
            " Infinite3D"
        )
    labelled = torch.stack([batch.mask.sum(0) for batch in batches]).sum(0)
    if not bool(labelled.all()):
        missing = (labelled == 0).nonzero()[:, 0].tolist()
        raise UserError(
            f"points {missing[:5]} (counted from 0) are labelled on no face; give more faces"
        )
    wanted = [parameter.requires_grad for parameter in method.parameters()]
    method.requires_grad_(False)
    try:
        start = _nearest_points(method, batches)
        moved = torch.zeros_like(start, requires_grad=True)
        optimizer = torch.optim.Adam([moved], lr=_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
        queries, history = start, []
        for _ in track(range(steps + 1), "places", transient=True):
            distance = _distance(method, batches, start + moved)
            history.append(float(distance.detach()))
            if history[-1] <= min(history):  # the last step need not be the best one
                queries = (start + moved).detach().clone()
            optimizer.zero_grad()
            loss = distance + _STAY * moved.square().sum(1).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    finally:
        for parameter, learns in zip(method.parameters(), wanted, strict=True):
            parameter.requires_grad_(learns)
    return Placement(queries, 100 * history[0], 100 * min(history), labelled)


def _distance(method: LandmarkModule, batches: Sequence[FaceBatch], queries: Tensor) -> Tensor:
    """Mean distance of labels from answers, in sides of the faces' boxes."""
    total = []
    for batch in batches:
        inputs = replace(batch.inputs, queries=queries.expand(len(batch), -1, -1), convention=None)
        side = box_side(batch.points, batch.mask)
        points, labels = method(inputs).points / side, batch.points.nan_to_num() / side
        total.append(point_distance(points, labels, batch.mask, "euclidean") * len(batch))
    return torch.stack(total).sum() / sum(len(batch) for batch in batches)


@torch.no_grad()
def _nearest_points(method: LandmarkModule, batches: Sequence[FaceBatch]) -> Tensor:
    """(N, 3) dense template points that are seen nearest to the labels, on the mean of faces."""
    dense = query_points("dense520").to(batches[0].points)
    total: Tensor | None = None
    for batch in batches:
        queries = dense.expand(len(batch), -1, -1)
        answer = method(replace(batch.inputs, queries=queries, convention=None)).points
        side = box_side(batch.points, batch.mask)
        away = torch.cdist(batch.points.nan_to_num() / side, answer / side)
        away = torch.where(batch.mask[..., None], away, 0.0).sum(0)
        total = away if total is None else total + away
    assert total is not None
    return dense[total.argmin(1)]
